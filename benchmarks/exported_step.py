"""An exported training step beside `transformers`' step of the same sizes, in turn.

    mtmoe program export --gin_file=F --output_dir=step --random_tokens
    python benchmarks/exported_step.py step [--steps=10]

Made for a GPU: there NumPy, JAX, PyTorch and `transformers` are needed, and of this
repository the folder `benchmarks` and `mtmoe/engine/standalone` alone. Where JAX finds
no GPU, both run on the CPU. Ours first checks its losses against those expected. The
peer has the same layers, experts, batches and optimizer, in float32 or, where ours is
`bfloat16_selective`, with PyTorch's autocast to bfloat16; it drops no tokens, and
predicts the targets from the same inputs. Prints the medians and the ratio.

Exit status: 0, or 1 where ours gives other losses than the export says.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # two share the memory
_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent / "mtmoe/engine/standalone"))

from portable_program import PortableProgram  # type: ignore[import-not-found]  # noqa: E402
from run_program import losses_agree  # type: ignore[import-not-found]  # noqa: E402
from training_systems import Setting, Transformers  # noqa: E402

_WARM_STEPS = 2


def peer_setting(program: PortableProgram) -> Setting:
    """Reads the sizes of an exported model off its variables and features."""
    shapes = {a.name: a.shape for a in program.signature.variables}
    features = {a.name: a.shape for a in program.signature.features}
    layers = {name.split("/")[1] for name in shapes if name.startswith("encoder/layer")}
    vocab_size, d_model = shapes["embedding"]
    batch_size, input_length = features["inputs"]
    num_experts, _, d_ff = shapes["encoder/layer_001/moe/experts/wi"]
    return Setting(
        d_model=d_model,
        d_ff=d_ff,
        num_heads=shapes["encoder/layer_000/self_attention/q"][1],
        num_layers=len(layers),
        num_experts=num_experts,
        batch_size=batch_size,
        vocab_size=vocab_size,
        input_length=input_length,
        target_length=features["targets"][1],
    )


def main() -> int:
    """Runs both; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of `mtmoe program export`")
    parser.add_argument("--steps", type=int, default=10, help="steps to time")
    options = parser.parse_args()
    import jax

    program = PortableProgram(options.folder)
    content, device = program.content, program.mesh.devices.flat[0]
    setting = peer_setting(program)
    print(f"{device.device_kind}; jax {jax.__version__}\n{content['note']}\n{setting}")
    program.compile()
    program.initialize()
    agree = losses_agree(program)
    is_gpu = device.platform in ("gpu", "cuda", "rocm")
    precision = "float32" if content["precision"] == "float32" else "bfloat16"
    peer = Transformers(setting, "cuda" if is_gpu else "cpu", precision)
    print(
        f"{content['parameters']:,} parameters; {peer.parameters:,} of the peer "
        f"[{peer.versions}]"
    )

    def our_step(number: int) -> None:
        outputs = program.step(number, program.load_batch(number))
        jax.block_until_ready((outputs, program.values))

    def peer_step(number: int) -> None:
        folder = options.folder / "batches" / str(number % content["num_batches"])
        peer.step(*(np.load(folder / f"{name}.npy") for name in ("inputs", "targets")))

    systems = {"ours": our_step, "transformers": peer_step}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(_WARM_STEPS + options.steps):
        for name, step in systems.items():
            started = time.perf_counter()
            step(number)
            seconds[name].append(time.perf_counter() - started)
    medians = {}
    for name, times in seconds.items():
        timed = times[_WARM_STEPS:]
        median = medians[name] = statistics.median(timed)
        print(
            f"{name:13} {median * 1e3:8.1f} ms a step ({min(timed) * 1e3:.1f} to "
            f"{max(timed) * 1e3:.1f}), {content['tokens_per_step'] / median:,.0f} "
            "tokens/s"
        )
    ratio = medians["transformers"] / medians["ours"]
    print(f"ours is {ratio:.2f} x as fast as transformers, {precision}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
