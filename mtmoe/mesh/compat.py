"""Makes Mesh TensorFlow import on a current TensorFlow; nothing else patches anything.

Mesh TensorFlow 0.1.21 is the last release and is unmaintained. It asks TensorFlow for
two names that TensorFlow has since removed. Each is supplied by a `Shim`, applied only
where it is needed, before `mesh_tensorflow` is first imported. Every module of ours
that builds a mesh graph writes

    from mtmoe.mesh.compat import mtf

and so cannot forget the order. `mtmoe doctor` lists the shims in force.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import types
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.framework import ops, tensor_conversion_registry

from mtmoe.startup.importing import keep_tensorflow_on_the_host

_ESTIMATOR = "tensorflow.compat.v1.estimator"


@dataclasses.dataclass(frozen=True)
class Shim:
    """One name that Mesh TensorFlow needs and TensorFlow no longer has.

    Attributes:
      name: the dotted name that is supplied.
      reason: why Mesh TensorFlow asks for it, and since when it is gone.
      needed: whether this TensorFlow lacks the name, patched or not.
      apply: supplies the name.
    """

    name: str
    reason: str
    needed: Callable[[], bool]
    apply: Callable[[], None]


def _register_is_missing() -> bool:
    current = getattr(ops, "register_tensor_conversion_function", None)
    supplied = tensor_conversion_registry.register_tensor_conversion_function
    return current is None or current is supplied


def _supply_register() -> None:
    ops.register_tensor_conversion_function = (
        tensor_conversion_registry.register_tensor_conversion_function
    )


def _estimator_is_missing() -> bool:
    module = sys.modules.get(_ESTIMATOR)
    if module is not None:
        return getattr(module, "__mtmoe_shim__", False)
    return importlib.util.find_spec("tensorflow_estimator") is None


class _ModeKeys:
    """The three mode names of the removed `tf.estimator.ModeKeys`."""

    TRAIN = "train"
    EVAL = "eval"
    PREDICT = "infer"


def _supply_estimator() -> None:
    module = types.ModuleType(_ESTIMATOR)
    module.__mtmoe_shim__ = True  # type: ignore[attr-defined]
    module.ModeKeys = _ModeKeys  # type: ignore[attr-defined]
    for hook in ("SessionRunHook", "CheckpointSaverListener"):
        setattr(module, hook, getattr(tf.compat.v1.train, hook))
    sys.modules[_ESTIMATOR] = module
    tf.compat.v1.estimator = module


SHIMS: tuple[Shim, ...] = (
    Shim(
        name="tensorflow.python.framework.ops.register_tensor_conversion_function",
        reason="mesh_tensorflow/tpu_variables.py calls it at import; "
        "moved to tensor_conversion_registry in TensorFlow 2.13",
        needed=_register_is_missing,
        apply=_supply_register,
    ),
    Shim(
        name=_ESTIMATOR,
        reason="mesh_tensorflow/ops.py subclasses its hooks at import; "
        "removed in TensorFlow 2.16",
        needed=_estimator_is_missing,
        apply=_supply_estimator,
    ),
)

keep_tensorflow_on_the_host()
for _shim in SHIMS:
    if _shim.needed():
        _shim.apply()

import mesh_tensorflow as mtf  # noqa: E402  (only importable once the shims stand)
from mesh_tensorflow import placement_mesh_impl  # noqa: E402

__all__ = ["SHIMS", "Shim", "mtf", "placement_mesh_impl"]
