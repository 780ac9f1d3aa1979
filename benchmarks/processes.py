"""What it costs to be several processes: a step of one, and of several.

    python benchmarks/processes.py
    python benchmarks/processes.py --processes=1,2,4 --steps=200 --width=512

Trains a small sparse model on made-up ids with as many CPU devices as the largest
number of processes, split over the processes, and checks that the losses are the same
to the last bit. Prints milliseconds a step, the median over the steps after the first
tenth, and how often processors wait for each other in a step. With fewer cores than
processes the processes take turns, and much of a step is waiting.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

ROWS, LENGTH = 16, 32
COLLECTIVE = re.compile(r" (all-reduce|all-gather|all-to-all|reduce-scatter)\(")


def main() -> None:
    """Prints the table, or is one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", default="1,2,4")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--devices", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.devices:
        train(flags.devices, flags.width, flags.steps)
        return
    counts = [int(count) for count in flags.processes.split(",")]
    print(f"{max(counts)} devices, {os.cpu_count()} cores, width {flags.width}")
    print("processes  ms a step  to one process  collectives")
    first: dict[str, Any] = {}
    for count in counts:
        run = started(count, max(counts), flags)
        first = first or run
        for loss, expected in zip(run["losses"], first["losses"], strict=True):
            if loss != expected:
                raise SystemExit(f"{count} processes computed other losses")
        ratio = run["seconds"] / first["seconds"]
        print(
            f"{count:9}  {1e3 * run['seconds']:9.1f}  {ratio:13.1f} x"
            f"  {run['collectives']:11}",
            flush=True,
        )


def started(count: int, devices: int, flags: argparse.Namespace) -> dict[str, Any]:
    """Runs processes to the end; returns what the first one measured."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, __file__, f"--devices={devices}"]
    command += [f"--steps={flags.steps}", f"--width={flags.width}"]
    with contextlib.ExitStack() as stack:
        processes = []
        for number in range(count):
            environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
            if count > 1:
                environment["MTMOE_COORDINATOR"] = f"127.0.0.1:{port}"
                environment["MTMOE_NUM_PROCESSES"] = str(count)
                environment["MTMOE_PROCESS_ID"] = str(number)
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, text=True
            )
            stack.callback(process.kill)
            processes.append(process)
        outputs = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            raise SystemExit("a process failed")
    result: dict[str, Any] = json.loads(outputs[0].splitlines()[-1])
    return result


def train(devices: int, width: int, steps: int) -> None:
    """One process: trains, and prints the losses and the time of a step."""
    from mtmoe.startup.memory import keep_freed_memory, restart_with_tunables

    restart_with_tunables()  # as the commands do
    from mtmoe.engine.processes.current import start_processes
    from mtmoe.startup.importing import import_tensorflow

    keep_freed_memory()
    import_tensorflow()
    processes = start_processes()
    result = measured(devices, width, steps)
    if processes.is_first:
        print(json.dumps(result), flush=True)
    processes.leave(0)


def measured(devices: int, width: int, steps: int) -> dict[str, Any]:
    """Trains; returns the losses, seconds a step, and collectives a step."""
    import numpy as np
    import tensorflow as tf

    from mtmoe.engine.program import MeshProgram
    from mtmoe.mesh.layout import Layout
    from mtmoe.model.encoder_decoder import EncoderDecoder
    from mtmoe.model.moe.mixture import MixtureOfExperts
    from mtmoe.train.optimizers.adafactor import Adafactor
    from mtmoe.train.step import step_features, train_step_builder

    model = EncoderDecoder(
        vocab_size=512,
        d_model=width,
        d_ff=4 * width,
        num_heads=width // 16,
        d_kv=16,
        num_encoder_layers=2,
        num_decoder_layers=2,
        moe=MixtureOfExperts(num_experts=4),
    )
    features = step_features({"inputs": LENGTH, "targets": LENGTH}, ROWS)
    step_function = MeshProgram(Layout(f"data:{devices}", "batch:data")).function(
        train_step_builder(model, Adafactor(), lambda _: tf.constant(0.01), 0),
        features,
        "train_step",
        training=True,
    )
    compiled = step_function.executable.compiled.as_text()
    generator = np.random.default_rng(0)
    losses, seconds = [], []
    for step in range(steps):
        batch = {
            name: generator.integers(2, 512, spec.shape, np.int32)
            if name in ("inputs", "targets")
            else np.zeros(spec.shape, np.int32) + name.endswith("_segments")
            for name, spec in features.items()
        }
        begun = time.monotonic()
        losses.append(float(step_function(step, **batch)["loss"]))
        seconds.append(time.monotonic() - begun)
    return {
        "losses": losses,
        "seconds": statistics.median(seconds[steps // 10 :]),
        "collectives": len(COLLECTIVE.findall(compiled)),
    }


if __name__ == "__main__":
    main()
