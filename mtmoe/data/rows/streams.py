"""Tasks whose steps no cache can hold: SeqIO's own pipeline, one pass after the other.

The order of a pass is keyed by (seed, task, pass), so the examples of a stream are the
same in every run. But a pipeline knows no example before it has made all those ahead of
it: to go to an example is to make every earlier one again.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import seqio
import tensorflow as tf

from mtmoe.data.ground.keys import fold, name_key
from mtmoe.data.ground.token_rows import TokenRows, join_rows
from mtmoe.data.tasks.form import check_split, task_form
from mtmoe.data.tasks.reading import check_text, reading
from mtmoe.errors import ConfigError, CorpusError, EmptySplitError

Int32Array = npt.NDArray[np.int32]
FEATURES = ("inputs", "targets")

_PASS_KEY = name_key("streams.pass")
_SAMPLE_EXAMPLES = 64
_SAMPLE_SECONDS = 0.2
_SAID_FROM = 1000  # examples made again
_NAMES = 5
_THREADS = 2
_LOOK_AHEAD = 16  # examples


class Sample(NamedTuple):
    """How long some examples took.

    Attributes:
      examples: how many were made.
      seconds: in what time.
    """

    examples: int
    seconds: float


class StreamedTask:
    """The examples of a task in the order of a run, read forward.

    Not safe to use from several threads.

    Attributes:
      task: the task.
    """

    def __init__(
        self,
        task: seqio.Task,
        split: str,
        lengths: Mapping[str, int],
        seed: int,
        max_epochs: float | None = None,
    ):
        """Opens nothing yet.

        Args:
          task: any task with a feature `targets`, and `inputs` if it has them.
          split: name of the split.
          lengths: lengths of its features, as SeqIO takes them.
          seed: the run's seed.
          max_epochs: passes that may be begun; None: any number.

        Raises:
          UnknownNameError: the task has no such split.
          ConfigError: a feature is no list of tokens.
        """
        check_split(task, split)
        for name in set(FEATURES) & set(task.output_features):
            feature = task.output_features[name]
            if feature.rank != 1 or not feature.dtype.is_integer:
                raise ConfigError(
                    f"feature {name!r} of task {task.name!r} has rank {feature.rank} "
                    f"and type {feature.dtype.name}; needed: a list of tokens"
                )
        self.task = task
        self._split = split
        self._lengths = dict(lengths)
        self._seed = seed
        self._max_epochs = max_epochs
        self._position = 0
        self._examples: Iterator[tuple[Int32Array, Int32Array]] | None = None

    def examples(self, counters: Sequence[int]) -> tuple[TokenRows, TokenRows]:
        """Returns inputs and targets of examples, as SeqIO finishes them.

        Args:
          counters: which examples of the run, from 0, in increasing order.

        Raises:
          CorpusError: a pass has no examples, a token is outside the vocabulary, or
            the source cannot be opened.
          ConfigError: a pass would begin that `max_epochs` does not allow.
        """
        found = [self._example(int(counter)) for counter in counters]
        return (
            join_rows(inputs for inputs, _ in found),
            join_rows(targets for _, targets in found),
        )

    def sample(self) -> Sample:
        """Makes the first examples; the time to open the pipeline does not count.

        Raises:
          CorpusError: as `examples` does.
        """
        examples = self._one_pass(0)
        next(examples)
        began = time.monotonic()
        seconds, made = 0.0, 0
        for _ in itertools.islice(examples, _SAMPLE_EXAMPLES):
            made += 1
            seconds = time.monotonic() - began
            if seconds > _SAMPLE_SECONDS:
                break
        return Sample(made, seconds)

    def _example(self, counter: int) -> tuple[Int32Array, Int32Array]:
        # After an error, or for an earlier example, reading begins anew.
        examples, self._examples = self._examples, None
        if examples is None or counter < self._position:
            examples, self._position = self._passes(), 0
            if counter >= _SAID_FROM:
                print(
                    f"task {self.task.name!r} is not cached: its first {counter:,} "
                    "examples are made again to go on behind them",
                    file=sys.stderr,
                )
        for _ in range(counter - self._position):
            next(examples)
        example = next(examples)
        self._examples, self._position = examples, counter + 1
        return example

    def _passes(self) -> Iterator[tuple[Int32Array, Int32Array]]:
        """Yields the examples of all passes, without end."""
        number = 0
        while True:
            if self._max_epochs is not None and number >= self._max_epochs:
                raise ConfigError(
                    f"task {self.task.name!r} begins its pass number {number + 1}; "
                    f"max_epochs is {self._max_epochs:g}"
                )
            yield from self._one_pass(number)
            number += 1

    def _one_pass(self, number: int) -> Iterator[tuple[Int32Array, Int32Array]]:
        """Yields the examples of a pass, at least one."""
        seed = fold(_PASS_KEY, self._seed, name_key(self.task.name), number)
        options = tf.data.Options()
        options.deterministic = True
        options.autotune.enabled = False
        options.threading.private_threadpool_size = _THREADS
        with reading(self.task, self._split):
            dataset = self.task.get_dataset(
                sequence_length=self._lengths,
                split=self._split,
                use_cached=self.task.requires_caching,
                shuffle=True,
                seed=int(seed % np.uint64(2**31)),
                num_epochs=1,
                try_in_mem_cache=False,
            )
            wanted = [*FEATURES, *(f"{name}_pretokenized" for name in FEATURES)]
            kept = [name for name in wanted if name in dataset.element_spec]
            dataset = dataset.map(lambda row: {name: row[name] for name in kept})
            dataset = dataset.prefetch(_LOOK_AHEAD).with_options(options)
            empty = True
            for made, row in enumerate(dataset.as_numpy_iterator(), start=1):
                check_text(self.task, self._split, made, row)
                inputs, targets = (
                    np.asarray(row.get(name, ()), np.int32) for name in FEATURES
                )
                self._check(inputs)
                self._check(targets)
                empty = False
                yield inputs, targets
        if empty:
            raise EmptySplitError(
                f"task {self.task.name!r} has no examples in split {self._split!r}"
            )

    def _check(self, tokens: Int32Array) -> None:
        vocab_size = self.task.output_features["targets"].vocabulary.vocab_size
        if tokens.size and (tokens.min() < 0 or tokens.max() >= vocab_size):
            worst = int(tokens.min() if tokens.min() < 0 else tokens.max())
            raise CorpusError(
                f"task {self.task.name!r}, split {self._split!r}: token {worst} is "
                f"outside the vocabulary of {vocab_size} tokens"
            )


def say_what_streams_cost(streams: Sequence[StreamedTask]) -> None:
    """Says on stderr, in one line, which tasks are not cached and what that costs.

    Makes the first examples of each, so that an empty one is found out.

    Raises:
      CorpusError: a task has no examples, or one with a token outside the vocabulary.
    """
    samples = [stream.sample() for stream in streams]
    made = sum(sample.examples for sample in samples)
    rate = made / max(sum(sample.seconds for sample in samples), 1e-6)
    names = [stream.task.name for stream in streams]
    shown = ", ".join(names[:_NAMES]) + (", ..." if len(names) > _NAMES else "")
    tasks, their = ("task is", "its") if len(names) == 1 else ("tasks are", "their")
    reasons = [task_form(stream.task).reason for stream in streams]
    if all(reasons):
        saving = f"{names[0]} cannot be cached: {reasons[0]}"
    else:
        name = names[reasons.index("")]
        saving = f"`mtmoe cache {name}` runs {their} steps once and for all"
    print(
        f"{len(names)} {tasks} not cached ({shown}): {their} steps run anew in every "
        f"pass, measured {rate:,.0f} examples a second, and resuming replays them; "
        f"{saving}",
        file=sys.stderr,
    )
