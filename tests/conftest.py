"""One TensorFlow process for all tests, with four logical CPU devices.

Logical devices can only be made before the first TensorFlow operation, so they are made
here, before any test module is imported.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Thousands of small functions are compiled, none of which is worth a file.
os.environ.setdefault("TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory=")

import gin
import hypothesis
import pytest
import tensorflow as tf

# The same examples in every run: a change may break a test, a roll of dice may not.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration() for _ in range(4)],
)


@pytest.fixture
def clean_registry():
    """Removes the tasks and mixtures that a test registers."""
    import registrations

    with registrations.undone():
        yield


@pytest.fixture(autouse=True)
def _clean_gin():
    """No test sees the bindings of another."""
    yield
    with gin.unlock_config():
        gin.clear_config()
