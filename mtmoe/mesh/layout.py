"""Which tensor dimension is split over which mesh dimension."""

from __future__ import annotations

import dataclasses
import math

import gin

from mtmoe.errors import LayoutError, UnknownNameError
from mtmoe.mesh.compat import mtf


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Layout:
    """A mesh of processors and the rules that lay tensors out on it.

    Attributes:
      mesh_shape: named mesh dimensions and their sizes, "batch:2;model:2"; empty for
        one processor.
      layout_rules: tensor dimension to mesh dimension, "batch:batch;d_ff:model"; a
        dimension that is not named is replicated.
      devices: one TensorFlow device name per processor, in row-major order; empty to
        take the host's CPU, divided into one logical device a processor.

    Raises:
      LayoutError: the strings do not parse, or the devices are not as many as the
        processors.
      UnknownNameError: a rule names a mesh dimension that is not in `mesh_shape`.
    """

    mesh_shape: str = ""
    layout_rules: str = ""
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the three fields against one another."""
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
        if self.devices and len(self.devices) != self.size:
            raise LayoutError(
                f"Layout.devices names {len(self.devices)} devices, the mesh "
                f"{self.mesh_shape!r} has {self.size} processors"
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
    def size(self) -> int:
        """Number of processors."""
        return math.prod(int(n) for _, n in self._pairs("mesh_shape", self.mesh_shape))

    @property
    def mesh_dimensions(self) -> mtf.Shape:
        """The mesh's shape as Mesh TensorFlow wants it."""
        return mtf.Shape(
            [
                mtf.Dimension(name, int(size))
                for name, size in self._pairs("mesh_shape", self.mesh_shape)
            ]
        )

    @property
    def rules(self) -> mtf.LayoutRules:
        """The layout rules as Mesh TensorFlow wants them."""
        return mtf.LayoutRules(self._pairs("layout_rules", self.layout_rules))

    @property
    def rule_pairs(self) -> list[tuple[str, str]]:
        """The layout rules: tensor dimension and mesh dimension of each."""
        return self._pairs("layout_rules", self.layout_rules)

    def splits(self, dimension: str) -> int:
        """Into how many parts the tensor dimension named `dimension` is split."""
        sizes = dict(self._pairs("mesh_shape", self.mesh_shape))
        rules = dict(self._pairs("layout_rules", self.layout_rules))
        return int(sizes[rules[dimension]]) if dimension in rules else 1
