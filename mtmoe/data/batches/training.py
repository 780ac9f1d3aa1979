"""Training batches: each one a pure function of (seed, step).

Legend: B rows of the global batch, L inputs length, T targets length, S most segments
of a row, K steps that are built together, N examples of their rows.
"""

from __future__ import annotations

import bisect
import collections
import copy
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import gin
import numpy as np
import numpy.typing as npt

from mtmoe.data.batches.batch import Batch
from mtmoe.data.batches.built_rows import BuiltRows
from mtmoe.data.batches.layout import lay_out
from mtmoe.data.batches.mixture_rows import Group, MixtureRows, read_streamed
from mtmoe.data.ground.token_rows import Int32Array, Int64Array
from mtmoe.data.mixing.rates import task_rates
from mtmoe.data.mixing.stages import stages_of
from mtmoe.data.rows.cached import FEATURES, Lengths, check_lengths
from mtmoe.data.schedule.packed import PackedSchedule
from mtmoe.data.schedule.staged import StagedSchedule
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.registry import get_mixture_or_task, tasks_of
from mtmoe.data.token_cache.bad_records import BadRecords
from mtmoe.errors import ConfigError
from mtmoe.languages import SEVERAL_LANGUAGES
from mtmoe.ranges import Count, Positive, Seed, check_fields, check_number

_ROWS_TOGETHER = 1024  # what is done once a task is then done for many rows
_WORST_TASKS = 5


@gin.configurable
@dataclass(frozen=True)
class Packing:
    """Puts several examples into a row, each a segment of its own.

    Attributes:
      open_bins: rows that stay open for a next example; more of them fill better.

    Raises:
      ConfigError: there is no open bin.
    """

    open_bins: Count = 32

    def __post_init__(self) -> None:
        check_fields(self)


