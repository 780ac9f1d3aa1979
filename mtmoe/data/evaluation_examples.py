"""Examples of held-out text: the same ones whenever and wherever they are made.

Text is cut as in training: documents in order, joined, a row every `raw_length` tokens;
the short last row is kept whatever its size, so every token is scored. Each row is
masked several times with noise keyed by (seed, row, sample) alone, so the same text
gives the same examples whether it comes from a task or from a file.

Legend: N examples, L inputs length, T targets length; for a decoder alone both are T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.keys import fold, name_key
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.reading import examples_in_order
from mtmoe.data.recipes import Examples, RawRows, TextRecipe
from mtmoe.data.registry import get_task
from mtmoe.data.task_form import task_form
from mtmoe.data.task_rows import (
    ExampleRows,
    Lengths,
    TextRows,
    check_lengths,
    open_task_rows,
    pipeline_lengths,
    task_vocabulary,
    text_recipe,
)
from mtmoe.data.token_cache.bad_records import BadRecords
from mtmoe.data.token_cache.encoding import document_tokens
from mtmoe.data.token_cache.writer import uncached_examples
from mtmoe.data.token_rows import cut_rows, join_rows
from mtmoe.data.vocabularies import configured_vocabulary
from mtmoe.errors import CorpusError

Int32Array = npt.NDArray[np.int32]

_NOISE_KEY = name_key("evaluation.noise")


@dataclass(frozen=True)
class EvaluationExamples:
    """Examples to score; 0 behind the last other token of a row is padding.

    For a decoder alone inputs and targets of an example fit into T places together.

    Attributes:
      inputs: int32 [N, L].
      targets: int32 [N, T].
      group: int32 [N], the number of the text row an example masks, from 0.
    """

    inputs: Int32Array
    targets: Int32Array
    group: Int32Array

    def rows(self, rows_M: npt.NDArray[np.int64]) -> EvaluationExamples:
        """Returns some of the examples."""
        return EvaluationExamples(
            self.inputs[rows_M], self.targets[rows_M], self.group[rows_M]
        )


def concatenated(parts: Sequence[EvaluationExamples]) -> EvaluationExamples:
    """Puts examples of the same lengths behind each other; groups stay as they are."""
    return EvaluationExamples(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("inputs", "targets", "group")
        )
    )


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
      lengths: `inputs` and `targets` lengths, or `targets` alone, as in training.
      num_noise_samples: maskings of each row of text; one where nothing is random.
      seed: keys the noise.

    Raises:
      UnknownNameError: no such task or split.
      ConfigError: lengths or features that do not fit.
      CorpusError: the split is empty, or a token is outside the vocabulary.
      DamagedDataError: a record of the token cache is damaged: without it, these would
        be other examples.
    """
    task = get_task(task_name)
    lengths = check_lengths(lengths)
    rows = open_task_rows(task, split, lengths, BadRecords(quota=0))
    if isinstance(rows, TextRows):
        tokens = rows.cache.all_tokens()
        return _masked(tokens, rows.recipe, lengths, num_noise_samples, seed)
    if isinstance(rows, ExampleRows):
        keys = np.zeros(rows.num_rows, np.uint64)  # nothing of examples is random
        return _padded(rows.recipe.make(rows.read(np.arange(len(keys))), keys), lengths)
    objective = task_form(task).objective
    if objective is None:
        return _padded(_streamed(task, split, lengths), lengths)
    features = task.output_features
    recipe = text_recipe(
        objective,
        task_vocabulary(task),
        lengths,
        (features["inputs"].add_eos, features["targets"].add_eos),
    )
    tokens = _uncached_text(task, split)
    return _masked(tokens, recipe, lengths, num_noise_samples, seed)


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
      lengths: `inputs` and `targets` lengths, or `targets` alone, as in training.
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
    recipe = text_recipe(objective or SpanCorruption(), vocabulary, lengths)
    tokens = document_tokens(texts, vocabulary)
    if tokens.size == 0:
        raise CorpusError("there is no text to evaluate: every document is empty")
    return _masked(tokens, recipe, lengths, num_noise_samples, seed)


def _masked(
    tokens: Int32Array,
    recipe: TextRecipe,
    lengths: Lengths,
    num_noise_samples: int,
    seed: int,
) -> EvaluationExamples:
    rows = cut_rows(tokens, recipe.raw_length, min_tail=1)
    raw = RawRows((rows,), np.zeros(len(rows), np.bool_))
    order = np.arange(len(rows))
    samples = [
        _padded(recipe.make(raw, fold(_NOISE_KEY, seed, order, sample)), lengths)
        for sample in range(num_noise_samples)
    ]
    if all(_same(sample, samples[0]) for sample in samples):  # nothing is random
        return samples[0]
    inputs = np.stack([sample.inputs for sample in samples], axis=1)
    targets = np.stack([sample.targets for sample in samples], axis=1)
    return EvaluationExamples(
        inputs.reshape(-1, inputs.shape[-1]),
        targets.reshape(-1, targets.shape[-1]),
        np.repeat(order, num_noise_samples).astype(np.int32),
    )


def _same(left: EvaluationExamples, right: EvaluationExamples) -> bool:
    return np.array_equal(left.inputs, right.inputs) and np.array_equal(
        left.targets, right.targets
    )


def _uncached_text(task: seqio.Task, split: str) -> Int32Array:
    """Returns the tokens of a text that is too large to be cached in passing."""
    documents = (document for (document,) in uncached_examples(task, split))
    tokens = np.concatenate([np.zeros(0, np.int32), *documents])
    if tokens.size == 0:
        raise CorpusError(f"task {task.name!r} has no text in split {split!r}")
    _check_vocabulary(task, split, tokens)
    return tokens


def _streamed(task: seqio.Task, split: str, lengths: Lengths) -> Examples:
    """Runs a task of another kind once, in the order of its source."""
    examples = list(examples_in_order(task, split, pipeline_lengths(task, lengths)))
    if not examples:
        raise CorpusError(f"task {task.name!r} has no examples in split {split!r}")
    nothing = np.zeros(0, np.int32)
    inputs, targets = (
        join_rows(row.get(name, nothing) for row in examples)
        for name in ("inputs", "targets")
    )
    _check_vocabulary(task, split, inputs.tokens)
    _check_vocabulary(task, split, targets.tokens)
    return Examples(inputs, targets, np.zeros(len(examples), np.bool_))


def _check_vocabulary(task: seqio.Task, split: str, tokens: Int32Array) -> None:
    vocab_size = task.output_features["targets"].vocabulary.vocab_size
    outside = tokens[(tokens < 0) | (tokens >= vocab_size)]
    if outside.size:
        raise CorpusError(
            f"task {task.name!r}, split {split!r}: token {outside[0]} is outside the "
            f"vocabulary of {vocab_size} tokens"
        )


def _padded(examples: Examples, lengths: Lengths) -> EvaluationExamples:
    """Pads examples; each is a group of its own."""
    return EvaluationExamples(
        examples.inputs.padded(lengths.get("inputs", lengths["targets"])),
        examples.targets.padded(lengths["targets"]),
        np.arange(len(examples.targets), dtype=np.int32),
    )
