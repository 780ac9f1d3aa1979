"""How full packed rows are: ours and SeqIO's packer, on the same examples.

Real examples of a mixture, in the schedule's order. Ours is given as trained on, the
ends of blocks and the empty rows of a period included, and for the very examples that
SeqIO's packer gets. Then what our choices bring, and the times.

    python benchmarks/packing_fill.py [--mixture=embedded.supervised]
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import seqio
import tensorflow as tf
from absl import app, flags

from mtmoe.data.batches.mixture_rows import MixtureRows
from mtmoe.data.mixing.rates import task_rates
from mtmoe.data.schedule.fixed_rates import packing
from mtmoe.data.schedule.packed import PERIOD, PackedSchedule
from mtmoe.data.schedule.packed_period import PACKING_BLOCK
from mtmoe.data.schedule.staged import StagedSchedule
from mtmoe.data.tasks.registry import get_mixture_or_task, register, tasks_of
from mtmoe.data.token_cache.bad_records import BadRecords

_MIXTURE = flags.DEFINE_string("mixture", "embedded.supervised", "Mixture to pack.")
_MODULE = flags.DEFINE_string(
    "task_module", "mtmoe.tasks.embedded.multitask", "Module that registers it."
)
_LENGTHS = flags.DEFINE_list(
    "lengths", ["512/512", "512/256", "512/114", "128/36"], "Inputs/targets lengths."
)
_OPEN_BINS = flags.DEFINE_integer("open_bins", 32, "Open bins.")
_PEER_EXAMPLES = flags.DEFINE_integer(
    "peer_examples", 8 * PACKING_BLOCK, "Examples that SeqIO packs; 0 leaves it out."
)

FAR_ROW = 10**9
FEATURES = ("inputs", "targets")


class Filled(NamedTuple):
    """Rows, the fraction of inputs and of targets filled, and the seconds it took."""

    rows: int
    fill: npt.NDArray[np.float64]
    seconds: float


def ours(sizes: npt.NDArray[np.int32], lengths: list[int], block: int) -> Filled:
    """Packs examples in blocks; without the empty rows of a period."""
    start = time.perf_counter()
    blocks = sizes.reshape(-1, block, len(lengths))
    num_bins = packing.first_fit(blocks, lengths, _OPEN_BINS.value)[1].sum()
    seconds = time.perf_counter() - start
    return Filled(num_bins, sizes.sum(axis=0) / (num_bins * np.array(lengths)), seconds)


def seqios(sizes: npt.NDArray[np.int32], lengths: list[int]) -> Filled:
    """Packs as many tokens by SeqIO's packer, in TensorFlow operations."""

    def examples() -> Iterator[dict[str, npt.NDArray[np.int32]]]:
        for example in sizes:
            yield {
                name: np.ones(size, np.int32)
                for name, size in zip(FEATURES, example, strict=True)
            }

    spec = tf.TensorSpec([None], tf.int32)
    dataset = seqio.trim_and_pack_dataset(
        tf.data.Dataset.from_generator(
            examples, output_signature=dict.fromkeys(FEATURES, spec)
        ),
        dict(zip(FEATURES, lengths, strict=True)),
    )
    start, rows, filled = time.perf_counter(), 0, np.zeros(2)
    for row in dataset.as_numpy_iterator():
        rows += 1
        filled += [np.count_nonzero(row[f"{n}_segment_ids"]) for n in FEATURES]
    seconds = time.perf_counter() - start
    assert np.array_equal(filled, sizes.sum(axis=0)), "SeqIO lost tokens"
    return Filled(rows, filled / (rows * np.array(lengths)), seconds)


def seconds_of(call: Callable[[], object]) -> float:
    """Returns how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def line(name: str, num_examples: int, filled: Filled) -> None:
    """Prints one line of the table."""
    inputs, targets = 100 * filled.fill
    print(
        f"  {name:42} {num_examples:8,} examples {filled.rows:7,} rows   "
        f"inputs {inputs:5.2f} %  targets {targets:5.2f} %   {filled.seconds:6.2f} s",
        flush=True,
    )


def compare(lengths: list[int]) -> None:
    """Prints the table of one pair of lengths."""
    schedule = StagedSchedule(
        [(0, task_rates(get_mixture_or_task(_MIXTURE.value)))], seed=0
    )
    by_name = {task.name: task for task in tasks_of(_MIXTURE.value)}
    tasks = [by_name[name] for name in schedule.task_names]
    by_feature = dict(zip(FEATURES, lengths, strict=True))
    start = time.perf_counter()
    rows = MixtureRows(tasks, "train", by_feature, 0, BadRecords())
    opened = time.perf_counter() - start
    sizes = rows.sizes(*schedule.rows(0, PERIOD))
    least = (sizes.sum(axis=0) / lengths).max()
    print(
        f"{lengths[0]}/{lengths[1]}: {len(tasks):,} tasks (opened in {opened:.1f} s), "
        f"examples of {sizes[:, 0].mean():.1f} and {sizes[:, 1].mean():.1f} tokens. "
        f"If nothing but the fuller feature counted: {least:,.0f} rows, inputs "
        f"{100 * sizes[:, 0].sum() / least / lengths[0]:.2f} %, targets "
        f"{100 * sizes[:, 1].sum() / least / lengths[1]:.2f} %"
    )
    packed = PackedSchedule(schedule, rows.sizes, lengths, _OPEN_BINS.value)
    plan = seconds_of(lambda: packed.rows(0, 1))
    num_rows = packed.rows_per_period()
    whole = Filled(num_rows, sizes.sum(axis=0) / (num_rows * np.array(lengths)), plan)
    line("ours, a period as trained on", PERIOD, whole)
    if _PEER_EXAMPLES.value:
        same = sizes[: _PEER_EXAMPLES.value]
        line("ours, blocks alone", len(same), ours(same, lengths, PACKING_BLOCK))
        line("SeqIO's packer", len(same), seqios(same, lengths))
    with mock.patch.object(packing, "UNEVENNESS_STEPS", 1):
        plain = ours(sizes, lengths, PACKING_BLOCK)
    line("plain first fit, blocks alone", PERIOD, plain)
    for block in (1024, 2048, PACKING_BLOCK, 2 * PACKING_BLOCK):
        line(f"ours, blocks of {block}", PERIOD, ours(sizes, lengths, block))
    held = packed.rows(0, num_rows).rows
    batch = seconds_of(lambda: [packed.rows(64 * i, 64 * i + 64) for i in range(100)])
    far = seconds_of(lambda: packed.rows(FAR_ROW, FAR_ROW + 64))
    print(
        f"  first rows {plan:.2f} s, a batch of 64 rows {batch * 1e4:.0f} us, the one "
        f"at row {FAR_ROW:,} {far:.2f} s; {len(held) / num_rows:.1f} examples a row, "
        f"{num_rows - len(np.unique(held))} of {num_rows} rows empty\n"
    )


def main(argv: list[str]) -> None:
    """Prints a table for each pair of lengths."""
    del argv
    print(
        f"TensorFlow {tf.__version__}, SeqIO {seqio.__version__}, numpy "
        f"{np.__version__}, Python {platform.python_version()}, {os.cpu_count()} "
        f"cores, load {os.getloadavg()[0]:.1f}; {_MIXTURE.value}, "
        f"{_OPEN_BINS.value} open bins"
    )
    register([_MODULE.value])
    for pair in _LENGTHS.value:
        compare([int(length) for length in pair.split("/")])


if __name__ == "__main__":
    app.run(main)
