"""What saving costs: the pause of training, the whole save, restoring, and a peer.

    python benchmarks/checkpoint_save.py
    python benchmarks/checkpoint_save.py --gigabytes=4 --repeats=3 --peer=orbax

Makes variables like those of a sparse model (a few large ones, many small ones), saves
them twice, the second time while another thread multiplies matrices, as training would,
and restores them, whole and one slice in eight. The first save's copy is of memory that
is new to the process; as in training, freed memory is kept. What is restored is
compared bit by bit. Each number is the median over the repeats, ours and the peer's
taking turns. The peer, orbax, checks no array data and does not read back. Restoring
reads files that the system may still hold in memory.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mtmoe.checkpoint import store
from mtmoe.checkpoint.saver import AsyncSaver
from mtmoe.startup.memory import keep_freed_memory, restart_with_tunables

Values = dict[str, np.ndarray]
ROWS = (
    "pause, first save",
    "pause of training",
    "whole save",
    "slowdown while saving",
    "restore, all",
)
SLICE = "restore, 1/8 of each"


def model_values(gigabytes: float) -> Values:
    """Returns 12 layers of experts and an embedding, and small variables."""
    generator = np.random.default_rng(0)
    elements = int(gigabytes * 1e9 / 4 / 13)
    values = {}
    for layer in range(12):
        shape = (16, 256, max(1, elements // (16 * 256)))
        values[f"layer_{layer}/moe/wi"] = generator.random(shape, np.float32)
        for name in ("scale", "router", "wi/vr"):
            values[f"layer_{layer}/{name}"] = generator.random(4096, np.float32)
    values["embedding"] = generator.random((elements // 512, 512), np.float32)
    return values


class Training:
    """Multiplies matrices until it is told to stop; counts."""

    def __init__(self) -> None:
        """Starts."""
        self.steps = 0
        self._matrix = np.random.default_rng(1).random((512, 512), np.float32)
        self._stopped = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped:
            self._matrix @ self._matrix
            self.steps += 1

    def stop(self) -> None:
        """Ends it."""
        self._stopped = True
        self._thread.join()


def measure(
    save: Callable[[int], None],
    wait: Callable[[], None],
    restore: Callable[[], Values],
    values: Values,
) -> dict[str, float]:
    """Returns seconds of each of `ROWS`; the slowdown is a ratio.

    Raises:
      ValueError: what is restored is not what was saved.
    """
    started = time.monotonic()
    save(1)
    paused_first = time.monotonic() - started
    wait()
    training = Training()
    time.sleep(0.2)
    first, started = training.steps, time.monotonic()
    time.sleep(1)
    alone = (training.steps - first) / (time.monotonic() - started)
    started, first = time.monotonic(), training.steps
    save(2)
    paused = time.monotonic() - started
    wait()
    whole = time.monotonic() - started
    beside = (training.steps - first) / whole
    training.stop()
    started = time.monotonic()
    restored = restore()
    seconds = time.monotonic() - started
    for name, value in values.items():
        if restored[name].tobytes() != value.tobytes():
            raise ValueError(f"{name} is not what was saved")
    seconds_of = (paused_first, paused, whole, alone / beside, seconds)
    return dict(zip(ROWS, seconds_of, strict=True))


def ours(folder: Path, values: Values) -> dict[str, float]:
    """Measures mtmoe."""
    saver = AsyncSaver(folder, keep=2)

    def read() -> Values:
        reader = store.open(folder, 2)
        return {name: reader.read(name) for name in reader.variables}

    def copy() -> Values:
        return {name: value.copy() for name, value in values.items()}

    found = measure(lambda step: saver.save(step, copy, {}), saver.wait, read, values)
    reader, started = store.open(folder, 2), time.monotonic()
    for name, (shape, _) in reader.variables.items():
        part = reader.read(name, size=(max(1, shape[0] // 8), *shape[1:]))
        if part.tobytes() != values[name][: max(1, shape[0] // 8)].tobytes():
            raise ValueError(f"a slice of {name} is not what was saved")
    return found | {SLICE: time.monotonic() - started}


def orbax(folder: Path, values: Values) -> dict[str, float]:
    """Measures orbax with its defaults."""
    import orbax.checkpoint as ocp

    saver = ocp.AsyncCheckpointer(ocp.StandardCheckpointHandler())

    def save(step: int) -> None:
        saver.save(folder / f"step_{step}", args=ocp.args.StandardSave(values))

    def read() -> Values:
        return dict(saver.restore(folder / "step_2", args=ocp.args.StandardRestore()))

    try:
        return measure(save, saver.wait_until_finished, read, values)
    finally:
        saver.close()


def main() -> None:
    """Prints versions, cores and a table."""
    restart_with_tunables()  # as `mtmoe train` does
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", choices=["none", "orbax"], default="none")
    parser.add_argument("--directory", help="a folder of the disk to measure")
    options = parser.parse_args()
    keep_freed_memory()
    values = model_values(options.gigabytes)
    size = sum(value.nbytes for value in values.values())
    systems = {"mtmoe": ours} | ({"orbax": orbax} if options.peer == "orbax" else {})
    found: dict[str, list[dict[str, float]]] = {name: [] for name in systems}
    for _ in range(options.repeats):
        for name, system in systems.items():
            folder = Path(tempfile.mkdtemp(dir=options.directory))
            try:
                found[name].append(system(folder, values))
            finally:
                shutil.rmtree(folder)
    packages = ["mtmoe", "numpy"] + ["orbax-checkpoint"] * (options.peer == "orbax")
    versions = " ".join(
        f"{name} {importlib.metadata.version(name)}" for name in packages
    )
    print(
        f"{versions}, {os.cpu_count()} cores, {size / 1e9:.2f} GB, "
        f"{len(values)} variables, median of {options.repeats}"
    )
    for row in (*ROWS, SLICE):
        medians = {
            name: statistics.median(one[row] for one in runs)
            for name, runs in found.items()
            if row in runs[0]
        }
        unit = "x" if "slowdown" in row else "s"
        cells = [f"{name} {value:.3f} {unit}" for name, value in medians.items()]
        if len(medians) == 2:
            cells.append(f"ratio {medians['mtmoe'] / medians['orbax']:.2f}")
        print(f"{row:24} " + "   ".join(cells))


if __name__ == "__main__":
    main()
