"""The embedded corpus: built from installed packages once, then read from the cache.

docs/design/embedded_corpus.md tells how text gets from a package into a document.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import mtmoe.languages.mc4
from mtmoe.data.ground.cache import cache_directory, write_atomically
from mtmoe.data.sources.embedded import cldr, django, gflanguages, home_assistant, udhr
from mtmoe.data.sources.embedded.documents import LanguageText, build_language
from mtmoe.data.sources.embedded.package import Installation, SourcePackage
from mtmoe.errors import CorpusError
from mtmoe.languages import MC4_LANGUAGES, language

PACKAGES: tuple[SourcePackage, ...] = (
    udhr.PACKAGE,
    gflanguages.PACKAGE,
    django.PACKAGE,
    home_assistant.PACKAGE,
    cldr.PACKAGE,
)
"""The packages read, prose first: of two equal lines the first is kept."""

SPLITS = ("train", "validation")


@dataclass(frozen=True)
class SourceRecord:
    """What a package gave to the corpus.

    Attributes:
      name: of the package in its registry.
      version: as installed.
      sha256: over names and bytes of the files read.
      languages: mC4 codes it has text in.
      characters: in the finished corpus, all languages and both splits.
      dropped: lines left out, by reason: `duplicate` (an equal line was there),
        `held_out` (an equal line is validation text), `leak` (all or some of its words
        repeat 24 letters of validation prose).
    """

    name: str
    version: str
    sha256: str
    languages: tuple[str, ...]
    characters: int
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class EmbeddedCorpus:
    """Text in mC4's 101 languages, split into training and validation documents.

    Attributes:
      texts: what there is of each language, by mC4 code.
      sources: the packages it came from.
      missing: what is not installed, each with the command that mends it.
    """

    texts: Mapping[str, LanguageText] = field(repr=False)
    sources: tuple[SourceRecord, ...]
    missing: tuple[str, ...]

    @property
    def languages(self) -> tuple[str, ...]:
        """The mC4 codes that have text."""
        return tuple(self.texts)

    def documents(self, language_code: str, split: str) -> tuple[str, ...]:
        """Returns the documents of a language, prose first.

        Args:
          language_code: an mC4 code or one of its aliases.
          split: `train` or `validation`.

        Raises:
          UnknownNameError: the code is not a language's.
          CorpusError: the corpus has no text in it, or no such split.
        """
        return self._text(language_code, split).documents[split]

    def validation_prose(self, language_code: str) -> tuple[str, ...]:
        """Returns the validation documents that are running prose."""
        text = self._text(language_code, "validation")
        return text.documents["validation"][: text.prose_documents]

    def characters(self, language_code: str, split: str) -> int:
        """Returns the number of characters in the documents of a language."""
        return sum(map(len, self.documents(language_code, split)))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all documents: the same text has the same fingerprint."""
        documents = {code: text.documents for code, text in self.texts.items()}
        return hashlib.sha256(_json_bytes(documents)).hexdigest()

    def _text(self, language_code: str, split: str) -> LanguageText:
        code = language(language_code).code
        if split not in SPLITS:
            raise CorpusError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
        if code not in self.texts:
            raise CorpusError(f"the embedded corpus has no text in {code!r}")
        return self.texts[code]


@cache
def load_corpus() -> EmbeddedCorpus:
    """Returns the corpus of the installed packages.

    The first call on a machine builds it, with progress on standard error, and writes
    it to `cache_directory()`; later calls read that file.

    Raises:
      CorpusError: a package that mtmoe requires is missing, or one is damaged.
    """
    installed, missing = _locate_packages()
    digests = {p.name: p.digest(i.root, MC4_LANGUAGES) for p, i in installed}
    path = cache_directory() / "corpus" / f"{_cache_key(digests)}.json.gz"
    if path.is_file():
        return _read_cache(path)
    corpus = build_corpus(installed, digests, missing)
    write_atomically(path, gzip.compress(_json_bytes(asdict(corpus)), 6, mtime=0))
    return corpus


def build_corpus(
    installed: Sequence[tuple[SourcePackage, Installation]],
    digests: Mapping[str, str],
    missing: tuple[str, ...],
) -> EmbeddedCorpus:
    """Reads, cleans, splits and guards the text of every language.

    Args:
      installed: the packages to read and where they are.
      digests: SHA-256 of each package's files, by name.
      missing: what to report as not installed.
    """
    started = time.monotonic()
    texts: dict[str, LanguageText] = {}
    for number, code in enumerate(MC4_LANGUAGES, start=1):
        passages = {p.name: p.passages(i.root, code) for p, i in installed}
        texts[code] = build_language(passages)
        if number % 20 == 0 or number == len(MC4_LANGUAGES):
            print(
                f"embedded corpus: {number} of {len(MC4_LANGUAGES)} languages, "
                f"{time.monotonic() - started:.0f} s",
                file=sys.stderr,
            )
    sources = tuple(
        _source_record(p.name, i.version, digests[p.name], texts) for p, i in installed
    )
    return EmbeddedCorpus(texts, sources, missing)


def _locate_packages() -> tuple[
    list[tuple[SourcePackage, Installation]], tuple[str, ...]
]:
    installed, missing = [], []
    for package in PACKAGES:
        found = package.locate()
        if found is not None:
            installed.append((package, found))
        elif package.is_optional:
            missing.append(f"{package.name}: {package.mend}")
        else:
            raise CorpusError(
                f"package {package.name} is not installed; install it: {package.mend}"
            )
    return installed, tuple(missing)


def _source_record(
    name: str, version: str, sha256: str, texts: Mapping[str, LanguageText]
) -> SourceRecord:
    dropped: Counter[str] = Counter()
    for text in texts.values():
        dropped.update(text.dropped.get(name, {}))
    characters = {code: text.characters.get(name, 0) for code, text in texts.items()}
    return SourceRecord(
        name=name,
        version=version,
        sha256=sha256,
        languages=tuple(code for code, count in characters.items() if count),
        characters=sum(characters.values()),
        dropped=dict(sorted(dropped.items())),
    )


def _cache_key(digests: Mapping[str, str]) -> str:
    """Returns a hash of all that the corpus is a function of: files and code."""
    code = [Path(mtmoe.languages.mc4.__file__), *Path(__file__).parent.glob("*.py")]
    digest = hashlib.sha256(unicodedata.unidata_version.encode())
    for path in sorted(code):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(_json_bytes(digests))
    return digest.hexdigest()[:32]


def _read_cache(path: Path) -> EmbeddedCorpus:
    try:
        content = json.loads(gzip.decompress(path.read_bytes()))
        return _corpus_of(content)
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise CorpusError(
            f"the cached corpus {path} is damaged ({error}); delete it, and it is "
            "built again"
        ) from error


def _corpus_of(content: Mapping[str, Any]) -> EmbeddedCorpus:
    texts = {
        code: LanguageText(
            **{
                **text,
                "documents": {s: tuple(d) for s, d in text["documents"].items()},
            }
        )
        for code, text in content["texts"].items()
    }
    sources = tuple(
        SourceRecord(**{**source, "languages": tuple(source["languages"])})
        for source in content["sources"]
    )
    return EmbeddedCorpus(texts, sources, tuple(content["missing"]))


def _json_bytes(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode()
