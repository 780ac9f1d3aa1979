"""Language tags of any style, and metrics where words are not spaced."""

from __future__ import annotations

import random
from pathlib import Path

import pycountry
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data.metrics.generation import (
    bleu,
    bleu_in,
    multilingual_rouge,
)
from mtmoe.data.metrics.qa import answers_in, multiple_answers
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registry import get_task, register
from mtmoe.errors import CorpusError, UnknownNameError
from mtmoe.evaluate.text_folder import read_text_folder
from mtmoe.languages import language, row_language
from mtmoe.report.training_languages import language_curves

# Tag, its row, and what the row says. One file of text each.
TAGS = {
    "hi-IN": ("hi", "Hindi", "Deva", "Indo-Aryan"),
    "es-419": ("es", "Spanish", "Latn", "Romance"),
    "sr-Latn": ("sr-Latn", "Serbian (Latin)", "Latn", "Slavic"),
    "ko-Hang": ("ko", "Korean", "Kore", "Koreanic"),
    "zh-Hant-TW": ("zh", "Chinese", "Hans", "Sino-Tibetan"),
    "uz-Cyrl": ("uz-Cyrl", "Uzbek (Cyrillic)", "Cyrl", "Turkic"),
    "yue_Hani": ("yue", "Cantonese", "Hant", "Sino-Tibetan"),
    "hr": ("hr", "Croatian", "Latn", "Slavic"),
    "bos": ("bs", "Bosnian", "Latn", "Slavic"),
    "quy_Latn": ("quy", "Ayacucho Quechua", "Latn", "Quechuan"),
}
CODES = sorted(
    {getattr(entry, "alpha_2", entry.alpha_3) for entry in pycountry.languages}
    | {entry.alpha_3 for entry in pycountry.languages} - {"mis", "mul", "und", "zxx"}
)


def test_regional_and_script_tags(tmp_path: Path, tried) -> None:
    for tag in TAGS:
        (tmp_path / f"{tag}.txt").write_text("x", encoding="utf-8")
    texts = {text.file_name: text.language for text in read_text_folder(tmp_path)}
    for tag, (code, name, script, family) in TAGS.items():
        row = texts[f"{tag}.txt"]
        assert (row.code, row.name, row.script, row.family) == (
            code,
            name,
            script,
            family,
        )
        card = TaskCard(family="other", language=tag)
        assert card.language == code
        assert row_language(card.language) is row
    tried(
        "languages",
        f"{', '.join(TAGS)} on cards and as files (common-voice/common-voice#2550, "
        "huggingface/lighteval#1272)",
        "read: " + ", ".join(f"`{code}`" for code, *_ in TAGS.values()),
    )


def test_languages_outside_mc4_are_rows_of_training_and_report(tried) -> None:
    log = [
        {"step": step, "language_loss": {"hr": 4.0 - step, "sr-Latn": 3.0, "sr": 2.0}}
        for step in (1, 2)
    ]
    curves = {curve.code: curve.name for curve in language_curves(log)}
    assert curves == {
        "hr": "Croatian",
        "sr-Latn": "Serbian (Latin)",
        "sr": "Serbian",
    }
    tried(
        "languages",
        "tasks in hr, sr-Latn and sr (google-research/url-nlp#10, "
        "mozilla/translations#1379)",
        "read: three rows, with name, script and family",
    )


@pytest.mark.parametrize("tag", ["croatian", "sr-latin", "deu-fra", "xx", "de-QQ"])
def test_a_card_with_no_language(tag: str, tried) -> None:
    with pytest.raises(UnknownNameError, match="unknown language code") as caught:
        TaskCard(family="other", language=tag)
    tried("languages", f"a card with language={tag!r}", f"refused: `{caught.value}`")


@settings(max_examples=120)
@given(
    code=st.sampled_from(CODES),
    script=st.sampled_from(["", "Latn", "Cyrl", "Arab", "Hans", "Tibt"]),
    region=st.sampled_from(["", "IN", "419", "US"]),
    separator=st.sampled_from("-_"),
    written=st.sampled_from([str.lower, str.upper, str.title]),
)
def _any_tag(code: str, script: str, region: str, separator: str, written) -> None:
    tag = separator.join(filter(None, (code, script, region)))
    row = language(tag)
    assert language(written(tag)) is row
    assert language(row.code) is row
    assert row.name and row.family and len(row.script) == 4


