"""What a manifest says of one shard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mtmoe.errors import ManifestError

UNSAFE_IN_NAMES = re.compile(r"[/\\\0]")

_SHARD_FIELDS = {
    "name": str,
    "bytes": int,
    "crc32": int,
    "index_name": str,
    "index_bytes": int,
    "index_crc32": int,
    "pages": int,
    "examples": int,
    "tokens": int,
    "smallest_token": (int, type(None)),
    "largest_token": (int, type(None)),
    "left_out": int,
    "empty": dict,
}
_OPTIONAL_OF_SHARD: dict[str, Any] = {"left_out": 0, "empty": {}}


@dataclass(frozen=True)
class ShardFacts:
    """One shard of a split: a file of pages and the index of it.

    Attributes:
      name: name of the file of pages, `tokens-00000-of-00002.array_record`.
      bytes: its size.
      crc32: CRC-32 of it.
      index_name: name of the index, `index-00000-of-00002.bin`.
      index_bytes: its size.
      index_crc32: CRC-32 of it.
      pages: records of the file; 0 if nothing fell to this shard.
      examples: examples, or documents of a text.
      tokens: tokens of all features.
      smallest_token: the smallest one; None if there are no tokens.
      largest_token: the largest one; None if there are no tokens.
      left_out: bad examples of the source that are not here (`bad_examples.quota`).
      empty: examples without tokens, by feature; features without such are left out.
    """

    name: str
    bytes: int
    crc32: int
    index_name: str
    index_bytes: int
    index_crc32: int
    pages: int
    examples: int
    tokens: int
    smallest_token: int | None
    largest_token: int | None
    left_out: int = 0
    empty: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the facts as JSON has them."""
        absent = {
            name
            for name, nothing in _OPTIONAL_OF_SHARD.items()
            if getattr(self, name) == nothing
        }
        return {name: x for name, x in vars(self).items() if name not in absent}

    @classmethod
    def from_json(cls, value: Any) -> ShardFacts:
        """Reads what `to_json` gave.

        Raises:
          ManifestError: a field is missing, unknown, of another type or impossible.
        """
        if isinstance(value, dict):
            value = {**_OPTIONAL_OF_SHARD, **value}
        facts = cls(**checked_fields("a shard", value, _SHARD_FIELDS))
        facts.check()
        return facts

    def check(self) -> None:
        """Raises ManifestError if these cannot be the facts of any shard."""
        for name in (self.name, self.index_name):
            if not name or name in (".", "..") or UNSAFE_IN_NAMES.search(name):
                raise ManifestError(f"{name!r} is not the name of a file")
        counts = (
            *(self.bytes, self.index_bytes, self.pages, self.examples, self.tokens),
            *(self.left_out, *self.empty.values()),
        )
        if min(counts) < 0 or self.bytes == 0:
            raise ManifestError(f"shard {self.name}: impossible numbers {counts}")
        extremes = (self.smallest_token, self.largest_token)
        if (None in extremes) != (self.tokens == 0):
            raise ManifestError(
                f"shard {self.name}: {self.tokens} tokens from {extremes[0]} to "
                f"{extremes[1]}"
            )


def checked_fields(what: str, value: Any, types: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a JSON object if it has exactly these fields, of these types."""
    if not isinstance(value, dict):
        raise ManifestError(f"{what} is {type(value).__name__}, not an object")
    if value.keys() != types.keys():
        missing = ", ".join(sorted(types.keys() - value.keys())) or "none"
        unknown = ", ".join(sorted(value.keys() - types.keys())) or "none"
        raise ManifestError(f"{what}: missing fields {missing}; unknown: {unknown}")
    for name, kind in types.items():
        if not isinstance(value[name], kind) or isinstance(value[name], bool):
            raise ManifestError(f"{what}: {name} is {value[name]!r}")
    return value
