"""Features as arguments of a program, each processor's slice by itself."""

from __future__ import annotations

import dataclasses
import re

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.operation import laid_out_tensor


@dataclasses.dataclass(frozen=True)
class Feature:
    """An array that a function is called with, as its build function sees it.

    It is a handle, with the name of the argument, the shape of the whole array and its
    dtype, and no tensor: `GraphContext.import_tensor` says how it lies on the mesh, and
    only then does each processor have a tensor, its own slice.
    """

    name: str
    shape: tuple[int, ...]
    dtype: tf.DType


@dataclasses.dataclass
class FeatureArguments:
    """The features that a build function has laid out.

    Attributes:
      shapes: the named dimensions of each.
      placeholders: the tensor that stands for the processor's slice of each.
    """

    shapes: dict[str, mtf.Shape] = dataclasses.field(default_factory=dict)
    placeholders: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    _outputs: dict[str, mtf.Tensor] = dataclasses.field(default_factory=dict)

    def lay_out(
        self, mesh: mtf.Mesh, layout: Layout, feature: Feature, shape: mtf.Shape
    ) -> mtf.Tensor:
        """Makes a feature a tensor of the mesh, or returns the one it is already.

        Raises:
          ValueError: it has another number of elements, or was laid out with other
            dimensions before.
        """
        name = feature.name
        if mtf.Shape(shape).size != tf.TensorShape(feature.shape).num_elements():
            raise ValueError(
                f"the feature {name!r} of shape {list(feature.shape)} cannot be laid "
                f"out as {shape}"
            )
        if name in self._outputs:
            if self.shapes[name] != shape:
                raise ValueError(
                    f"the feature {name!r} was laid out as {self.shapes[name]}, and "
                    f"now as {shape}; one program has one way"
                )
            return self._outputs[name]
        # What does not divide is refused with all else that does not fit: `check_fit`.
        sizes = [dim.size // layout.splits(dim.name) for dim in shape.dims]
        self.shapes[name] = shape
        placeholder = tf.compat.v1.placeholder(feature.dtype, sizes)
        self.placeholders[name] = placeholder
        self._outputs[name] = laid_out_tensor(
            lambda mesh_impl: mesh_impl.LaidOutTensor([placeholder]),
            [],
            (shape, placeholder.dtype),
            "feature_" + re.sub(r"[^\w.]", "_", name),
            mesh=mesh,
        )
        return self._outputs[name]