def test_generated_tags(tried) -> None:
    _any_tag()
    tried(
        "languages",
        "120 generated tags: languages of ISO 639-1 and 639-3, scripts, regions, cases",
        "read: one row for a language and script, and its code leads back to it",
    )


@settings(max_examples=80)
@given(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-_ .", max_size=12).filter(
        lambda tag: len(tag.replace("_", "-").split("-")[0]) not in (2, 3)
    )
)
def _no_tag(tag: str) -> None:
    with pytest.raises(UnknownNameError):
        language(tag)


def test_generated_texts_that_are_no_tags(tried) -> None:
    _no_tag()
    tried(
        "languages",
        "80 generated texts that are no language tags",
        "refused, with the nearest codes",
    )


SPACED, UNSPACED = ("de", "sw", "hi", "ar"), ("th", "km", "lo", "my", "zh", "ja")


def _near_right(texts: list[str]) -> list[str]:
    """The texts with one letter in thirty replaced by another of the same texts."""
    draw = random.Random(0)
    letters = sorted({c for text in texts for c in text if c.isalpha()})
    return [
        "".join(
            draw.choice(letters) if c.isalpha() and draw.random() < 1 / 30 else c
            for c in text
        )
        for text in texts
    ]


@pytest.fixture(scope="module")
def near() -> dict[str, tuple[list[str], list[str]]]:
    """Targets of translations out of English by language, and near-right ones."""
    register(["mtmoe.tasks.embedded.translation"])
    targets = {}
    for code in (*SPACED, *UNSPACED):
        task = get_task(f"embedded.translate_udhr_from_en.{code}")
        texts = [row["targets"] for row in task.source.examples("validation")]
        targets[code] = (texts, _near_right(texts))
    return targets


def test_bleu_where_words_are_not_spaced(near, tried) -> None:
    scores = {}
    for code, pair in near.items():
        task = get_task(f"embedded.translate_udhr_from_en.{code}")
        scores[code] = {
            name: value
            for function in task.metric_fns
            for name, value in function(*pair).items()
        }
        name = bleu_in(code).__name__
        assert set(scores[code]) == {"chrf++", name}
        # The same share of mistakes: like scores by the metric that all share, and
        # like ones among the languages of either way of counting.
        assert 70 < scores[code]["chrf++"] < 95
        low, high = (50, 85) if name == "bleu" else (88, 98)
        assert low < scores[code][name] < high
        if code in UNSPACED:
            with pytest.raises(CorpusError, match="bleu_char"):
                bleu(*pair)
    tried(
        "scores",
        "BLEU of near-right th, km, lo, my, zh, ja beside de, sw, hi, ar "
        "(facebookresearch/fairseq#4689, EleutherAI/lm-evaluation-harness#212, "
        "mjpost/sacrebleu#147)",
        "counted over characters, as `bleu_char`, 88 to 98; `bleu` of words, 50 to 85 "
        "elsewhere, refuses such targets; `chrf++` of all is 70 to 95",
    )


def test_f1_and_rouge_where_words_are_not_spaced(near, tried) -> None:
    for code, pair in near.items():
        answers, rouge = answers_in(code)(*pair), multilingual_rouge(code)(*pair)
        spaced = code in SPACED
        assert ("f1" in answers) == spaced == ("rouge1" in rouge)
        if not spaced:
            assert 90 < answers["f1_char"] < 99 and 90 < rouge["rouge1_char"] < 99
            with pytest.raises(CorpusError, match="answers_in"):
                multiple_answers(*pair)
    tried(
        "scores",
        "F1 and ROUGE of near-right th, km, lo, my, zh, ja",
        "counted over characters, as `f1_char` and `rouge1_char`, 90 to 99; `f1` and "
        "`rouge` of words refuse such targets",
    )
