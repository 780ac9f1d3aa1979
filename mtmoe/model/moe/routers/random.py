"""Random routing: the baseline that every learned router has to beat."""

from __future__ import annotations

import dataclasses

import gin
import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.random import name_key, slice_bits, uniform_from_bits
from mtmoe.model.moe.routers.interface import Router, RouterInput, RouterOutput
from mtmoe.model.moe.routers.unscored import unscored_output


@gin.configurable
@dataclasses.dataclass(frozen=True)
class RandomRouter(Router):
    """A uniform expert for every token, weight 1.

    THOR (Zuo et al. 2022, section 3) draws experts for a whole batch; here each token
    has its own. While training they are drawn anew at every step. Otherwise they are a
    pure function of the layer and the token's id, so that what becomes of an example
    depends neither on its place in a batch nor on whether it is written one token at a
    time.
    """

    @property
    def num_matrices(self) -> int:
        """None: nothing is learned."""
        return 0

    def __call__(self, context: GraphContext, inputs: RouterInput) -> RouterOutput:
        """Sends every token somewhere."""
        experts, shape = inputs.experts, inputs.nonpadding.shape
        key = name_key(context.seed, context.full_name("expert"))
        source = inputs.ids
        if context.training:
            source = context.uniform("expert", shape)

        def choose(source: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            uniform = source
            if not context.training:
                uniform = uniform_from_bits(slice_bits(key, source, [], []), 0.0, 1.0)
            expert = tf.cast(uniform * experts.size, tf.int32)
            # The product of the largest number below one may be rounded up.
            expert = tf.minimum(expert, experts.size - 1)
            return expert, tf.one_hot(expert, experts.size) * mask[..., tf.newaxis]

        expert, first_choice = mtf.slicewise(
            choose,
            [source, inputs.nonpadding],
            output_shape=[shape, inputs.scores_shape],
            output_dtype=[tf.int32, tf.float32],
            splittable_dims=shape.dims,
            grad_function=0,
            name="random_experts",
        )
        return unscored_output(context, inputs, expert, first_choice)
