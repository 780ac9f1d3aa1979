"""Word forms, spelling and sounds.

embedded.lemma, is_lemma .<code>     dictionary forms
embedded.hyphenate.<code>            where a word may be divided
embedded.restore_diacritics, restore_case_and_punctuation .<code>
embedded.romanise.<code>             into Latin script
embedded.correct_typo.en, embedded.pronounce.en, embedded.spell_sounds.en
embedded.pinyin.zh
"""

from __future__ import annotations

import functools

from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.qa import exact_match
from mtmoe.data.metrics.sequence import character_error_rate, phoneme_error_rate
from mtmoe.data.tasks.embedded import (
    misspellings,
    orthography,
    pronunciation,
    word_forms,
)
from mtmoe.data.tasks.embedded.registration import (
    EmbeddedKind,
    languages_except,
    languages_of,
    register_kinds,
)

# The Swahili dictionary, five million generated forms, is left out; Thai text has no
# spaces to find words by; uroman reads Japanese characters as Chinese.
LEMMA_LANGUAGES = languages_of(
    "ar bg ca cs cy da de el en eo es et fa fi fil fr ga gd gl hi hu hy id is it iw ka "
    "la lb lt lv mk ml ms nl no pl pt ro ru sk sl sq sr sv tr uk"
)
IS_LEMMA_LANGUAGES = languages_of(
    "ar bg ca cs cy da de el en eo es et fa fi fil fr ga gd gl hi hu hy id is it iw ka "
    "la lb lt lv mk ml nl no pl pt ro ru sk sl sq sr sv tr uk"
)
HYPHENATION_LANGUAGES = languages_of(
    "af be bg ca cs da de el en eo es et eu fr gl hu id is it kn lt lv mn mr nl no pa "
    "pl pt ro ru sk sl sq sr sv te uk zu"
)
ACCENTED_LANGUAGES = languages_of(
    "az ca co cs da de eo es et fi fr ga gd gl haw ht hu ig is it ku lb lt lv mt no pl "
    "pt ro sk sl sq sv tr vi yo"
)
CASED_LANGUAGES = languages_except(
    "am ar bn fa fy gu hi iw ja ka km kn ko lo ml mr my ne pa ps sd si ta te th ur yi "
    "zh"
)
ROMANISED_LANGUAGES = languages_of(
    "am ar be bg bn el fa gu hi hy iw ka kk km kn ko ky lo mk ml mn mr my ne pa ps ru "
    "si sr ta te tg th uk ur yi"
)

_of_words = functools.partial(
    EmbeddedKind,
    family="morphology",
    metrics=(exact_match, character_error_rate),
    scores=("exact_match", "character_error_rate"),
)
_of_dictionary = functools.partial(
    _of_words,
    labels="rule",
    origin=word_forms.LEMMA_ORIGIN,
    licence=word_forms.LEMMA_LICENCE,
    note="the dictionaries were compiled partly by machine",
)
_of_text = functools.partial(
    _of_words,
    labels="gold",
    origin=orthography.TEXT_ORIGIN,
    licence=orthography.TEXT_LICENCE,
    is_prose=True,
)
_of_cmudict = functools.partial(
    _of_words,
    labels="gold",
    origin=pronunciation.CMUDICT_ORIGIN,
    licence=pronunciation.CMUDICT_LICENCE,
)

KINDS = (
    _of_dictionary("lemma", LEMMA_LANGUAGES, word_forms.lemma_rows),
    _of_dictionary(
        "is_lemma",
        IS_LEMMA_LANGUAGES,
        word_forms.is_lemma_rows,
        metrics=(t5_metrics.accuracy,),
        scores=("accuracy",),
    ),
    _of_words(
        "hyphenate",
        HYPHENATION_LANGUAGES,
        word_forms.hyphenation_rows,
        labels="rule",
        origin=word_forms.HYPHEN_ORIGIN,
        licence=word_forms.HYPHEN_LICENCE,
    ),
    _of_text("restore_diacritics", ACCENTED_LANGUAGES, orthography.diacritics_rows),
    _of_text("restore_case_and_punctuation", CASED_LANGUAGES, orthography.case_rows),
    _of_text(
        "romanise",
        ROMANISED_LANGUAGES,
        orthography.romanised_rows,
        labels="rule",
        origin=orthography.ROMANISED_ORIGIN,
        licence=orthography.ROMANISED_LICENCE,
    ),
    _of_words(
        "correct_typo",
        ("en",),
        pronunciation.typo_rows,
        labels="gold",
        origin=misspellings.ORIGIN,
        licence=misspellings.LICENCE,
    ),
    _of_cmudict(
        "pronounce",
        ("en",),
        pronunciation.pronunciation_rows,
        metrics=(exact_match, phoneme_error_rate),
        scores=("exact_match", "phoneme_error_rate"),
        postprocess=pronunciation.all_pronunciations,
    ),
    _of_cmudict("spell_sounds", ("en",), pronunciation.spelling_rows),
    _of_words(
        "pinyin",
        ("zh",),
        pronunciation.pinyin_rows,
        labels="gold",
        origin=pronunciation.PINYIN_ORIGIN,
        licence=pronunciation.PINYIN_LICENCE,
    ),
)

TASKS = register_kinds(KINDS)
