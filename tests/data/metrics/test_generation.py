"""ROUGE, BLEU, chrF++, spBLEU and SARI, against their peers and by hand."""

import inspect

import numpy as np
import pytest
import sacrebleu
import sentencepiece
from rouge_score import rouge_scorer
from sacrebleu.tokenizers import tokenizer_spm
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.generation import (
    bleu,
    bleu_char,
    bleu_in,
    chrf_plus_plus,
    multilingual_rouge,
    rouge,
    sari,
    spbleu,
    spbleu_model_path,
)
from mtmoe.data.metrics.words import UnicodeWords
from mtmoe.errors import CorpusError

TARGETS = [
    "the old captain opened the window of the tower at dawn .",
    "a letter from the northern island arrived three days later .",
    "nobody in the village had seen the silver bridge .",
]
PREDICTIONS = [
    "the captain opened a window of the old tower .",
    "three days later a letter arrived from the island .",
    "nobody had seen the bridge in the village before .",
]


def test_rouge_is_rouge_score():
    keys = ("rouge1", "rouge2", "rougeL")
    scorer = rouge_scorer.RougeScorer(list(keys))
    pairs = zip(TARGETS, PREDICTIONS, strict=True)
    scores = [scorer.score(target, prediction) for target, prediction in pairs]
    for key in keys:
        mean = 100 * np.mean([score[key].fmeasure for score in scores])
        assert rouge(TARGETS, PREDICTIONS, keys)[key] == pytest.approx(mean)


def test_rouge_is_the_mean_that_t5_resamples():
    np.random.seed(0)
    resampled = t5_metrics.rouge(TARGETS * 20, PREDICTIONS * 20)
    ours = rouge(TARGETS * 20, PREDICTIONS * 20)
    assert ours == pytest.approx(resampled, abs=0.5)
    assert ours == rouge(TARGETS * 20, PREDICTIONS * 20)


def test_rouge_takes_the_best_reference():
    best = rouge([["nothing of it", "the old captain"]], ["the captain"])
    assert best == rouge(["the old captain"], ["the captain"])
    assert best["rouge1"] == pytest.approx(80.0)


@pytest.mark.parametrize("text", ["Yes", "7", "北", "?"])
def test_identical_short_texts_are_perfect(text):
    for metric in (rouge, multilingual_rouge("zh"), bleu, chrf_plus_plus):
        for value in metric([text], [text]).values():
            assert value == pytest.approx(100.0)


@pytest.mark.parametrize("metric", [rouge, multilingual_rouge("en"), bleu])
def test_nothing_in_common_and_nothing_at_all_are_zero(metric):
    assert set(metric(["one two three"], ["four five"]).values()) == {0.0}
    assert set(metric(["one two three"], [""]).values()) == {0.0}


def test_multilingual_rouge_is_rouge_on_ascii():
    expected = rouge(TARGETS, PREDICTIONS)
    assert multilingual_rouge("en")(TARGETS, PREDICTIONS) == pytest.approx(expected)


def test_multilingual_rouge_of_unsegmented_text_by_hand():
    scores = multilingual_rouge("zh")(["北京是中国首都"], ["北京是首都"])
    # Characters: 5 of 5 and 5 of 7. Pairs: 北京, 京是, 首都 of 4 and of 6.
    assert scores["rouge1_char"] == pytest.approx(100 * 2 * 5 / 12)
    assert scores["rouge2_char"] == pytest.approx(100 * 2 * 3 / 10)
    assert scores["rougeLsum_char"] == pytest.approx(100 * 2 * 5 / 12)


