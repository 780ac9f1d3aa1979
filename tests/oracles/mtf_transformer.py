"""Makes `mesh_tensorflow.transformer` importable, to serve as an oracle.

Beyond the shims of `mtmoe.mesh.compat`, which Mesh TensorFlow itself needs, that
package imports two modules of TensorFlow's removed TPUEstimator, and `gin.tf`, which
wants `tf.estimator`. Stubs stand in for them here and nowhere else.
"""

from __future__ import annotations

import sys
import types

import gin
import tensorflow as tf
from absl import flags

from mtmoe.mesh.compat import mtf  # noqa: F401  (the shims come first)

if not hasattr(tf, "estimator"):
    tf.estimator = sys.modules["tensorflow.compat.v1.estimator"]

for _name in ("tpu_config", "tpu_estimator"):
    _module = types.ModuleType(f"tensorflow.python.tpu.{_name}")
    sys.modules.setdefault(_module.__name__, _module)

# mesh_tensorflow.transformer.utils imports it, newer setuptools no longer has it.
_has_resources = "pkg_resources" in sys.modules
sys.modules.setdefault("pkg_resources", types.ModuleType("pkg_resources"))
_flags_before = set(flags.FLAGS)
_known_to_gin = {selector for selector, _ in gin.config._REGISTRY.items()}

from mesh_tensorflow.transformer import (  # noqa: E402
    moe,
    transformer,
    transformer_layers,
)

# Neither that module nor the flags it defines (--gin_file ...) may be met by others,
# nor its configurables, some of which have the names of ours.
if not _has_resources:
    del sys.modules["pkg_resources"]
for _name in set(flags.FLAGS) - _flags_before:
    delattr(flags.FLAGS, _name)
for _selector in [selector for selector, _ in gin.config._REGISTRY.items()]:
    if _selector not in _known_to_gin:
        gin.config._REGISTRY.pop(_selector)

__all__ = ["moe", "transformer", "transformer_layers"]
