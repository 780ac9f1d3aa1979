"""Examples of held-out text: the same ones whenever and wherever they are made.

Text is cut as in training: documents in order, joined, a row every `raw_length` tokens;
the short last row is kept whatever its size, so every token is scored. Each row is
masked several times with noise keyed by (seed, row, sample) alone, so the same text
gives the same examples whether it comes from a task or from a file.

Legend: N examples, L inputs length, T targets length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.keys import fold, name_key, seed_pairs
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.registry import get_task
from mtmoe.data.task_rows import (
    Lengths,
    RawRows,
    bind_objective,
    check_lengths,
    load_task_rows,
    task_vocabulary,
)
from mtmoe.data.token_rows import cut_rows
from mtmoe.data.token_store import document_tokens, task_tokens, token_level_steps
from mtmoe.data.vocabularies import configured_vocabulary
from mtmoe.errors import CorpusError

Int32Array = npt.NDArray[np.int32]

_NOISE_KEY = name_key("evaluation.noise")


@dataclass(frozen=True)
class EvaluationExamples:
    """Examples to score; 0 is padding.

    Attributes:
      inputs: int32 [N, L].
      targets: int32 [N, T].
      group: int32 [N], the number of the text row an example masks, from 0.
    """

    inputs: Int32Array
    targets: Int32Array
    group: Int32Array


def evaluation_examples(
    task_name: str,
    split: str,
    lengths: Lengths,
    num_noise_samples: int = 4,
    seed: int = 0,
) -> EvaluationExamples:
    """Makes the examples of a task's split.

    Args:
      task_name: a registered task. One without a token objective gives its own
        examples once, each a group.
      split: e.g. `validation`.
      lengths: `inputs` and `targets` lengths, as in training.
      num_noise_samples: maskings of each row of text.
      seed: keys the noise.

    Raises:
      UnknownNameError: no such task or split.
      ConfigError: lengths or features that do not fit.
      CorpusError: the split is empty.
    """
    task = get_task(task_name)
    lengths = check_lengths(lengths)
    steps = token_level_steps(task)
    if steps is None:
        rows = load_task_rows(task, split, lengths)
        order = np.arange(len(rows))
        seeds = np.zeros((len(rows), 2), np.int32)
        return EvaluationExamples(*rows.make(order, seeds), order.astype(np.int32))
    vocabulary = task_vocabulary(task)
    raw_length, corrupt = bind_objective(steps.objective, vocabulary, lengths)
    text = cut_rows(task_tokens(task, split), raw_length, min_tail=1)
    return _masked(RawRows(text, raw_length, corrupt), num_noise_samples, seed)


def text_examples(
    texts: Sequence[str],
    lengths: Lengths,
    num_noise_samples: int = 4,
    seed: int = 0,
    objective: TokenObjective | None = None,
    vocabulary: seqio.Vocabulary | None = None,
) -> EvaluationExamples:
    """Makes examples of any texts, as `evaluation_examples` does of a task's.

    Args:
      texts: documents in order.
      lengths: `inputs` and `targets` lengths, as in training.
      num_noise_samples: maskings of each row of text.
      seed: keys the noise.
      objective: `SpanCorruption()` as configured if None.
      vocabulary: the configured one if None.

    Raises:
      ConfigError: lengths that do not fit the objective.
      CorpusError: there is no text.
    """
    vocabulary = vocabulary or configured_vocabulary()
    lengths = check_lengths(lengths)
    raw_length, corrupt = bind_objective(
        objective or SpanCorruption(), vocabulary, lengths
    )
    tokens = document_tokens(texts, vocabulary)
    if tokens.size == 0:
        raise CorpusError("there is no text to evaluate: every document is empty")
    rows = cut_rows(tokens, raw_length, min_tail=1)
    return _masked(RawRows(rows, raw_length, corrupt), num_noise_samples, seed)


def _masked(text: RawRows, num_noise_samples: int, seed: int) -> EvaluationExamples:
    group = np.repeat(np.arange(len(text)), num_noise_samples)
    sample = np.tile(np.arange(num_noise_samples), len(text))
    noise = seed_pairs(fold(_NOISE_KEY, seed, group, sample))
    return EvaluationExamples(*text.make(group, noise), group.astype(np.int32))
