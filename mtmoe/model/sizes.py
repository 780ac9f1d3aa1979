"""Parameters and FLOPs of a model by formula, without building it."""

from __future__ import annotations

from mtmoe.errors import ConfigError
from mtmoe.model.counts import ForwardFlops, Lengths, ParameterCount, Sizes
from mtmoe.model.parts import Model


def count_parameters(model: Model) -> ParameterCount:
    """Counts the trainable parameters of `model`."""
    return _sizes(model, 0, 0).parameters


def activated_parameters(model: Model) -> int:
    """Counts the parameters that one token meets: of the experts, those it asks for.

    "n_act-params" of GLaM (Du et al. 2022, table 4); the whole router and the whole
    embedding count.
    """
    sizes = _sizes(model, 0, 0)
    return sizes.parameters.total - sizes.idle


def forward_flops(model: Model, input_length: int, target_length: int) -> ForwardFlops:
    """Counts the operations of one example's forward pass.

    Args:
      model: the model.
      input_length: encoder positions; 0 without an encoder.
      target_length: decoder positions; 0 without a decoder.

    Raises:
      ConfigError: there are positions for a stack that the model does not have.
    """
    for name, length, stack in (
        ("input_length", input_length, model.encoder),
        ("target_length", target_length, model.decoder),
    ):
        if length and stack is None:
            part = "encoder" if name == "input_length" else "decoder"
            raise ConfigError(
                f"{type(model).__name__} has no {part}: {name} must be 0, got {length}"
            )
    return _sizes(model, input_length, target_length).flops


def _sizes(model: Model, input_length: int, target_length: int) -> Sizes:
    d_model = model.embedding.d_model
    of_inputs = Lengths(d_model, input_length)
    of_targets = Lengths(d_model, target_length, input_length)
    total = model.embedding.sizes(Lengths(d_model, input_length + target_length))
    if model.encoder is not None:
        total += model.encoder.sizes(of_inputs)
    if model.decoder is not None:
        total += model.decoder.sizes(of_targets)
    return total + model.logits.sizes(of_targets if model.decoder else of_inputs)
