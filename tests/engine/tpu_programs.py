"""The train step of a small Switch Transformer, compiled for TPUs that are not here.

Run as a script it writes the golden figures anew: `make goldens`.
"""

import dataclasses
import json
import sys
from functools import lru_cache
from pathlib import Path

import tensorflow as tf

from mtmoe.engine.compile.options import Engine, xla_options
from mtmoe.engine.compile.runner import compile_program
from mtmoe.engine.devices import topology_mesh
from mtmoe.engine.hardware.topologies import named_topology
from mtmoe.engine.inspection import Inspection, inspect_compiled
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.lowered import LoweredProgram, ProgramOptions, lower
from mtmoe.mesh.precision import named_precision
from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.train.optimizers.adafactor import Adafactor
from mtmoe.train.step import step_features, train_step_builder

GOLDENS = Path(__file__).parent / "goldens"
SLICES = ("v5e:2x2", "v4:2x2x1", "v5p:2x2x1", "v6e:2x2", "tpu7x:2x2x1")
RULES = "batch:data;experts:data;d_ff:model;heads:model;vocab:model"


@lru_cache
def step(mesh_shape: str, precision: str = "bfloat16_selective") -> LoweredProgram:
    """Lowers the step; one layer of experts in the encoder, one in the decoder."""
    model = EncoderDecoder(
        vocab_size=1024,
        d_model=256,
        d_ff=1024,
        num_heads=4,
        d_kv=64,
        num_encoder_layers=1,
        num_decoder_layers=1,
        expert_layer_every=1,
        moe=MixtureOfExperts(num_experts=8),
    )
    build = train_step_builder(model, Adafactor(), lambda _: tf.constant(1e-2), 0)
    features = step_features({"inputs": 128, "targets": 64}, 16)
    layout = Layout(mesh_shape=mesh_shape, layout_rules=RULES)
    options = ProgramOptions(layout, 0, True, named_precision(precision))
    return lower(build, features, "train_step", options)


def compiled_text_and_figures(name: str) -> tuple[str, Inspection]:
    """Compiles the step for a slice, half of its devices along `model`."""
    topology = named_topology(name)
    mesh_shape = f"data:{topology.num_devices // 2};model:2"
    program = step(mesh_shape)
    mesh = topology_mesh(topology, Layout(mesh_shape=mesh_shape, layout_rules=RULES))
    asks = topology.generation.name in ("v5e", "v5p", "tpu7x")  # others ignore it
    engine = Engine({"xla_tpu_enable_async_all_to_all": True} if asks else {})
    compiled = compile_program(program, mesh, xla_options(mesh, engine)).compiled
    return compiled.as_text(), inspect_compiled(compiled)


def golden_path(name: str) -> Path:
    """Where the figures of a slice are kept."""
    return GOLDENS / f"{name.replace(':', '_')}.json"


def main() -> None:
    """Writes the figures of the slices that are named, or of all."""
    GOLDENS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or SLICES:
        _, figures = compiled_text_and_figures(name)
        content = dataclasses.asdict(figures)
        content["collectives"] = [
            list(dataclasses.astuple(collective)) for collective in figures.collectives
        ]
        rows = ",\n".join(f"  {json.dumps(row)}" for row in content.pop("collectives"))
        head = json.dumps(content, indent=1).rstrip("\n}")
        golden_path(name).write_text(f'{head},\n "collectives": [\n{rows}\n ]\n}}\n')
        print(name, figures.total_bytes, figures.flops, figures.counts())


if __name__ == "__main__":
    main()
