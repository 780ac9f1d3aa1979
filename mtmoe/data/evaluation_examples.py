"""Examples of held-out text: the same ones whenever and wherever they are made.

Text is cut as in training: documents in order, joined, a row every `raw_length` tokens;
the short last row is kept whatever its size, so every token is scored. Each row is
masked several times with noise keyed by (seed, row, sample) alone, so the same text
gives the same examples whether it comes from a task or from a file.

Legend: N examples, L inputs length, T targets length; for a decoder alone both are T.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.evaluation_rows import (
    Coverage,
    HeldOutRows,
    RowBudget,
    held_out_rows,
    rows_of_tokens,
)
from mtmoe.data.keys import fold, name_key
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.recipes import Examples, RawRows, TextRecipe
from mtmoe.data.registry import get_task
from mtmoe.data.task_rows import Lengths, check_lengths, text_recipe
from mtmoe.data.token_cache.encoding import document_tokens
from mtmoe.data.vocabularies import configured_vocabulary
from mtmoe.errors import EmptySplitError

Int32Array = npt.NDArray[np.int32]

_NOISE_KEY = name_key("evaluation.noise")


@dataclasses.dataclass(frozen=True)
class EvaluationExamples:
    """Examples to score; 0 behind the last other token of a row is padding.

    For a decoder alone inputs and targets of an example fit into T places together.

    Attributes:
      inputs: int32 [N, L].
      targets: int32 [N, T].
      group: int32 [N], the number in its split, from 0, of the text row an example
        masks, or of the example.
      coverage: how much of the split they are made of; None of a part of them.
    """

    inputs: Int32Array
    targets: Int32Array
    group: Int32Array
    coverage: Coverage | None = None

    def rows(self, rows_M: npt.NDArray[np.int64]) -> EvaluationExamples:
        """Returns some of the examples."""
        return EvaluationExamples(
            self.inputs[rows_M], self.targets[rows_M], self.group[rows_M]
        )


def concatenated(parts: Sequence[EvaluationExamples]) -> EvaluationExamples:
    """Puts examples of the same lengths behind each other; groups stay as they are."""
    inputs, targets, group = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("inputs", "targets", "group")
    )
    return EvaluationExamples(inputs, targets, group)


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
    return _examples_of(held_out, lengths, num_noise_samples, seed)


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

    Args:
      texts: documents in order.
      lengths: `inputs` and `targets` lengths, or `targets` alone, as in training.
      num_noise_samples: maskings of each row of text.
      seed: keys the noise.
      objective: `SpanCorruption()` as configured if None.
      vocabulary: the configured one if None.
      budget: how much of the text is used.

    Raises:
      ConfigError: lengths that do not fit the objective.
      EmptySplitError: there is no text.
    """
    vocabulary = vocabulary or configured_vocabulary()
    lengths = check_lengths(lengths)
    recipe = text_recipe(objective or SpanCorruption(), vocabulary, lengths)
    tokens = document_tokens(texts, vocabulary)
    if tokens.size == 0:
        raise EmptySplitError("there is no text to evaluate: every document is empty")
    held_out = rows_of_tokens(tokens, recipe, budget, name="text")
    return _examples_of(held_out, lengths, num_noise_samples, seed)


def _examples_of(
    held_out: HeldOutRows, lengths: Lengths, num_noise_samples: int, seed: int
) -> EvaluationExamples:
    recipe, raw, numbers, coverage = held_out
    if isinstance(recipe, TextRecipe):
        examples = _masked(raw, recipe, numbers, lengths, num_noise_samples, seed)
    else:
        inputs, targets = raw.features
        made = Examples(inputs, targets, raw.bad)
        if recipe is not None:
            keys = np.zeros(len(numbers), np.uint64)  # nothing of examples is random
            made = recipe.make(raw, keys)
        examples = _padded(made, lengths, numbers)
    return dataclasses.replace(examples, coverage=coverage)


def _masked(
    raw: RawRows,
    recipe: TextRecipe,
    numbers: npt.NDArray[np.int64],
    lengths: Lengths,
    num_noise_samples: int,
    seed: int,
) -> EvaluationExamples:
    """Masks rows; a row's noise depends on its number, not on the other rows."""
    samples = [
        _padded(
            recipe.make(raw, fold(_NOISE_KEY, seed, numbers, sample)), lengths, numbers
        )
        for sample in range(num_noise_samples)
    ]
    if all(_same(sample, samples[0]) for sample in samples):  # nothing is random
        return samples[0]
    inputs = np.stack([sample.inputs for sample in samples], axis=1)
    targets = np.stack([sample.targets for sample in samples], axis=1)
    return EvaluationExamples(
        inputs.reshape(-1, inputs.shape[-1]),
        targets.reshape(-1, targets.shape[-1]),
        np.repeat(numbers, num_noise_samples).astype(np.int32),
    )


def _same(left: EvaluationExamples, right: EvaluationExamples) -> bool:
    return np.array_equal(left.inputs, right.inputs) and np.array_equal(
        left.targets, right.targets
    )


def _padded(
    examples: Examples, lengths: Lengths, numbers: npt.NDArray[np.int64]
) -> EvaluationExamples:
    """Pads examples; each is a group of its own, called by its number."""
    return EvaluationExamples(
        examples.inputs.padded(lengths.get("inputs", lengths["targets"])),
        examples.targets.padded(lengths["targets"]),
        numbers.astype(np.int32),
    )
