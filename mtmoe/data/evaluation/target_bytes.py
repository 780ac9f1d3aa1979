"""The bytes of text behind the targets of evaluation examples.

With a lossless vocabulary the tokens say it. With any other the text itself is encoded
again, the places of its pieces counted, and the tokens compared with those that are
evaluated.

Legend: R rows.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import seqio

from mtmoe.data.evaluation.rows import HeldOutRows
from mtmoe.data.evaluation.text_bytes import encode_with_bytes, is_lossless
from mtmoe.data.ground.keys import UInt64Array
from mtmoe.data.ground.token_rows import Int32Array, Int64Array, TokenRows
from mtmoe.data.rows.cached import Lengths, pipeline_lengths
from mtmoe.data.rows.recipes import ExampleRecipe, RawRows, TextRecipe
from mtmoe.data.tasks.form import TEXT, task_form
from mtmoe.data.tasks.reading import examples_in_order
from mtmoe.data.token_cache.content import target_texts, uncached_rows
from mtmoe.data.token_cache.encoding import without_padding
from mtmoe.data.vocabulary.configured import token_bytes
from mtmoe.errors import ConfigError, CorpusError

Counted = Iterator[tuple[Int32Array, Int32Array]]
"""Tokens of texts, and the bytes that each stands for."""


def raw_bytes(
    task: seqio.Task, split: str, lengths: Lengths, held_out: HeldOutRows
) -> TokenRows:
    """Counts the bytes of text behind rows before they are masked, trimmed and ended.

    `held_out` are rows of text, or examples, of the split; their targets are counted.

    Returns:
      A row for each: bytes in the place of its tokens.

    Raises:
      CorpusError: the source gives other text than the rows were made of.
    """
    recipe, raw, numbers, _ = held_out
    vocabulary = task.output_features["targets"].vocabulary
    rows = raw.features[-1]
    if is_lossless(vocabulary):
        return _spelled(vocabulary, rows)
    counts = np.zeros_like(rows.tokens)
    if isinstance(recipe, TextRecipe):
        starts = numbers * recipe.raw_length
        _count_text(_counted(task, split), rows, starts, counts, (task, split))
    elif recipe is not None:
        _count_examples(_counted(task, split), rows, numbers, counts, (task, split))
    else:
        pipeline = examples_in_order(task, split, pipeline_lengths(task, lengths))
        counted = (
            _of_row(task, row, np.asarray(row["targets"], np.int32)) for row in pipeline
        )
        _count_examples(counted, rows, numbers, counts, (task, split))
    return TokenRows(counts, rows.bounds)


def masked_bytes(
    vocabulary: seqio.Vocabulary,
    recipe: TextRecipe,
    raw: RawRows,
    row_bytes: TokenRows,
    keys_R: UInt64Array,
    targets: TokenRows,
) -> TokenRows:
    """Follows the bytes of rows into the targets that an objective makes of them.

    Args:
      vocabulary: the tokens' vocabulary.
      recipe: made `targets` of `raw`.
      raw: R rows of raw tokens.
      row_bytes: their bytes.
      keys_R: keys of the noise.
      targets: the targets; sentinels and EOS among them have no bytes.

    Raises:
      ConfigError: the objective masks by the tokens it finds, so that their places
        cannot be followed, and the tokens do not say it.
    """
    rows = raw.features[0]
    num_places = len(rows.tokens)
    # The same recipe makes targets of places: numbers above are sentinels and ends.
    on_places = dataclasses.replace(
        recipe,
        vocab_size=num_places + 1 + recipe.objective.num_sentinels(recipe.raw_length),
        eos=_ends(recipe.eos, num_places),
    )
    places = TokenRows(np.arange(num_places, dtype=np.int32), rows.bounds)
    moved = on_places.make(RawRows((places,), raw.bad), keys_R).targets
    is_place = moved.tokens < num_places
    from_ = np.where(is_place, moved.tokens, 0)
    if not np.array_equal(moved.bounds, targets.bounds) or np.any(
        is_place & (rows.tokens[from_] != targets.tokens)
    ):
        if is_lossless(vocabulary):
            return _spelled(vocabulary, targets)
        raise ConfigError(
            f"{recipe.objective} makes targets by which tokens it finds, so that the "
            "bytes of the text behind them cannot be counted with this vocabulary; an "
            "objective must move tokens by their places alone"
        )
    return TokenRows(np.where(is_place, row_bytes.tokens[from_], 0), targets.bounds)


def finished_bytes(
    recipe: ExampleRecipe, target_bytes: TokenRows, raw: RawRows
) -> TokenRows:
    """Returns the bytes of the targets that a recipe trims and ends; EOS has none."""
    ended = dataclasses.replace(recipe, eos=_ends(recipe.eos, 0))
    of_bytes = RawRows((raw.features[0], target_bytes), raw.bad)
    return ended.make(of_bytes, np.zeros(len(raw.bad), np.uint64)).targets


def _ends(
    eos: tuple[int | None, int | None], instead: int
) -> tuple[int | None, int | None]:
    inputs, targets = (None if end is None else instead for end in eos)
    return inputs, targets


def _spelled(vocabulary: seqio.Vocabulary, rows: TokenRows) -> TokenRows:
    return TokenRows(token_bytes(vocabulary)[rows.tokens], rows.bounds)


def _count_text(
    counted: Counted,
    rows: TokenRows,
    starts_R: Int64Array,
    counts: Int32Array,
    where: tuple[seqio.Task, str],
) -> None:
    """Fills in the bytes of rows out of documents that are joined.

    Args:
      counted: the documents.
      rows: R rows of their tokens.
      starts_R: the place of each row's first token, increasing.
      counts: what is filled in, in the place of `rows.tokens`.
      where: named by an error.
    """
    row, end = 0, 0
    for tokens, bytes_ in counted:
        begin, end = end, end + len(tokens)
        while row < len(rows) and starts_R[row] < end:
            start = int(starts_R[row])
            row_end = start + int(rows.bounds[row + 1] - rows.bounds[row])
            first, last = max(start, begin), min(row_end, end)
            shift = int(rows.bounds[row]) - start
            there = slice(first + shift, last + shift)
            here = slice(first - begin, last - begin)
            _check_same(tokens[here], rows.tokens[there], where)
            counts[there] = bytes_[here]
            if last < row_end:
                break  # the row goes on in the next document
            row += 1
        if row == len(rows):
            return
    raise _other_text(where)


def _count_examples(
    counted: Counted,
    rows: TokenRows,
    numbers_R: Int64Array,
    counts: Int32Array,
    where: tuple[seqio.Task, str],
) -> None:
    """Fills in the bytes of examples; `numbers_R` are their places, increasing."""
    row = 0
    for number, (tokens, bytes_) in enumerate(counted):
        if row == len(rows):
            return
        if number == numbers_R[row]:
            there = slice(int(rows.bounds[row]), int(rows.bounds[row + 1]))
            _check_same(tokens, rows.tokens[there], where)
            counts[there] = bytes_
            row += 1
    if row < len(rows):
        raise _other_text(where)


def _counted(task: seqio.Task, split: str) -> Counted:
    """Encodes the targets of a split again, document by document or example by one."""
    texts = target_texts(task, split)
    if texts is not None:
        vocabulary = task.output_features["targets"].vocabulary
        yield from encode_with_bytes(texts, vocabulary)
        return
    for row in uncached_rows(task, split):
        tokens = np.asarray(row["targets"], np.int32)
        is_text = task_form(task).kind == TEXT
        yield _of_row(task, row, without_padding(tokens) if is_text else tokens)


def _of_row(
    task: seqio.Task, row: Mapping[str, Any], given: Int32Array
) -> tuple[Int32Array, Int32Array]:
    """Counts by the text that SeqIO keeps beside tokens, if it is that of the tokens.

    An end mark may stand behind the target tokens that are given.
    """
    vocabulary = task.output_features["targets"].vocabulary
    text = row.get("targets_pretokenized")
    if isinstance(text, bytes):
        [(tokens, bytes_)] = encode_with_bytes([text.decode("utf-8")], vocabulary)
        kept = len(given) - int(len(given) and given[-1] == vocabulary.eos_id)
        if np.array_equal(tokens[:kept], given[:kept]):
            return given, np.pad(bytes_[:kept], (0, len(given) - kept))
    if task.name not in _SAID:
        _SAID.add(task.name)
        print(
            f"task {task.name!r}: its steps keep no text beside the targets' tokens "
            "(targets_pretokenized), so that bytes are those its tokens are spelled "
            "with",
            file=sys.stderr,
        )
    return given, token_bytes(vocabulary)[given]


def _check_same(
    tokens: Int32Array, expected: Int32Array, where: tuple[seqio.Task, str]
) -> None:
    if not np.array_equal(tokens, expected):
        raise _other_text(where)


def _other_text(where: tuple[seqio.Task, str]) -> CorpusError:
    task, split = where
    return CorpusError(
        f"task {task.name!r}, split {split!r}: its source gives other text than its "
        "token cache was made of, so that its bytes cannot be counted; cache it anew "
        "with: mtmoe cache"
    )


_SAID: set[str] = set()
