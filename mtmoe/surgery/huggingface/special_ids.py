"""The ids that a model of theirs begins, ends and is padded with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtmoe.errors import CheckpointError
from mtmoe.surgery.huggingface.files import CONFIG, read_json

GENERATION_CONFIG = "generation_config.json"


def generation_config(eos_id: int) -> dict[str, Any]:
    """Returns the ids that decoding begins, ends and is padded with; padding is 0."""
    return {"decoder_start_token_id": 0, "eos_token_id": eos_id, "pad_token_id": 0}


def eos_id_of(config: Mapping[str, Any]) -> int:
    """Returns the end token of a config.json or generation_config.json, T5's if none.

    Raises:
      CheckpointError: it is no token of the model's, or there are several.
    """
    value = config.get("eos_token_id", 1)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    is_token = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if not is_token or value >= config.get("vocab_size", value + 1):
        raise CheckpointError(
            f"eos_token_id is {value!r}; import takes models with one end token, above "
            "0 and below vocab_size"
        )
    return int(value)


def check_generation_config(input_dir: Path, eos_id: int) -> None:
    """Holds the ids of generation_config.json, if there is one, against config.json's.

    Raises:
      CheckpointError: they differ.
    """
    path = input_dir / GENERATION_CONFIG
    if not path.is_file():
        return
    generation = {"eos_token_id": eos_id} | read_json(path)
    for name, wanted in generation_config(eos_id).items():
        got = eos_id_of(generation) if name == "eos_token_id" else generation.get(name)
        if got not in (wanted, None):
            raise CheckpointError(
                f"{path}: {name} is {got!r}, by {CONFIG} it is {wanted}"
            )
