"""Batches of many tasks: ours and SeqIO's own mixture, in one run.

Time to the first batch (imports excluded) and examples a second after it, for span
corruption over the embedded corpus. Corpus and vocabulary are made ready first.

    python benchmarks/data_batches.py [--num_tasks=101] [--seqio_tasks=10]
"""

from __future__ import annotations

import functools
import itertools
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import seqio
import t5.data.preprocessors  # noqa: F401  imported here, not while a clock runs
import tensorflow as tf
from absl import app, flags

from mtmoe.data.batches import TrainingBatches
from mtmoe.data.cache import cache_directory
from mtmoe.data.mixing.mixtures import register_mixture
from mtmoe.data.mixing.policies import Temperature
from mtmoe.data.registry import register, tasks_of
from mtmoe.data.vocabularies import configured_vocabulary

_NUM_TASKS = flags.DEFINE_integer("num_tasks", 101, "Tasks in our mixture.")
_SEQIO_TASKS = flags.DEFINE_integer("seqio_tasks", 10, "Tasks in SeqIO's; 0 skips it.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Examples in a batch.")
_INPUTS = flags.DEFINE_integer("inputs_length", 512, "Inputs length.")
_TARGETS = flags.DEFINE_integer("targets_length", 114, "Targets length.")
_SECONDS = flags.DEFINE_float("seconds", 5.0, "Time over which the rate is measured.")

MIXTURE = "embedded.span_corruption"


class Measurement(NamedTuple):
    """Seconds to the first batch, examples a second after it, threads in the end."""

    first_batch: float
    rate: float
    threads: int


def measure(open_batches: Callable[[], Iterator[Any]]) -> Measurement:
    """Runs a pipeline and takes its times."""
    start = time.perf_counter()
    batches = open_batches()
    next(batches)
    first_batch = time.perf_counter() - start
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < _SECONDS.value:
        next(batches)
        count += 1
    rate = count * _BATCH_SIZE.value / (time.perf_counter() - start)
    return Measurement(first_batch, rate, len(os.listdir("/proc/self/task")))


def first_tasks(count: int) -> str:
    """Registers a mixture of the first tasks and returns its name."""
    name = f"first_{count}_tasks"
    if name not in seqio.MixtureRegistry.names():
        tasks = [task.name for task in itertools.islice(tasks_of(MIXTURE), count)]
        register_mixture(name, tasks, functools.partial(Temperature, unit="characters"))
    return name


def ours(mixture: str, lengths: dict[str, int]) -> Iterator[Any]:
    """Opens our batches."""
    return TrainingBatches(mixture, _BATCH_SIZE.value, lengths, seed=0).iterate()


def seqios(mixture: str, lengths: dict[str, int]) -> Iterator[Any]:
    """Opens SeqIO's own pipeline, padded to the same batches."""
    dataset = seqio.get_mixture_or_task(mixture).get_dataset(
        sequence_length=lengths, split="train", shuffle=True, seed=0, num_epochs=None
    )
    dataset = seqio.trim_and_pad_dataset(
        dataset.map(lambda row: {key: row[key] for key in lengths}), lengths
    )
    dataset = dataset.batch(_BATCH_SIZE.value).prefetch(tf.data.AUTOTUNE)
    return iter(dataset.as_numpy_iterator())


def report(name: str, num_tasks: int, result: Measurement) -> None:
    """Prints one line of the table."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{name:28} {num_tasks:5} tasks   first batch {result.first_batch:7.1f} s   "
        f"{result.rate:8,.0f} examples/s   {result.threads:5} threads   "
        f"peak {memory:.1f} GB",
        flush=True,
    )


def remove_cached_tokens() -> None:
    """Empties the token cache; it can always be made again."""
    for file in (cache_directory() / "tokens").glob("*.npy"):
        file.unlink()


def main(argv: list[str]) -> None:
    """Prints the table and the ratios."""
    del argv
    print(
        f"TensorFlow {tf.__version__}, SeqIO {seqio.__version__}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()}"
    )
    lengths = {"inputs": _INPUTS.value, "targets": _TARGETS.value}
    register()
    configured_vocabulary().encode("ready")
    mixture = first_tasks(_NUM_TASKS.value)
    remove_cached_tokens()
    cold = measure(lambda: ours(mixture, lengths))
    report("ours, cold token cache", _NUM_TASKS.value, cold)
    warm = measure(lambda: ours(mixture, lengths))
    report("ours, warm token cache", _NUM_TASKS.value, warm)
    if _SEQIO_TASKS.value:
        peer = measure(lambda: seqios(first_tasks(_SEQIO_TASKS.value), lengths))
        report("SeqIO's own mixture", _SEQIO_TASKS.value, peer)
        print(
            f"ratio ours warm / SeqIO: first batch "
            f"{peer.first_batch / warm.first_batch:.1f} x sooner, "
            f"rate {warm.rate / peer.rate:.1f} x"
        )


if __name__ == "__main__":
    app.run(main)
