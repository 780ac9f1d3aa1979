"""What a layer is handed while a mesh program is built."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.feature_import import Feature, FeatureArguments
from mtmoe.mesh.initializers import Initializer
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.random import Rows, name_key, stateless_uniform

_ROW_DIMENSIONS = ("batch", "batch_unsplit")


@dataclasses.dataclass(frozen=True)
class InitialValue:
    """A variable before anything is assigned to it; its key is two 32-bit words."""

    initializer: Initializer
    key: tuple[int, int]


def _no_initial_value(shape: object, dtype: object = None) -> object:
    """Mesh TensorFlow wants an initializer; `InitialValue` has the real one."""
    raise AssertionError("a variable of a mesh program is an argument")


@dataclasses.dataclass(frozen=True)
class GraphContext:
    """The mesh being built on, and the only ways to add variables and randomness to it.

    Attributes:
      mesh: the mesh.
      seed: seed of the initial values and of the noise.
      step: int32 scalar, folded into every random key.
      training: whether noise (dropout, jitter) is on.
      activation_dtype: dtype in which variables are read and activations computed.
      router_dtype: dtype of a router's variables, logits and all that follows.
      layout: the mesh's shape and rules, for what must know how a dimension is split.
      recompute_layers: whether the backward pass computes the insides of layers again
        rather than keep them; see `mtmoe.mesh.recompute`.
      microbatch: int32 scalar, the number from 0 of the part of the batch that is being
        computed; None where the batch is in one piece.
      microbatches: how many parts the batch has, those side by side included.
      outer_parts: how many of them are computed side by side; see `mtmoe.mesh.outer`.
      arguments: the features that have been laid out, and how.
      initial_values: of the variables, by full name.
    """

    mesh: mtf.Mesh
    seed: int
    step: tf.Tensor
    training: bool
    activation_dtype: tf.DType = tf.float32
    router_dtype: tf.DType = tf.float32
    layout: Layout = Layout()  # noqa: RUF009  (frozen)
    recompute_layers: bool = False
    microbatch: mtf.Tensor | None = None
    microbatches: int = 1
    arguments: FeatureArguments = dataclasses.field(default_factory=FeatureArguments)
    initial_values: dict[str, InitialValue] = dataclasses.field(default_factory=dict)
    outer_parts: int = 1
    _drawn: set[str] = dataclasses.field(default_factory=set, repr=False)

    @functools.cached_property
    def noise_step(self) -> mtf.Tensor:
        """The step as the noise takes it, an int32 scalar of the mesh.

        One tensor for all noise, so that whoever repeats a part of the graph can make
        the noise's repetition wait for it (`mtmoe.mesh.recompute`).
        """
        return self.import_tensor(self.step, mtf.Shape([]))

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefixes the names of the variables and random draws made inside."""
        with tf.compat.v1.variable_scope(name, reuse=tf.compat.v1.AUTO_REUSE):
            yield

    def full_name(self, name: str) -> str:
        """Returns `name` behind the scopes that are open."""
        prefix = tf.compat.v1.get_variable_scope().name
        return f"{prefix}/{name}" if prefix else name

    def import_tensor(
        self, tensor: tf.Tensor | Feature, shape: mtf.Shape
    ) -> mtf.Tensor:
        """Lays a feature, or a tensor that every processor has, out on the mesh.

        A feature may also be laid out as the array of other sizes that holds the same
        numbers in the same order; each processor is given its own slice.

        Raises:
          ValueError: the sizes differ, or the feature was laid out in another way.
        """
        if isinstance(tensor, Feature):
            return self.arguments.lay_out(
                self.mesh, self.layout, tensor, mtf.Shape(shape)
            )
        return mtf.import_tf_tensor(self.mesh, tensor, mtf.Shape(shape))

    def variable(
        self,
        name: str,
        shape: mtf.Shape,
        initializer: Initializer,
        trainable: bool = True,
        dtype: tf.DType | None = None,
    ) -> mtf.Tensor:
        """Returns the value of a variable, which is created the first time it is named.

        Kept and updated in float32, whatever it is read in.

        Args:
          name: name, relative to the open scopes.
          shape: named dimensions.
          initializer: its initial value, a pure function of the seed and the full name.
          trainable: whether it is a parameter, or optimizer state and the like.
          dtype: what it is read in, and its gradient's dtype; by default
            `activation_dtype` of a parameter and float32 of the rest. The same
            wherever a graph names the variable.

        Raises:
          ValueError: the graph reads it in another dtype already.
        """
        full_name = self.full_name(name)
        self.initial_values.setdefault(
            full_name, InitialValue(initializer, name_key(self.seed, full_name))
        )
        read = dtype or (self.activation_dtype if trainable else tf.float32)
        value = mtf.get_variable(
            self.mesh,
            name,
            mtf.Shape(shape),
            dtype=mtf.VariableDType(tf.float32, tf.float32, read),
            initializer=_no_initial_value,
            trainable=trainable,
        )
        if value.dtype != read:
            raise ValueError(
                f"the variable {full_name!r} is read in {value.dtype.name} "
                f"already, and here in {read.name}"
            )
        return value

    def uniform(
        self, name: str, shape: mtf.Shape, low: float = 0.0, high: float = 1.0
    ) -> mtf.Tensor:
        """Returns float32 numbers from [low, high), new at every step.

        A pure function of (seed, step, scope, name) and the position in the global
        tensor, so the same on every layout. Rows of a microbatch are numbered as in the
        whole batch: an example's noise does not depend on how many microbatches there
        are. Noise without a dimension of rows is drawn anew for each of them.

        Raises:
          ValueError: the name was drawn already; the noise would be the same again.
        """
        full_name = self.full_name(name)
        if full_name in self._drawn:
            raise ValueError(f"random numbers named {full_name!r} were already drawn")
        self._drawn.add(full_name)
        key = name_key(self.seed, full_name)
        shape = mtf.Shape(shape)
        rows = None
        if self.microbatch is not None:
            axes = [i for i, d in enumerate(shape) if d.name in _ROW_DIMENSIONS]
            rows = Rows(self.microbatch, axes[0] if axes else None)
        return stateless_uniform(shape, key, self.noise_step, low, high, rows)

    def dropout(
        self,
        x: mtf.Tensor,
        rate: float,
        name: str = "dropout",
        noise_shape: mtf.Shape | None = None,
    ) -> mtf.Tensor:
        """Zeroes a share `rate` of `x` in training, scales the rest by 1 / (1 - rate).

        The noise, keyed by `name`, varies over `noise_shape`; by default all of `x`.
        """
        if rate == 0.0 or not self.training:
            return x
        noise = self.uniform(name, noise_shape if noise_shape is not None else x.shape)
        keep = mtf.cast(mtf.greater_equal(noise, rate), x.dtype)
        return x * (keep * (1.0 / (1.0 - rate)))
