"""Which tensor dimension is split over which mesh dimension."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

import gin

from mtmoe.errors import LayoutError, UnknownNameError
from mtmoe.mesh.compat import mtf


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Layout:
    """A mesh of processors and the rules that lay tensors out on it.

    Attributes:
      mesh_shape: named mesh dimensions and their sizes, "data:2;model:2", or the same
        as a mapping, `{"data": 2, "model": 2}`; empty for one processor.
      layout_rules: tensor dimension to mesh dimension, "batch:data;d_ff:model"; a
        dimension that is not named is replicated.

    Raises:
      LayoutError: the strings do not parse.
      UnknownNameError: a rule names a mesh dimension that is not in `mesh_shape`.
    """

    mesh_shape: Any = ""  # a string once made
    layout_rules: str = ""

    def __post_init__(self) -> None:
        """Checks the fields against one another."""
        if isinstance(self.mesh_shape, Mapping):
            sizes = ";".join(f"{name}:{size}" for name, size in self.mesh_shape.items())
            object.__setattr__(self, "mesh_shape", sizes)
        named = [name for name, _ in self._pairs("layout_rules", self.layout_rules)]
        for name in sorted({name for name in named if named.count(name) > 1}):
            raise LayoutError(
                f"Layout.layout_rules {self.layout_rules!r} names {name!r} twice; one "
                "mesh dimension splits a dimension (outer_batch splits the batch over "
                "a second one)"
            )
        dimensions = [name for name, _ in self._pairs("mesh_shape", self.mesh_shape)]
        for _, size in self._pairs("mesh_shape", self.mesh_shape):
            if not size.isdecimal() or int(size) < 1:
                raise LayoutError(
                    f"Layout.mesh_shape {self.mesh_shape!r}: size {size!r} is not a "
                    "positive whole number"
                )
        if len(set(dimensions)) != len(dimensions):
            raise LayoutError(f"Layout.mesh_shape {self.mesh_shape!r} repeats a name")
        for _, mesh_dimension in self._pairs("layout_rules", self.layout_rules):
            if mesh_dimension not in dimensions:
                raise UnknownNameError(
                    "mesh dimension", mesh_dimension, dimensions, "Layout.layout_rules"
                )

    @staticmethod
    def _pairs(field: str, text: str) -> list[tuple[str, str]]:
        pairs = []
        for part in filter(None, (part.strip() for part in text.split(";"))):
            name, colon, value = (piece.strip() for piece in part.partition(":"))
            if not (name and colon and value):
                raise LayoutError(
                    f"Layout.{field}: {part!r} is not of the form name:value"
                )
            pairs.append((name, value))
        return pairs

    @property
    def _sizes(self) -> dict[str, int]:
        pairs = self._pairs("mesh_shape", self.mesh_shape)
        return {name: int(size) for name, size in pairs}

    @property
    def size(self) -> int:
        """Number of processors."""
        return math.prod(self._sizes.values())

    @property
    def mesh_dimensions(self) -> mtf.Shape:
        """The mesh's shape as Mesh TensorFlow wants it."""
        return mtf.Shape(list(itertools.starmap(mtf.Dimension, self._sizes.items())))

    @property
    def rules(self) -> mtf.LayoutRules:
        """The layout rules as Mesh TensorFlow wants them."""
        return mtf.LayoutRules(self.rule_pairs)

    @property
    def rule_pairs(self) -> list[tuple[str, str]]:
        """The layout rules: tensor dimension and mesh dimension of each."""
        return self._pairs("layout_rules", self.layout_rules)

    def axis(self, dimension: str) -> str | None:
        """The mesh dimension that splits the tensor dimension, None if none does."""
        return dict(self.rule_pairs).get(dimension)

    def without(self, *dimensions: str) -> Layout:
        """Returns the layout without the rules for some tensor dimensions."""
        kept = [f"{d}:{axis}" for d, axis in self.rule_pairs if d not in dimensions]
        return dataclasses.replace(self, layout_rules=";".join(kept))

    def splits(self, dimension: str) -> int:
        """Into how many parts the tensor dimension named `dimension` is split."""
        axis = self.axis(dimension)
        return 1 if axis is None else self._sizes[axis]

    def split_axes(self, shape: mtf.Shape) -> tuple[str | None, ...]:
        """Names the mesh dimension that splits each dimension of a tensor, or None."""
        return tuple(self.axis(dimension.name) for dimension in shape.dims)


def indivisible(name: str, size: int, axis: str, ways: int) -> str:
    """Says that a dimension does not divide over a mesh axis, and what would."""
    below = size // ways * ways
    good = [str(n) for n in (below, below + ways) if n]
    counts = [n for n in range(1, size + 1) if size % n == 0]
    smaller = max(n for n in counts if n < ways or n == 1)
    larger = [n for n in counts if n > ways][:1]
    meshes = " or ".join(f"{axis}:{n}" for n in (smaller, *larger))
    return (
        f"{name!r} of size {size} does not divide over the {ways} processors of "
        f"{axis!r}: {size} = {ways} x {size // ways} + {size % ways}; {name} of "
        f"{' or '.join(good)} would, and so would mesh_shape {meshes}"
    )
