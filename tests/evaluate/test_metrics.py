import math

import numpy as np
import pytest

from mtmoe.errors import CorpusError
from mtmoe.evaluate.bootstrap import Bootstrap
from mtmoe.evaluate.metrics import METRICS, example_sums, mean_bits_per_byte, score

BYTES = np.array([0, 0, 1, 3, 2, 1, 0, 0], np.int32)  # 0 padding, 1 EOS, 6 7 sentinels
MIXTURE = np.array([np.inf, np.inf, 1.0, 2.0, 3.0, 4.0, np.inf, np.inf])
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


def sums(group=(0, 1, 1)):
    return example_sums(
        TARGETS, np.array(group, np.int32), LOSS, PREDICTIONS, BYTES, MIXTURE, OWN
    )


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
    group = np.zeros(1, np.int32)
    got = example_sums(targets, group, loss, targets, BYTES, MIXTURE, OWN)
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
        TARGETS,
        np.arange(3, dtype=np.int32),
        LOSS,
        PREDICTIONS,
        BYTES,
        MIXTURE,
        np.full(8, np.nan),
    )
    metrics = score("task", unknown, Bootstrap(20)).metrics
    assert math.isnan(metrics["language_unigram_bits_per_byte"].value)
    assert metrics["bits_per_byte"].value == pytest.approx(1 / math.log(2))


def test_text_too_short_to_mask_is_named():
    nothing = example_sums(
        TARGETS[2:],
        np.zeros(1, np.int32),
        LOSS[2:],
        PREDICTIONS[2:],
        BYTES,
        MIXTURE,
        OWN,
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
