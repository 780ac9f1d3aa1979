"""Which rows of a held-out split are scored: all of a small one, some of a large one.

The rows of a text are chosen by (seed, task, split) alone and spread over it: it is cut
into as many stretches of equal length as there are rows to choose, and one is drawn
from each. They are read by their place, so a large split costs no more than a small
one. A source that is not cached is read from its beginning, up to the budget.

Legend: N rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.ground.keys import fold, name_key
from mtmoe.data.ground.token_rows import (
    Int32Array,
    Int64Array,
    TokenRows,
    cut_rows,
    join_rows,
)
from mtmoe.data.rows.cached import (
    FEATURES,
    ExampleRows,
    Lengths,
    TextRows,
    open_task_rows,
    pipeline_lengths,
    task_recipe,
)
from mtmoe.data.rows.recipes import ExampleRecipe, RawRows, TextRecipe
from mtmoe.data.tasks.form import task_form
from mtmoe.data.tasks.reading import examples_in_order
from mtmoe.data.token_cache.bad_records import BadRecords
from mtmoe.data.token_cache.content import uncached_examples
from mtmoe.errors import CorpusError, EmptySplitError

_CHOICE_KEY = name_key("evaluation.rows")
_NO_TOKENS = np.zeros(0, np.int32)


@dataclass(frozen=True)
class RowBudget:
    """How much of a split is read.

    Attributes:
      max_tokens: most tokens of a task, of inputs and targets together; at least one
        row is read. None: all.
      max_examples: most examples of a task that is no text. None: all.
      seed: keys the choice.
    """

    max_tokens: int | None = None
    max_examples: int | None = None
    seed: int = 0

    def max_rows(self, tokens_per_row: float) -> float:
        """Returns how many rows of so many tokens may be read."""
        if self.max_tokens is None:
            return float("inf")
        return max(1, int(self.max_tokens / tokens_per_row))


class Coverage(NamedTuple):
    """How much of a split was read.

    Attributes:
      num_rows: rows of text, or examples.
      of_rows: those of the split; None: not known, the source was read from its
        beginning until the budget was spent.
      num_tokens: tokens of these rows, as the cache has them.
      of_tokens: those of the split, None likewise.
    """

    num_rows: int
    of_rows: int | None
    num_tokens: int
    of_tokens: int | None


class HeldOutRows(NamedTuple):
    """The rows of a split that are scored.

    Attributes:
      recipe: makes examples of them; None: they are finished.
      raw: the rows.
      numbers: int64 [N], their places in the split, ascending.
      coverage: how much of the split they are.
    """

    recipe: TextRecipe | ExampleRecipe | None
    raw: RawRows
    numbers: Int64Array
    coverage: Coverage


def held_out_rows(
    task: seqio.Task, split: str, lengths: Lengths, budget: RowBudget
) -> HeldOutRows:
    """Reads the rows of a task's split that are scored, within a budget.

    Raises:
      UnknownNameError: the task has no such split.
      EmptySplitError: the split is empty.
      ConfigError: lengths or features that do not fit.
      CorpusError: a token is outside the vocabulary.
      DamagedDataError: a record of the token cache is damaged: without it, these would
        be other examples.
    """
    rows = open_task_rows(task, split, lengths, BadRecords(quota=0))
    if isinstance(rows, TextRows):
        return _of_cached_text(task, split, rows, budget)
    if isinstance(rows, ExampleRows):
        return _of_cached_examples(rows, budget)
    if task_form(task).objective is None:
        return _of_streamed_examples(task, split, lengths, budget)
    recipe = task_recipe(task, lengths)
    assert isinstance(recipe, TextRecipe)
    documents = (tokens for (tokens,) in uncached_examples(task, split))
    tokens, is_all = _up_to(documents, budget.max_rows(recipe.raw_length), recipe)
    if tokens.size == 0:
        raise EmptySplitError(f"task {task.name!r} has no text in split {split!r}")
    _check_vocabulary(task, split, tokens)
    raw = _raw(cut_rows(tokens, recipe.raw_length, min_tail=1))
    count = len(raw.bad)
    coverage = Coverage(
        count, count if is_all else None, len(tokens), len(tokens) if is_all else None
    )
    return HeldOutRows(recipe, raw, np.arange(count), coverage)


def rows_of_tokens(
    tokens: Int32Array, recipe: TextRecipe, budget: RowBudget, name: str
) -> HeldOutRows:
    """Chooses rows of a text that has at least one token.

    The text's name and the budget's seed are the key of the choice.
    """
    whole = cut_rows(tokens, recipe.raw_length, min_tail=1)
    numbers = _spread(len(whole), budget.max_rows(recipe.raw_length), budget.seed, name)
    chosen = chosen_rows(whole, numbers)
    coverage = Coverage(len(numbers), len(whole), len(chosen.tokens), len(tokens))
    return HeldOutRows(recipe, _raw(chosen), numbers, coverage)


def chosen_rows(rows: TokenRows, numbers_N: Int64Array) -> TokenRows:
    """Returns some of the rows, in the order asked for."""
    return join_rows(
        rows.tokens[rows.bounds[row] : rows.bounds[row + 1]]
        for row in numbers_N.tolist()
    )


def stretches(count: int, chosen: int, key: npt.ArrayLike) -> Int64Array:
    """Draws one number out of each of equal stretches of 0 to `count` - 1.

    The choice is a function of `key`; at most `count` are chosen.

    Returns:
      int64 [chosen], ascending.
    """
    bounds = np.arange(chosen + 1, dtype=np.int64) * count // chosen
    drawn = fold(_CHOICE_KEY, key, np.arange(chosen)) % np.diff(bounds).astype(
        np.uint64
    )
    return bounds[:-1] + drawn.astype(np.int64)


def _of_cached_text(
    task: seqio.Task, split: str, rows: TextRows, budget: RowBudget
) -> HeldOutRows:
    length, num_tokens = rows.recipe.raw_length, rows.cache.num_tokens
    # Unlike in training, the last row counts however short it is.
    num_rows = -(-num_tokens // length)
    name = f"{task.name}/{split}"
    numbers = _spread(num_rows, budget.max_rows(length), budget.seed, name)
    raw = rows.read(numbers)
    read = len(raw.features[0].tokens)
    return HeldOutRows(
        rows.recipe, raw, numbers, Coverage(len(numbers), num_rows, read, num_tokens)
    )


def _of_cached_examples(rows: ExampleRows, budget: RowBudget) -> HeldOutRows:
    num_rows = rows.num_rows
    most = num_rows if budget.max_examples is None else budget.max_examples
    if budget.max_tokens is not None and rows.num_tokens > budget.max_tokens:
        most = min(most, int(budget.max_rows(rows.num_tokens / num_rows)))
    numbers = _drawn(num_rows, most, budget.seed)
    raw = rows.read(numbers)
    read = sum(len(feature.tokens) for feature in raw.features)
    return HeldOutRows(
        rows.recipe,
        raw,
        numbers,
        Coverage(len(numbers), num_rows, read, rows.num_tokens),
    )


def _of_streamed_examples(
    task: seqio.Task, split: str, lengths: Lengths, budget: RowBudget
) -> HeldOutRows:
    """Runs a task's own pipeline once, in the order of its source."""
    pipeline = examples_in_order(task, split, pipeline_lengths(task, lengths))
    examples: list[tuple[Int32Array, Int32Array]] = []
    seen, is_all = 0, True
    for row in pipeline:
        inputs, targets = (
            np.asarray(row.get(name, _NO_TOKENS), np.int32) for name in FEATURES
        )
        seen += len(inputs) + len(targets)
        if budget.max_tokens is not None and seen > budget.max_tokens and examples:
            is_all = False
            break
        examples.append((inputs, targets))
    if not examples:
        raise EmptySplitError(f"task {task.name!r} has no examples in split {split!r}")
    there = len(examples)
    most = there if budget.max_examples is None else budget.max_examples
    numbers = _drawn(there, most, budget.seed)
    kept = [examples[number] for number in numbers.tolist()]
    features = tuple(join_rows(rows) for rows in zip(*kept, strict=True))
    for feature in features:
        _check_vocabulary(task, split, feature.tokens)
    read = sum(len(feature.tokens) for feature in features)
    coverage = Coverage(
        len(kept), there if is_all else None, read, seen if is_all else None
    )
    raw = RawRows(features, np.zeros(len(kept), np.bool_))
    return HeldOutRows(None, raw, numbers, coverage)


