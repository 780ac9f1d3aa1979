"""What a function of a mesh program is made of: its features and its build function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import tensorflow as tf

from mtmoe.mesh.compat import mtf

if TYPE_CHECKING:
    from mtmoe.mesh.context import GraphContext


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


Features = Mapping[str, Feature]
Built = tuple[dict[str, mtf.Tensor], list[mtf.Operation]]
Build = Callable[["GraphContext", Features], Built]


def named_features(signature: Mapping[str, tf.TensorSpec]) -> dict[str, Feature]:
    """Returns a handle for each array that a function takes."""
    return {
        name: Feature(name, tuple(spec.shape), spec.dtype)
        for name, spec in signature.items()
    }
