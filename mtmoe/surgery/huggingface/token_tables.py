"""The token tables: one or several, tied to the logits or not, scaled or not.

Ours is one table for encoder and decoder, and logits either with the same table and the
decoder's output times d_model^-0.5 (tied), or with a matrix of their own and no factor.
In transformers the factor and the sharing are separate choices, and a table may be
stored under several names; every combination is turned into one of our two.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from mtmoe.errors import CheckpointError
from mtmoe.surgery.huggingface.config import Family, family_of, logits_are_scaled
from mtmoe.surgery.huggingface.names import EMBEDDING, LOGITS, Array

_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def read_token_tables(
    config: Mapping[str, Any], tensors: MutableMapping[str, Array]
) -> tuple[bool, str | None]:
    """Leaves the embedding and, if logits are untied, their matrix in `tensors`.

    Args:
      config: content of config.json.
      tensors: all tensors by name; copies of the embedding are taken out, and the
        matrix of the logits is multiplied by the factor it is used with.

    Returns:
      Whether the logits are tied in our sense, and a note if the model is not trained
      on as transformers would train it.

    Raises:
      CheckpointError: there is no table, or encoder and decoder have different ones.
    """
    family = family_of(config)
    stored = [name for name in (EMBEDDING, *_COPIES) if name in tensors]
    if not stored:
        raise CheckpointError(f"tensor {EMBEDDING} is missing; embedding is made of it")
    table = tensors[stored[0]]
    for name in stored:
        if not np.array_equal(tensors.pop(name), table):
            raise CheckpointError(
                f"{name} differs from {stored[0]}; import takes models whose encoder "
                "and decoder share one token table"
            )
    tensors[EMBEDDING] = table
    scaled = logits_are_scaled(config)
    if family.ties_by_config and not config.get("tie_word_embeddings", True):
        shared = False
    else:  # tied unless the file says otherwise
        shared = LOGITS not in tensors or np.array_equal(tensors[LOGITS], table)
    if shared and scaled:
        tensors.pop(LOGITS, None)
        return True, None
    note = None
    if shared:
        tensors[LOGITS] = table
        note = (
            "the logits use the token table unscaled; here they get a matrix of their "
            "own, equal to it now and trained apart from it"
        )
    elif scaled and LOGITS in tensors:
        tensors[LOGITS] = tensors[LOGITS] * np.float32(table.shape[-1] ** -0.5)
        note = "the logits' matrix now holds the factor d_model^-0.5 it is used with"
    return False, note


def write_token_tables(
    family: Family, tied: bool, tensors: MutableMapping[str, Array]
) -> None:
    """Adds what the family's class needs besides the rows of the table."""
    table = tensors[EMBEDDING]
    if tied and family.model_type == "mt5":  # whose logits are never scaled
        tensors[LOGITS] = table * np.float32(table.shape[-1] ** -0.5)
    if not tied and family.ties_by_config:
        # Untied means there that encoder and decoder have tables of their own, too.
        tensors.update({name: table.copy() for name in _COPIES})
