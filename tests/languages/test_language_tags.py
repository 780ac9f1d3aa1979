from __future__ import annotations

import pycountry
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.errors import UnknownNameError
from mtmoe.languages import (
    LANGUAGES,
    Language,
    cldr_tables,
    iso,
    language,
    language_code,
    scripts,
)

LIVING = sorted(entry.alpha_3 for entry in pycountry.languages if entry.scope != "S")
SCRIPTS = ["Latn", "Cyrl", "Arab", "Deva", "Hans", "Hant", "Thai", "Ethi"]

# tag: code of the row
ROWS = {
    # mC4's rows, by region, by form of their script, by old and long codes
    **dict.fromkeys("hi-IN hin_IN hi-Deva-IN".split(), "hi"),
    **dict.fromkeys("es-419 es_MX spa-Latn-AR es-Latn".split(), "es"),
    **dict.fromkeys("ko-Hang ko_KR kor-Kore ko-Hang-KP".split(), "ko"),
    **dict.fromkeys("ja-Hrkt ja-Hira jpn_Jpan".split(), "ja"),
    **dict.fromkeys(
        "zh-Hant-TW zh_Hans zh-cmn-Hans cmn_Hani zh-MO zh-SG".split(), "zh"
    ),
    **dict.fromkeys("en-UK en-GB en-x-pirate en-Latn-US-u-ca-gregory".split(), "en"),
    **dict.fromkeys("de-1996 de-AT-1901 deu_Latf".split(), "de"),
    "ca-valencia": "ca",
    "hi-Latn-IN": "hi-Latn",
    "ur-Aran": "ur",
    "drw": "fa",  # retired: Darwazi
    # other scripts of mC4's languages
    **dict.fromkeys("sr-Latn srp_Latn sr-latn-RS sr-ME".split(), "sr-Latn"),
    **dict.fromkeys("uz-Cyrl uzb_Cyrl uzn_Cyrl uz-CN".split(), "uz-Cyrl"),
    **dict.fromkeys("uz-AF uz-Arab".split(), "uz-Arab"),
    **dict.fromkeys("pa-PK pan_Arab".split(), "pa-Arab"),
    **dict.fromkeys("he-Latn iw_Latn heb-Latn".split(), "iw-Latn"),
    "arb_Latn": "ar-Latn",
    "hnj_Hmnp": "hmn-Hmnp",
    # other languages
    **dict.fromkeys("hr hrv HRV_latn hr-HR hr-BA scr".split(), "hr"),
    **dict.fromkeys("bs bos bs-Latn".split(), "bs"),
    "bs-Cyrl": "bs-Cyrl",
    **dict.fromkeys("nn nno no-nyn".split(), "nn"),
    **dict.fromkeys("yue yue_Hani yue_Hant zh-yue yue-HK".split(), "yue"),
    **dict.fromkeys("yue-Hans yue-CN".split(), "yue-Hans"),
    **dict.fromkeys("bo bod tib bod_Tibt".split(), "bo"),
    **dict.fromkeys("ain ain_Kana".split(), "ain"),
    **dict.fromkeys("sh hbs hbs_Latn".split(), "sh"),
    "zh-min-nan": "nan",
    "kas_Deva": "ks-Deva",
    "ast_Latn": "ast",
    # members of a macrolanguage stay themselves: FLORES has files of both
    "twi_Latn": "tw",
    "aka_Latn": "ak",
    "prs_Arab": "prs",
    "quy": "quy",
    "quz": "quz",
    "arz_Arab": "arz",
    "ckb": "ckb",
    "ory_Orya": "ory",
}

NO_LANGUAGES = (
    "und mul zxx mis xx qaa a english de-QQ de-ZZ sr-Xxxx sr-latin de-german "
    "deu-fra en-de-fr ru-- -ru hr-Latn- en.US sr@latin mis_Latn"
).split()


