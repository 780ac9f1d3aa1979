"""Parameters and FLOPs of a model by formula, without building it.

Symbols: V vocab, M d_model, F d_ff, A heads * d_kv, E experts, L inputs, T targets.
"""

from __future__ import annotations

import dataclasses

from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.model.stack import Stack


@dataclasses.dataclass(frozen=True)
class ParameterCount:
    """Trainable parameters by what they are for.

    Attributes:
      embedding: the token table, and the logits' matrix if untied.
      attention: all projections of self- and cross-attention.
      feed_forward: dense feed-forward networks.
      experts: all experts of all Switch layers.
      routers: router matrices.
      normalization: scales of RMS norms.
      position_bias: relative position tables.
    """

    embedding: int
    attention: int
    feed_forward: int
    experts: int
    routers: int
    normalization: int
    position_bias: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(dataclasses.astuple(self))


@dataclasses.dataclass(frozen=True)
class ForwardFlops:
    """Floating-point operations of a forward pass over one example; 2 per product.

    Every position counts, padding too, and one expert a token: the published counts.
    What capacity adds is computed on empty slots and is the planner's business.

    Attributes:
      projections: attention projections.
      feed_forward: dense feed-forward networks and experts.
      attention: q k^T and the weighted sums of v.
      routers: router logits.
      logits: output vocabulary.
    """

    projections: int
    feed_forward: int
    attention: int
    routers: int
    logits: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(dataclasses.astuple(self))

    @property
    def published(self) -> int:
        """Projections and feed-forward alone.

        This is what Fedus et al. 2022, table 9 ("FLOPs/seq") turns out to count: 124 G
        for T5-Base and Switch-Base with 512 inputs and 114 targets.
        """
        return self.projections + self.feed_forward


def count_parameters(model: EncoderDecoder) -> ParameterCount:
    """Counts the trainable parameters of `model`."""
    stacks = (model.encoder, model.decoder)
    sparse, dense = _layer_counts(model)
    num_experts = model.moe.num_experts if model.moe else 0
    ffn = _feed_forward_parameters(model)
    projection = model.d_model * model.num_heads * model.d_kv
    # self-attention everywhere, cross-attention in the decoder
    attentions = model.num_encoder_layers + 2 * model.num_decoder_layers
    norms = 2 * model.num_encoder_layers + 3 * model.num_decoder_layers + len(stacks)
    tables = 1 if model.tied_embeddings else 2
    return ParameterCount(
        embedding=tables * model.vocab_size * model.d_model,
        attention=attentions * 4 * projection,
        feed_forward=dense * ffn,
        experts=sparse * num_experts * ffn,
        routers=sparse * num_experts * model.d_model,
        normalization=norms * model.d_model,
        position_bias=len(stacks) * model.relative_position_buckets * model.num_heads,
    )


def forward_flops(
    model: EncoderDecoder, input_length: int, target_length: int
) -> ForwardFlops:
    """Counts the operations of one example's forward pass.

    Args:
      model: the model.
      input_length: encoder positions, L.
      target_length: decoder positions, T.
    """
    encoder, decoder = model.num_encoder_layers, model.num_decoder_layers
    width = model.num_heads * model.d_kv
    projection = model.d_model * width
    on_inputs = encoder * 4 + decoder * 2  # cross-attention projects k and v of inputs
    on_targets = decoder * 6  # self-attention's four, cross-attention's q and o
    positions = input_length * encoder + target_length * decoder
    scores = (
        encoder * input_length**2
        + decoder * target_length**2
        + decoder * target_length * input_length
    )
    num_experts = model.moe.num_experts if model.moe else 0
    routed = input_length * _sparse_layers(model.encoder)
    routed += target_length * _sparse_layers(model.decoder)
    return ForwardFlops(
        projections=2
        * projection
        * (on_inputs * input_length + on_targets * target_length),
        feed_forward=2 * positions * _feed_forward_parameters(model),
        attention=2 * 2 * scores * width,
        routers=2 * routed * model.d_model * num_experts,
        logits=2 * target_length * model.d_model * model.vocab_size,
    )


def _sparse_layers(stack: Stack) -> int:
    return sum(stack.is_sparse(layer) for layer in range(stack.num_layers))


def _layer_counts(model: EncoderDecoder) -> tuple[int, int]:
    """Number of (sparse, dense) feed-forward networks in both stacks."""
    sparse = _sparse_layers(model.encoder) + _sparse_layers(model.decoder)
    return sparse, model.num_encoder_layers + model.num_decoder_layers - sparse


def _feed_forward_parameters(model: EncoderDecoder) -> int:
    """Parameters of one feed-forward network: two matrices, three if gated."""
    matrices = model.encoder.feed_forward.num_input_projections + 1
    return matrices * model.d_model * model.d_ff