class TrainingBatches:
    """The batches of a mixture.

    Attributes:
      task_names: tasks of the mixture, in the order of their numbers.
      shares: fraction of all examples by task; of a staged mixture, in its first stage.
      stages: stages of a staged mixture, otherwise the one mixture from step 0.
      stage_shares: fraction of a stage's examples by task, for each stage.
      content: SHA-256 of the cached tokens of all tasks: another one, other batches.
      num_rows: examples in one epoch, by task; None: not cached, and so not known.
      num_tokens: cached tokens in one epoch, by task; likewise.
      languages: codes of the tasks' languages, sorted; `mul` for several.
      task_language: int32 [tasks], the number in `languages` of each task's language.
      bad_records: the damaged records met so far.
    """

    def __init__(
        self,
        mixture: str,
        batch_size: int,
        lengths: Lengths,
        seed: int,
        split: str = "train",
        packing: Packing | None = None,
        max_epochs: float | None = None,
        steps: int | None = None,
    ):
        """Opens every task's rows.

        Args:
          mixture: name of a registered mixture or task.
          batch_size: rows of the global batch, B.
          lengths: `inputs` and `targets` lengths, L and T (a mapping, or its items); of
            a decoder alone `targets` only.
          seed: keys the schedule, the order of each task's rows and the noise.
          split: split of every task.
          packing: how examples are packed; None: each has a row of its own.
          max_epochs: most passes over a task in `steps` steps; None: any number.
          steps: steps of the run, needed for `max_epochs` alone.

        Raises:
          UnknownNameError: no such mixture, or a task without that split.
          ConfigError: rates, lengths, features or vocabularies that do not fit,
            packing of a task that is not cached, or more passes than `max_epochs`.
          CorpusError: an empty task or a token outside the vocabulary.
        """
        check_number("batch_size", batch_size, Count)
        check_number("seed", seed, Seed)
        check_number("max_epochs", max_epochs, Positive | None)
        self._lengths = check_lengths(lengths)
        self._batch_size = batch_size
        self._own = BuiltRows.of(batch_size, range(batch_size))
        self.stages = stages_of(mixture)
        self._schedule = StagedSchedule(
            [
                (start_step * batch_size, task_rates(get_mixture_or_task(name)))
                for start_step, name in self.stages
            ],
            seed,
        )
        self.task_names = self._schedule.task_names
        by_name = {task.name: task for task in tasks_of(mixture)}
        tasks = [by_name[name] for name in self.task_names]
        self.bad_records = BadRecords()
        self._rows = MixtureRows(
            tasks, split, self._lengths, seed, self.bad_records, max_epochs
        )
        self._packed = None if packing is None else self._packed_schedule(packing)
        self._streams = self._rows.streams()
        self._streams_lock = threading.Lock()
        self.stage_shares = tuple(map(self._by_task, self._schedule.shares_ST))
        self.shares = self.stage_shares[0]
        self.content = self._rows.content
        self.num_rows = self._by_task(self._rows.num_rows)
        self.num_tokens = self._by_task(self._rows.num_tokens)
        codes_T = [task_card(task).language or SEVERAL_LANGUAGES.code for task in tasks]
        self.languages = tuple(sorted(set(codes_T)))
        self.task_language = np.array(
            [self.languages.index(code) for code in codes_T], np.int32
        )
        if max_epochs is not None:
            self._check_epochs(max_epochs, steps)

    def of_rows(
        self,
        rows: Sequence[int] | Int64Array,
        counted: Sequence[int] | Int64Array | None = None,
    ) -> TrainingBatches:
        """Returns the same batches, of which some rows are built alone.

        Of other rows nothing is read but what packing needs, the sizes.

        Args:
          rows: numbers of the rows, increasing.
          counted: those of them that count, so that what several processes count adds
            up to the whole batch; None: all of them.

        Raises:
          ConfigError: rows that are not of the batch, or do not increase.
        """
        part = copy.copy(self)
        part._own = BuiltRows.of(self._batch_size, rows, counted)
        return part

    def batch(self, step: int) -> Batch:
        """Builds the rows of a step that were asked for.

        The cost does not depend on `step`, but for tasks that are not cached: their
        examples are read forward, and from the beginning for an earlier step.

        Raises:
          DamagedDataError: a task has more damaged records than its quota.
          CorpusError: a task that is not cached cannot be read.
        """
        plan = self._plan(step, 1)
        with self._streams_lock:
            streamed = read_streamed(self._streams, plan.task, plan.counter)
        return self._build(plan, streamed)[0]

    def iterate(self, start_step: int = 0) -> Iterator[Batch]:
        """Yields `batch(start_step)`, `batch(start_step + 1)`, ... without end.

        Batches are built ahead, several at a time, in background threads; closing the
        iterator stops them.

        Raises:
          MtmoeError: as `batch`, when the batch it happened in is asked for.
        """
        # What is not cached may be slow: a batch is not to wait for the next ones.
        rows_together = 1 if self._rows.streamed else _ROWS_TOGETHER
        steps = max(rows_together // self._own.num_rows, 1)
        workers = os.cpu_count() or 1
        streams = self._rows.streams()
        pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
        # One thread reads what must be read in order.
        feeder = ThreadPoolExecutor(1, thread_name_prefix="streams")

        def build(plan: Future[tuple[_Plan, list[Group]]]) -> list[Batch]:
            return self._build(*plan.result())

        def feed(first: int) -> tuple[_Plan, list[Group]]:
            plan = self._plan(first, steps)
            return plan, read_streamed(streams, plan.task, plan.counter)

        ahead: collections.deque[Future[list[Batch]]] = collections.deque()
        first = start_step
        try:
            while True:
                while len(ahead) <= workers:
                    ahead.append(pool.submit(build, feeder.submit(feed, first)))
                    first += steps
                yield from ahead.popleft().result()
        finally:
            feeder.shutdown(wait=True, cancel_futures=True)
            pool.shutdown(wait=True, cancel_futures=True)

    def stage(self, step: int) -> int:
        """Returns the number of the stage, from 0, that the batch of a step is in."""
        return self._schedule.stage(step * self._batch_size)

    def mean_shares(self, step: int) -> dict[str, float]:
        """Returns `shares` averaged over the steps before `step`, stage by stage."""
        if len(self.stages) == 1 or step == 0:
            return self.shares
        starts = [stage.start_step for stage in self.stages]
        ends = np.minimum([*starts[1:], step], step)
        steps_S = np.maximum(ends - starts, 0)
        return self._by_task(steps_S @ self._schedule.shares_ST / step)

    def epochs(self, step: int) -> dict[str, float | None]:
        """Returns passes over each task's examples made by the batches before `step`.

        None for a task that is not cached: its size is not known.
        """
        order = self._packed or self._schedule
        examples_T = order.rows_before(step * self._batch_size).tolist()
        sizes_T = self._rows.num_rows
        return self._by_task(
            None if size is None else examples / size
            for examples, size in zip(examples_T, sizes_T, strict=True)
        )

    def _packed_schedule(self, packing: Packing) -> PackedSchedule:
        if self._rows.streamed:
            names = ", ".join(map(repr, self._rows.streamed))
            raise ConfigError(
                f"tasks that are not cached cannot be packed: {names}. "
                "`mtmoe cache NAME` caches a task whose steps allow it; without "
                "packing (train.packing = None) they are read as they are"
            )
        # A decoder alone has inputs and targets in the same places.
        capacity = [self._lengths[name] for name in FEATURES if name in self._lengths]

        def sizes(tasks_N: Int64Array, counters_N: Int64Array) -> Int32Array:
            sizes_N2 = self._rows.sizes(tasks_N, counters_N)
            return sizes_N2 if len(capacity) == 2 else sizes_N2.sum(1, keepdims=True)

        return PackedSchedule(self._schedule, sizes, capacity, packing.open_bins)

    def _plan(self, first_step: int, num_steps: int) -> _Plan:
        """Returns which examples the rows asked for of some steps hold."""
        first = first_step * self._batch_size
        end = first + num_steps * self._batch_size
        if self._packed is None:
            task_N, counter_N = self._schedule.rows(first, end)
            row_N, segment_N = np.arange(end - first), np.ones(end - first, np.int64)
        else:
            row_N, segment_N, task_N, counter_N = self._packed.rows(first, end)
        step_N, place_N = np.divmod(row_N, self._batch_size)
        segments_K = np.ones(num_steps, np.int64)
        np.maximum.at(segments_K, step_N, segment_N)
        place_N = self._own.places[place_N]
        mine = np.flatnonzero(place_N >= 0)
        row_N = (step_N * self._own.num_rows + place_N)[mine]
        return _Plan(segments_K, row_N, segment_N[mine], task_N[mine], counter_N[mine])

    def _build(self, plan: _Plan, streamed: list[Group]) -> list[Batch]:
        """Builds the batches of a plan's steps."""
        groups = self._rows.examples(plan.task, plan.counter, streamed)
        rows_a_step = self._own.num_rows
        num_rows = len(plan.most_segments) * rows_a_step
        segment_task = np.full((num_rows, plan.most_segments.max()), -1, np.int32)
        segment_task[plan.row, plan.segment - 1] = plan.task
        bad_rows_K = self._bad_rows(plan, groups)
        arrays = lay_out(groups, plan.row, plan.segment, num_rows, self._lengths)
        batches = []
        for number, segments in enumerate(plan.most_segments):
            own = slice(number * rows_a_step, (number + 1) * rows_a_step)
            batch = Batch(
                {name: array[own] for name, array in arrays.items()},
                np.ascontiguousarray(segment_task[own, :segments]),
                bad_rows_K[number],
                self._own.counted,
            )
            batches.append(batch)
        return batches

    def _bad_rows(self, plan: _Plan, groups: list[Group]) -> list[dict[str, int]]:
        """Counts examples on damaged records, by step and task."""
        counts_K: list[collections.Counter[str]] = [
            collections.Counter() for _ in plan.most_segments
        ]
        for places, examples in groups:
            for place in places[examples.bad]:
                step, row = divmod(int(plan.row[place]), self._own.num_rows)
                if self._own.counted is not None and not self._own.counted[row]:
                    continue
                counts_K[step][self.task_names[plan.task[place]]] += 1
        return [dict(sorted(counts.items())) for counts in counts_K]

    def _check_epochs(self, max_epochs: float, steps: int | None) -> None:
        """Raises ConfigError if a task would be passed too often in the run."""
        if steps is None:
            raise ConfigError("max_epochs needs to know the steps of the run")
        passes = {name: n for name, n in self.epochs(steps).items() if n is not None}
        worst = sorted(passes, key=lambda name: -passes[name])
        over = [name for name in worst if passes[name] > max_epochs]
        if not over:
            return
        if self._packed is None:
            within = bisect.bisect_right(
                range(steps),
                max_epochs,
                key=lambda step: max(n or 0.0 for n in self.epochs(step).values()),
            )
            enough = f"{within - 1:,} steps"
        else:  # to count examples before a packed row, its period must be packed
            enough = f"about {int(steps * max_epochs / passes[over[0]]):,} steps"
        shown = ", ".join(f"{n!r} {passes[n]:.2f} times" for n in over[:_WORST_TASKS])
        more = len(over) - _WORST_TASKS
        raise ConfigError(
            f"max_epochs is {max_epochs:g}, but {steps:,} steps of {self._batch_size} "
            f"rows would pass {shown}"
            + (f" and {more} more tasks too often" if more > 0 else "")
            + f". {enough} would do, or a lower rate of "
            + ("that task" if len(over) == 1 else "those tasks")
        )

    def _by_task(
        self, values_T: Iterable[Any] | npt.NDArray[np.generic]
    ) -> dict[str, Any]:
        values = values_T.tolist() if isinstance(values_T, np.ndarray) else values_T
        return dict(zip(self.task_names, values, strict=True))


class _Plan(NamedTuple):
    """The examples of the rows asked for of K steps, row by row.

    Attributes:
      most_segments: int64 [K], most segments of a row in each step's global batch; at
        least 1.
      row: int64 [N], row of each example among all rows asked for of these steps.
      segment: int64 [N], its segment, from 1.
      task: int64 [N], number of its task.
      counter: int64 [N], its counter in that task.
    """

    most_segments: Int64Array
    row: Int64Array
    segment: Int64Array
    task: Int64Array
    counter: Int64Array
