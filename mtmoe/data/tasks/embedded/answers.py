"""From a model's text to what the metrics of embedded tasks compare."""

from __future__ import annotations

from typing import Any


def label_set(text: str, **_: Any) -> frozenset[str]:
    """Returns the labels of a list, `sw, en`, whose order does not matter."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())
