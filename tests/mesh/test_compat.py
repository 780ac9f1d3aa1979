"""Each shim is needed still; the test that fails names the one to remove."""

import inspect
import subprocess
import sys

import pytest

from mtmoe.mesh import compat

# What an unpatched TensorFlow says, asked in a process of its own.
_PRISTINE = """
import importlib, tensorflow as tf
from tensorflow.python.framework import ops
print(hasattr(ops, "register_tensor_conversion_function"))
try:
    importlib.import_module("tensorflow.compat.v1.estimator")
    print(True)
except ImportError:
    print(False)
try:
    import mesh_tensorflow
    print(True)
except (ImportError, AttributeError):
    print(False)
"""


@pytest.fixture(scope="module")
def pristine():
    """Whether this TensorFlow has the two names, and imports Mesh TensorFlow, alone."""
    printed = subprocess.run(
        [sys.executable, "-c", _PRISTINE], check=True, capture_output=True, text=True
    ).stdout.split()
    answers = [word == "True" for word in printed[-3:]]
    return dict(zip(("register", "estimator", "mesh"), answers, strict=True))


def test_register_shim_is_needed(pristine):
    from mesh_tensorflow import tpu_variables

    assert not pristine["register"], "TensorFlow has the name again: remove the shim"
    source = inspect.getsource(tpu_variables)
    assert "ops.register_tensor_conversion_function" in source, "remove the shim"


def test_estimator_shim_is_needed(pristine):
    from mesh_tensorflow import ops

    assert not pristine["estimator"], "TensorFlow has the name again: remove the shim"
    assert "import estimator" in inspect.getsource(ops), "remove the shim"


def test_mesh_tensorflow_does_not_import_unpatched(pristine):
    assert not pristine["mesh"], "Mesh TensorFlow imports by itself: remove the shims"


def test_shims_are_in_force_and_stay_needed_once_applied():
    assert [shim.name.rpartition(".")[2] for shim in compat.SHIMS] == [
        "register_tensor_conversion_function",
        "estimator",
    ]
    assert all(shim.needed() for shim in compat.SHIMS)
    assert compat.mtf.Dimension("batch", 2).size == 2


def test_supplied_estimator_has_what_mesh_subclasses():
    from tensorflow.compat.v1 import estimator

    assert estimator.ModeKeys.TRAIN == "train"
    assert issubclass(compat.mtf.MtfRestoreHook, estimator.SessionRunHook)
