"""A model as gin text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mtmoe.model.encoder_decoder import EncoderDecoder


def gin_text(model: EncoderDecoder, comment: str) -> str:
    """Returns the bindings that make `model`.

    Args:
      model: a model as `model_of` makes them.
      comment: first line.
    """
    lines = [f"# {comment}", "import mtmoe.model.encoder_decoder"]
    lines += ["import mtmoe.train.settings", "", "train.model = @EncoderDecoder()"]
    lines += _bindings("EncoderDecoder", model, {"moe": "@MixtureOfExperts()"})
    if model.moe is not None:
        references = {"router": "@SwitchRouter()", "capacity": "@Capacity()"}
        lines += ["", *_bindings("MixtureOfExperts", model.moe, references)]
        lines += ["", *_bindings("SwitchRouter", model.moe.router, {})]
        lines += ["", *_bindings("Capacity", model.moe.capacity, {})]
    return "\n".join(lines) + "\n"


def _bindings(name: str, value: Any, references: Mapping[str, str]) -> list[str]:
    lines = []
    for field in dataclasses.fields(value):
        held = getattr(value, field.name)
        is_reference = field.name in references and held is not None
        text = references[field.name] if is_reference else repr(held)
        lines.append(f"{name}.{field.name} = {text}")
    return lines
