"""Word forms, spelling and sounds."""

from __future__ import annotations

import functools
import itertools
import types
import unicodedata

import gin
import pytest
from embedded_checks import problems_of

from mtmoe.data.sources.embedded.udhr import LANGUAGES_WITH_DECLARATION
from mtmoe.data.tasks.embedded import orthography, word_forms
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.languages import MC4_LANGUAGES, language
from mtmoe.tasks.embedded import morphology

KINDS = {kind.name: kind for kind in morphology.KINDS}


@pytest.fixture(scope="module", autouse=True)
def _once():
    """Words are found and texts romanised once, though rows are made several times."""
    words, uroman = word_forms.corpus_words, orthography._uroman

    @functools.cache
    def romanize_string(text, lcode):
        return uroman().romanize_string(text, lcode=lcode)

    remembering = types.SimpleNamespace(romanize_string=romanize_string)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_forms, "corpus_words", functools.cache(words.__wrapped__))
        patch.setattr(orthography, "_uroman", lambda: remembering)
        yield


def rows_of(kind, code):
    return {row["inputs"].partition(": ")[2]: row for _, row in KINDS[kind].rows(code)}


@pytest.mark.parametrize(
    ("code", "word", "lemma"),
    [("en", "members", "member"), ("hi", "सदस्यों", "सदस्य"), ("ms", "bahunya", "bahu")],
)
def test_lemmas_are_the_dictionarys(code, word, lemma, monkeypatch):
    monkeypatch.setattr(word_forms, "corpus_words", lambda code: (word, "qqq"))
    monkeypatch.setattr(word_forms, "_lemmas", word_forms._lemmas.__wrapped__)
    rows = rows_of("lemma", code)
    assert {text: row["targets"] for text, row in rows.items()} == {word: lemma}


def test_right_and_wrong_lemmas_alternate():
    lemmas = {word: row["targets"] for word, row in rows_of("lemma", "id").items()}
    asked = rows_of("is_lemma", "id")
    answers = [row["targets"] for row in asked.values()]
    assert abs(answers.count("yes") - answers.count("no")) <= 1
    for word, row in asked.items():
        shown = row["inputs"].split('"')[1]
        assert (shown == lemmas[word]) == (row["targets"] == "yes")


def test_words_are_letters_and_lower_case_where_they_occur_so():
    words = word_forms.corpus_words("en")
    assert len(words) == len({word.lower() for word in words}) > 2000
    assert "everyone" in words and "Everyone" not in words
    assert all(word[0].isalpha() and len(word) > 2 for word in words)
    assert not any(set(word) & set("%{}()0123456789") for word in words)


@pytest.mark.parametrize("code", ["sw", "de", "no"])
def test_words_are_hyphenated_where_there_are_patterns(code):
    kind = KINDS["hyphenate"]
    if code not in kind.languages:
        assert code == "sw"
        return
    rows = rows_of("hyphenate", code)
    assert len(rows) > 500
    assert all(row["targets"].replace("-", "") == w for w, row in rows.items())


def test_diacritics_and_strokes_are_taken_off():
    bare = orthography.without_diacritics
    assert bare("Đà Nẵng, Łódź, ığdır, Ünïcødé ẹ̀kọ́") == (
        "Da Nang, Lodz, igdir, Unicode eko"
    )


def test_case_and_punctuation_are_taken_off():
    bare = orthography.without_case_and_punctuation
    assert bare("Don't: «Who-is» – it? 'Yes', l’État.", "fr") == (
        "don't who-is it yes l’état"
    )
    assert bare("İstanbul IŞIK.", "tr") == "istanbul ışık"


@pytest.mark.parametrize(
    ("kind", "code", "bare"),
    [
        ("restore_diacritics", "vi", orthography.without_diacritics),
        ("restore_case_and_punctuation", "ru", str.lower),
    ],
)
def test_what_was_taken_off_is_to_be_restored(kind, code, bare):
    rows = rows_of(kind, code)
    assert len(rows) > 50
    for text, row in rows.items():
        target = row["targets"]
        assert text != target
        if kind == "restore_diacritics":
            assert bare(target) == text
        else:
            assert [c for c in target.lower() if c.isalnum()] == [
                c for c in text if c.isalnum()
            ]


