"""A small layer of experts, its input and its weights, for tests of its results."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from oracles.model_runner import run

from mtmoe.mesh.compat import mtf
from mtmoe.model.features import Tokens
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.layer import MixtureOfExpertsLayer
from mtmoe.model.moe.routers.switch import SwitchRouter

B, L, M, F, E = 4, 8, 6, 10, 4
NO_NOISE = SwitchRouter(jitter_epsilon=0.0)


def data(seed=0, padding=True):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal([B, L, M]).astype(np.float32)
    lengths = generator.integers(1, L + 1, [B, 1]) if padding else L
    mask = np.broadcast_to(np.arange(L) < lengths, [B, L]).astype(np.float32)
    return {"x": x, "mask": mask}


def weights(num_experts=E, seed=0):
    generator = np.random.default_rng(seed + 100)
    return {
        "router": generator.standard_normal([M, num_experts]),
        "experts/wi": generator.standard_normal([num_experts, M, F]),
        "experts/wo": generator.standard_normal([num_experts, F, M]),
    }


def imported(context, features):
    batch, length, d_model = features["x"].shape
    dims = [mtf.Dimension("batch", batch), mtf.Dimension("length", length)]
    x_shape = mtf.Shape([*dims, mtf.Dimension("d_model", d_model)])
    return (
        context.import_tensor(features["x"], x_shape),
        context.import_tensor(features["mask"], mtf.Shape(dims)),
    )


def build_layer(moe, activation="relu", gradients=False):
    layer = MixtureOfExpertsLayer(moe, FeedForward(F, activation))

    def build(context, features):
        x, mask = imported(context, features)
        languages = segments = None
        if "segments" in features:
            segments = context.import_tensor(features["segments"], mask.shape)
        if "language" in features:
            languages = mtf.one_hot(
                context.import_tensor(features["language"], mask.shape),
                mtf.Dimension("languages", 3),
            )
        tokens = Tokens(mtf.cast(mask, tf.int32), mask, segments, languages)
        y, routing = layer(context, x, tokens, "encoder.1.moe")
        outputs = {
            "y": y,
            **{
                name: value
                for name, value in vars(routing).items()
                if isinstance(value, mtf.Tensor)
            },
        }
        if routing.by_language is not None:
            outputs |= {
                f"language {name}": value
                for name, value in vars(routing.by_language).items()
            }
        if gradients:
            objective = mtf.reduce_sum(mtf.square(y)) + (
                routing.balance_loss + routing.z_loss
            )
            variables = context.mesh.graph.trainable_variables
            values = [x, *(variable.outputs[0] for variable in variables)]
            names = ["x", *(variable.name for variable in variables)]
            for name, gradient in zip(
                names, mtf.gradients([objective], values), strict=True
            ):
                outputs[f"gradient {name}"] = gradient
        return outputs

    return build


def run_mesh_tensorflow(arrays, values, gating="switch", training=False, **hparams):
    """Output `y` and `loss` of `mesh_tensorflow.transformer.moe`'s layer.

    Args:
      arrays: "x" [batch, length, d_model] and "mask" [batch, length]: one group.
      values: weights by our names.
      gating: their name of the router.
      training: whether it is for training.
      **hparams: further arguments of `MoE1D`.
    """
    from oracles.mtf_transformer import moe

    layer = moe.MoE1D(
        num_experts=values["router"].shape[-1],
        hidden_size=values["experts/wi"].shape[-1],
        group_size=arrays["mask"].size,
        moe_gating=gating,
        min_expert_capacity=1,
        **hparams,
    )

    def build(context, features):
        x, mask = imported(context, features)
        y, loss = moe.transformer_moe_layer_v1(
            x,
            x.shape.dims[-1],
            layer._hparams,
            training,
            mtf.VariableDType(tf.float32, tf.float32, tf.float32),
            layout="",
            mesh_shape="",
            nonpadding=mask,
            num_microbatches=1,
        )
        return {"y": y, "loss": loss}

    weights_of_theirs = {
        f"{gating}_gating/kernel": values["router"],
        "wi/kernel": values["experts/wi"],
        "wo/kernel": values["experts/wo"],
    }
    return run(build, arrays, weights_of_theirs).outputs
