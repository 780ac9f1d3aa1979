"""Mixture of softmaxes: several distributions over the vocabulary, mixed a token.

Yang et al. 2018, "Breaking the softmax bottleneck", equation 3: the probability is
sum_k pi_k(x) softmax(h_k(x) W), with h_k(x) = tanh(x H_k) and pi = softmax(x P). It can
have a rank above d_model, at k times the cost of the logits.
"""

from __future__ import annotations

import dataclasses

import gin
import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.model.counts import ForwardFlops, Lengths, ParameterCount, Sizes
from mtmoe.model.initialization import scaled_normal
from mtmoe.model.logits import vocabulary_product
from mtmoe.model.t5 import T5Fields
from mtmoe.ranges import Count, Positive, check_fields


@gin.configurable
@dataclasses.dataclass(frozen=True)
class MixtureOfSoftmaxes:
    """Mixed softmaxes in place of one; a model's `outputs`.

    Attributes:
      num_softmaxes: k.
    """

    num_softmaxes: Count = 4

    def __post_init__(self) -> None:
        """Checks the range."""
        check_fields(self)

    def __call__(self, model: T5Fields) -> MixedLogits:
        """Makes the logits."""
        return MixedLogits(
            model.vocab_size, self.num_softmaxes, model.initialization_scale
        )


@dataclasses.dataclass(frozen=True)
class MixedLogits:
    """The logarithm of the mixed probabilities, whose softmax are those again.

    Attributes:
      vocab_size: tokens to score.
      num_softmaxes: k.
      initialization_scale: see `scaled_normal`.
    """

    vocab_size: Count
    num_softmaxes: Count
    initialization_scale: Positive = 1.0

    def __call__(self, context: GraphContext, x: mtf.Tensor) -> mtf.Tensor:
        """Scores every token: [batch, length, d_model] -> float32 [.., vocab]."""
        d_model = x.shape.dims[-1]
        softmaxes = mtf.Dimension("softmaxes", self.num_softmaxes)
        latent = mtf.Dimension("latent", d_model.size)
        vocab = mtf.Dimension("vocab", self.vocab_size)
        initial = scaled_normal(self.initialization_scale, d_model.size)

        def variable(name: str, *dims: mtf.Dimension) -> mtf.Tensor:
            return context.variable(name, [*dims], initial, dtype=tf.float32)

        x = mtf.cast(x, tf.float32)
        prior = mtf.einsum(
            [x, variable("softmax_priors", d_model, softmaxes)],
            output_shape=x.shape - d_model + softmaxes,
        )
        # [batch, length, d_model] -> [batch, length, softmaxes, latent]
        hidden = mtf.einsum(
            [x, variable("softmax_latents", d_model, softmaxes, latent)],
            output_shape=x.shape - d_model + softmaxes + latent,
        )
        scores = vocabulary_product(
            context, mtf.tanh(hidden), variable("logits", latent, vocab)
        )
        log_p = mtf.log_softmax(scores, vocab)
        log_p += mtf.log_softmax(prior, softmaxes)
        return mtf.reduce_logsumexp(log_p, softmaxes)

    def sizes(self, lengths: Lengths) -> Sizes:
        """Counts priors, latents and the vocabulary's matrix, and their products."""
        d_model, k = lengths.d_model, self.num_softmaxes
        mixing = d_model * k + d_model * k * d_model
        products = mixing + k * d_model * self.vocab_size
        return Sizes(
            ParameterCount(embedding=mixing + d_model * self.vocab_size),
            flops=ForwardFlops(logits=2 * lengths.length * products),
        )
