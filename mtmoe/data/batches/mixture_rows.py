"""The examples of a mixture's tasks, by number of the task and counter of the example.

A counter says how many examples the schedule has taken from a task before. For a cached
task it is an epoch and a place in it, which a keyed permutation turns into a row: any
example costs the same. A task that is not cached is read forward.

Legend: N examples asked for, T tasks, M examples made together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import seqio

from mtmoe.data.ground.keys import UInt64Array, fold, name_key
from mtmoe.data.ground.token_rows import Int32Array, Int64Array
from mtmoe.data.rows.cached import (
    Lengths,
    TaskRows,
    open_task_rows,
    pipeline_lengths,
    task_vocabulary,
)
from mtmoe.data.rows.recipes import Examples, RawRows, Recipe, stack_raw_rows
from mtmoe.data.rows.streams import StreamedTask, say_what_streams_cost
from mtmoe.data.schedule.fixed_rates import permuted_index
from mtmoe.data.token_cache.bad_records import BadRecords
from mtmoe.errors import ConfigError

_NOISE_KEY = name_key("batches.noise")
_STREAMED = -1


class Group(NamedTuple):
    """Some of the examples that were asked for.

    Attributes:
      places: int64 [M], which of the N they are.
      examples: M examples.
    """

    places: Int64Array
    examples: Examples


Streams = Mapping[int, StreamedTask]
"""The tasks of a mixture that are not cached, by number, each at its place. Not safe to
use from several threads."""


def read_streamed(
    streams: Streams, tasks_N: Int64Array, counters_N: Int64Array
) -> list[Group]:
    """Reads those of N examples that are of a streamed task.

    Counters of a task increase from call to call.
    """
    groups = []
    for number, task in streams.items():
        places = np.flatnonzero(tasks_N == number)
        if len(places):
            inputs, targets = task.examples(counters_N[places].tolist())
            good = np.zeros(len(places), np.bool_)
            groups.append(Group(places, Examples(inputs, targets, good)))
    return groups


class MixtureRows:
    """The opened tasks of a mixture.

    Attributes:
      num_rows: examples in one pass, by task; None where it is not known.
      num_tokens: cached tokens of one pass, likewise.
      streamed: names of the tasks that are not cached.
      content: SHA-256 of the cached tokens of all tasks.
    """

    def __init__(
        self,
        tasks: Sequence[seqio.Task],
        split: str,
        lengths: Lengths,
        seed: int,
        bad_records: BadRecords,
        max_epochs: float | None = None,
    ):
        """Opens every task, and caches what is small and not cached yet.

        Tasks are in the order of their numbers. `seed` keys the order of each task's
        rows and the noise, `max_epochs` bounds the passes over a streamed task, and
        damaged records are noted in `bad_records`.

        Raises:
          UnknownNameError: a task without that split.
          ConfigError: lengths, features or vocabularies that do not fit.
          CorpusError: an empty task or a token outside the vocabulary.
        """
        _check_one_vocabulary(tasks, lengths)
        self._tasks = tuple(tasks)
        self._split = split
        self._lengths = lengths
        self._seed = seed
        self._max_epochs = max_epochs
        self._rows = tuple(
            open_task_rows(task, split, lengths, bad_records) for task in tasks
        )
        self._keys_T = np.array([name_key(task.name) for task in tasks], np.uint64)
        self._sizes_T = np.array(
            [rows.num_rows if rows else 1 for rows in self._rows], np.int64
        )
        self._recipes, self._recipe_T = _recipes(self._rows)
        self.content = _content(self._rows)
        self.num_rows = tuple(rows.num_rows if rows else None for rows in self._rows)
        self.num_tokens = tuple(
            rows.num_tokens if rows else None for rows in self._rows
        )
        self.streamed = tuple(
            task.name
            for task, rows in zip(tasks, self._rows, strict=True)
            if rows is None
        )
        if self.streamed:
            say_what_streams_cost(list(self.streams().values()))

    def streams(self) -> Streams:
        """Returns the streamed tasks at their beginnings."""
        return {
            number: StreamedTask(
                task,
                self._split,
                pipeline_lengths(task, self._lengths),
                self._seed,
                self._max_epochs,
            )
            for number, task in enumerate(self._tasks)
            if self._rows[number] is None
        }

    def sizes(self, tasks_N: Int64Array, counters_N: Int64Array) -> Int32Array:
        """Returns tokens of inputs and targets of examples, EOS included, int32 [N, 2].

        Every task must be cached.
        """
        rows_N, keys_N = self._rows_and_keys(tasks_N, counters_N)
        sizes_N2 = np.zeros((len(tasks_N), 2), np.int32)
        for number, places in _by_task(tasks_N):
            rows = self._rows[number]
            assert rows is not None
            sizes_N2[places] = rows.sizes(rows_N[places], keys_N[places])
        return sizes_N2

    def examples(
        self,
        tasks_N: Int64Array,
        counters_N: Int64Array,
        streamed: Sequence[Group] = (),
    ) -> list[Group]:
        """Makes examples by task and counter; those of equal recipes together.

        `streamed` is what `read_streamed` gave for the same examples.

        Returns:
          Groups in which each of the N examples is once.

        Raises:
          DamagedDataError: a task has more damaged records than its quota.
        """
        rows_N, keys_N = self._rows_and_keys(tasks_N, counters_N)
        places: dict[int, list[Int64Array]] = {}
        raws: dict[int, list[RawRows]] = {}
        for number, places_M in _by_task(tasks_N):
            rows = self._rows[number]
            if rows is None:
                continue
            recipe = int(self._recipe_T[number])
            places.setdefault(recipe, []).append(places_M)
            raws.setdefault(recipe, []).append(rows.read(rows_N[places_M]))
        groups = list(streamed)
        for recipe, raw in raws.items():
            places_M = np.concatenate(places[recipe])
            made = self._recipes[recipe].make(stack_raw_rows(raw), keys_N[places_M])
            groups.append(Group(places_M, made))
        return groups

    def _rows_and_keys(
        self, tasks_N: Int64Array, counters_N: Int64Array
    ) -> tuple[Int64Array, UInt64Array]:
        """Returns the row of each example in its task, and the key of its noise."""
        sizes_N, keys_N = self._sizes_T[tasks_N], self._keys_T[tasks_N]
        epochs_N, positions_N = np.divmod(counters_N, sizes_N)
        rows_N = permuted_index(self._seed, keys_N, epochs_N, positions_N, sizes_N)
        return rows_N, fold(_NOISE_KEY, self._seed, keys_N, epochs_N, rows_N)


def _by_task(tasks_N: Int64Array) -> Iterator[tuple[int, Int64Array]]:
    """Yields each task's number and the places of its examples, in order."""
    order_N = np.argsort(tasks_N, kind="stable")
    sorted_N = tasks_N[order_N]
    bounds = np.flatnonzero(np.diff(sorted_N, prepend=-1, append=-1)).tolist()
    for begin, end in zip(bounds, bounds[1:], strict=False):
        yield int(sorted_N[begin]), order_N[begin:end]


def _content(rows: Sequence[TaskRows | None]) -> str:
    """Names the tokens of all tasks by the check sums of their files."""
    digest = hashlib.sha256()
    for part in rows:
        shards = part.cache.manifest.shards if part else ()
        sums = [(shard.crc32, shard.index_crc32) for shard in shards]
        digest.update(f"{sums}\n".encode())
    return digest.hexdigest()


def _recipes(rows: Sequence[TaskRows | None]) -> tuple[list[Recipe], Int64Array]:
    """Returns the different recipes, and the number of each task's."""
    numbers: dict[Recipe, int] = {}
    recipe_T = [
        numbers.setdefault(part.recipe, len(numbers)) if part else _STREAMED
        for part in rows
    ]
    return list(numbers), np.array(recipe_T, np.int64)


def _check_one_vocabulary(tasks: Sequence[seqio.Task], lengths: Lengths) -> None:
    first = task_vocabulary(tasks[0], lengths)
    for task in tasks[1:]:
        vocabulary = task_vocabulary(task, lengths)
        if vocabulary is not first and vocabulary != first:
            raise ConfigError(
                f"tasks {tasks[0].name!r} and {task.name!r} have different vocabularies"
            )
