"""Ten steps on one device and on many: how far losses and weights are apart.

`make agreement` writes what it measures into docs/layouts.md. In any other run nothing
is written, and what is measured must keep the bounds.

Dropout, expert dropout and jitter are on in all of them. What does not depend on an
encoder is compared in a decoder alone, which compiles in half the time, and an
encoder-decoder in the layouts that split most. Expert choice is not causal and so in no
model with a decoder; the tests of its layer compare layouts.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from oracles.model_runner import (
    for_decoder,
    random_batch,
    segmented,
    tiny_decoder,
    tiny_model,
    tiny_moe,
)

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.layout import Layout
from mtmoe.model.moe.routers.base import BaseRouter
from mtmoe.model.moe.routers.hash import HashRouter
from mtmoe.model.moe.routers.no_token_left_behind import NoTokenLeftBehindRouter
from mtmoe.model.moe.routers.random import RandomRouter
from mtmoe.model.moe.routers.sinkhorn import SinkhornRouter
from mtmoe.model.moe.routers.top_2 import Top2Router
from mtmoe.model.moe.routers.top_k import TopKRouter
from mtmoe.model.parts import Model, takes_inputs
from mtmoe.train.optimizers.adafactor import Adafactor
from mtmoe.train.step import StepMemory, train_step_builder

STEPS, ROWS = 10, 8
_PAGE = Path(__file__).parents[2] / "docs" / "layouts.md"
_WRITING = "MTMOE_WRITE_AGREEMENT" in os.environ
_BEGIN, _END = "<!-- agreement: begin -->\n", "<!-- agreement: end -->"
_HEAD = f"""Measured by `make agreement` on CPU devices: tiny models, {STEPS} steps,
dropout and jitter on; the runs named encoder-decoder have one, the others a decoder
alone. Microbatches and layers recomputed are compared with one device that does
without. Losses: the largest relative difference of a step's loss from
that of one device. Weights: the largest difference over all variables after the last
step, relative to the largest element of the variable.

