"""Runs layers of experts with several routers in one graph, showing what each decides.

Shape suffixes: B batch, L length, M d_model, F d_ff, G groups, S tokens of a group,
K choices, E experts, C capacity.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.features import Features
from mtmoe.mesh.layout import Layout
from mtmoe.model.features import Tokens
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.layer import MixtureOfExperts, MixtureOfExpertsLayer
from mtmoe.model.moe.routers.interface import Router, RouterInput, RouterOutput

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Witness:
    """A router that remembers what it said."""

    router: Router
    said: list[RouterOutput] = dataclasses.field(default_factory=list, compare=False)

    @property
    def causal(self) -> bool:
        return self.router.causal

    @property
    def num_choices(self) -> int:
        return self.router.num_choices

    def __call__(self, context: GraphContext, inputs: RouterInput) -> RouterOutput:
        self.said.append(self.router(context, inputs))
        return self.said[-1]


def random_tokens(
    batch: int = 4,
    length: int = 8,
    d_model: int = 6,
    seed: int = 0,
    padding: bool = True,
) -> Arrays:
    """Returns x, mask, ids and a cotangent of y."""
    generator = np.random.default_rng(seed)
    shape = [batch, length]
    lengths = generator.integers(length // 2, length + 1, [batch, 1])
    mask = np.arange(length) < lengths if padding else np.ones(shape, bool)
    return {
        "x": generator.standard_normal([*shape, d_model]).astype(np.float32),
        "mask": mask.astype(np.float32),
        "ids": np.where(mask, generator.integers(1, 50, shape), 0).astype(np.int32),
        "cotangent": generator.standard_normal([*shape, d_model]).astype(np.float32),
    }


class RouterProgram:
    """One layer of experts a router, all on the same tokens, in one function."""

    def __init__(
        self,
        routers: Mapping[str, Router],
        arrays: Arrays,
        training: bool = False,
        layout: tuple[str, str] = ("", ""),
        precision: str = "float32",
        d_ff: int = 10,
        gradients: bool = True,
        **fields: object,
    ):
        """Builds the function and draws variables of moderate size.

        Args:
          routers: by the name of their scope.
          arrays: as `random_tokens` makes them; for the shapes.
          training: whether noise is on.
          layout: mesh shape and rules.
          precision: see `MeshProgram`.
          d_ff: hidden width.
          gradients: whether to return gradients, of the objective sum(y * cotangent) +
            balance_loss + z_loss.
          **fields: of `MixtureOfExperts`.
        """
        self.program = MeshProgram(Layout(*layout), precision=precision)
        self.routers, self._fields, self._d_ff = dict(routers), fields, d_ff
        self._gradients = gradients
        signature = {k: tf.TensorSpec(v.shape, v.dtype) for k, v in arrays.items()}
        self._step = self.program.function(
            lambda context, features: (self._build(context, features), []),
            signature,
            "routers",
            training=training,
        )
        generator = np.random.default_rng(100)
        self.values = {
            name: generator.standard_normal(value.shape) if value.ndim > 1 else value
            for name, value in sorted(self.program.variables().items())
        }
        self.program.assign(self.values)

    def __call__(self, arrays: Arrays, step: int = 0) -> dict[str, Arrays]:
        """Returns what each router's layer gives, by router and name."""
        outputs = self._step(step, **arrays)
        results: dict[str, Arrays] = {name: {} for name in self.routers}
        for name, value in outputs.items():
            router, _, key = name.partition(" ")
            if value.dtype == "bfloat16":
                results[router][f"{key} dtype"] = np.array("bfloat16")
                value = value.astype(np.float32)
            results[router][key] = np.asarray(value)
        return results

    def variables(self, router: str) -> Arrays:
        """Returns the values of a router's layer by their names within its scope."""
        prefix = f"{router}/"
        return {
            name.removeprefix(prefix): value
            for name, value in self.values.items()
            if name.startswith(prefix)
        }

    def _build(
        self, context: GraphContext, features: Features
    ) -> dict[str, mtf.Tensor]:
        outputs, objectives, sources = {}, [], {}
        for name, router in self.routers.items():
            results, objective, x = self._layer(context, features, name, router)
            outputs |= {f"{name} {key}": value for key, value in results.items()}
            objectives.append(objective)
            sources[f"{name} gradient x"] = x
        if not self._gradients:
            return outputs
        for variable in context.mesh.graph.trainable_variables:
            router, _, key = variable.name.partition("/")
            sources[f"{router} gradient {key}"] = variable.outputs[0]
        gradients = mtf.gradients([mtf.add_n(objectives)], list(sources.values()))
        for name, gradient in zip(sources, gradients, strict=True):
            if gradient is not None:
                outputs[name] = gradient
        return outputs

    def _layer(
        self,
        context: GraphContext,
        features: Features,
        name: str,
        router: Router,
    ) -> tuple[dict[str, mtf.Tensor], mtf.Tensor, mtf.Tensor]:
        batch, length, d_model = features["x"].shape
        dims = [mtf.Dimension("batch", batch), mtf.Dimension("length", length)]
        shape = mtf.Shape(dims)
        wide = shape + mtf.Dimension("d_model", d_model)
        # A tensor of its own: the gradient is that of this layer alone.
        x = context.import_tensor(features["x"], wide) * 1.0
        mask = context.import_tensor(features["mask"], shape)
        ids = context.import_tensor(features["ids"], shape)
        cotangent = context.import_tensor(features["cotangent"], wide)
        witness = _Witness(router)
        config = MixtureOfExperts(router=witness, **self._fields)  # type: ignore[arg-type]
        layer = MixtureOfExpertsLayer(config, FeedForward(self._d_ff))
        with context.scope(name):
            y, routing = layer(
                context, mtf.cast(x, context.activation_dtype), Tokens(ids, mask), name
            )
        said = witness.said[0]
        tensors = {
            "y": y,
            "slot_of_token": said.slots.slot_of_token,
            "token_of_slot": said.slots.token_of_slot,
            **{k: v for k, v in vars(said).items() if k != "slots"},
            "tokens": routing.tokens,
            "expert_counts": routing.expert_counts,
            "dropped_counts": routing.dropped_counts,
            "entropy_sum": routing.entropy,
            "log_z_square_sum": routing.log_z_square,
        }
        objective = mtf.reduce_sum(mtf.cast(y, tf.float32) * cotangent)
        objective += said.balance_loss + said.z_loss
        given = {key: value for key, value in tensors.items() if value is not None}
        return given, objective, x
