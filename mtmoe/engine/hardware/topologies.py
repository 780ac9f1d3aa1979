"""Slices of TPUs by name, to compile for them where there is none.

A slice is named as Google names it:

| written | means |
|---|---|
| `v5e:4x8`, `v5p:4x4x8`, `tpu7x:2x2x1` | chips along each dimension of the slice |
| `v5e-32`, `v6e-32` | that many chips |
| `v4-128`, `v5p-16`, `tpu7x-8` | that many cores, of which a chip has two |
| `2*v5e:16x16`, `2*v5e-256` | two slices joined by the network |

A number of chips stands for the shape that Cloud TPU gives such a slice: the smallest
dimension is doubled until the chips are there (2x2, 2x4, 4x4; 2x2x1, 2x2x2, 2x2x4).
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import Any

from mtmoe.engine.hardware.generations import GENERATIONS, OTHER_NAMES, Generation
from mtmoe.engine.hardware.plugins import libtpu_path
from mtmoe.errors import HardwareError, UnknownNameError

_NAME = re.compile(
    r"(?:(?P<slices>\d+)\*)?(?P<generation>[a-z0-9]+?)"
    r"(?:[:_=](?P<shape>\d+(?:x\d+)*)|-(?P<count>\d+))",
    re.IGNORECASE,
)
# Chips of one host along each dimension, in slices of several hosts.
_HOST = (2, 2, 1)
_EXAMPLES = "such as v5e:2x2, v5e-32, v4-128, v5p:2x2x1, v6e:2x2, tpu7x:2x2x1"


@dataclass(frozen=True)
class Topology:
    """One or several slices of TPUs, each with `shape` chips along its dimensions."""

    generation: Generation
    shape: tuple[int, ...]
    num_slices: int = 1

    @property
    def name(self) -> str:
        """The canonical name, where several are possible."""
        slices = "" if self.num_slices == 1 else f"{self.num_slices}*"
        return slices + self._slice_name

    @property
    def _slice_name(self) -> str:
        return f"{self.generation.name}:{'x'.join(map(str, self.shape))}"

    @property
    def num_chips(self) -> int:
        """Chips of all slices."""
        return self.num_slices * math.prod(self.shape)

    @property
    def num_devices(self) -> int:
        """Devices as JAX counts them: what a layout has processors for."""
        return self.num_chips * self.generation.devices_per_chip

    @property
    def options(self) -> dict[str, Any]:
        """What libtpu needs besides the name."""
        shape = (*self.shape, 1)[:3]
        ring = self.generation.full_ring
        wrap = [size > 1 and size % ring == 0 for size in shape]
        if self.generation.dimensions == 3:  # all dimensions are rings, or none
            wrap = [all(wrap)] * 3
        host = (1, 1, 1) if math.prod(shape) == 1 else _HOST
        options: dict[str, Any] = {
            "chips_per_host_bounds": list(host),
            "wrap": wrap,
            "num_slices": self.num_slices,
        }
        if self.generation.chip_config:
            options["chip_config_name"] = self.generation.chip_config
        return options

    def devices(self) -> list[Any]:
        """Returns devices that programs can be compiled for, but not run on.

        Raises:
          HardwareError: libtpu is not there, or it does not know the slice.
        """
        os.environ["TPU_LIBRARY_PATH"] = str(libtpu_path())
        # It would ask Google's metadata server which TPU this machine is.
        os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
        # One process at a time may open a TPU; compiling opens none.
        os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
        from jax.errors import JaxRuntimeError
        from jax.experimental import topologies

        try:
            description = topologies.get_topology_desc(
                self._slice_name, platform="tpu", **self.options
            )
            return list(description.devices)
        except JaxRuntimeError as error:
            raise HardwareError(
                f"libtpu does not know the slice {self.name}: {error}"
            ) from error


def named_topology(name: str) -> Topology:
    """Returns the slice of a name in one of the forms of the module's table.

    Raises:
      UnknownNameError: there is no such generation of TPUs.
      HardwareError: the name has none of the forms, or there is no such slice.
    """
    match = _NAME.fullmatch(name.strip())
    if match is None:
        raise HardwareError(f"{name!r} is no name of a TPU slice; write it {_EXAMPLES}")
    generation = _generation(match["generation"].lower())
    if match["shape"]:
        shape = _checked_shape(name, generation, match["shape"])
    else:
        shape = _shape_of_count(name, generation, int(match["count"]))
    num_slices = int(match["slices"] or 1)
    if num_slices < 1:
        raise HardwareError(f"{name!r} is no slice; at least 1 is needed: 1*...")
    return Topology(generation, shape, num_slices)


def _generation(name: str) -> Generation:
    generation = GENERATIONS.get(OTHER_NAMES.get(name, name))
    if generation is None:
        raise UnknownNameError("TPU generation", name, GENERATIONS)
    return generation


def _checked_shape(name: str, generation: Generation, text: str) -> tuple[int, ...]:
    shape = tuple(map(int, text.split("x")))
    dimensions = generation.dimensions
    if len(shape) == 3 and dimensions == 2 and shape[2] == 1:
        shape = shape[:2]
    if len(shape) != dimensions:
        example = "x".join(("2", "2", "1")[:dimensions])
        raise HardwareError(
            f"{name!r} has {len(shape)} dimensions; a slice of {generation.name} has "
            f"{dimensions}: {generation.name}:{example}"
        )
    largest = "x".join(map(str, generation.largest))
    if min(shape) < 1 or any(
        size > limit
        for size, limit in zip(sorted(shape), sorted(generation.largest), strict=True)
    ):
        raise HardwareError(
            f"{name!r}: there is no such slice; the largest of {generation.name} is "
            f"{generation.name}:{largest}"
        )
    near = "x".join(
        str(math.ceil(size / host) * host)
        for size, host in zip(shape, _HOST, strict=False)
    )
    if near != "x".join(map(str, shape)) and math.prod(shape) > 1:
        raise HardwareError(
            f"{name!r} does not divide into hosts of 2x2 chips; the next larger slice "
            f"that does is {generation.name}:{near}"
        )
    return shape


def _shape_of_count(name: str, generation: Generation, count: int) -> tuple[int, ...]:
    unit = "cores" if generation.counted_per_chip == 2 else "chips"
    chips, rest = divmod(count, generation.counted_per_chip)
    shapes = _shapes(generation)
    if rest or chips not in shapes:
        counts = [n * generation.counted_per_chip for n in shapes]
        near = min(counts, key=lambda n: abs(n - count))
        shape = "x".join(("4", "4", "8")[: generation.dimensions])
        raise HardwareError(
            f"{name!r}: the number counts {unit}, and no shape is known for {count}; "
            f"the nearest is {generation.name}-{near}. Other shapes are written out: "
            f"{generation.name}:{shape}"
        )
    return shapes[chips]


def _shapes(generation: Generation) -> dict[int, tuple[int, ...]]:
    """The usual shapes by their number of chips."""
    shape = (2, 2, 1)[: generation.dimensions]
    shapes = {1: (1,) * generation.dimensions}
    limits = sorted(generation.largest)
    while all(n <= most for n, most in zip(sorted(shape), limits, strict=True)):
        shapes[math.prod(shape)] = shape
        if 1 in shape:
            shape = (*shape[:2], 2)
        else:
            smallest, *others = sorted(shape)
            shape = tuple(sorted((2 * smallest, *others)))
    return shapes
