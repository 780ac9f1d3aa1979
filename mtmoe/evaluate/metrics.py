"""From sums per example to the metrics of one task.

Legend: E examples, T target length, V vocab.

Every metric is a ratio of two sums over a task's examples:

  loss                           nats of target tokens / target tokens
  accuracy                       text tokens predicted right / text tokens
  bits_per_byte                  nats of text tokens / ln 2 / bytes of text tokens
  mixture_unigram_bits_per_byte  the same nats under the mixture-wide unigram model
  language_unigram_bits_per_byte the same nats under the language's own
  unknown_tokens                 unknown tokens / text tokens
  unknown_bytes                  bytes they stand for / bytes of text tokens

A target token is any target but padding; a text token is one that text is encoded as,
so that sentinels and EOS are target tokens but not text tokens. Bytes are those of the
text itself. A character that the vocabulary does not know is a text token like any
other, one for a run of such characters: what it costs says little about its bytes, so
their share stands beside, unless the vocabulary spells everything. Predictions are made
with the true tokens before them given (teacher forcing).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mtmoe.data.evaluation.examples import EvaluationExamples
from mtmoe.data.evaluation.text_bytes import TokenKinds
from mtmoe.data.ground.token_rows import padded_sizes
from mtmoe.errors import CorpusError
from mtmoe.evaluate.bootstrap import Bootstrap, Interval, Ratio, percentiles


@dataclasses.dataclass(frozen=True)
class ExampleSums:
    """What is kept of each example; every field has shape [E].

    Attributes:
      group: the text chunk the example masks.
      target_nats: model loss summed over target tokens.
      target_tokens: target tokens.
      text_nats: model loss summed over text tokens.
      text_tokens: text tokens.
      text_bytes: UTF-8 bytes the text tokens stand for.
      text_hits: text tokens predicted right.
      unknown_tokens: text tokens that are unknown.
      unknown_bytes: UTF-8 bytes that those stand for.
      known_tokens: text tokens that are not, and no spaces either.
      mixture_nats: -ln p summed over text tokens, mixture-wide unigram model.
      language_nats: -ln p summed over text tokens, the language's unigram model.
    """

    group: NDArray[np.int32]
    target_nats: NDArray[np.float64]
    target_tokens: NDArray[np.int64]
    text_nats: NDArray[np.float64]
    text_tokens: NDArray[np.int64]
    text_bytes: NDArray[np.int64]
    text_hits: NDArray[np.int64]
    unknown_tokens: NDArray[np.int64]
    unknown_bytes: NDArray[np.int64]
    known_tokens: NDArray[np.int64]
    mixture_nats: NDArray[np.float64]
    language_nats: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class TaskScore:
    """All metrics of one task.

    Attributes:
      metrics: an interval by metric name, in the order of METRICS, and of
        UNKNOWN_METRICS if text may have unknown tokens.
      bits_per_byte_replicates: the resampled bits per byte, shape [R].
      num_groups: text chunks.
      num_examples: maskings of them.
      num_tokens: text tokens that were masked and scored.
      num_bytes: the bytes they stand for.
      num_known: those of the tokens that are neither unknown nor spaces.
    """

    metrics: Mapping[str, Interval]
    bits_per_byte_replicates: NDArray[np.float64]
    num_groups: int
    num_examples: int
    num_tokens: int
    num_bytes: int
    num_known: int


def example_sums(
    examples: EvaluationExamples,
    token_loss_ET: NDArray[np.float32],
    predictions_ET: NDArray[np.int32],
    kinds: TokenKinds,
    mixture_nats_V: NDArray[np.float64],
    language_nats_V: NDArray[np.float64],
) -> ExampleSums:
    """Returns the sums per example, in float64."""
    targets_ET = examples.targets
    sizes_E = padded_sizes(targets_ET)
    is_target_ET = np.arange(targets_ET.shape[1]) < sizes_E[:, np.newaxis]
    is_text_ET = is_target_ET & kinds.is_text[targets_ET]
    bytes_ET = np.where(is_text_ET, examples.target_bytes, 0).astype(np.int64)
    is_unknown_ET = is_text_ET & (targets_ET == kinds.unk_id)
    loss_ET = token_loss_ET.astype(np.float64)

    def over_text(values_ET: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(is_text_ET, values_ET, 0.0).sum(axis=1)

    return ExampleSums(
        group=examples.group,
        target_nats=np.where(is_target_ET, loss_ET, 0.0).sum(axis=1),
        target_tokens=is_target_ET.sum(axis=1),
        text_nats=over_text(loss_ET),
        text_tokens=is_text_ET.sum(axis=1),
        text_bytes=bytes_ET.sum(axis=1),
        text_hits=(is_text_ET & (predictions_ET == targets_ET)).sum(axis=1),
        unknown_tokens=is_unknown_ET.sum(axis=1),
        unknown_bytes=np.where(is_unknown_ET, bytes_ET, 0).sum(axis=1),
        known_tokens=(is_text_ET & ~is_unknown_ET & ~kinds.is_space[targets_ET]).sum(
            axis=1
        ),
        mixture_nats=over_text(mixture_nats_V[targets_ET]),
        language_nats=over_text(language_nats_V[targets_ET]),
    )


def score(
    task: str, sums: ExampleSums, bootstrap: Bootstrap, may_be_unknown: bool = False
) -> TaskScore:
    """Returns a task's metrics with their intervals.

    Examples that mask no text (all of it lies outside the targets) say nothing and are
    left out. Where text may have unknown tokens, their share is a metric.

    Raises:
      CorpusError: no example masks any text.
    """
    kept = sums.text_tokens > 0
    if not sums.text_bytes.any():
        raise CorpusError(
            f"{task}: the text is too short to mask a single token of it; "
            "give at least a sentence"
        )
    sums = ExampleSums(
        **{
            field.name: getattr(sums, field.name)[kept]
            for field in dataclasses.fields(ExampleSums)
        }
    )
    resamples = bootstrap.resamples(task, sums.group)
    bits_bytes = math.log(2.0) * sums.text_bytes.astype(np.float64)
    ratios: dict[str, Ratio] = {
        "loss": (sums.target_nats, sums.target_tokens),
        "accuracy": (sums.text_hits, sums.text_tokens),
        "bits_per_byte": (sums.text_nats, bits_bytes),
        "mixture_unigram_bits_per_byte": (sums.mixture_nats, bits_bytes),
        "language_unigram_bits_per_byte": (sums.language_nats, bits_bytes),
    }
    if may_be_unknown:
        ratios["unknown_tokens"] = (sums.unknown_tokens, sums.text_tokens)
        ratios["unknown_bytes"] = (sums.unknown_bytes, sums.text_bytes)
    estimates = resamples.estimates(ratios)
    return TaskScore(
        metrics={metric: estimate.interval for metric, estimate in estimates.items()},
        bits_per_byte_replicates=estimates["bits_per_byte"].replicates,
        num_groups=resamples.num_groups,
        num_examples=int(kept.sum()),
        num_tokens=int(sums.text_tokens.sum()),
        num_bytes=int(sums.text_bytes.sum()),
        num_known=int(sums.known_tokens.sum()),
    )


def mean_bits_per_byte(scores: Mapping[str, TaskScore], confidence: float) -> Interval:
    """Returns bits per byte averaged over tasks, every task weighing the same.

    The interval averages the tasks' independent resamples; it is NaN when a task has
    one chunk only.
    """
    value = float(
        np.mean([task.metrics["bits_per_byte"].value for task in scores.values()])
    )
    if any(task.num_groups < 2 for task in scores.values()):
        return Interval(value, float("nan"), float("nan"))
    replicates_R = np.mean(
        [task.bits_per_byte_replicates for task in scores.values()], axis=0
    )
    return Interval(value, *percentiles(replicates_R, confidence))
