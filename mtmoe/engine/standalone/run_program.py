"""Runs a training step that `mtmoe program export` wrote, and measures it.

    python run_program.py FOLDER [--devices=N] [--steps=N] [--profile]

Nothing is needed but Python, NumPy and JAX, 0.4.35 or later, for whatever device there
is. The variables are made from the seed, the batches are in the folder. Prints whether
the losses are those that were expected, seconds of a step, tokens and FLOPs a second,
memory, and with --profile the time of each kind of operation and each layer.

Exit status: 0 the losses agree, 1 they do not, 2 the program cannot run here.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portable_program import PortableProgram  # type: ignore[import-not-found]

# Peak of dense products a device, FLOP/s: bfloat16, and float32 with whole factors,
# as the programs ask for (of GPUs outside the matrix units; of TPUs a sixth, for six
# passes). By what the device calls itself: the first name that is part of it. Of a
# TPU7x chip JAX sees two devices.
PEAKS = {
    "TPU v2": (23e12, 23e12 / 6),
    "TPU v3": (61.5e12, 61.5e12 / 6),
    "TPU v4": (275e12, 275e12 / 6),
    "TPU v5 lite": (197e12, 197e12 / 6),
    "TPU v5": (459e12, 459e12 / 6),
    "TPU v6 lite": (918e12, 918e12 / 6),
    "TPU7x": (1153.5e12, 1153.5e12 / 6),
    "A100": (312e12, 19.5e12),
    "H100 PCIe": (756e12, 51e12),
    "H100": (989e12, 67e12),
    "H200": (989e12, 67e12),
    "B200": (2250e12, 80e12),
}
_PROFILED_STEPS = 3
_WARM_STEPS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of `mtmoe program export`")
    parser.add_argument(
        "--devices", type=int, help="divide the CPU into so many devices"
    )
    parser.add_argument("--steps", type=int, default=10, help="steps to time")
    parser.add_argument("--profile", action="store_true", help="time each operation")
    options = parser.parse_args(arguments)
    if options.steps < 1 or (options.devices or 1) < 1:
        parser.error("--steps and --devices must be at least 1")
    if options.devices:
        flag = f"--xla_force_host_platform_device_count={options.devices}"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from portable_program import PortableProgram, ProgramError

    try:
        program = PortableProgram(options.folder)
        agree = _run(program, options.steps)
        if options.profile:
            _profile(program)
    except ProgramError as error:
        print(f"run_program: {error}", file=sys.stderr)
        return 2
    return 0 if agree else 1


def _run(program: PortableProgram, steps: int) -> bool:
    import jax

    content, device = program.content, program.mesh.devices.flat[0]
    count = program.mesh.size
    print(
        f"{count} x {device.device_kind} ({device.platform}); jax {jax.__version__}, "
        f"Python {platform.python_version()}\nprogram: {content['note']}"
    )
    compiled = program.compile()
    drawn = program.initialize()
    print(f"compiled in {compiled:.1f} s; variables drawn in {drawn:.1f} s")
    agree = losses_agree(program)
    seconds = _times(program, content["num_batches"], steps)
    _print_speed(program, seconds, device)
    return agree


def losses_agree(program: PortableProgram) -> bool:
    """Runs the first steps, prints their losses and whether they are those expected."""
    content: Mapping[str, Any] = program.content
    platform_name: str = program.mesh.devices.flat[0].platform
    tolerance = content["tolerance"].get(platform_name, content["tolerance"]["other"])
    found = [
        float(program.step(number, program.load_batch(number))["loss"])
        for number in range(content["num_batches"])
    ]
    expected = content["expected_losses"]
    if not expected:
        print(f"losses: {found} (none were expected: the export has none)")
        return all(map(math.isfinite, found))
    differences = [
        abs(a - b) / max(abs(b), 1e-9) for a, b in zip(found, expected, strict=True)
    ]
    agree = all(difference <= tolerance for difference in differences)
    print(
        f"losses:   {' '.join(f'{x:.6f}' for x in found)}\n"
        f"expected: {' '.join(f'{x:.6f}' for x in expected)}\n"
        f"largest relative difference {max(differences):.1e}, allowed {tolerance:.0e} "
        f"on {platform_name}: {'they agree' if agree else 'THEY DIFFER'}"
    )
    return agree


def _times(program: PortableProgram, first: int, steps: int) -> list[float]:
    import jax

    seconds = []
    for number in range(first, first + _WARM_STEPS + steps):
        batch = program.load_batch(number)
        jax.block_until_ready(batch)
        started = time.perf_counter()
        jax.block_until_ready((program.step(number, batch), program.values))
        seconds.append(time.perf_counter() - started)
    return seconds[_WARM_STEPS:]


def _print_speed(program: PortableProgram, seconds: list[float], device: Any) -> None:
    content, count = program.content, program.mesh.size
    median = statistics.median(seconds)
    print(
        f"step: median {median * 1e3:.1f} ms ({min(seconds) * 1e3:.1f} to "
        f"{max(seconds) * 1e3:.1f} of {len(seconds)}); "
        f"{content['tokens_per_step'] / median:,.0f} tokens/s"
    )
    cost = program.compiled.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost  # JAX before 0.4.36
    peak = _peak(device, content["precision"])
    for what, flops in (
        ("the model's", content["model_flops_per_step"]),
        ("the compiler's count of the", (cost or {}).get("flops", 0.0) * count),
    ):
        if flops > 0:
            share = f", {flops / median / count / peak:.1%} of the peak" if peak else ""
            print(f"{what} FLOPs: {flops:.3g} a step, {flops / median:.3g}/s{share}")
    if not peak:
        print(f"peak of a {device.device_kind!r}: not known")
    memory = program.compiled.memory_analysis()
    if memory is not None:
        print(
            f"memory of a device by the compiler: {memory.argument_size_in_bytes:,} "
            f"bytes of arguments, {memory.temp_size_in_bytes:,} temporary"
        )
    statistics_ = device.memory_stats() or {}
    if "peak_bytes_in_use" in statistics_:
        print(f"peak memory of a device: {statistics_['peak_bytes_in_use']:,} bytes")
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak memory of the process: {process:,} bytes")


def _peak(device: Any, precision: str) -> float | None:
    for name, (bfloat16, float32) in PEAKS.items():
        if name in device.device_kind:
            return float32 if precision == "float32" else bfloat16
    return None


def _profile(program: PortableProgram) -> None:
    import jax
    from operation_times import operation_times  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as folder:
        jax.profiler.start_trace(folder)
        for number in range(_PROFILED_STEPS):
            float(program.step(number, program.load_batch(number))["loss"])
        jax.profiler.stop_trace()
        times = operation_times(Path(folder), program.compiled.as_text())
    print(times.text(_PROFILED_STEPS * program.mesh.size))


if __name__ == "__main__":
    sys.dont_write_bytecode = True  # the folder stays what its MANIFEST.json says
    sys.exit(main())
