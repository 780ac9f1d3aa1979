"""Language and script identification."""

from __future__ import annotations

import pytest
from embedded_checks import missing_languages, problems_of

from mtmoe.data.tasks.embedded.function_words import words_by_split
from mtmoe.tasks.embedded import language_id

ROWS = {kind.name: kind.rows for kind in language_id.KINDS}


@pytest.mark.parametrize(
    ("code", "name", "script"),
    [
        ("sw", "Swahili", "Latin"),
        ("yo", "Yoruba", "Latin"),
        ("ar", "Arabic", "Arabic"),
        ("iw", "Hebrew", "Hebrew"),
        ("hi", "Hindi", "Devanagari"),
    ],
)
def test_answers_are_english_names(code, name, script):
    for kind in ("language_id_paragraph", "language_id_excerpt"):
        assert {row["targets"] for _, row in ROWS[kind](code)} == {name}
    assert {row["targets"] for _, row in ROWS["script_of_text"](code)} == {script}


def test_excerpts_are_pieces_of_paragraphs():
    whole = [row["inputs"] for _, row in ROWS["language_id_paragraph"]("zh")]
    excerpts = [row for _, row in ROWS["language_id_excerpt"]("zh")]
    assert len(excerpts) > 10
    for row in excerpts:
        text = row["inputs"].partition(": ")[2]
        assert 0 < len(text) <= language_id.EXCERPT_CHARACTERS
        assert any(text in paragraph for paragraph in whole)


def test_function_words_of_a_split_stay_among_themselves():
    splits = words_by_split("sw")
    assert len(splits["train"]) > 40
    words = {split: {word for _, word in found} for split, found in splits.items()}
    assert not words["train"] & (words["validation"] | words["test"])
    for key, row in ROWS["language_id_words"]("sw"):
        drawn = set(row["inputs"].partition(": ")[2].split())
        assert key.removeprefix("stopwordsiso/") in drawn
        assert any(drawn <= found for found in words.values())


def test_facts_about_languages():
    scripts = dict(ROWS["language_script"](""))
    assert scripts["cldr/languages/sw"]["targets"] == "Latin"
    assert "cldr/languages/sr" not in scripts  # Latin and Cyrillic
    regions = dict(ROWS["language_regions"](""))
    assert {"KE", "TZ"} <= set(regions["cldr/languages/sw"]["targets"].split(", "))


@pytest.mark.slow
@pytest.mark.parametrize("kind", language_id.KINDS, ids=lambda kind: kind.name)
def test_every_task(kind):
    found = {code: list(problems_of(kind, code)) for code in kind.languages}
    assert {code: problems for code, problems in found.items() if problems} == {}
    if kind.languages != ("",):
        assert missing_languages(kind) == []
