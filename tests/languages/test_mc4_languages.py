from __future__ import annotations

from collections import Counter

import pytest

from mtmoe.languages import LANGUAGES, MC4_LANGUAGES, Language, language

# Families as comparative linguistics has them; every language stands in one row.
FAMILIES = {
    "Germanic": "af da de en fy is lb nl no sv yi",
    "Romance": "ca co es fr gl it pt ro",
    "Italic": "la",
    "French creole": "ht",
    "Slavic": "be bg cs mk pl ru sk sl sr uk bg-Latn ru-Latn",
    "Baltic": "lt lv",
    "Celtic": "cy ga gd",
    "Hellenic": "el el-Latn",
    "Albanian": "sq",
    "Armenian": "hy",
    "Iranian": "fa ku ps tg",
    "Indo-Aryan": "bn gu hi mr ne pa sd si ur hi-Latn",
    "Uralic": "et fi hu",
    "Turkic": "az kk ky tr uz",
    "Mongolic": "mn",
    "Kartvelian": "ka",
    "Dravidian": "kn ml ta te",
    "Afro-Asiatic": "am ar ha iw mt so",
    "Niger-Congo": "ig ny sn st sw xh yo zu",
    "Austronesian": "ceb fil haw id jv mg mi ms sm su",
    "Austroasiatic": "km vi",
    "Kra-Dai": "lo th",
    "Sino-Tibetan": "my zh zh-Latn",
    "Hmong-Mien": "hmn",
    "Japonic": "ja ja-Latn",
    "Koreanic": "ko",
    "Isolate": "eu",
    "Constructed": "eo",
}

SAME = {
    "iw": "he heb he_Hebr heb_Hebr IW",
    "no": "nb nob nb_NO nob_Latn nb_Latn",
    "fil": "tl tgl tgl_Latn",
    "jv": "jw jav jav_Latn",
    "ku": "kmr kur kmr_Latn",
    "zh": "zh-Hans zh_CN zh_Hant zho_Hans zho_Hant cmn_hans zho zh-TW",
    "mg": "plt mlg plt_Latn",
    "mn": "khk khk_Cyrl",
    "fa": "pes_1 pes pes_Arab per",
    "hmn": "blu mww hnj hmn_Latn",
    "ms": "zsm zlm_Latn mly_latn zsm_Latn",
    "sq": "als als_Latn",
    "lv": "lvs_Latn",
    "ar": "arb arb_Arab",
    "ko": "kor_Hang ko_Kore",
    "pt": "pt_BR pt-PT por_Latn",
    "hi-Latn": "hin_Latn hi_Latn",
    "hi": "hin_Deva",
    "zh-Latn": "zh_Latn",
    "ny": "nya nya_Latn nya_chechewa",
    "yi": "ydd_Hebr yid ji",
    "sr": "srp_Cyrl srp_cyrl",
}


def test_mc4_has_101_languages_and_six_romanised_variants() -> None:
    assert len(LANGUAGES) == 107
    assert len(MC4_LANGUAGES) == len(set(MC4_LANGUAGES)) == 101
    romanised = {entry.code for entry in LANGUAGES} - set(MC4_LANGUAGES)
    assert romanised == {f"{code}-Latn" for code in "bg el hi ja ru zh".split()}
    assert all(language(code).script == "Latn" for code in romanised)


def test_every_language_has_the_family_it_belongs_to() -> None:
    expected = {code: name for name, row in FAMILIES.items() for code in row.split()}
    assert {entry.code: entry.family for entry in LANGUAGES} == expected


@pytest.mark.parametrize("code", sorted(SAME))
def test_aliases_lead_to_the_language(code: str) -> None:
    for alias in SAME[code].split():
        assert language(alias).code == code, alias


def test_no_name_means_two_languages() -> None:
    names = Counter(
        name.casefold().replace("_", "-")
        for entry in LANGUAGES
        for name in (entry.code, *entry.aliases)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_a_romanised_variant_does_not_take_the_bare_code() -> None:
    assert language("rus").code == language("ru").code == "ru"
    assert language("rus_Latn").code == "ru-Latn"


def test_scripts_are_four_letters_as_iso_15924_writes_them() -> None:
    for entry in LANGUAGES:
        assert len(entry.script) == 4 and entry.script.istitle(), entry


@pytest.mark.parametrize("entry", LANGUAGES, ids=lambda entry: entry.code)
def test_code_and_code_with_script_lead_back(entry: Language) -> None:
    assert language(entry.code) is entry
    base = entry.code.removesuffix("-Latn")
    assert language(f"{base}_{entry.script}") is entry
