"""Features as arguments of a program, each processor's slice by itself."""

from __future__ import annotations

import dataclasses
import re

import tensorflow as tf

from mtmoe.mesh.build import Feature
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout


@dataclasses.dataclass
class FeatureArguments:
    """The features that a build function has laid out.

    Attributes:
      shapes: the named dimensions of each, by name.
      placeholders: the tensor that stands for the processor's slice of each, by name.
    """

    shapes: dict[str, mtf.Shape] = dataclasses.field(default_factory=dict)
    placeholders: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    _outputs: dict[str, mtf.Tensor] = dataclasses.field(default_factory=dict)

    def lay_out(
        self, mesh: mtf.Mesh, layout: Layout, feature: Feature, shape: mtf.Shape
    ) -> mtf.Tensor:
        """Makes a feature a tensor of the mesh, or returns the one it is already.

        Args:
          mesh: the mesh.
          layout: how its dimensions are split.
          feature: the feature.
          shape: its named dimensions.

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
        self.placeholders[name] = tf.compat.v1.placeholder(feature.dtype, sizes)
        operation = _FeatureImport(mesh, shape, self.placeholders[name], name)
        self._outputs[name] = operation.outputs[0]
        return self._outputs[name]


class _FeatureImport(mtf.Operation):
    """A tensor of which each processor is given its slice."""

    def __init__(
        self, mesh: mtf.Mesh, shape: mtf.Shape, placeholder: tf.Tensor, name: str
    ):
        super().__init__([], mesh=mesh, name="feature_" + re.sub(r"[^\w.]", "_", name))
        self._outputs = [mtf.Tensor(self, shape, placeholder.dtype)]
        self._placeholder = placeholder
        self._splittable_dims, self._unsplittable_dims = (
            self._initialize_all_dimensions_as_splittable()
        )

    def lower(self, lowering: mtf.Lowering) -> None:
        mesh_impl = lowering.mesh_impl(self)
        laid_out = mesh_impl.LaidOutTensor([self._placeholder])
        lowering.set_tensor_lowering(self.outputs[0], laid_out)
