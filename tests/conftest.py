"""All tests of a process share its eight CPU devices.

A CPU can only be divided into devices before the first is used, so it is done here,
before any test module is imported.

What is compiled is kept for the whole session, for the processes that tests start too;
for longer, and for the next session, in a folder that JAX_COMPILATION_CACHE_DIR names.
"""

import atexit
import gc
import os
import pathlib
import shutil
import sys
import tempfile

gc.disable()  # until everything is imported: see pytest_collection_finish
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.mkdtemp(prefix="mtmoe_compiled_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled
    atexit.register(shutil.rmtree, _compiled, ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# Compiling takes a quarter of the time, and tiny models run as fast.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1",
)

# SlipCover tells its workers nothing of the threshold in pyproject.toml.
_slipcover = getattr(
    sys.modules.get("slipcover.pytest_plugin"), "_slipcover_instance", None
)
if _slipcover is not None:
    _slipcover.d_miss_threshold = 2_147_483_647

import gin
import hypothesis
import jax
import pytest

# The same examples in every run: a change may break a test, a roll of dice may not.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

jax.config.update("jax_num_cpu_devices", 8)

if "PYTEST_XDIST_WORKER" in os.environ:  # most tests need it, and here it is fastest
    from mtmoe.startup.importing import import_tensorflow

    import_tensorflow()


# Files of half a minute and more, the longest first.
_LONGEST = (
    "contract/test_agreement.py",
    "repository/test_plain_install.py",
    "contract/test_several_processes.py",
    "contract/test_resume.py",
    "tasks/test_embedded_morphology.py",
    "train/test_step_memory.py",
    "model/test_model_options.py",
    "model/moe/test_router_contract.py",
    "model/decoding/test_generate.py",
    "model/moe/test_moe_layer.py",
    "data/token_cache/test_beam_runner.py",
    "config/test_compositions.py",
    "data/sources/embedded/test_corpus.py",
    "tasks/test_suites_tfds.py",
    "tasks/test_exmix_understanding.py",
    "model/test_dtypes.py",
    "contract/test_whole_groups.py",
    "tasks/test_exmix_generation.py",
    "train/test_loop.py",
    "data/vocabulary/test_vocabularies.py",
    "cli/test_exchange_commands.py",
    "cli/test_program_command.py",
    "contract/test_own_metrics_of_embedded_tasks.py",
    "cli/test_cache_command.py",
)


def pytest_collection_modifyitems(items):
    """Long files begin first: at the end, one process would wait for the other."""
    tests = pathlib.Path(__file__).parent
    rank = {tests / name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_collection_finish():
    """What is imported stays: the garbage collector need not look at it again.

    It would look at a million objects every few tests, a sixth of the tests' time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


@pytest.fixture
def clean_registry():
    """Removes the tasks and mixtures that a test registers."""
    import registrations

    with registrations.undone():
        yield


@pytest.fixture(autouse=True)
def _no_kept_programs():
    """No test takes over what a command of another has kept.

    A kept program is found by the source files; what a test patches is not in them.
    """
    yield
    cache = sys.modules.get("mtmoe.engine.kept.cache")
    if cache is not None:
        cache.programs = None


@pytest.fixture(autouse=True, scope="module")
def _forget_what_is_compiled():
    """JAX would hold the programs of all modules at the end: gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def _clean_gin():
    """No test sees the bindings of another."""
    yield
    with gin.unlock_config():
        gin.clear_config()
