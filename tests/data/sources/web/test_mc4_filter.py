"""mC4's filters against the code that made mC4, and on real text."""

from __future__ import annotations

import builtins
import json

import gin
import numpy as np
import pytest
import web_page_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data.sources.web import language_id
from mtmoe.data.sources.web import mc4_filter as mc4_filter_module
from mtmoe.data.sources.web.mc4_filter import REASONS, Mc4Filter, clean_texts
from mtmoe.data.sources.web.pages import WebPage, web_page
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.errors import ConfigError

LONG = ("a" * 200, "b" * 200, "c" * 200)
ANY_LANGUAGE = Mc4Filter(language_threshold=None)
ONLY_LINES = Mc4Filter(min_paragraphs=0, language_threshold=None)


def _kept(texts, mc4_filter=ANY_LANGUAGE, language="en"):
    cleaned, counts = clean_texts(texts, language, mc4_filter)
    kept = list(cleaned)
    assert set(counts) <= set(REASONS)
    pages = sum(n for reason, n in counts.items() if reason.startswith("pages"))
    assert pages == len(list(texts)), "every page is counted once"
    return kept, {reason: n for reason, n in counts.items() if n}


def test_pages_that_are_too_long_or_without_paragraphs_go():
    page = "\n".join(LONG)
    short = page.replace("c", "", 1)
    long = page + "\n" + "x" * (190_001 - len(page) - 1)
    assert len(long) == 190_001
    with_duplicates = Mc4Filter(drop_duplicate_lines=False, language_threshold=None)
    kept, counts = _kept([page, short, long, long[:-1]], with_duplicates)
    assert kept == [page, long[:-1]] and counts["pages too long"] == 1
    assert counts["pages without paragraphs"] == 1
    for texts in ([], ["\n".join(LONG[:2])]):
        assert _kept(texts)[0] == []


def _beam_free(monkeypatch):
    """C4's own functions count with Apache Beam, which is not needed to compare."""
    from tensorflow_datasets.text import c4_utils

    monkeypatch.setattr(
        c4_utils, "get_counter_inc_fn", lambda name: lambda *counter: None
    )
    return c4_utils


@pytest.mark.parametrize("seed", range(3))
def test_length_and_paragraphs_are_those_of_c4(seed, monkeypatch):
    c4_utils = _beam_free(monkeypatch)
    random = np.random.default_rng(seed)
    for _ in range(200):
        sizes = random.integers(190, 205, random.integers(0, 6))
        text = "\n".join("x" * size for size in sizes)
        theirs = c4_utils.paragraph_filter(c4_utils.PageFeatures(text=text))
        assert theirs == (Mc4Filter()._page_problem(web_page(text)) == "")
    for size in (189_999, 190_000, 190_001):
        features = c4_utils.PageFeatures(text="x" * size)
        lines = Mc4Filter(min_paragraphs=0)
        theirs = c4_utils.is_valid_length(features)
        assert theirs == (lines._page_problem(web_page(features.text)) == "")


def _by_c4(c4_utils, pages: list[WebPage]) -> list[str]:
    """C4's removal of duplicate lines, its Beam steps written as loops."""
    features = [c4_utils.PageFeatures(url=p.identity, text=p.text) for p in pages]
    urls: dict[str, set[str]] = {}
    for page in features:
        for line, url in c4_utils._emit_url_to_lines(page):
            urls.setdefault(line, set()).add(url)
    kept = {line: min(there, key=c4_utils._hash_text) for line, there in urls.items()}
    cleaned = []
    for page in features:
        lines = [line for line, url in kept.items() if url == page.url]
        joined = (page.url, {"pages": [page], "lines": lines})
        left = c4_utils._remove_lines_from_text(joined, lambda *counter: None, 0)
        cleaned += [page.text for page in left]
    return cleaned


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "B", "b ", "c", "", " C", "d"]), max_size=5),
        max_size=6,
    )
)
def test_duplicate_lines_go_as_in_c4(pages):
    from tensorflow_datasets.text import c4_utils

    given_pages = [
        web_page("\n".join(lines), f"https://{number}.org")
        for number, lines in enumerate(pages)
    ]
    kept, counts = _kept(given_pages, ONLY_LINES)
    assert kept == _by_c4(c4_utils, given_pages)
    lines = sum(n for reason, n in counts.items() if reason.startswith("lines"))
    assert lines == sum(len(page.text.split("\n")) for page in given_pages)


