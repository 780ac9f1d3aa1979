"""Translation tasks: text of the installed packages, paired by key."""

from __future__ import annotations

import pytest
from embedded_checks import missing_languages, problems_of, task_of

from mtmoe.data.tasks.embedded.splits import held_out_guard, task_split
from mtmoe.tasks.embedded import translation

SOME = ("sw", "yo", "zh", "ar", "iw")


@pytest.mark.parametrize("code", SOME)
def test_the_same_paragraphs_into_and_out_of_english(code):
    into = list(translation.udhr_to_en(code))
    out = list(translation.udhr_from_en(code))
    assert len(into) > 40
    for (key, one), (other_key, other) in zip(into, out, strict=True):
        assert key == other_key and key.startswith("udhr/")
        assert one["inputs"].endswith(f" to English: {other['targets']}")
        assert other["inputs"].startswith("translate English to ")
        assert other["inputs"].endswith(f": {one['targets']}")


def test_direct_translation_names_both_languages_and_never_english():
    rows = list(translation.udhr_direct("sw"))
    assert all(row["inputs"].startswith("translate Swahili to ") for _, row in rows)
    assert not any(" to English:" in row["inputs"] for _, row in rows)
    english = {row["targets"] for _, row in translation.udhr_to_en("sw")}
    assert english.isdisjoint(row["targets"] for _, row in rows)
    assert rows == list(translation.udhr_direct("sw"))


def test_articles_of_the_splits():
    (kind,) = (k for k in translation.KINDS if k.name == "translate_udhr_to_en")
    articles = {
        split: {key for key, _ in kind.rows("sw") if task_split(key) == split}
        for split in ("validation", "test")
    }
    assert articles["validation"] == {f"udhr/article/{n}" for n in (26, 27, 28)}
    assert articles["test"] == {f"udhr/article/{n}" for n in (29, 30)}
    examples = task_of(kind, "sw").source.examples
    assert len(examples("validation")) == 6 and len(examples("test")) == 4
    guard = held_out_guard()
    assert not any(guard.leaks(row["targets"]) for row in examples("train"))
    assert all(guard.leaks(row["targets"]) for row in examples("test"))


@pytest.mark.parametrize("code", ["sw", "zh", "ar", "iw"])
def test_interface_messages_keep_their_placeholders(code):
    rows = list(translation.interface_from_en(code))
    kept = sum(row["inputs"].count("%(") for _, row in rows)
    assert kept > 20
    assert sum(row["targets"].count("%(") for _, row in rows) > 0.8 * kept
    assert dict(rows)["django/Monday"]["inputs"] == (
        f"translate English to {translation.language(code).name}: Monday"
    )


def test_answers_and_holidays():
    answers = dict(translation.response_to_en("zh"))
    no_area = answers["home_assistant/response/errors/no_area"]
    assert "{area}" in no_area["inputs"] and "{area}" in no_area["targets"]
    holidays = [row for _, row in translation.holiday_to_en("sw")]
    assert {
        "inputs": "translate Swahili to English: Siku ya Krismasi",
        "targets": "Christmas Day",
    } in holidays
    assert not list(translation.response_to_en("yo"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", translation.KINDS, ids=lambda kind: kind.name)
def test_every_task(kind):
    found = {code: list(problems_of(kind, code)) for code in kind.languages}
    assert {code: problems for code, problems in found.items() if problems} == {}
    assert set(missing_languages(kind)) <= {"en"}
