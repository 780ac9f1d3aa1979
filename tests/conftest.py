"""One TensorFlow process for all tests, with four logical CPU devices.

Logical devices can only be made before the first TensorFlow operation, so they are made
here, before any test module is imported.
"""

import os
import pathlib

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


# Files of half a minute and more, the longest first.
_LONGEST = (
    "repository/test_plain_install.py",
    "tasks/test_suites_tfds.py",
    "contract/test_layouts.py",
    "contract/test_own_metrics_of_embedded_tasks.py",
    "contract/test_resume.py",
    "train/test_step_memory.py",
    "train/test_train_step.py",
    "model/test_model_options.py",
    "model/decoding/test_generate.py",
    "train/test_loop.py",
    "contract/test_language_model_run.py",
    "tasks/test_embedded_morphology.py",
    "tasks/test_embedded_classification.py",
    "cli/test_tasks_command.py",
    "cli/test_train_command.py",
    "evaluate/test_evaluate_run.py",
    "mesh/test_recompute.py",
    "mesh/test_program.py",
    "mesh/test_compilation.py",
)


def pytest_collection_modifyitems(items):
    """Long files begin first: at the end, one process would wait for the other."""
    tests = pathlib.Path(__file__).parent
    rank = {tests / name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


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
