"""What saving costs within training: the pause, and the step beside it.

    python benchmarks/save_in_training.py
    python benchmarks/save_in_training.py --settings=S-128 --saves=9

Trains each setting of `training_systems.py`, in a process of its own, and saves after
every few steps as `mtmoe train` does. The first save's copy is of memory that is new to
the process, so it is shown apart; of the others the median is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from training_systems import SETTINGS, Ours

from mtmoe.checkpoint.pieces import Piece
from mtmoe.checkpoint.saver import AsyncSaver
from mtmoe.startup.memory import restart_with_tunables

_STEPS_BETWEEN = 4


class Training:
    """Trains one setting, step by step."""

    def __init__(self, setting: str):
        """Makes the model, and the first steps."""
        self.steps = 0
        self._setting = SETTINGS[setting]
        self._ours = Ours(self._setting)
        self.slices = self._ours.program.slices
        for _ in range(3):
            self.step()

    def step(self) -> float:
        """Makes a step; returns its seconds."""
        started = time.monotonic()
        self._ours.step(*self._setting.batch(self.steps))
        self.steps += 1
        return time.monotonic() - started


def measure(setting: str, saves: int) -> None:
    """Prints the row of a setting."""
    training = Training(setting)
    alone, beside, pauses = [], [], []
    folder = Path(tempfile.mkdtemp())
    saver = AsyncSaver(folder, keep=2)
    try:
        for _ in range(saves):
            alone += [training.step() for _ in range(_STEPS_BETWEEN)]
            before = saver.stalled_seconds
            saver.save(
                training.steps, lambda: [Piece(*p) for p in training.slices()], {}
            )
            pauses.append(saver.stalled_seconds - before)
            beside.append(training.step())
            saver.wait()
    finally:
        shutil.rmtree(folder)
    size = sum(part.values.nbytes for part in training.slices())
    step, pause = statistics.median(alone), statistics.median(pauses[1:])
    print(
        f"{setting}: {size / 1e9:.2f} GB, step {step:.2f} s, "
        f"pause {pause:.3f} s = {pause / step:.1%} of it, the first {pauses[0]:.3f} s, "
        f"step beside the writing {statistics.median(beside):.2f} s",
        flush=True,
    )


def main() -> None:
    """Measures each setting in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", default=",".join(SETTINGS))
    parser.add_argument("--saves", type=int, default=5)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.saves < 2:
        parser.error("--saves: the first one is shown apart, so 2 at least")
    if options.child:
        measure(options.settings, options.saves)
        return
    restart_with_tunables()  # as `mtmoe train` does
    print(f"{os.cpu_count()} cores", flush=True)
    for setting in options.settings.split(","):
        command = [sys.executable, __file__, "--child", f"--settings={setting}"]
        subprocess.run(
            [*command, f"--saves={options.saves}"],
            check=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )


if __name__ == "__main__":
    main()
