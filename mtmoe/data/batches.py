"""Training batches: each one a pure function of (seed, step).

Legend: B batch, L inputs length, T targets length, N rows of a group.
"""

from __future__ import annotations

import collections
import itertools
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.keys import fold, name_key, seed_pairs
from mtmoe.data.mixing.rates import task_rates
from mtmoe.data.mixing.stages import stages_of
from mtmoe.data.registry import get_mixture_or_task, tasks_of
from mtmoe.data.schedule import permuted_index
from mtmoe.data.staged_schedule import StagedSchedule
from mtmoe.data.task_rows import (
    Lengths,
    TaskRows,
    check_lengths,
    load_task_rows,
    stack_task_rows,
    task_vocabulary,
)
from mtmoe.errors import ConfigError

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

_NOISE_KEY = name_key("batches.noise")
_PREFETCH_BATCHES = 8
_PROGRESS_SECONDS = 10.0


@dataclass(frozen=True)
class Batch:
    """One training batch; 0 is padding.

    Attributes:
      inputs: int32 [B, L].
      targets: int32 [B, T].
      task: int32 [B], the number of each row's task in `TrainingBatches.task_names`.
    """

    inputs: Int32Array
    targets: Int32Array
    task: Int32Array

    @property
    def padding_fraction(self) -> float:
        """Fraction of all inputs and targets places that hold padding."""
        filled = np.count_nonzero(self.inputs) + np.count_nonzero(self.targets)
        return float(1.0 - filled / (self.inputs.size + self.targets.size))


class TrainingBatches:
    """The batches of a mixture.

    Attributes:
      task_names: tasks of the mixture, in the order of their numbers.
      shares: fraction of all rows by task; of a staged mixture, in its first stage.
      stages: stages of a staged mixture, otherwise the one mixture from step 0.
      stage_shares: fraction of a stage's rows by task, for each stage.
      num_rows: rows (examples) in one epoch, by task.
      num_tokens: raw or target tokens in one epoch, by task.
    """

    def __init__(
        self,
        mixture: str,
        batch_size: int,
        lengths: Lengths,
        seed: int,
        split: str = "train",
    ):
        """Loads every task's rows.

        Args:
          mixture: name of a registered mixture or task.
          batch_size: B.
          lengths: `inputs` and `targets` lengths, L and T (a mapping, or its items).
          seed: keys the schedule, the order of each task's rows and the noise.
          split: split of every task.

        Raises:
          UnknownNameError: no such mixture, or a task without that split.
          ConfigError: rates, lengths, features or vocabularies that do not fit.
          CorpusError: an empty task or a token outside the vocabulary.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be 1 or more")
        self._lengths = check_lengths(lengths)
        self._batch_size = batch_size
        self._seed = seed
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
        _check_one_vocabulary(tasks)
        rows = _load_rows(tasks, split, self._lengths)
        self._sizes_T = np.array([len(part) for part in rows], np.int64)
        self._keys_T = np.array([name_key(name) for name in self.task_names], np.uint64)
        self._stacks = stack_task_rows(rows)
        self._stack_T, self._first_row_T = self._places_in_stacks()
        self.stage_shares = tuple(map(self._by_task, self._schedule.shares_ST))
        self.shares = self.stage_shares[0]
        self.num_rows = self._by_task(self._sizes_T)
        self.num_tokens = self._by_task([part.text_tokens.size for part in rows])

    def batch(self, step: int) -> Batch:
        """Builds the batch of a step; cost does not depend on `step`."""
        tasks_B, counters_B = self._schedule.rows(step, self._batch_size)
        sizes_B, keys_B = self._sizes_T[tasks_B], self._keys_T[tasks_B]
        epochs_B, positions_B = np.divmod(counters_B, sizes_B)
        rows_B = permuted_index(self._seed, keys_B, epochs_B, positions_B, sizes_B)
        noise_B = fold(_NOISE_KEY, self._seed, keys_B, epochs_B, rows_B)
        inputs_BL = np.zeros((self._batch_size, self._lengths["inputs"]), np.int32)
        targets_BT = np.zeros((self._batch_size, self._lengths["targets"]), np.int32)
        for stack in np.unique(self._stack_T[tasks_B]):
            places = np.flatnonzero(self._stack_T[tasks_B] == stack)
            stacked_rows = self._first_row_T[tasks_B[places]] + rows_B[places]
            inputs_BL[places], targets_BT[places] = self._stacks[stack][0].make(
                stacked_rows, seed_pairs(noise_B[places])
            )
        return Batch(inputs_BL, targets_BT, tasks_B.astype(np.int32))

    def iterate(self, start_step: int = 0) -> Iterator[Batch]:
        """Yields `batch(start_step)`, `batch(start_step + 1)`, ... without end.

        Batches are built ahead, in background threads; closing the iterator stops them.
        """
        pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="batches")
        ahead: collections.deque[Future[Batch]] = collections.deque()
        try:
            for step in itertools.count(start_step):
                ahead.append(pool.submit(self.batch, step))
                if len(ahead) > _PREFETCH_BATCHES:
                    yield ahead.popleft().result()
        finally:
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

    def epochs(self, step: int) -> dict[str, float]:
        """Returns passes over each task's rows made by the batches before `step`."""
        rows_T = self._schedule.rows_before(step * self._batch_size)
        return self._by_task(rows_T / self._sizes_T)

    def _places_in_stacks(self) -> tuple[Int64Array, Int64Array]:
        """Returns which stack holds each task's rows, and its first row there."""
        stack_T, first_row_T = np.zeros((2, len(self.task_names)), np.int64)
        for stack, (_, tasks) in enumerate(self._stacks):
            stack_T[tasks] = stack
            sizes = self._sizes_T[tasks]
            first_row_T[tasks] = np.cumsum(sizes) - sizes
        return stack_T, first_row_T

    def _by_task(self, values_T: npt.ArrayLike) -> dict[str, Any]:
        values = np.asarray(values_T).tolist()
        return dict(zip(self.task_names, values, strict=True))


def _load_rows(tasks: list[seqio.Task], split: str, lengths: Lengths) -> list[TaskRows]:
    """Loads every task's rows; says how far it is, when that takes long."""
    started = said = time.monotonic()
    rows = []
    for number, task in enumerate(tasks, start=1):
        rows.append(load_task_rows(task, split, lengths))
        now = time.monotonic()
        if now - said > _PROGRESS_SECONDS:
            said = now
            print(
                f"examples: {number:,} of {len(tasks):,} tasks, {now - started:.0f} s",
                file=sys.stderr,
            )
    return rows


def _check_one_vocabulary(tasks: list[seqio.Task]) -> None:
    vocabulary = task_vocabulary(tasks[0])
    for task in tasks[1:]:
        if task_vocabulary(task) != vocabulary:
            raise ConfigError(
                f"tasks {tasks[0].name!r} and {task.name!r} have different vocabularies"
            )
