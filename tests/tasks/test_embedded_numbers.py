"""Numbers, dates and lists as languages write them."""

from __future__ import annotations

import re

import gin
import pytest
from embedded_checks import missing_languages, problems_of

from mtmoe.data.tasks.embedded.cldr_formats import plain
from mtmoe.data.tasks.embedded.splits import task_split
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.tasks.embedded import numbers

KINDS = {kind.name: kind for kind in numbers.KINDS}
SPELLED = ("spell_number", "read_number", "spell_ordinal")


def answers(kind, code):
    """Targets by what is asked, without the words of the prompt."""
    rows = [row for _, row in KINDS[kind].rows(code)]
    return {row["inputs"].partition(": ")[2]: row["targets"] for row in rows}


@pytest.mark.parametrize(
    ("code", "number", "words"),
    [
        ("de", "121", "einhunderteinundzwanzig"),
        ("ja", "198", "百九十八"),
        ("iw", "7", "שבע"),
        ("th", "11", "สิบเอ็ด"),
    ],
)
def test_numbers_are_spelled_and_read(code, number, words):
    spelled = answers("spell_number", code)
    assert spelled[number] == words
    assert answers("read_number", code)[words] == number


def test_numbers_the_libraries_disagree_on_are_left_out():
    # num2words has "centodicotto".
    assert "118" not in answers("spell_number", "it")
    assert "119" in answers("spell_number", "it")
    assert answers("spell_ordinal", "nl")["3"] == "derde"


def test_dates_go_there_and_back():
    for code, text in ("en", "May 11, 1905"), ("sw", "11 Mei 1905"), ("iw", "במאי"):
        there, back = answers("long_date", code), answers("parse_date", code)
        assert text in there["1905-05-11"]
        assert {back[words] for words in there.values()} == set(there)
        assert len(there) == 600


def test_relative_times_take_the_plural_of_their_number():
    russian = answers("relative_time", "ru")
    assert russian["1 day ago"] == "1 день назад"
    assert russian["in 3 days"] == "через 3 дня"
    assert russian["in 5 days"] == "через 5 дней"
    assert not any(re.match(r"[+-]", text) for text in answers("relative_time", "mi"))


def test_plural_and_ordinal_categories():
    arabic = answers("plural_category", "ar")
    assert [arabic[n] for n in ("0", "1", "2", "5", "50", "100", "1.5")] == [
        "zero", "one", "two", "few", "many", "other", "other",
    ]  # fmt: skip
    english = answers("ordinal_category", "en")
    assert [english[n] for n in ("1", "2", "3", "4", "11", "21")] == [
        "one", "two", "few", "other", "other", "one",
    ]  # fmt: skip
    assert answers("plural_category", "de") == {}
    assert answers("ordinal_category", "de") == {}


def test_numbers_and_amounts_are_written_as_in_the_language():
    german = answers("format_number", "de")
    number = next(n for n in german if re.fullmatch(r"\d{7}\.\d\d", n))
    whole, decimals = number.split(".")
    assert german[number] == f"{whole[0]}.{whole[1:4]}.{whole[4:]},{decimals}"
    assert answers("parse_number", "de")[german[number]] == number
    hindi = answers("format_number", "hi")[number]
    assert hindi == f"{whole[:2]},{whole[2:4]},{whole[4:]}.{decimals}"
    assert answers("format_number", "en") == answers("parse_number", "sm") == {}
    euros = {a: t for a, t in answers("format_currency", "de").items() if "EUR" in a}
    assert len(euros) == 60 and all(text.endswith(" €") for text in euros.values())


def test_round_numbers_are_written_short():
    for code, million in ("de", "Million"), ("es", "mill"), ("sw", "milioni"):
        short = answers("compact_number", code)
        in_millions = {n: t for n, t in short.items() if 10**7 <= int(n) < 10**9}
        assert len(in_millions) > 50
        assert all(million in text for text in in_millions.values())


@pytest.mark.parametrize("code", ["de", "zh", "ar"])
def test_lists_hold_names_of_one_split(code):
    own_splits = {}
    for key, row in KINDS["list_format"].rows(code):
        items = row["inputs"].partition(": ")[2].split("; ")
        assert 2 <= len(items) <= 4 and all(item in row["targets"] for item in items)
        for item in items:
            own_splits.setdefault(item, set()).add(task_split(key))
    assert len(own_splits) > 100
    # The same name may be that of a language and of a territory.
    assert sum(len(splits) > 1 for splits in own_splits.values()) < 5


def test_spaces_are_plain_and_marks_of_direction_gone():
    assert plain("1\u202f000\u00a0\u200f€ می\u200cشود") == "1 000 € می\u200cشود"


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [kind for kind in numbers.KINDS if kind.name not in SPELLED],
    ids=lambda kind: kind.name,
)
def test_every_language_that_has_rows_is_listed(kind):
    assert missing_languages(kind) == []


@pytest.mark.parametrize(
    "name", ["plural_category.ru", "long_date.my", "read_number.th"]
)
def test_a_task_runs_through_seqio(name):
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )
    found = verify_task(get_task(f"embedded.{name}"), "validation", num_examples=8)
    assert found.problems == () and found.num_examples >= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", numbers.KINDS, ids=lambda kind: kind.name)
def test_every_task(kind):
    found = {code: list(problems_of(kind, code)) for code in kind.languages}
    assert {code: problems for code, problems in found.items() if problems} == {}
