"""The data engine beside SeqIO's own mixture: start, memory, threads, rate.

    python benchmarks/data_engine.py [--seqio_tasks=1,101] [--seconds=10]

Span corruption over the embedded corpus (1 and 101 tasks), and with supervised tasks
beside it (300). Every row of the table is a process of its own; times run from the call
to the first batch, imports excluded; a packed row counts as one example. Both read the
same tasks: SeqIO from text, as it does without an offline cache; ours from the token
cache, which is filled first, and whose making is timed too.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags

_OUR_TASKS = flags.DEFINE_list("our_tasks", ["1", "101", "300"], "Rows of ours.")
_SEQIO_TASKS = flags.DEFINE_list("seqio_tasks", ["1", "101"], "Rows of SeqIO's.")
_SECONDS = flags.DEFINE_float("seconds", 10.0, "Time over which a rate is measured.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Rows in a batch.")
_INPUTS = flags.DEFINE_integer("inputs_length", 512, "Inputs length.")
_TARGETS = flags.DEFINE_integer("targets_length", 114, "Targets length.")
_CACHE = flags.DEFINE_string(
    "cache_dir", "", "Token cache to use; a new, empty one if it is not given."
)
_CHILD = flags.DEFINE_string("child", "", "Used by the benchmark itself.")

_LATE_STEP = 1_000_000
_WARM_UP_BATCHES = 20  # not timed: SeqIO's buffers go on filling behind the first batch
_LIMITS = {"1": (5.0, 1.2), "101": (8.0, 1.5), "300": (10.0, 1.8)}  # seconds, GB


def register_mixture_of(count: int) -> str:
    """Registers a mixture of `count` embedded tasks and returns its name."""
    from mtmoe.data.mixing.mixtures import register_weighted_mixture
    from mtmoe.data.tasks.registry import BUILT_IN_TASK_MODULES, register, tasks_of

    register(BUILT_IN_TASK_MODULES)
    text = [task.name for task in tasks_of("embedded.span_corruption")]
    supervised = [task.name for task in tasks_of("embedded.supervised")]
    chosen = text[:count]
    wanted = count - len(chosen)
    if wanted:
        stride = len(supervised) // wanted
        chosen += supervised[:: max(stride, 1)][:wanted]
    name = f"benchmark_of_{count}_tasks"
    register_weighted_mixture(name, dict.fromkeys(chosen, 1.0))
    return name


def open_ours(
    mixture: str, lengths: dict[str, int], start_step: int, packed: bool = False
) -> Iterator[Any]:
    """Opens our batches, of packed rows or of one example each."""
    from mtmoe.data.batches.training import Packing, TrainingBatches

    packing = Packing() if packed else None
    batches = TrainingBatches(
        mixture, _BATCH_SIZE.value, lengths, seed=0, packing=packing
    )
    return batches.iterate(start_step)


def open_seqio(mixture: str, lengths: dict[str, int], start_step: int) -> Iterator[Any]:
    """Opens SeqIO's own pipeline, padded to the same batches; it starts at 0."""
    import seqio
    import tensorflow as tf

    del start_step
    dataset = seqio.get_mixture_or_task(mixture).get_dataset(
        sequence_length=lengths, split="train", shuffle=True, seed=0, num_epochs=None
    )
    dataset = seqio.trim_and_pad_dataset(
        dataset.map(lambda row: {key: row[key] for key in lengths}), lengths
    )
    dataset = dataset.batch(_BATCH_SIZE.value).prefetch(tf.data.AUTOTUNE)
    return iter(dataset.as_numpy_iterator())


def measure(
    open_batches: Callable[[str, dict[str, int], int], Iterator[Any]],
    count: int,
    start_step: int,
) -> dict[str, float]:
    """Opens a mixture in this process and takes its figures."""
    import seqio
    import t5.data.preprocessors  # noqa: F401  not while a clock runs
    import tensorflow as tf

    import mtmoe.data.batches.training  # noqa: F401
    from mtmoe.data.vocabulary.configured import configured_vocabulary

    del seqio
    mixture = register_mixture_of(count)
    configured_vocabulary().encode("ready")
    tf.constant(0)  # TensorFlow's own start
    lengths = {"inputs": _INPUTS.value, "targets": _TARGETS.value}
    started = time.perf_counter()
    batches = open_batches(mixture, lengths, start_step)
    next(batches)
    first_batch = time.perf_counter() - started
    for _ in range(_WARM_UP_BATCHES):
        next(batches)
    started, taken = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < _SECONDS.value:
        next(batches)
        taken += 1
    return {
        "first_batch": first_batch,
        "rate": taken * _BATCH_SIZE.value / elapsed,
        "threads": len(os.listdir("/proc/self/task")),
        "memory": _peak_bytes() / 1e9,
    }


