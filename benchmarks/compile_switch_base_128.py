"""Switch-Base with 128 experts compiled for 32 chips of TPU v5e, without a TPU.

The whole training step, 7.4 billion parameters, is lowered for one processor and given
to the TPU's compiler: memory a device, operations, and what is sent. No variable is
made, so any machine with some 6 GB of memory will do; it takes three minutes and more.

    pip install 'mtmoe[tpu]'   # or set TPU_LIBRARY_PATH to a libtpu.so
    python benchmarks/compile_switch_base_128.py
"""

from __future__ import annotations

import os
import platform
import time
from collections import Counter

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

_SLICE = flags.DEFINE_string("hardware", "v5e-32", "Slice of TPUs to compile for.")
_MESH = flags.DEFINE_string("mesh_shape", "data:32", "Layout.mesh_shape.")
_RULES = flags.DEFINE_string(
    "layout_rules",
    "batch:data;experts:data",
    "Layout.layout_rules.",
)
_BATCH = flags.DEFINE_integer("batch_size", 256, "Rows of the whole batch.")
_GROUP = flags.DEFINE_integer(
    "group_size",
    1024,
    "MixtureOfExperts.group_size, so small that the layout cuts no group; 8 rows a "
    "chip cut the default ones.",
)
_GIN = flags.DEFINE_string("gin_file", "models/switch_base_128.gin", "The model.")

# The same step as first tried with this compiler, before the engine was written.
_PROTOTYPE = {"arguments": 1.92, "temporary": 4.49, "all-to-all": 48}


def main(argv: list[str]) -> None:
    """Lowers, compiles, and prints the figures."""
    del argv
    import jax
    import tensorflow as tf

    from mtmoe.config.load import load_config
    from mtmoe.engine.compile.options import xla_options
    from mtmoe.engine.compile.runner import compile_program
    from mtmoe.engine.devices import topology_mesh
    from mtmoe.engine.hardware.topologies import named_topology
    from mtmoe.engine.inspection import inspect_compiled
    from mtmoe.mesh.layout import Layout
    from mtmoe.mesh.lowered import ProgramOptions, lower
    from mtmoe.mesh.precision import named_precision
    from mtmoe.model.encoder_decoder import EncoderDecoder
    from mtmoe.train.optimizers.adafactor import Adafactor
    from mtmoe.train.step import step_features, train_step_builder

    topology = named_topology(_SLICE.value)
    layout = Layout(mesh_shape=_MESH.value, layout_rules=_RULES.value)
    mesh = topology_mesh(topology, layout)
    print(
        f"Python {platform.python_version()}, jax {jax.__version__}, TensorFlow "
        f"{tf.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    load_config([_GIN.value], [f"MixtureOfExperts.group_size = {_GROUP.value}"])
    build = train_step_builder(
        EncoderDecoder(), Adafactor(), lambda _: tf.constant(1e-2), 0
    )
    program = lower(
        build,
        step_features({"inputs": 512, "targets": 114}, _BATCH.value),
        "train_step",
        ProgramOptions(layout, 0, True, named_precision("bfloat16_selective")),
    )
    print(f"lowered in {program.seconds:.0f} s: {len(program.stablehlo) / 1e6:.1f} MB")
    options = xla_options(mesh)
    started = time.monotonic()
    compiled = compile_program(program, mesh, options).compiled
    print(f"compiled in {time.monotonic() - started:.0f} s with {options}")

    figures = inspect_compiled(compiled)
    generation = topology.generation
    print(
        f"{topology.name}, {topology.num_devices} devices, of each: arguments "
        f"{figures.argument_bytes / 1e9:.2f} GB (first tried: "
        f"{_PROTOTYPE['arguments']}), temporary {figures.temporary_bytes / 1e9:.2f} GB "
        f"({_PROTOTYPE['temporary']}), of {generation.usable_bytes / 1e9:.1f} GB; "
        f"{figures.flops / 1e12:.2f} TFLOP a step"
    )
    kinds: Counter[tuple[str, str, bool]] = Counter()
    sent: Counter[tuple[str, str, bool]] = Counter()
    for collective in figures.collectives:
        key = (collective.kind, collective.dtype, collective.asynchronous)
        kinds[key] += 1
        sent[key] += collective.num_bytes
    for (kind, dtype, asynchronous), count in sorted(kinds.items()):
        how = "asynchronous" if asynchronous else "synchronous"
        size = sent[kind, dtype, asynchronous] / 1e6
        print(f"  {count:3} x {kind} of {dtype}, {how}, {size:,.1f} MB in all")
    count = figures.count("all-to-all")
    print(f"all-to-all: {count} (first tried: {_PROTOTYPE['all-to-all']})")


if __name__ == "__main__":
    app.run(main)