def _up_to(
    documents: Iterable[Int32Array], max_rows: float, recipe: TextRecipe
) -> tuple[Int32Array, bool]:
    """Returns the first tokens of a text, and whether they are all."""
    most = max_rows * recipe.raw_length
    parts, size = [_NO_TOKENS], 0
    for document in documents:
        parts.append(document)
        size += len(document)
        if size > most:
            return np.concatenate(parts)[: int(most)], False
    return np.concatenate(parts), True


def _spread(count: int, most: float, seed: int, name: str) -> Int64Array:
    if count <= most:
        return np.arange(count)
    return stretches(count, int(most), fold(seed, name_key(name)))


def _drawn(count: int, most: int, seed: int) -> Int64Array:
    if count <= most:
        return np.arange(count)
    generator = np.random.Generator(np.random.Philox(key=seed))
    return np.sort(generator.permutation(count)[:most])


def _raw(rows: TokenRows) -> RawRows:
    return RawRows((rows,), np.zeros(len(rows), np.bool_))


def _check_vocabulary(task: seqio.Task, split: str, tokens: Int32Array) -> None:
    vocab_size = task.output_features["targets"].vocabulary.vocab_size
    outside = tokens[(tokens < 0) | (tokens >= vocab_size)]
    if outside.size:
        raise CorpusError(
            f"task {task.name!r}, split {split!r}: token {outside[0]} is outside the "
            f"vocabulary of {vocab_size} tokens"
        )