_OPEN = {
    "ours": open_ours,
    "packed": functools.partial(open_ours, packed=True),
    "seqio": open_seqio,
}


def _peak_bytes() -> int:
    with open("/proc/self/status", encoding="utf-8") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def run_child(kind: str, count: str, start_step: int = 0) -> dict[str, float]:
    """Runs one row of the table in a new process."""
    arguments = [
        f"--{flag.name}={flag.value}"
        for flag in (_SECONDS, _BATCH_SIZE, _INPUTS, _TARGETS)
    ]
    child = f"--child={kind}:{count}:{start_step}"
    done = subprocess.run(
        [sys.executable, __file__, child, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def print_row(name: str, count: str, result: dict[str, float]) -> None:
    """Prints one row of the table."""
    print(
        f"{name:24} {count:>5} tasks   first batch {result['first_batch']:7.2f} s   "
        f"{result['memory']:5.2f} GB   {result['threads']:5.0f} threads   "
        f"{result['rate']:8,.0f} examples/s",
        flush=True,
    )


def early_and_late(kind: str, name: str, count: str) -> dict[str, float]:
    """Measures a start at step 0, which is returned, and at a late step."""
    early = run_child(kind, count)
    print_row(name, count, early)
    late = run_child(kind, count, _LATE_STEP)
    print_row(f"  from step {_LATE_STEP:,}", count, late)
    more = late["first_batch"] - early["first_batch"]
    print(f"  resuming there costs {more:+.2f} s")
    return early


def main(argv: list[str]) -> None:
    """Prints the table, the ratios, and what of the aims is met."""
    del argv
    if _CHILD.value:
        kind, count, start_step = _CHILD.value.split(":")
        print(json.dumps(measure(_OPEN[kind], int(count), int(start_step))))
        return
    import importlib.metadata as metadata

    versions = [f"{n} {metadata.version(n)}" for n in ("tensorflow", "seqio", "numpy")]
    print(
        f"{', '.join(versions)}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"{_INPUTS.value}/{_TARGETS.value} tokens, batch {_BATCH_SIZE.value}"
    )
    with tempfile.TemporaryDirectory() as empty:
        os.environ["MTMOE_CACHE"] = _CACHE.value or empty
        table(dict.fromkeys(_OUR_TASKS.value), dict.fromkeys(_SEQIO_TASKS.value))


def table(our_tasks: dict[str, None], seqio_tasks: dict[str, None]) -> None:
    """Measures and prints every row, ours and the peer's in turn."""
    peers: dict[str, dict[str, float]] = {}
    ours: dict[str, dict[str, float]] = {}
    if our_tasks:
        most = max(our_tasks, key=int)
        print_row("ours, cache being made", most, run_child("ours", most))
    for count in itertools.chain(dict.fromkeys([*our_tasks, *seqio_tasks])):
        if count in our_tasks:
            ours[count] = early_and_late("ours", "ours, from the cache", count)
            early_and_late("packed", "ours, rows packed", count)
        if count in seqio_tasks:
            peers[count] = run_child("seqio", count)
            print_row("SeqIO's own mixture", count, peers[count])
    for count, result in ours.items():
        peer = peers.get(count) or peers.get("101")
        if peer:
            sooner = peer["first_batch"] / result["first_batch"]
            print(
                f"{count} tasks: first batch {sooner:.1f} x sooner, rate "
                f"{result['rate'] / peer['rate']:.1f} x SeqIO's "
                f"(at {count if count in peers else 101} tasks)"
            )
        if count in _LIMITS:
            seconds, gigabytes = _LIMITS[count]
            print(
                f"{count} tasks: first batch {_met(result['first_batch'], seconds)} s, "
                f"memory {_met(result['memory'], gigabytes)} GB, "
                f"threads {_met(result['threads'], 40)}"
            )


def _met(value: float, limit: float) -> str:
    return f"{value:.2f} of {limit:g} ({'met' if value <= limit else 'MISSED'})"


if __name__ == "__main__":
    app.run(main)