@pytest.mark.slow
def test_romanised_text_is_in_latin_script():
    few = itertools.islice(KINDS["romanise"].rows("el"), 12)
    for _, row in few:
        letters = [c for c in row["targets"] if c.isalpha()]
        assert letters and all("LATIN" in unicodedata.name(c) for c in letters)


def test_sounds_of_english_words():
    rows = {key: row for key, row in KINDS["pronounce"].rows("en")}
    several = [row for row in rows.values() if len(row["pronunciations"]) > 1]
    assert several and all(r["targets"] == r["pronunciations"][0] for r in several)
    post = KINDS["pronounce"].postprocess
    assert post("A", example=several[0], is_target=True) == several[0]["pronunciations"]
    assert post("A", example=several[0], is_target=False) == "A"
    spelt = {row["targets"]: row["inputs"] for _, row in KINDS["spell_sounds"].rows("")}
    # Two words of one sound cannot be told apart.
    assert len(set(spelt.values())) == len(spelt) > 1500


def test_pinyin_has_a_syllable_a_character_and_typos_are_corrected():
    pinyin = rows_of("pinyin", "zh")
    plain = [(p, r["targets"].split()) for p, r in pinyin.items() if p.isalpha()]
    assert len(plain) > 1000 and all(len(p) == len(s) for p, s in plain)
    typos = rows_of("correct_typo", "en")
    assert len(typos) > 2000
    assert all(wrong != row["targets"] for wrong, row in typos.items())


@pytest.mark.slow
def test_every_language_that_has_rows_is_listed():
    from pyphen import LANGUAGES
    from simplemma.strategies.dictionaries import dictionary_factory

    dictionaries = {
        code
        for code in MC4_LANGUAGES
        if word_forms._DICTIONARIES.get(code, code)
        in dictionary_factory.SUPPORTED_LANGUAGES
    }
    assert set(KINDS["lemma"].languages) == dictionaries - {"sw"}
    assert dictionaries - set(KINDS["is_lemma"].languages) <= {"ms", "sw"}
    patterns = {c for c in MC4_LANGUAGES if word_forms._PATTERNS.get(c, c) in LANGUAGES}
    assert set(KINDS["hyphenate"].languages) == patterns - {"th"}
    assert set(KINDS["restore_diacritics"].languages) == {
        code
        for code in LANGUAGES_WITH_DECLARATION
        if language(code).script == "Latn" and _accented_share(code) > 0.005
    }
    for name, scripts, left_out in (
        ("restore_case_and_punctuation", {"Latn", "Cyrl", "Grek", "Armn"}, set()),
        (
            "romanise",
            {language(c).script for c in MC4_LANGUAGES} - {"Latn"},
            {"ja", "zh"},
        ),
    ):
        assert (
            set(KINDS[name].languages)
            == {
                code
                for code in LANGUAGES_WITH_DECLARATION
                if language(code).script in scripts
            }
            - left_out
        )


@pytest.mark.parametrize("name", ["pronounce.en", "restore_diacritics.yo"])
def test_a_task_runs_through_seqio(name):
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )
    found = verify_task(get_task(f"embedded.{name}"), "validation", num_examples=8)
    assert found.problems == () and found.num_examples >= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", morphology.KINDS, ids=lambda kind: kind.name)
def test_every_task(kind):
    found = {code: list(problems_of(kind, code)) for code in kind.languages}
    assert {code: problems for code, problems in found.items() if problems} == {}


def _accented_share(code: str) -> float:
    """The share of letters with a mark or stroke in a language's text."""
    letters = [c for _, line in orthography._lines(code) for c in line if c.isalpha()]
    accented = sum(c != orthography.without_diacritics(c) for c in letters)
    return accented / max(1, len(letters))
