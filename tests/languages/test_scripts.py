from __future__ import annotations

from mtmoe.languages import LANGUAGES, language, scripts


def test_direction_follows_the_script() -> None:
    right_to_left = {e.code for e in LANGUAGES if e.direction == "rtl"}
    assert right_to_left == set("ar fa iw ps sd ur yi".split())
    others = {
        tag: language(tag).direction for tag in "dv nqo ckb uz-Arab syr hr".split()
    }
    assert others == dict.fromkeys("dv nqo ckb uz-Arab syr".split(), "rtl") | {
        "hr": "ltr"
    }


def test_scripts_without_spaces_between_words() -> None:
    unspaced = {e.code for e in LANGUAGES if not e.spaces_words}
    assert unspaced == set("ja km lo my th zh".split())
    assert not any(language(tag).spaces_words for tag in "yue bo dz shn ii".split())
    assert language("ja-Latn").spaces_words and language("ko").spaces_words


def test_names_of_scripts() -> None:
    assert scripts.script_name("Cyrl") == "Cyrillic"
    assert scripts.script_name("Zyyy") == "undetermined"