def test_multilingual_rouge_is_one_metric_a_language():
    metric = multilingual_rouge("th", ("rouge1", "rougeL"))
    assert metric is multilingual_rouge("th", ("rouge1", "rougeL"))
    assert set(metric(["สวัสดี"], ["สวัส"])) == {"rouge1_char", "rougeL_char"}
    assert tuple(inspect.signature(metric).parameters) == ("targets", "predictions")
    assert metric.__name__ == "multilingual_rouge_th"


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("de", "Straße, Ärger!", ["straße", "ärger"]),
        ("de", "A\u0308rger", ["ärger"]),
        ("hi", "हिन्दी में।", ["हिन्दी", "में"]),
        ("ar", "كِتَابٌ، قلم؟", ["كِتَابٌ", "قلم"]),
        ("ko", "한국어 문장.", ["한국어", "문장"]),
        ("zh", "AI在2020年。", ["ai", "在", "2020", "年"]),
        ("ja", "ガラスとﾃｽﾄ", ["ガ", "ラ", "ス", "と", "ﾃ", "ｽ", "ﾄ"]),
        # Vowel and tone signs stay on their consonant.
        ("th", "น้ำดี", ["น้", "ำ", "ดี"]),
        ("lo", "ນີ້", ["ນີ້"]),
        ("km", "ខ្មែរ", ["ខ្", "មែ", "រ"]),
        ("my", "မြန်မာ", ["မြ", "န်", "မာ"]),
        ("tr", "IŞIK İZMİR", ["ışık", "izmir"]),
        ("en", "IN  it's_3rd", ["in", "it", "s", "3rd"]),
        ("en", "", []),
        ("en", "\u0301a", ["a"]),
    ],
)
def test_words(language, text, words):
    assert UnicodeWords(language).tokenize(text) == words


def test_bleu_is_sacrebleus():
    expected = sacrebleu.corpus_bleu(PREDICTIONS, [TARGETS], tokenize="intl").score
    assert bleu(TARGETS, PREDICTIONS) == {"bleu": pytest.approx(expected)}
    assert bleu(TARGETS, PREDICTIONS) == pytest.approx(
        t5_metrics.bleu(TARGETS, PREDICTIONS)
    )


def test_references_go_with_their_example():
    """One example has two references, the others one."""
    targets = [[TARGETS[0], PREDICTIONS[0]], TARGETS[1], [TARGETS[2]]]
    streams = [TARGETS, [PREDICTIONS[0], None, None]]
    expected = sacrebleu.corpus_bleu(PREDICTIONS, streams, tokenize="intl").score
    assert bleu(targets, PREDICTIONS) == {"bleu": pytest.approx(expected)}
    expected = sacrebleu.corpus_chrf(PREDICTIONS, streams, word_order=2).score
    assert chrf_plus_plus(targets, PREDICTIONS) == {"chrf++": pytest.approx(expected)}


def test_any_reference_will_do():
    targets = [["first one here", "second one here"], ["alpha beta gamma", "delta"]]
    predictions = ["second one here", "delta"]
    assert bleu(targets, predictions)["bleu"] == pytest.approx(100.0)
    assert chrf_plus_plus(targets, predictions)["chrf++"] == pytest.approx(100.0)
    assert rouge(targets, predictions)["rouge2"] == 100.0


def test_an_example_without_references_is_refused():
    with pytest.raises(CorpusError, match="no reference"):
        bleu([[]], ["a"])


def test_chrf_plus_plus_by_hand():
    # Characters 1-6 and words 1-2 of "abc" and "abd": precision = recall = 2/3 (a, b),
    # 1/2 (ab), 0 (abc), word 0; no longer ones. F of the mean of four orders.
    mean = (2 / 3 + 1 / 2 + 0 + 0) / 4
    assert chrf_plus_plus(["abc"], ["abd"])["chrf++"] == pytest.approx(100 * mean)
    assert chrf_plus_plus(["abc"], [""])["chrf++"] == 0.0


@pytest.fixture
def sacrebleu_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(tokenizer_spm, "download_file", None)
    return tmp_path


def test_spbleu_says_what_is_missing(sacrebleu_folder):
    with pytest.raises(CorpusError) as error:
        spbleu(TARGETS, PREDICTIONS)
    assert str(sacrebleu_folder / "models" / "flores200sacrebleuspm") in str(
        error.value
    )
    assert "https://" in str(error.value)


