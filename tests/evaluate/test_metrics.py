import math

import numpy as np
import pytest

from mtmoe.data.evaluation.examples import EvaluationExamples
from mtmoe.data.evaluation.text_bytes import TokenKinds
from mtmoe.errors import CorpusError
from mtmoe.evaluate.bootstrap import Bootstrap
from mtmoe.evaluate.metrics import example_sums, mean_bits_per_byte, score
from mtmoe.evaluate.records import METRICS, UNKNOWN_METRICS
from mtmoe.evaluate.unknown import UnknownShare, unknown_lines

BYTES = np.array([0, 0, 1, 3, 2, 1, 0, 0], np.int32)  # 0 padding, 1 EOS, 6 7 sentinels
MIXTURE = np.array([np.inf, np.inf, 1.0, 2.0, 3.0, 4.0, np.inf, np.inf])
KINDS = TokenKinds(BYTES > 0, np.arange(8) == 5, None)  # 5 is a space
OWN = np.array([np.inf, np.inf, 0.5, 0.5, 0.5, 0.5, np.inf, np.inf])
TARGETS = np.array(
    [[7, 2, 3, 6, 1, 0], [7, 4, 1, 0, 0, 0], [7, 1, 0, 0, 0, 0]], np.int32
)
LOSS = np.array(
    [[9, 1, 2, 9, 9, 9], [9, 3, 9, 9, 9, 9], [9, 9, 9, 9, 9, 9]], np.float32
)
PREDICTIONS = np.array(
    [[7, 2, 2, 6, 1, 0], [7, 4, 1, 0, 0, 0], [7, 1, 0, 0, 0, 0]], np.int32
)


def examples(targets=TARGETS, group=(0, 1, 1), bytes_=None):
    bytes_ = BYTES[targets] if bytes_ is None else bytes_
    return EvaluationExamples(targets, targets, bytes_, np.array(group, np.int32))


def sums(group=(0, 1, 1)):
    return example_sums(examples(group=group), LOSS, PREDICTIONS, KINDS, MIXTURE, OWN)


def test_sums_per_example():
    got = sums()
    assert got.target_tokens.tolist() == [5, 3, 2]
    assert got.target_nats.tolist() == [30, 21, 18]  # padding costs nothing
    assert got.text_tokens.tolist() == [2, 1, 0]
    assert got.text_nats.tolist() == [3, 3, 0]
    assert got.text_bytes.tolist() == [4, 2, 0]
    assert got.text_hits.tolist() == [1, 1, 0]
    assert got.mixture_nats.tolist() == [3, 3, 0]
    assert got.language_nats.tolist() == [1, 0.5, 0]


def test_token_0_before_another_is_a_target_without_text():
    targets = np.array([[7, 0, 2, 1, 0, 0]], np.int32)
    loss = np.array([[9, 5, 1, 9, 9, 9]], np.float32)
    got = example_sums(examples(targets, (0,)), loss, targets, KINDS, MIXTURE, OWN)
    assert (got.target_tokens.tolist(), got.target_nats.tolist()) == ([4], [24])
    assert (got.text_tokens.tolist(), got.text_nats.tolist()) == ([1], [1])


def test_metrics_by_hand():
    scored = score("task", sums(), Bootstrap(200))
    values = {name: interval.value for name, interval in scored.metrics.items()}
    assert list(values) == list(METRICS)
    assert values == pytest.approx(
        {
            "loss": 51 / 8,  # the example that masks no text is left out
            "accuracy": 2 / 3,
            "bits_per_byte": 6 / math.log(2) / 6,
            "mixture_unigram_bits_per_byte": 6 / math.log(2) / 6,
            "language_unigram_bits_per_byte": 1.5 / math.log(2) / 6,
        }
    )
    assert (scored.num_examples, scored.num_groups) == (2, 2)
    assert (scored.num_tokens, scored.num_bytes) == (3, 6)


def test_a_language_without_own_baseline_has_an_empty_metric():
    unknown = example_sums(
        examples(group=(0, 1, 2)), LOSS, PREDICTIONS, KINDS, MIXTURE, np.full(8, np.nan)
    )
    metrics = score("task", unknown, Bootstrap(20)).metrics
    assert math.isnan(metrics["language_unigram_bits_per_byte"].value)
    assert metrics["bits_per_byte"].value == pytest.approx(1 / math.log(2))


def test_unknown_tokens_cost_and_their_share_is_a_metric():
    kinds = KINDS._replace(unk_id=4)
    bytes_ = BYTES[TARGETS]
    bytes_[1, 1] = 11  # what the unknown token stands for
    bytes_[0, 1] = 0  # two tokens for one character: the second has its bytes
    got = example_sums(examples(bytes_=bytes_), LOSS, PREDICTIONS, kinds, MIXTURE, OWN)
    assert got.text_bytes.tolist() == [3, 11, 0]
    assert got.unknown_tokens.tolist() == [0, 1, 0]
    assert got.unknown_bytes.tolist() == [0, 11, 0]
    assert got.text_nats.tolist() == [3, 3, 0]
    scored = score("task", got, Bootstrap(20), may_be_unknown=True)
    values = {name: interval.value for name, interval in scored.metrics.items()}
    assert list(values) == [*METRICS, *UNKNOWN_METRICS]
    assert values["unknown_tokens"] == pytest.approx(1 / 3)
    assert values["unknown_bytes"] == pytest.approx(11 / 14)
    assert values["bits_per_byte"] == pytest.approx(6 / math.log(2) / 14)
    assert (scored.num_tokens, scored.num_bytes, scored.num_known) == (3, 14, 2)


def test_lines_about_what_a_vocabulary_does_not_know():
    shares = [
        UnknownShare("all", 0.009, 0.009),
        UnknownShare("some", 0.005, 0.0123),
        UnknownShare("none", 0.5, 0.9, num_known=0),
    ]
    some, none = unknown_lines(shares)
    assert some.startswith("some: 0.5% of the tokens are unknown")
    assert "1.2% of the bytes" in some
    assert none.startswith("none: the vocabulary knows no character of this text")


def test_text_too_short_to_mask_is_named():
    nothing = example_sums(
        examples(TARGETS[2:], (0,)), LOSS[2:], PREDICTIONS[2:], KINDS, MIXTURE, OWN
    )
    with pytest.raises(CorpusError, match="some.task"):
        score("some.task", nothing, Bootstrap(10))


def test_mean_gives_every_task_the_same_weight():
    scores = {name: score(name, sums(), Bootstrap(300)) for name in ("a", "b", "c")}
    mean = mean_bits_per_byte(scores, 0.95)
    assert mean.value == pytest.approx(scores["a"].metrics["bits_per_byte"].value)
    replicates = np.mean([s.bits_per_byte_replicates for s in scores.values()], axis=0)
    assert [mean.low, mean.high] == pytest.approx(
        np.percentile(replicates, [2.5, 97.5])
    )
    alone = score("d", sums(group=(0, 0, 0)), Bootstrap(300))
    assert math.isnan(mean_bits_per_byte(scores | {"d": alone}, 0.95).low)
