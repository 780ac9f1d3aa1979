"""Names and facts: CLDR, ISO codes, holidays."""

from __future__ import annotations

import pytest
from embedded_checks import missing_languages, problems_of

from mtmoe.data.tasks.embedded.cldr_names import locale_name, plural_form
from mtmoe.tasks.embedded import names

ROWS = {kind.name: kind.rows for kind in names.KINDS}


@pytest.mark.parametrize(
    ("kind", "code", "key", "inputs", "targets"),
    [
        (
            "territory_name",
            "sw",
            "cldr/territories/DE",
            "country name to Swahili: Germany",
            "Ujerumani",
        ),
        (
            "territory_code",
            "sw",
            "cldr/territories/DE",
            "country code (Swahili): Ujerumani",
            "DE",
        ),
        (
            "territory_currency",
            "sw",
            "cldr/territories/KR",
            "currency of this country (Swahili): Korea Kusini",
            "KRW",
        ),
        (
            "language_name",
            "yo",
            "cldr/languages/yo",
            "language name to Yoruba: Yoruba",
            "Èdè Yorùbá",
        ),
        (
            "currency_name",
            "zh",
            "cldr/currency_names/EUR",
            "currency name to Chinese: Euro",
            "欧元",
        ),
        (
            "script_name",
            "ar",
            "cldr/scripts/Arab",
            "script name to Arabic: Arabic",
            "العربية",
        ),
        (
            "city_name",
            "iw",
            "cldr/time_zones/Europe/Paris",
            "city name to Hebrew: Paris",
            "פריז",
        ),
    ],
)
def test_a_row_of_each_kind(kind, code, key, inputs, targets):
    assert (key, {"inputs": inputs, "targets": targets}) in list(ROWS[kind](code))


def test_quantities_take_the_plural_form_of_the_number():
    rows = [row for key, row in ROWS["unit_phrase"]("ru") if key.endswith("day")]
    days = {row["inputs"].partition(": ")[2]: row["targets"] for row in rows}
    assert days["1 day"] == "1 день" and len(days) == 3
    assert plural_form("ru", 21) == "one" and plural_form("ru", 22) == "few"
    assert plural_form("ar", 2) == "two" and locale_name("iw") == "he"


def test_official_languages_are_compared_as_sets():
    rows = dict(ROWS["territory_languages"]("zh"))
    assert rows["cldr/territories/KE"]["targets"] == "sw, en"
    (kind,) = (k for k in names.KINDS if k.name == "territory_languages")
    assert kind.postprocess("en, sw") == kind.postprocess("sw,en") == {"sw", "en"}
    (metric,) = kind.metrics
    targets = [kind.postprocess("sw, en")]
    assert metric(targets, [kind.postprocess("en, sw")])["multi_label_macro_f1"] == 100
    assert metric(targets, [kind.postprocess("sw")])["multi_label_macro_f1"] == 50


def test_facts_with_one_answer():
    regions = [row["inputs"] for _, row in ROWS["subdivision_country"]("zh")]
    assert len(set(regions)) > 0.9 * len(regions) > 1000
    holidays = dict(ROWS["holiday_country"]("sw"))
    assert {row["targets"] for row in holidays.values()} <= {"KE", "TZ"}
    autonyms = dict(ROWS["language_autonym"](""))
    assert autonyms["cldr/languages/yo"]["targets"].startswith("Èdè Yorùbá")


@pytest.mark.slow
@pytest.mark.parametrize("kind", names.KINDS, ids=lambda kind: kind.name)
def test_every_task(kind):
    found = {code: list(problems_of(kind, code)) for code in kind.languages}
    assert {code: problems for code, problems in found.items() if problems} == {}
    if kind.languages != ("",):
        assert set(missing_languages(kind)) <= {"en"}
