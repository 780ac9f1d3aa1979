"""Runs layers and models on arrays, with given or initial variables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.features import Features
from mtmoe.mesh.layout import Layout
from mtmoe.model.decoder_only import DecoderOnly
from mtmoe.model.decoding.steps import decode_step, start_decoding
from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.model.features import Tokens, shift_right
from mtmoe.model.moe.capacity import Capacity
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.moe.routers.switch import SwitchRouter
from mtmoe.model.parts import Model

Outputs = dict[str, mtf.Tensor]
Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Run:
    """Outputs of one run and the variables it used."""

    outputs: Arrays
    variables: Arrays


def run(
    build: Callable[[GraphContext, Features], Outputs],
    arrays: Mapping[str, np.ndarray],
    variables: Mapping[str, np.ndarray] | None = None,
    training: bool = False,
    program: MeshProgram | None = None,
) -> Run:
    """Builds and runs `build` once, at step 0.

    Args:
      build: returns outputs by name.
      arrays: features by name.
      variables: values to set first; initial values by default.
      training: whether dropout and jitter are on.
      program: where the variables live; a new one on one device by default.
    """
    program = program or MeshProgram()
    signature = {
        name: tf.TensorSpec(array.shape, array.dtype) for name, array in arrays.items()
    }
    step = program.function(
        lambda context, features: (build(context, features), []),
        signature,
        "test",
        training=training,
    )
    if variables is not None:
        program.assign(variables)
    outputs = {name: np.asarray(value) for name, value in step(0, **arrays).items()}
    return Run(outputs, program.variables())


def run_randomized(
    build: Callable[[GraphContext, Features], Outputs],
    arrays: Mapping[str, np.ndarray],
    program: MeshProgram | None = None,
) -> tuple[Arrays, Arrays]:
    """Outputs of a build function with random variables, and the variables.

    Biases and scales begin at 0 and 1, where a mistake would not show.
    """
    program = program or MeshProgram()
    signature = {k: tf.TensorSpec(v.shape, v.dtype) for k, v in arrays.items()}
    function = program.function(
        lambda context, features: (build(context, features), []), signature, "test"
    )
    generator = np.random.default_rng(1)
    variables = {
        name: (value + 0.3 * generator.standard_normal(value.shape)).astype(np.float32)
        for name, value in sorted(program.variables().items())
    }
    program.assign(variables)
    outputs = function(0, **arrays)
    return {k: np.asarray(v) for k, v in outputs.items()}, variables


def by_steps(
    context: GraphContext, model: Model, inputs: Tokens, targets: Tokens
) -> mtf.Tensor:
    """Logits of the targets from `start_decoding` and `decode_step`."""
    length = targets.ids.shape.dims[1]
    state = start_decoding(context, model, inputs, length.size)
    ids, logits = shift_right(targets), []
    for place in range(length.size):
        token = Tokens(
            mtf.slice(ids, place, 1, "length"),
            mtf.slice(targets.nonpadding, place, 1, "length"),
        )
        number = mtf.constant(context.mesh, place, mtf.Shape([]), tf.int32)
        step_logits, state = decode_step(context, model, token, state, number)
        logits.append(step_logits)
    return mtf.concat(logits, "length")


def layout_program(mesh_shape: str = "", rules: str = "", seed: int = 0) -> MeshProgram:
    """Returns a program on a mesh of CPU devices."""
    return MeshProgram(Layout(mesh_shape, rules), seed=seed)


def tiny_model(**overrides: object) -> EncoderDecoder:
    """Returns a sparse model of 2 + 2 layers with 4 experts."""
    moe = overrides.pop("moe", tiny_moe())
    fields = {
        "vocab_size": 32,
        "d_model": 16,
        "d_ff": 32,
        "num_heads": 4,
        "d_kv": 8,
        "num_encoder_layers": 2,
        "num_decoder_layers": 2,
        "initialization_scale": 1.0,
    }
    return EncoderDecoder(**(fields | overrides), moe=moe)  # type: ignore[arg-type]


def tiny_decoder(**overrides: object) -> DecoderOnly:
    """Returns a sparse decoder alone, of one layer with 4 experts."""
    fields = {
        "vocab_size": 32,
        "d_model": 16,
        "d_ff": 32,
        "num_heads": 4,
        "d_kv": 8,
        "num_layers": 1,
        "expert_layer_every": 1,
        "initialization_scale": 1.0,
    }
    return DecoderOnly(**(fields | {"moe": tiny_moe()} | overrides))  # type: ignore[arg-type]


def tiny_moe(
    num_experts: int = 4,
    group_size: int | None = 4096,
    router: SwitchRouter | None = None,
    dropout_rate: float = 0.0,
    **capacity: object,
) -> MixtureOfExperts:
    """Returns experts with the capacity fields given by name."""
    return MixtureOfExperts(
        num_experts,
        router or SwitchRouter(),
        Capacity(**capacity),  # type: ignore[arg-type]
        group_size,
        dropout_rate,
    )


def segmented(batch: Mapping[str, np.ndarray]) -> Arrays:
    """Adds segments (one a row, where ids are not 0) and no languages to a batch."""
    arrays = dict(batch)
    for name in ("inputs", "targets"):
        used = (batch[name] != 0).astype(np.int32)
        arrays.setdefault(f"{name}_segments", used)
        arrays.setdefault(f"{name}_language", np.full_like(used, -1))
    return arrays


def for_decoder(arrays: Mapping[str, np.ndarray], prefix: int = 2) -> Arrays:
    """Returns the targets of a segmented batch as a decoder alone takes them.

    The first `prefix` positions are read both ways; every token counts.
    """
    targets = {k: v for k, v in arrays.items() if k.startswith("targets")}
    used = targets["targets_segments"]
    starts = np.arange(used.shape[1], dtype=np.int32) < prefix
    targets["targets_prefix"] = used * starts
    targets["targets_loss_weights"] = used.astype(np.float32)
    return targets


def random_batch(
    batch: int = 4, inputs: int = 12, targets: int = 6, vocab: int = 32, seed: int = 0
) -> Arrays:
    """Returns int32 inputs and targets of random lengths, padded with 0 at the end."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for name, length in (("inputs", inputs), ("targets", targets)):
        ids = generator.integers(1, vocab, [batch, length])
        lengths = generator.integers(length // 2, length + 1, [batch, 1])
        lengths[0] = length
        arrays[name] = np.where(np.arange(length) < lengths, ids, 0).astype(np.int32)
    return arrays