def test_pages_come_once_and_reasons_are_counted():
    pages = [
        web_page("one\nonly here", "http://www.a.org/"),
        web_page("other text", "https://a.org?utm_source=x"),
        web_page("two\nTWO "),
        web_page("two\nTWO "),
    ]
    kept, counts = _kept(pages, ONLY_LINES)
    assert kept == ["one\nonly here", "two"]
    assert counts == {
        "pages kept": 2,
        "pages seen before": 2,
        "lines kept": 3,
        "lines repeated in the page": 1,
    }
    again = Mc4Filter(
        min_paragraphs=0, drop_duplicate_lines=False, language_threshold=None
    )
    assert len(_kept(pages, again)[0]) == 4


def test_an_iterator_is_cleaned_like_a_list():
    texts = ["same\nx", "same\ny"]
    assert (
        list(clean_texts(iter(texts), "en", ONLY_LINES)[0])
        == _kept(texts, ONLY_LINES)[0]
    )


@pytest.mark.parametrize("code", web_page_texts.LANGUAGES)
def test_pages_in_another_language_go(code):
    pages = web_page_texts.prose(code)
    others = [web_page_texts.prose(other)[0] for other in web_page_texts.LANGUAGES]
    only_language = Mc4Filter(min_paragraphs=0, drop_duplicate_lines=False)
    kept, counts = _kept([*pages, *others], only_language, code)
    assert kept == [*pages, pages[0]]
    assert counts["pages of another language"] >= len(others) - 2
    kept, counts = _kept(["12 34 56"], only_language, code)
    assert kept == [] and counts == {"pages of no sure language": 1}


@pytest.mark.parametrize(
    ("threshold", "probability", "is_reliable", "reason"),
    [
        (0.7, 0.8, True, "pages kept"),
        (0.95, 0.8, True, "pages of no sure language"),
        (0.7, 0.9, False, "pages of no sure language"),
        (0.8, 0.8, True, "pages kept"),
    ],
)
def test_the_threshold_is_that_of_the_version(
    threshold, probability, is_reliable, reason, monkeypatch
):
    said = language_id.Identification("sw", probability, is_reliable)
    monkeypatch.setattr(mc4_filter_module, "identify", lambda text: said)
    chosen = Mc4Filter(min_paragraphs=0, language_threshold=threshold)
    assert _kept(["habari"], chosen, "sw")[1][reason] == 1


def test_a_line_is_kept_once_across_splits_of_the_users_folder(tmp_path, monkeypatch):
    for name, texts in (
        ("sw-validation.jsonl", ["\n".join([*LONG, "held out"])]),
        ("sw.jsonl", ["\n".join([*LONG, "trained on"]), "x"]),
    ):
        lines = [json.dumps({"text": text}) for text in texts]
        (tmp_path / name).write_text("\n".join(lines))
    monkeypatch.setenv("MTMOE_WEB_TEXT", str(tmp_path))
    source = WebTextSource("sw", clean=ANY_LANGUAGE)
    both = [
        line
        for split in ("train", "validation")
        for text in source.documents(split)
        for line in text.split("\n")
    ]
    assert sorted(both) == sorted([*LONG, "held out", "trained on"])
    assert source.reports["train"].cleaning["pages without paragraphs"] == 1
    assert "cleaning, lines kept" in str(source.reports["validation"])
    plain = WebTextSource("sw")
    assert "x" in plain.documents("train")
    gin.parse_config(
        """
        web_text_cleaning.mc4_filter = @Mc4Filter()
        Mc4Filter.language_threshold = None
        """
    )
    assert "x" not in plain.documents("train")


def test_bad_numbers_and_a_missing_package_are_errors(monkeypatch):
    with pytest.raises(ConfigError, match="language_threshold is 70"):
        Mc4Filter(language_threshold=70)
    with pytest.raises(ConfigError, match="max_characters"):
        Mc4Filter(max_characters=0)
    real_import = builtins.__import__

    def without_cld3(name, *more, **named):
        if name == "gcld3":
            raise ModuleNotFoundError(name)
        return real_import(name, *more, **named)

    language_id._identifier.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without_cld3)
    with pytest.raises(ConfigError, match=r"pip install 'mtmoe\[cleaning\]'"):
        list(clean_texts(["\n".join(LONG)], "en")[0])
