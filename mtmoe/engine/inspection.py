"""What a compiled program needs and sends, read off the program itself."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_KINDS = (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "reduce-scatter",
    "collective-permute",
    "ragged-all-to-all",
)
_INSTRUCTION = re.compile(
    rf"= (?P<shape>.*?) (?P<kind>{'|'.join(_KINDS)})(?P<start>-start)?\("
)
_ARRAY = re.compile(r"\b(pred|bf16|[fsuc]\d+)\[([\d,]*)\]")
_GROUP = re.compile(r"replica_groups=(?:\{\{(?P<ids>[\d,]*)\}|\[\d+,(?P<size>\d+)\])")


@dataclass(frozen=True, order=True)
class Collective:
    """One exchange between devices.

    Attributes:
      kind: XLA's name, "all-to-all".
      dtype: of what is sent; "bf16+f32" where arrays of several travel together.
      num_bytes: of the result on one device.
      group: devices that exchange with one another; 0 where the program does not say.
      asynchronous: whether computation can go on meanwhile.
    """

    kind: str
    dtype: str
    num_bytes: int
    group: int
    asynchronous: bool


@dataclass(frozen=True)
class Inspection:
    """What a compiled program needs of one device, and its collectives in order.

    Attributes:
      temporary_bytes: largest intermediate memory.
      output_bytes: results that do not reuse an argument's memory.
      flops: floating-point operations of a run.
    """

    argument_bytes: int
    temporary_bytes: int
    output_bytes: int
    flops: float
    collectives: tuple[Collective, ...]

    @property
    def total_bytes(self) -> int:
        """Memory that the program needs on a device."""
        return self.argument_bytes + self.temporary_bytes + self.output_bytes

    def count(self, kind: str) -> int:
        """Number of collectives of a kind."""
        return sum(collective.kind == kind for collective in self.collectives)

    def counts(self) -> dict[str, int]:
        """Number of collectives by kind."""
        return dict(Counter(collective.kind for collective in self.collectives))


def inspect_compiled(compiled: Any) -> Inspection:
    """Reads the figures of a compiled program (`Executable.compiled`)."""
    memory = compiled.memory_analysis()
    return Inspection(
        argument_bytes=int(memory.argument_size_in_bytes),
        temporary_bytes=int(memory.temp_size_in_bytes),
        output_bytes=int(memory.output_size_in_bytes - memory.alias_size_in_bytes),
        flops=float(compiled.cost_analysis()["flops"]),
        collectives=tuple(collectives_of(compiled.as_text())),
    )


def collectives_of(hlo: str) -> Iterator[Collective]:
    """Yields the collectives of a compiled program's text."""
    for line in hlo.splitlines():
        match = _INSTRUCTION.search(line)
        if match is None:
            continue
        arrays = [(d, _size(sizes)) for d, sizes in _ARRAY.findall(match["shape"])]
        group = _group(line)
        total = sum(_bytes(dtype) * size for dtype, size in arrays)
        dtypes = {dtype for dtype, _ in arrays}
        if match["start"]:  # a tuple of operands and results, and of what it waits on
            dtypes = {dtype for dtype, size in arrays if (dtype, size) != ("u32", 1)}
            total -= 4 * arrays.count(("u32", 1))
            if match["kind"] == "all-gather":
                total = total * group // (group + 1)
            else:
                total //= 2
        yield Collective(
            match["kind"], "+".join(sorted(dtypes)), total, group, bool(match["start"])
        )


def _size(sizes: str) -> int:
    return math.prod(int(size) for size in sizes.split(",") if size)


def _bytes(dtype: str) -> int:
    if dtype == "pred":
        return 1
    return -(-int(re.sub(r"\D", "", dtype)) // 8)


def _group(line: str) -> int:
    match = _GROUP.search(line)
    if match is None:
        return 0
    if match["size"]:
        return int(match["size"])
    return len(match["ids"].split(","))
