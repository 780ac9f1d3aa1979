"""How often each token occurs in what a task trains on, counted once and kept.

Counts are kept in `counts/` of the cache directory, under the fingerprint of the split
they were counted from: other text, steps or vocabulary have another file. A damaged or
absent file is made again.

Legend: V vocab.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import seqio

from mtmoe.data.evaluation.rows import stretches
from mtmoe.data.ground.cache import cache_directory, write_atomically
from mtmoe.data.ground.keys import name_key
from mtmoe.data.ground.token_rows import Int32Array, Int64Array
from mtmoe.data.rows.cached import (
    ExampleRows,
    Lengths,
    TextRows,
    open_task_rows,
    pipeline_lengths,
    task_recipe,
)
from mtmoe.data.rows.recipes import Recipe
from mtmoe.data.tasks.form import STREAM, task_form
from mtmoe.data.tasks.reading import examples_in_order
from mtmoe.data.token_cache.bad_records import BadRecords
from mtmoe.data.token_cache.content import uncached_examples
from mtmoe.data.token_cache.files.pages import PAGE_TOKENS
from mtmoe.data.token_cache.fingerprints.split import split_fingerprint
from mtmoe.errors import ConfigError, MtmoeError

Part = tuple[int, Int32Array]
"""Tokens of some examples, of inputs too, and the targets themselves."""

_FORMAT = 1
_PAGES_TOGETHER = 512
_EXAMPLES_TOGETHER = 4096
_TOKENS_TOGETHER = 1 << 20


@dataclasses.dataclass(frozen=True)
class TokenCounts:
    """Counts of a task's text, or of its examples' targets.

    Attributes:
      counts: int64 [V].
      num_tokens: tokens that were counted, of inputs too if they are of examples.
      of_tokens: those of the split; None: not known, it was read from its beginning.
    """

    counts: Int64Array
    num_tokens: int
    of_tokens: int | None


def training_counts(
    task: seqio.Task, lengths: Lengths, vocab_size: int, max_tokens: int | None
) -> TokenCounts:
    """Counts the tokens that a task gives to training, in bounded memory.

    Of a split of more than `max_tokens` tokens (None: all) that many are counted: pages
    or examples spread over it if it is cached, else its first ones.

    Raises:
      UnknownNameError: the task has no such split.
      CorpusError: the split is empty or cannot be read.
      DamagedDataError: more damaged records than `bad_records.quota`.
    """
    recipe = task_recipe(task, lengths)
    path = _path(task, recipe, vocab_size, max_tokens)
    kept = None if path is None else _load(path, vocab_size)
    if kept is not None:
        return kept
    bad_records = BadRecords()
    rows = None
    if recipe is not None:
        rows = open_task_rows(task, "train", lengths, bad_records)
    if isinstance(rows, TextRows):
        counts = _counted(_of_text(rows, max_tokens), vocab_size, None)
    elif isinstance(rows, ExampleRows):
        counts = _counted(_of_examples(rows, max_tokens), vocab_size, None)
    else:
        counts = _counted(_streamed(task, lengths), vocab_size, max_tokens)
    if rows is not None:
        counts = dataclasses.replace(counts, of_tokens=rows.num_tokens)
    if path is not None and not bad_records.counts:
        _keep(path, counts)
    return counts


def _of_text(rows: TextRows, max_tokens: int | None) -> Iterator[Part]:
    """Reads pages; those in which training leaves out a short last row, by ranges."""
    num_tokens = rows.num_tokens
    num_pages = -(-num_tokens // PAGE_TOKENS)
    most = num_pages if max_tokens is None else max(1, max_tokens // PAGE_TOKENS)
    pages = np.arange(num_pages)
    if most < num_pages:
        pages = stretches(num_pages, most, name_key(rows.cache.manifest.task))
    starts = pages * PAGE_TOKENS
    sizes = np.minimum(num_tokens - starts, PAGE_TOKENS)
    for first in range(0, len(pages), _PAGES_TOGETHER):
        part = slice(first, first + _PAGES_TOGETHER)
        read, _ = rows.cache.token_ranges(starts[part], sizes[part])
        yield int(sizes[part].sum()), read.tokens


def _of_examples(rows: ExampleRows, max_tokens: int | None) -> Iterator[Part]:
    num_rows, num_tokens = rows.num_rows, rows.num_tokens
    numbers = np.arange(num_rows)
    if max_tokens is not None and num_tokens > max_tokens:
        most = max(1, num_rows * max_tokens // num_tokens)
        numbers = stretches(num_rows, most, name_key(rows.cache.manifest.task))
    for first in range(0, len(numbers), _EXAMPLES_TOGETHER):
        raw = rows.read(numbers[first : first + _EXAMPLES_TOGETHER])
        keys = np.zeros(len(raw.bad), np.uint64)  # nothing of examples is random
        targets = rows.recipe.make(raw, keys).targets.tokens
        yield sum(len(feature.tokens) for feature in raw.features), targets


def _streamed(task: seqio.Task, lengths: Lengths) -> Iterator[Part]:
    """Reads each example of `train`."""
    if task_form(task).kind == STREAM:
        for row in examples_in_order(task, "train", pipeline_lengths(task, lengths)):
            targets = np.asarray(row["targets"], np.int32)
            yield len(row.get("inputs", ())) + len(targets), targets
        return
    for features in uncached_examples(task, "train"):
        yield sum(map(len, features)), features[-1]


def _counted(
    parts: Iterator[Part], vocab_size: int, max_tokens: int | None
) -> TokenCounts:
    """Counts parts until so many tokens are read."""
    counts, num_tokens, is_all = np.zeros(vocab_size, np.int64), 0, True
    waiting: list[Int32Array] = []  # counted together: a count costs as much as V
    size = 0
    for part_tokens, targets in parts:
        if max_tokens is not None and num_tokens >= max_tokens:
            is_all = False
            break
        num_tokens += part_tokens
        waiting.append(targets)
        size += len(targets)
        if size >= _TOKENS_TOGETHER:
            counts += np.bincount(np.concatenate(waiting), minlength=vocab_size)
            waiting, size = [], 0
    if waiting:
        counts += np.bincount(np.concatenate(waiting), minlength=vocab_size)
    return TokenCounts(counts, num_tokens, num_tokens if is_all else None)


def _path(
    task: seqio.Task, recipe: Recipe | None, vocab_size: int, max_tokens: int | None
) -> Path | None:
    """Returns where counts are kept; None if nobody can tell when they change."""
    if recipe is None:
        return None
    try:
        fingerprint = split_fingerprint(task, "train").digest
    except ConfigError:  # its content has no name
        return None
    what = [_FORMAT, fingerprint, repr(recipe), vocab_size, max_tokens]
    digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()
    return cache_directory() / "counts" / f"{digest[:32]}.npz"


def _load(path: Path, vocab_size: int) -> TokenCounts | None:
    try:
        with np.load(path, allow_pickle=False) as kept:
            counts, num_tokens, of_tokens = (
                kept[name] for name in ("counts", "num_tokens", "of_tokens")
            )
    except (OSError, ValueError, LookupError, zipfile.BadZipFile):
        return None  # not counted yet, or damaged
    if counts.shape != (vocab_size,) or counts.dtype != np.int64:
        return None
    return TokenCounts(
        counts, int(num_tokens), None if of_tokens < 0 else int(of_tokens)
    )


def _keep(path: Path, counts: TokenCounts) -> None:
    content = io.BytesIO()
    np.savez_compressed(
        content,
        counts=counts.counts,
        num_tokens=counts.num_tokens,
        of_tokens=-1 if counts.of_tokens is None else counts.of_tokens,
    )
    try:
        write_atomically(path, content.getvalue())
    except MtmoeError as error:  # a full or read-only disk: counted again next time
        print(f"token counts are not kept: {error}", file=sys.stderr)