| run | layout | devices | losses | weights |
|---|---|---|---|---|
"""

ONE = Layout()
DATA_2 = Layout("data:2", "batch:data")
DATA_EXPERT = Layout("data:4", "batch:data;experts:data")
MODEL = "heads:model;d_ff:model;vocab:model"
DATA_MODEL = Layout("data:2;model:2", f"batch:data;experts:data;{MODEL}")
LAYOUTS = [
    DATA_2,
    Layout("data:4", "batch:data"),
    Layout("model:2", MODEL),
    Layout("data:2;model:2", f"batch:data;{MODEL}"),
    DATA_EXPERT,
    DATA_MODEL,
    Layout("outer:2;data:2", "outer_batch:outer;batch:data;experts:data"),
    Layout("data:2", "batch:data;optimizer_state:data"),
]
LAYOUTS_OF_BOTH = [
    DATA_MODEL,
    Layout("data:2;sequence:2", "batch:data;experts:data;length:sequence"),
    Layout("data:4;model:2", f"batch:data;experts:data;{MODEL}"),
]


@dataclasses.dataclass(frozen=True)
class Run:
    """What is trained, and how far apart two layouts of it may be.

    Attributes:
      name: in the table.
      beside: the name of the run on one device that it is compared with, where that is
        another one, which computes the same in another way.
    """

    name: str
    model: Model
    packed: bool = False
    precision: str = "float32"
    memory: StepMemory = StepMemory()  # noqa: RUF009  (frozen)
    losses: float = 1e-5
    weights: float = 1e-5
    beside: str = ""


def model() -> Model:
    """Returns one layer of experts in encoder and decoder."""
    return tiny_model(
        num_encoder_layers=1,
        num_decoder_layers=1,
        expert_layer_every=1,
        dropout_rate=0.1,
        moe=tiny_moe(group_size=None, dropout_rate=0.1, minimum=2),
    )


def decoder(router=None) -> Model:
    """Returns a decoder alone, with one layer of experts."""
    return tiny_decoder(
        dropout_rate=0.1,
        moe=tiny_moe(group_size=None, router=router, dropout_rate=0.1, minimum=2),
    )


SWITCH = Run("Switch", decoder())
SWITCH_OF_BOTH = Run("Switch, encoder-decoder", model())
ROUTERS = [
    Run("top 2", decoder(Top2Router())),
    Run("top k", decoder(TopKRouter(k=3))),
    Run("hash", decoder(HashRouter(vocab_size=32))),
    Run("random", decoder(RandomRouter())),
    Run("Sinkhorn", decoder(SinkhornRouter())),
    Run("BASE", decoder(BaseRouter())),
    Run("no token left behind", decoder(NoTokenLeftBehindRouter())),
]
OTHERS = [
    (Run("packed rows, encoder-decoder", model(), packed=True), DATA_MODEL),
    (
        Run("two microbatches", decoder(), memory=StepMemory(2), beside="Switch"),
        DATA_2,
    ),
    (
        Run(
            "layers recomputed",
            decoder(),
            memory=StepMemory(1, recompute_layers=True),
            beside="Switch",
        ),
        DATA_MODEL,
    ),
    (
        Run(
            "bfloat16_selective",
            decoder(),
            precision="bfloat16_selective",
            losses=5e-3,
            weights=2e-1,
        ),
        DATA_MODEL,
    ),
]
CASES = [
    *((SWITCH, layout) for layout in LAYOUTS),
    *((SWITCH_OF_BOTH, layout) for layout in LAYOUTS_OF_BOTH),
    *((run, DATA_EXPERT) for run in ROUTERS),
    *OTHERS,
]
_rows: dict[int, str] = {}


def batch(run: Run, step: int) -> dict[str, np.ndarray]:
    """Returns rows of random ids, of two languages; packed ones of two segments."""
    arrays = segmented(random_batch(batch=ROWS, seed=step))
    for name in ("inputs", "targets"):
        used = arrays[f"{name}_segments"]
        rows = np.arange(ROWS, dtype=np.int32)[:, np.newaxis]
        arrays[f"{name}_language"] = np.where(used > 0, rows % 2, -1).astype(np.int32)
        if run.packed:
            half = np.arange(used.shape[1]) >= used.shape[1] // 2
            arrays[f"{name}_segments"] = used * (1 + half).astype(np.int32)
    if not takes_inputs(run.model):
        return for_decoder(arrays)
    return arrays


def train(run: Run, layout: Layout) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Returns the loss of each step, and the variables after the last."""
    program = MeshProgram(layout, seed=1, precision=run.precision)
    signature = {
        name: tf.TensorSpec(x.shape, x.dtype) for name, x in batch(run, 0).items()
    }
    build = train_step_builder(
        run.model,
        Adafactor(min_dim_size_to_factor=16),
        lambda step: 0.01 / (1.0 + tf.cast(step, tf.float32)),
        num_languages=2,
        packed=run.packed,
        memory=run.memory,
    )
    step_function = program.function(build, signature, "train", training=True)
    losses = [
        float(step_function(step, **batch(run, step))["loss"]) for step in range(STEPS)
    ]
    return np.array(losses), program.variables()


@functools.cache
def on_one_device(name: str) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    (run,) = {id(run): run for run, _ in CASES if run.name == name}.values()
    return train(run, ONE)


@pytest.fixture(scope="module", autouse=True)
def _page() -> Iterator[None]:
    yield
    if _WRITING:
        text = _PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(_BEGIN)
        _, _, after = rest.partition(_END)
        table = _HEAD + "".join(_rows[number] for number in sorted(_rows))
        _PAGE.write_text(before + _BEGIN + table + _END + after, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=lambda n: f"{CASES[n][0].name}-{n}"
)
def test_losses_and_weights_are_those_of_one_device(number):
    run, layout = CASES[number]
    one_losses, one_variables = on_one_device(run.beside or run.name)
    losses, variables = train(run, layout)
    assert len(set(losses)) == STEPS
    apart = np.max(np.abs(losses - one_losses) / np.abs(one_losses))
    assert variables.keys() == one_variables.keys()
    weights = max(
        np.max(np.abs(variables[name] - value)) / max(np.max(np.abs(value)), 1e-6)
        for name, value in one_variables.items()
    )
    _rows[number] = (
        f"| {run.name} | `{layout.mesh_shape}` `{layout.layout_rules}` | "
        f"{layout.size} | {apart:.0e} | {weights:.0e} |\n"
    )
    assert apart <= run.losses and weights <= run.weights, (apart, weights)
