"""Seconds of a training step: ours, `transformers`, and `mesh_tensorflow.transformer`.

Each system has a process of its own; they take turns, step by step, so that what else
the machine does falls on all alike. The median step is given, with the first loss and
the seconds from the start of the process to the end of the first step; of ours also
those of a second start, which finds what the first has lowered and compiled.

    python benchmarks/train_step.py [--settings=S,S-128,base-width] [--steps=7]

`transformers` and PyTorch are needed; `--peer_python` names an interpreter that has
them. What is asked of ours is printed with each setting.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import app, flags, logging

_SETTINGS = flags.DEFINE_list("settings", ["S", "S-128", "base-width"], "Which sizes.")
_SYSTEMS = flags.DEFINE_list(
    "systems", ["ours", "two-devices", "transformers", "mesh"], "Which."
)
_STEPS = flags.DEFINE_integer("steps", 7, "Steps timed of each system.")
_PEER_PYTHON = flags.DEFINE_string(
    "peer_python", sys.executable, "Interpreter that has transformers."
)
_CHILD = flags.DEFINE_string("child", "", "SETTING:SYSTEM; used by this script.")

# Setting -> how many times faster than transformers and than mesh ours has to be.
_AIMS = {"S": (1.2, 2.2), "S-128": (1.5, 3.8), "base-width": (1.0, 2.0)}

# How many times as long a step may take on two devices that share one device's cores.
_TWO_DEVICES = 1.15


def child(setting_name: str, system_name: str) -> None:
    """Builds one system and makes a step for each line that comes in."""
    if system_name in ("ours", "two-devices"):
        from mtmoe.startup.memory import restart_with_tunables

        restart_with_tunables()  # as `mtmoe train` does
    from training_systems import SETTINGS, SYSTEMS

    logging.set_verbosity(logging.ERROR)
    setting = SETTINGS[setting_name]
    system = SYSTEMS[system_name](setting)
    # Ours is compiled in a process of its own, beside what this one has by now.
    compiling = _resident_gigabytes() + _peak_gigabytes(resource.RUSAGE_CHILDREN)
    loss = system.step(*setting.batch(0))
    _say(
        versions=system.versions,
        loss=loss,
        build=system.build_seconds,
        compile=getattr(system, "compile_seconds", 0.0),
    )
    for i, _ in enumerate(sys.stdin, start=1):
        batch = setting.batch(i)
        started = time.monotonic()
        system.step(*batch)
        seconds = time.monotonic() - started
        peak = max(_peak_gigabytes(resource.RUSAGE_SELF), compiling)
        _say(seconds=seconds, peak=peak, compiling=compiling)


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def _peak_gigabytes(who: int) -> float:
    return resource.getrusage(who).ru_maxrss * 1024 / 1e9


def _resident_gigabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e9


class Process:
    """One system in a process of its own."""

    def __init__(self, setting: str, system: str, kept: str):
        """Starts it and waits for its first step.

        Args:
          setting: name of the setting.
          system: name of the system.
          kept: folder of what ours keeps.
        """
        python = _PEER_PYTHON.value if system == "transformers" else sys.executable
        started = time.monotonic()
        self._process = subprocess.Popen(
            [python, __file__, f"--child={setting}:{system}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "MTMOE_CACHE": kept},
        )
        self.ready = self._answer()
        self.first_step = time.monotonic() - started
        self.seconds: list[float] = []
        self.peak = self.compiling = 0.0

    def step(self, timed: bool) -> None:
        """Makes it take a step."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._answer()
        self.peak, self.compiling = answer["peak"], answer["compiling"]
        if timed:
            self.seconds.append(answer["seconds"])

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"the process ended with {self._process.wait()}")


def measure(setting: str) -> None:
    """Runs all systems on one setting and prints a row each, and the ratios."""
    from training_systems import SETTINGS

    tokens = SETTINGS[setting].tokens
    print(f"\n{setting}: {SETTINGS[setting]}")
    with tempfile.TemporaryDirectory() as kept:
        processes = {name: Process(setting, name, kept) for name in _SYSTEMS.value}
        if "ours" in processes:
            again = Process(setting, "ours", kept)
            for what, process in (("first", processes["ours"]), ("second", again)):
                print(
                    f"ours, {what} start: {process.first_step:.1f} s to the end of "
                    f"the first step, {process.ready['build']:.1f} s to build and "
                    f"lower, {process.ready['compile']:.1f} s to compile",
                    flush=True,
                )
            again.close()
    for i in range(_STEPS.value + 1):
        for process in processes.values():
            process.step(timed=i > 0)  # the first after the compilation is not counted
    medians = {}
    for name, process in processes.items():
        medians[name] = statistics.median(process.seconds)
        print(
            f"{name:13} {medians[name]:6.3f} s a step "
            f"({min(process.seconds):.3f} to {max(process.seconds):.3f}), "
            f"{tokens / medians[name]:6,.0f} tokens/s, peak {process.peak:.2f} GB "
            f"({process.compiling:.2f} while compiling), "
            f"start to first step {process.first_step:.1f} s, "
            f"first loss {process.ready['loss']:.3f}   [{process.ready['versions']}]",
            flush=True,
        )
        process.close()
    if {"ours", "two-devices"} <= medians.keys():
        ratio = medians["two-devices"] / medians["ours"]
        verdict = "met" if ratio <= _TWO_DEVICES else "MISSED"
        print(
            f"two devices take {ratio:.2f} x the time of one on the same cores (wanted "
            f"at most {_TWO_DEVICES}: {verdict})"
        )
    for peer, aim in zip(("transformers", "mesh"), _AIMS[setting], strict=True):
        if peer in medians and "ours" in medians:
            ratio = medians[peer] / medians["ours"]
            verdict = "met" if ratio >= aim else "MISSED"
            print(f"ours is {ratio:.2f} x as fast as {peer} (wanted {aim}: {verdict})")


def main(argv: list[str]) -> None:
    """Measures every setting."""
    del argv
    if _CHILD.value:
        child(*_CHILD.value.split(":"))
        return
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}; float32, full step with Adafactor; medians of "
        f"{_STEPS.value} steps in turn"
    )
    for setting in _SETTINGS.value:
        measure(setting)


if __name__ == "__main__":
    app.run(main)
