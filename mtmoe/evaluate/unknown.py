"""Says where a vocabulary does not know the characters of a text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

MOST_UNKNOWN = 0.01
"""From this share of unknown tokens or bytes on, bits per byte are warned of."""


class UnknownShare(NamedTuple):
    """How much of a task's text a vocabulary does not know.

    Attributes:
      task: the task.
      tokens: share of its text tokens that are unknown, 0 to 1.
      of_bytes: share of its bytes that they stand for.
      num_known: its other tokens that are no spaces; None: not counted.
    """

    task: str
    tokens: float
    of_bytes: float
    num_known: int | None = None


def unknown_lines(shares: Iterable[UnknownShare]) -> list[str]:
    """Returns a line for each text with 1 % or more of unknown tokens or bytes."""
    return [
        _line(share)
        for share in shares
        if max(share.tokens, share.of_bytes) >= MOST_UNKNOWN
    ]


def _line(share: UnknownShare) -> str:
    if share.num_known == 0:
        return (
            f"{share.task}: the vocabulary knows no character of this text; bits per "
            "byte and accuracy are those of unknown tokens and spaces, and say nothing "
            "about it"
        )
    return (
        f"{share.task}: {share.tokens:.1%} of the tokens are unknown to the vocabulary "
        f"and stand for {share.of_bytes:.1%} of the bytes; bits per byte hold what "
        "they cost, and are too low by what is not written"
    )
