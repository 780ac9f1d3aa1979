"""What a model is made of: stacks, and what stands before and behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Protocol

from mtmoe.mesh.structure import replace_all
from mtmoe.model.embeddings import Embedding
from mtmoe.model.logits import Logits
from mtmoe.model.moe.layer import MixtureOfExpertsLayer
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.stack import Stack


class Model(Protocol):
    """A model with an encoder, a decoder, or both; any class with these parts is one.

    `mtmoe.model.forward` scores with it, `mtmoe.model.decoding` generates with its
    decoder, and `mtmoe.model.sizes` counts it.
    """

    @property
    def encoder(self) -> Stack | None:
        """Reads the inputs; None without one."""
        ...

    @property
    def decoder(self) -> Stack | None:
        """Writes the targets, each given those before; None without one."""
        ...

    @property
    def embedding(self) -> Embedding:
        """Makes the input of the stacks."""
        ...

    @property
    def logits(self) -> Logits:
        """Scores the vocabulary with what the last stack makes."""
        ...


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts of a model by themselves.

    Attributes:
      encoder: see `Model`.
      decoder: see `Model`.
      embedding: see `Model`.
      logits: see `Model`.
    """

    encoder: Stack | None
    decoder: Stack | None
    embedding: Embedding
    logits: Logits


def parts_of(model: Model) -> Parts:
    """Returns the parts of a model, by themselves."""
    return Parts(model.encoder, model.decoder, model.embedding, model.logits)


def takes_inputs(model: Model) -> bool:
    """Whether the model reads inputs beside the targets."""
    return model.encoder is not None


def stacks_of(model: Model) -> tuple[Stack, ...]:
    """Returns the stacks in the order they run."""
    return tuple(stack for stack in (model.encoder, model.decoder) if stack is not None)


def expert_layers(model: Model) -> Iterator[tuple[str, MixtureOfExpertsLayer]]:
    """Yields the layers of experts in the order of `ModelOutput.routing`, by name."""
    for stack in stacks_of(model):
        yield from stack.expert_layers()


def expert_layer_names(model: Model) -> tuple[str, ...]:
    """Returns the names of the layers of experts, in the order they run."""
    return tuple(name for name, _ in expert_layers(model))


def num_experts(model: Model) -> int:
    """Returns the experts of a layer, of all layers the same; 0 of a dense model."""
    return max(
        (layer.config.num_experts for _, layer in expert_layers(model)), default=0
    )


def with_experts(
    model: Model, change: Callable[[MixtureOfExperts], MixtureOfExperts]
) -> Parts:
    """Returns the model with other configurations of its layers of experts."""

    def changed(layer: MixtureOfExpertsLayer) -> MixtureOfExpertsLayer:
        return dataclasses.replace(layer, config=change(layer.config))

    return replace_all(parts_of(model), MixtureOfExpertsLayer, changed)
