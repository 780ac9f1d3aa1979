"""Runs a mesh graph once on given arrays, for tests that compare layouts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from jax.extend.mlir import ir
from jax.interpreters import mlir

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.features import Features
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.lowered import LoweredProgram

Outputs = dict[str, mtf.Tensor]


def run_mesh(
    build: Callable[[GraphContext, Features], Outputs],
    arrays: dict[str, np.ndarray],
    mesh_shape: str = "",
    layout_rules: str = "",
) -> dict[str, np.ndarray]:
    """Returns the outputs of `build` on `arrays`, under one layout."""
    program = MeshProgram(Layout(mesh_shape, layout_rules))
    signature = {
        name: tf.TensorSpec(array.shape, array.dtype) for name, array in arrays.items()
    }
    step = program.function(
        lambda context, features: (build(context, features), []), signature, "test"
    )
    return {name: np.asarray(value) for name, value in step(0, **arrays).items()}


def stablehlo_text(program: LoweredProgram) -> str:
    """Returns a lowered program as MLIR text."""
    with mlir.make_ir_context():
        return str(ir.Module.parse(program.stablehlo))


def with_gradients(
    outputs: Outputs, weights: dict[str, mtf.Tensor], inputs: Outputs
) -> Outputs:
    """Adds `grad_<input>`: gradients of the sum of outputs times their `weights`."""
    names = list(weights)
    gradients = mtf.gradients(
        [outputs[name] for name in names],
        list(inputs.values()),
        grad_ys=[weights[name] for name in names],
    )
    return outputs | {
        f"grad_{name}": gradient
        for name, gradient in zip(inputs, gradients, strict=True)
    }