def test_spbleu_counts_pieces(sacrebleu_folder):
    """With a tiny model of characters in place of the published one."""
    path = sacrebleu_folder / "models" / "flores200sacrebleuspm"
    path.parent.mkdir()
    with path.open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TARGETS + PREDICTIONS),
            model_writer=model,
            model_type="char",
            vocab_size=40,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    assert spbleu_model_path() == str(path)
    assert spbleu(TARGETS, TARGETS)["spbleu"] == pytest.approx(100.0)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def cut(texts):
        return [" ".join(pieces.encode(text, out_type=str)) for text in texts]

    expected = sacrebleu.corpus_bleu(
        cut(PREDICTIONS), [cut(TARGETS)], tokenize="none", force=True
    ).score
    assert spbleu(TARGETS, PREDICTIONS) == {"spbleu": pytest.approx(expected)}


SPECIES = {
    "source": "About 95 species are currently accepted.",
    "references": [
        "About 95 species are currently known.",
        "About 95 species are now accepted.",
        "95 species are now accepted.",
    ],
}


def test_sari_of_the_published_example():
    """The example of the authors' script, as the `evaluate` library scores it."""
    got = sari([SPECIES], ["About 95 you now get in."])
    assert got == {"sari": pytest.approx(26.953601953601954)}


def test_sari_by_hand():
    # Unigrams: of "a b c" kept a (wanted a, b): P 1, R 1/2, F 2/3; added x (wanted x):
    # 1; deleted b, c (wanted c): P 1/2. Longer ones: kept ab none of one wanted: 0;
    # added "a x" of wanted "b x": 0; deleted "a b", "b c" (wanted "b c"): 1/2.
    # Trigrams: nothing kept or wanted: 1; added none of one wanted: P 1, R 0; deleted
    # "a b c" as wanted: 1. Of 4 words: nothing at all: 1 each.
    target = {"source": "a b c", "references": "a b x"}
    parts = [(2 / 3 + 1 + 1 / 2), (0 + 0 + 1 / 2), (1 + 0 + 1), 3]
    assert sari([target], ["a x"])["sari"] == pytest.approx(100 * sum(parts) / 12)


def test_sari_of_the_only_reference_is_perfect():
    targets = [
        {"source": "Nothing changes here.", "references": ["Nothing changes here."]},
        {"source": "One", "references": "Two words"},
        {"source": "The cat slept, and it snored.", "references": ["The cat slept."]},
    ]
    predictions = ["Nothing changes here.", "Two words", "The cat slept."]
    assert sari(targets, predictions)["sari"] == pytest.approx(100.0)
    # Nothing is added: that part is 0 for one and two words.
    assert sari(targets[1:2], [""])["sari"] == pytest.approx(100 * 10 / 12)


@pytest.mark.parametrize(
    "metric", [rouge, multilingual_rouge("en"), bleu, chrf_plus_plus, sari]
)
def test_nothing_to_score_is_said(metric):
    with pytest.raises(CorpusError, match="no examples"):
        metric([], [])


def test_bleu_by_the_spaces_of_the_language() -> None:
    spaced, unspaced = "de ko ja-Latn".split(), "th ja yue bo".split()
    assert {bleu_in(code).__name__ for code in spaced} == {"bleu"}
    assert {bleu_in(code).__name__ for code in unspaced} == {"bleu_char"}


def test_bleu_char_is_sacrebleus() -> None:
    targets, predictions = (
        ["北京是中国的首都。", "我爱北京。"],
        ["北京是首都。", "我爱上海。"],
    )
    oracle = sacrebleu.corpus_bleu(predictions, [targets], tokenize="char")
    assert bleu_char(targets, predictions)["bleu_char"] == pytest.approx(oracle.score)


@pytest.mark.parametrize("metric", [bleu, rouge])
def test_words_between_spaces_are_not_counted_where_there_are_none(metric) -> None:
    thai = ["สวัสดีชาวโลก", "ภาษาไทยไม่มีช่องว่าง"]
    with pytest.raises(CorpusError, match="in a script without spaces between words"):
        metric(thai, thai)
    mixed = ["Thai for hello is สวัสดี", "a language without any spaces"]
    for value in metric(mixed, mixed).values():
        assert value == pytest.approx(100.0)