@pytest.mark.parametrize("tag", sorted(ROWS))
def test_a_tag_names_a_row_by_its_parts(tag: str) -> None:
    assert language(tag).code == language_code(tag) == ROWS[tag]


def test_a_row_has_name_script_and_family() -> None:
    assert language("hr") == Language(
        "hr", "Croatian", "Latn", "Slavic", ("hrv", "hr-Latn", "hrv-Latn")
    )
    assert language("sr-Latn") == Language(
        "sr-Latn", "Serbian (Latin)", "Latn", "Slavic", ("srp-Latn",)
    )
    said = {
        tag: (language(tag).name, language(tag).script, language(tag).family)
        for tag in "quy yue bo rw tlh hif-Latn".split()
    }
    assert said == {
        "quy": ("Ayacucho Quechua", "Latn", "Quechuan"),
        "yue": ("Cantonese", "Hant", "Sino-Tibetan"),
        "bo": ("Tibetan", "Tibt", "Sino-Tibetan"),
        "rw": ("Kinyarwanda", "Latn", "Niger-Congo"),
        "tlh": ("Klingon", "Zyyy", "Constructed"),
        "hif-Latn": ("Fiji Hindi (Latin)", "Latn", "Indo-Aryan"),
    }


def test_cldr_agrees_with_the_families_of_mc4s_table() -> None:
    from mtmoe.languages.families import NOT_KNOWN, family_of

    said = {
        entry.code: family_of([alias for alias in (entry.code, *entry.aliases)])
        for entry in LANGUAGES
        if "-" not in entry.code
    }
    # Albanian, Armenian and Korean are branches of one language; CLDR lacks Maltese.
    differing = {
        code: family for code, family in said.items() if family != language(code).family
    }
    assert differing == {
        "hy": "Indo-European",
        "ko": NOT_KNOWN,
        "mt": NOT_KNOWN,
        "sq": NOT_KNOWN,
    }


@pytest.mark.parametrize("tag", NO_LANGUAGES)
def test_what_names_no_language_is_refused(tag: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown language code") as caught:
        language(tag)
    assert repr(tag) in str(caught.value)


def test_unknown_code_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        language("de-DEU")
    with pytest.raises(UnknownNameError, match="the code of Croatian is hr"):
        language("Croatian")


@settings(max_examples=100)
@given(
    code=st.sampled_from(LIVING),
    script=st.sampled_from(["", *SCRIPTS]),
    region=st.sampled_from(["", "DE", "419", "CN"]),
    upper=st.booleans(),
    underscore=st.booleans(),
)
def test_every_language_of_iso_639_has_one_row_a_script(
    code: str, script: str, region: str, upper: bool, underscore: bool
) -> None:
    tag = "-".join(filter(None, (code, script, region)))
    row = language(tag)
    assert language(row.code) is row
    written = tag.replace("-", "_") if underscore else tag
    assert language(written.upper() if upper else written.lower()) is row
    if script:
        assert scripts.is_part_of(script, row.script) or row.code == "zh"
    for alias in row.aliases:
        assert language(alias) is row
    assert row.name and row.family and len(row.script) == 4


def test_codes_of_two_and_three_letters_are_one_language() -> None:
    for entry in pycountry.languages:
        if hasattr(entry, "alpha_2"):
            assert language(entry.alpha_2) is language(entry.alpha_3)
        if hasattr(entry, "bibliographic"):
            assert language(entry.bibliographic) is language(entry.alpha_3)


def test_cldr_and_iso_agree_on_the_shortest_code() -> None:
    retired = 0
    for entry in pycountry.languages:
        if cldr_tables.is_retired(entry.alpha_3):  # since pycountry's edition
            assert language_code(entry.alpha_3) != entry.alpha_3
            retired += 1
        elif entry.scope != "S" and entry.alpha_3 != "tgl":  # fil in mC4
            shortest = getattr(entry, "alpha_2", entry.alpha_3)
            assert iso.shortest_code(entry.alpha_3) == shortest
            assert iso.shortest_code(shortest) == shortest
    assert retired < 10
