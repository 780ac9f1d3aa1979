"""Examples of held-out text: the same ones whenever and wherever they are made.

Text is cut as in training: documents in order, joined, a row every `raw_length` tokens;
the short last row is kept whatever its size, so every token is scored. Each row is
masked several times with noise keyed by (seed, row, sample) alone, so the same text
gives the same examples whether it comes from a task or from a file. Beside each target
stand the bytes of the text that it stands for.

Legend: N examples, L inputs length, T targets length; for a decoder alone both are T.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.evaluation.rows import (
    Coverage,
    HeldOutRows,
    RowBudget,
    chosen_rows,
    held_out_rows,
    rows_of_tokens,
)
from mtmoe.data.evaluation.target_bytes import finished_bytes, masked_bytes, raw_bytes
from mtmoe.data.evaluation.text_bytes import encode_with_bytes
from mtmoe.data.ground.keys import fold, name_key
from mtmoe.data.ground.token_rows import Int32Array, TokenRows, cut_rows, join_rows
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.rows.cached import Lengths, check_lengths, text_recipe
from mtmoe.data.rows.recipes import Examples, TextRecipe
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.vocabulary.configured import configured_vocabulary
from mtmoe.errors import EmptySplitError

_NOISE_KEY = name_key("evaluation.noise")


@dataclasses.dataclass(frozen=True)
class EvaluationExamples:
    """Examples to score; 0 behind the last other token of a row is padding.

    For a decoder alone inputs and targets of an example fit into T places together.

    Attributes:
      inputs: int32 [N, L].
      targets: int32 [N, T].
      target_bytes: int32 [N, T], UTF-8 bytes of the text that each target stands for;
        0 for sentinels, ends and padding.
      group: int32 [N], the number in its split, from 0, of the text row an example
        masks, or of the example.
      coverage: how much of the split they are made of; None of a part of them.
    """

    inputs: Int32Array
    targets: Int32Array
    target_bytes: Int32Array
    group: Int32Array
    coverage: Coverage | None = None

    def rows(self, rows_M: npt.NDArray[np.int64]) -> EvaluationExamples:
        """Returns some of the examples."""
        inputs, targets, target_bytes, group = (
            getattr(self, name)[rows_M] for name in _ARRAYS
        )
        return EvaluationExamples(inputs, targets, target_bytes, group)


_ARRAYS = ("inputs", "targets", "target_bytes", "group")


def concatenated(parts: Sequence[EvaluationExamples]) -> EvaluationExamples:
    """Puts examples of the same lengths behind each other; groups stay as they are."""
    inputs, targets, target_bytes, group = (
        np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS
    )
    return EvaluationExamples(inputs, targets, target_bytes, group)


def evaluation_examples(
    task_name: str,
    split: str,
    lengths: Lengths,
    num_noise_samples: int = 4,
    seed: int = 0,
    budget: RowBudget = RowBudget(),  # noqa: B008  (frozen)
) -> EvaluationExamples:
    """Makes the examples of a task's split.

    Args:
      task_name: a registered task. One without a token objective gives its own
        examples once, each a group.
      split: e.g. `validation`.
      lengths: `inputs` and `targets` lengths, or `targets` alone, as in training.
      num_noise_samples: maskings of each row of text; one where nothing is random.
      seed: keys the noise.
      budget: how much of the split is read.

    Raises:
      UnknownNameError: no such task or split.
      ConfigError: lengths or features that do not fit.
      EmptySplitError: the split is empty.
      CorpusError: a token is outside the vocabulary.
      DamagedDataError: a record of the token cache is damaged: without it, these would
        be other examples.
    """
    task = get_task(task_name)
    lengths = check_lengths(lengths)
    held_out = held_out_rows(task, split, lengths, budget)
    bytes_ = raw_bytes(task, split, lengths, held_out)
    vocabulary = task.output_features["targets"].vocabulary
    return _examples_of(held_out, bytes_, vocabulary, lengths, num_noise_samples, seed)


def text_examples(
    texts: Sequence[str],
    lengths: Lengths,
    num_noise_samples: int = 4,
    seed: int = 0,
    objective: TokenObjective | None = None,
    vocabulary: seqio.Vocabulary | None = None,
    budget: RowBudget = RowBudget(),  # noqa: B008  (frozen)
) -> EvaluationExamples:
    """Makes examples of any texts, as `evaluation_examples` does of a task's.

    Without an objective it is `SpanCorruption()` as configured, without a vocabulary
    the configured one.

    Raises:
      ConfigError: lengths that do not fit the objective.
      EmptySplitError: there is no text.
    """
    vocabulary = vocabulary or configured_vocabulary()
    lengths = check_lengths(lengths)
    recipe = text_recipe(objective or SpanCorruption(), vocabulary, lengths)
    encoded = list(encode_with_bytes(texts, vocabulary))
    tokens = join_rows(tokens for tokens, _ in encoded).tokens
    if tokens.size == 0:
        raise EmptySplitError("there is no text to evaluate: every document is empty")
    held_out = rows_of_tokens(tokens, recipe, budget, name="text")
    all_bytes = join_rows(bytes_ for _, bytes_ in encoded).tokens
    rows = cut_rows(all_bytes, recipe.raw_length, min_tail=1)
    bytes_ = chosen_rows(rows, held_out.numbers)
    return _examples_of(held_out, bytes_, vocabulary, lengths, num_noise_samples, seed)


def _examples_of(
    rows: HeldOutRows,
    bytes_: TokenRows,
    vocabulary: seqio.Vocabulary,
    lengths: Lengths,
    num_noise_samples: int,
    seed: int,
) -> EvaluationExamples:
    """Makes examples of rows, given the bytes behind their targets."""
    recipe, raw, numbers, coverage = rows
    if isinstance(recipe, TextRecipe):
        samples = []
        for sample in range(num_noise_samples):
            # A row's noise depends on its number, not on the other rows.
            keys = fold(_NOISE_KEY, seed, numbers, sample)
            made = recipe.make(raw, keys)
            moved = masked_bytes(vocabulary, recipe, raw, bytes_, keys, made.targets)
            samples.append(_padded(made, moved, lengths, numbers))
        examples = _row_by_row(samples)
    else:
        keys = np.zeros(len(numbers), np.uint64)  # nothing of examples is random
        inputs, targets = raw.features
        made = Examples(inputs, targets, raw.bad)
        if recipe is not None:
            made, bytes_ = recipe.make(raw, keys), finished_bytes(recipe, bytes_, raw)
        examples = _padded(made, bytes_, lengths, numbers)
    return dataclasses.replace(examples, coverage=coverage)


def _row_by_row(samples: Sequence[EvaluationExamples]) -> EvaluationExamples:
    """Puts the samples of a row together; one of them if nothing in them is random."""
    first = samples[0]
    if all(
        np.array_equal(sample.inputs, first.inputs)
        and np.array_equal(sample.targets, first.targets)
        for sample in samples
    ):
        return first
    places = np.arange(len(samples) * len(first.group))
    return concatenated(samples).rows(places.reshape(len(samples), -1).T.ravel())


def _padded(
    examples: Examples,
    target_bytes: TokenRows,
    lengths: Lengths,
    numbers: npt.NDArray[np.int64],
) -> EvaluationExamples:
    """Pads examples; each is a group of its own, called by its number."""
    return EvaluationExamples(
        examples.inputs.padded(lengths.get("inputs", lengths["targets"])),
        examples.targets.padded(lengths["targets"]),
        target_bytes.padded(lengths["targets"]),
        numbers.astype(np.int32),
    )
