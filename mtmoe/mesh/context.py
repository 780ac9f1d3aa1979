"""What a layer is handed while a mesh program is built."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.initializers import Initializer
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.random import StatelessUniform, name_key


@dataclasses.dataclass(frozen=True)
class GraphContext:
    """The mesh being built on, and the only ways to add variables and randomness to it.

    Attributes:
      mesh: the mesh.
      seed: seed of the initial values and of the noise.
      step: int32 scalar, folded into every random key.
      training: whether noise (dropout, jitter) is on.
      activation_dtype: dtype in which variables are read and activations computed.
      layout: the mesh's shape and rules, for what must know how a dimension is split.
    """

    mesh: mtf.Mesh
    seed: int
    step: tf.Tensor
    training: bool
    activation_dtype: tf.DType = tf.float32
    layout: Layout = Layout()  # noqa: RUF009  (frozen)
    _drawn: set[str] = dataclasses.field(default_factory=set, repr=False)

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefixes the names of the variables and random draws made inside."""
        with tf.compat.v1.variable_scope(name, reuse=tf.compat.v1.AUTO_REUSE):
            yield

    def full_name(self, name: str) -> str:
        """Returns `name` behind the scopes that are open."""
        prefix = tf.compat.v1.get_variable_scope().name
        return f"{prefix}/{name}" if prefix else name

    def import_tensor(self, tensor: tf.Tensor, shape: mtf.Shape) -> mtf.Tensor:
        """Lays a `tf.Tensor` out on the mesh; its shape must be `shape`."""
        return mtf.import_tf_tensor(self.mesh, tensor, mtf.Shape(shape))

    def variable(
        self,
        name: str,
        shape: mtf.Shape,
        initializer: Initializer,
        trainable: bool = True,
    ) -> mtf.Tensor:
        """Returns the value of a variable, which is created the first time it is named.

        Kept and updated in float32, read in `activation_dtype` (state that is not
        trainable is read in float32 too).

        Args:
          name: name, relative to the open scopes.
          shape: named dimensions.
          initializer: its initial value, a pure function of the seed and the full name.
          trainable: whether it is a parameter, or optimizer state and the like.
        """
        key = name_key(self.seed, self.full_name(name))
        dtype = mtf.VariableDType(
            tf.float32, tf.float32, self.activation_dtype if trainable else tf.float32
        )
        return mtf.get_variable(
            self.mesh,
            name,
            mtf.Shape(shape),
            dtype=dtype,
            initializer=lambda sizes, dtype=tf.float32: initializer(sizes, key),
            trainable=trainable,
        )

    def uniform(
        self, name: str, shape: mtf.Shape, low: float = 0.0, high: float = 1.0
    ) -> mtf.Tensor:
        """Returns float32 numbers from [low, high), new at every step.

        A pure function of (seed, step, scope, name) and the position in the global
        tensor, so the same on every layout.

        Raises:
          ValueError: the name was drawn already; the noise would be the same again.
        """
        full_name = self.full_name(name)
        if full_name in self._drawn:
            raise ValueError(f"random numbers named {full_name!r} were already drawn")
        self._drawn.add(full_name)
        key = name_key(self.seed, full_name)
        operation = StatelessUniform(
            self.mesh, mtf.Shape(shape), key, self.step, low, high
        )
        return operation.outputs[0]

    def dropout(
        self,
        x: mtf.Tensor,
        rate: float,
        name: str = "dropout",
        noise_shape: mtf.Shape | None = None,
    ) -> mtf.Tensor:
        """Zeroes a fraction `rate` of `x` and scales the rest by 1 / (1 - rate).

        Args:
          x: any float tensor.
          rate: fraction to drop; 0 and evaluation leave `x` as it is.
          name: key of the noise.
          noise_shape: dimensions over which the noise varies; all of `x` by default.
        """
        if rate == 0.0 or not self.training:
            return x
        noise = self.uniform(name, noise_shape if noise_shape is not None else x.shape)
        keep = mtf.cast(mtf.greater_equal(noise, rate), x.dtype)
        return x * (keep * (1.0 / (1.0 - rate)))
