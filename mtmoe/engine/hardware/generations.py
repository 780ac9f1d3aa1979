"""The generations of TPUs: what a compiler and a planner must know of each.

Sources: cloud.google.com/tpu/docs, pages "TPU v4", "TPU v5e", "TPU v5p", "TPU v6e" and
"TPU7x"; what a device holds is what the compiler of libtpu 0.0.42 says when a program
does not fit ("exceeds available HBM").
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Generation:
    """One generation of TPUs.

    Attributes:
      name: how a topology is called, "v5e" in "v5e:2x2".
      device_kind: what JAX calls its devices.
      dimensions: of a slice, 2 or 3.
      devices_per_chip: how many devices JAX sees on a chip.
      counted_per_chip: what the number in a name such as "v4-128" counts of a chip: its
        cores (2) or the chip itself (1).
      usable_bytes: what the compiler lets a program use of a device's memory.
      tile: side of the matrix unit; sizes that are no multiple of it leave it idle.
      full_ring: a dimension of a slice is closed to a ring where it is a multiple of
        this; in three dimensions, where all are.
      largest: chips along each dimension of the largest slice there is.
      chip_config: how libtpu calls the chip's mode; empty for the only one.
    """

    name: str
    device_kind: str
    dimensions: int
    devices_per_chip: int
    counted_per_chip: int
    usable_bytes: int
    tile: int
    full_ring: int
    largest: tuple[int, ...]
    chip_config: str = ""


def _gib(number: float) -> int:
    return int(number * GIB)


# A chip of v2, v3 and TPU7x is two devices; a chip of v4 is one only in the mode called
# megacore, which Cloud TPU runs it in.
GENERATIONS = {
    generation.name: generation
    for generation in (
        # name, kind, dimensions, devices, counted, memory, tile, full ring, largest
        Generation("v2", "TPU v2", 2, 2, 2, _gib(7.48), 128, 16, (16, 16)),
        Generation("v3", "TPU v3", 2, 2, 2, _gib(15.48), 128, 32, (32, 32)),
        Generation("v4", "TPU v4", 3, 1, 2, _gib(30.75), 128, 4, (16,) * 3, "megacore"),
        Generation("v5e", "TPU v5 lite", 2, 1, 1, _gib(15.75), 128, 16, (16, 16)),
        Generation("v5p", "TPU v5", 3, 1, 2, _gib(95.74), 128, 4, (16, 20, 28)),
        Generation("v6e", "TPU v6 lite", 2, 1, 1, _gib(31.25), 256, 16, (16, 16)),
        Generation("tpu7x", "TPU7x", 3, 2, 2, _gib(94.75), 256, 4, (16, 24, 24)),
    )
}
OTHER_NAMES = {
    "v5litepod": "v5e",
    "v5lite": "v5e",
    "v5": "v5p",
    "trillium": "v6e",
    "v7x": "tpu7x",
    "ironwood": "tpu7x",
}
"""Names that some write for a generation."""


def generation_of(device_kind: str) -> Generation | None:
    """Returns the generation of a device by JAX's name of its kind, or None."""
    kinds = {known.device_kind.lower(): known for known in GENERATIONS.values()}
    return kinds.get(device_kind.lower())
