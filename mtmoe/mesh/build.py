"""What a function of a mesh program is made of: its features and its build function."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.feature_import import Feature

Features = Mapping[str, Feature]
Built = tuple[dict[str, mtf.Tensor], list[mtf.Operation]]
Build = Callable[[GraphContext, Features], Built]


def named_features(signature: Mapping[str, tf.TensorSpec]) -> dict[str, Feature]:
    """Returns a handle for each array that a function takes."""
    return {
        name: Feature(name, tuple(spec.shape), spec.dtype)
        for name, spec in signature.items()
    }
