"""Examples of held-out text: the same ones whenever and wherever they are made.

Text is cut as in training: documents in order, joined, a row every `raw_length` tokens;
the short last row is kept whatever its size, so every token is scored. Each row is
masked several times with noise keyed by (seed, row, sample) alone, so the same text
gives the same examples whether it comes from a task or from a file. The bytes of text
that each target stands for are counted beside them.

Legend: N examples, L inputs length, T targets length; for a decoder alone both are T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.keys import fold, name_key
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.reading import examples_in_order
from mtmoe.data.recipes import Examples, RawRows, TextRecipe
from mtmoe.data.registry import get_task
from mtmoe.data.target_bytes import (
    example_bytes,
    finished_bytes,
    masked_bytes,
    streamed_bytes,
    text_row_bytes,
)
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
from mtmoe.data.text_bytes import encode_with_bytes
from mtmoe.data.token_cache.bad_records import BadRecords
from mtmoe.data.token_cache.writer import uncached_examples
from mtmoe.data.token_rows import TokenRows, cut_rows, join_rows
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
      target_bytes: int32 [N, T], UTF-8 bytes of the text that each target stands for;
        0 for sentinels, ends and padding.
      group: int32 [N], the number of the text row an example masks, from 0.
    """

    inputs: Int32Array
    targets: Int32Array
    target_bytes: Int32Array
    group: Int32Array

    def rows(self, rows_M: npt.NDArray[np.int64]) -> EvaluationExamples:
        """Returns some of the examples."""
        return EvaluationExamples(*(getattr(self, name)[rows_M] for name in _FIELDS))


_FIELDS = tuple(field.name for field in fields(EvaluationExamples))


def concatenated(parts: Sequence[EvaluationExamples]) -> EvaluationExamples:
    """Puts examples of the same lengths behind each other; groups stay as they are."""
    return EvaluationExamples(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS)
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
        text = _task_text(task, split, tokens, rows.recipe.raw_length)
        return _masked(text, rows.recipe, lengths, num_noise_samples, seed)
    if isinstance(rows, ExampleRows):
        keys = np.zeros(rows.num_rows, np.uint64)  # nothing of examples is random
        raw = rows.read(np.arange(len(keys)))
        counts = example_bytes(task, split, raw.features[1])
        return _padded(
            rows.recipe.make(raw, keys),
            finished_bytes(rows.recipe, counts, raw),
            lengths,
        )
    objective = task_form(task).objective
    if objective is None:
        return _streamed(task, split, lengths)
    features = task.output_features
    recipe = text_recipe(
        objective,
        task_vocabulary(task),
        lengths,
        (features["inputs"].add_eos, features["targets"].add_eos),
    )
    text = _task_text(task, split, _uncached_text(task, split), recipe.raw_length)
    return _masked(text, recipe, lengths, num_noise_samples, seed)


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
    counted = list(encode_with_bytes(texts, vocabulary))
    tokens = join_rows(tokens for tokens, _ in counted).tokens
    if tokens.size == 0:
        raise CorpusError("there is no text to evaluate: every document is empty")
    rows = cut_rows(tokens, recipe.raw_length, min_tail=1)
    bytes_ = TokenRows(join_rows(bytes_ for _, bytes_ in counted).tokens, rows.bounds)
    text = _Text(rows, bytes_, vocabulary)
    return _masked(text, recipe, lengths, num_noise_samples, seed)


class _Text(NamedTuple):
    """Rows of raw tokens, the bytes that each token stands for, their vocabulary."""

    rows: TokenRows
    bytes: TokenRows
    vocabulary: seqio.Vocabulary


def _task_text(
    task: seqio.Task, split: str, tokens: Int32Array, raw_length: int
) -> _Text:
    rows = cut_rows(tokens, raw_length, min_tail=1)
    bytes_ = text_row_bytes(task, split, rows, rows.bounds[:-1])
    return _Text(rows, bytes_, task.output_features["targets"].vocabulary)


def _masked(
    text: _Text,
    recipe: TextRecipe,
    lengths: Lengths,
    num_noise_samples: int,
    seed: int,
) -> EvaluationExamples:
    raw = RawRows((text.rows,), np.zeros(len(text.rows), np.bool_))
    order = np.arange(len(text.rows))
    samples = []
    for sample in range(num_noise_samples):
        keys = fold(_NOISE_KEY, seed, order, sample)
        examples = recipe.make(raw, keys)
        counts = masked_bytes(
            text.vocabulary, recipe, text.rows, text.bytes, keys, examples.targets
        )
        samples.append(_padded(examples, counts, lengths))
    if all(_same(sample, samples[0]) for sample in samples):  # nothing is random
        return samples[0]
    interleaved = (
        np.stack([getattr(sample, name) for sample in samples], axis=1)
        for name in ("inputs", "targets", "target_bytes")
    )
    return EvaluationExamples(
        *(value.reshape(-1, value.shape[-1]) for value in interleaved),
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


def _streamed(task: seqio.Task, split: str, lengths: Lengths) -> EvaluationExamples:
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
    counts = streamed_bytes(task, examples, targets)
    finished = Examples(inputs, targets, np.zeros(len(examples), np.bool_))
    return _padded(finished, counts, lengths)


def _check_vocabulary(task: seqio.Task, split: str, tokens: Int32Array) -> None:
    vocab_size = task.output_features["targets"].vocabulary.vocab_size
    outside = tokens[(tokens < 0) | (tokens >= vocab_size)]
    if outside.size:
        raise CorpusError(
            f"task {task.name!r}, split {split!r}: token {outside[0]} is outside the "
            f"vocabulary of {vocab_size} tokens"
        )


def _padded(
    examples: Examples, target_bytes: TokenRows, lengths: Lengths
) -> EvaluationExamples:
    """Pads examples; each is a group of its own."""
    return EvaluationExamples(
        examples.inputs.padded(lengths.get("inputs", lengths["targets"])),
        examples.targets.padded(lengths["targets"]),
        target_bytes.padded(lengths["targets"]),
        np.arange(len(examples.targets), dtype=np.int32),
    )
