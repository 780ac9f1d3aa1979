"""XLA's options for a kind of device."""

from types import SimpleNamespace

import gin
import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from mtmoe.engine.compile import options
from mtmoe.engine.compile.options import Engine, XlaOption, device_family, xla_options
from mtmoe.engine.hardware.generations import GENERATIONS
from mtmoe.errors import ConfigError, UnknownNameError

PASSES = "xla_disable_hlo_passes"
OF_THE_TABLE = {
    PASSES: "tree_reduction_rewriter",
    "xla_cpu_experimental_ynn_fusion_type": "",
    "xla_cpu_copy_insertion_use_region_analysis": True,
}


NOTHING_OF_THE_TABLE = dict.fromkeys(OF_THE_TABLE)


@pytest.fixture
def mesh():
    return Mesh(np.array(jax.devices("cpu")[:1]), ("processor",))


def test_the_table_is_in_force(mesh):
    assert xla_options(mesh, Engine()) == OF_THE_TABLE


def test_the_user_adds_changes_and_removes(mesh):
    engine = Engine(NOTHING_OF_THE_TABLE | {"xla_cpu_enable_fast_math": False})
    assert xla_options(mesh, engine) == {"xla_cpu_enable_fast_math": False}
    changed = Engine({PASSES: "dce"})
    assert xla_options(mesh, changed) == OF_THE_TABLE | {PASSES: "dce"}


def test_a_config_serves_other_devices_too(mesh):
    engine = Engine({"xla_tpu_enable_async_all_to_all": True, "xla_gpu_x": 1})
    assert xla_options(mesh, engine) == OF_THE_TABLE


def test_gin_sets_them(mesh):
    with gin.unlock_config():
        gin.bind_parameter("Engine.xla_options", NOTHING_OF_THE_TABLE)
    try:
        assert xla_options(mesh) == {}
    finally:
        gin.clear_config()


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        ({"xla_disable_hlo_pass": "dce"}, ConfigError, f"did you mean {PASSES}"),
        ({"xla_cpu_enable_fast_math": "yes"}, ConfigError, "True or False"),
        ({"--xla_x=1": 1}, ConfigError, "without dashes here: 'xla_x'"),
        ({PASSES: ["dce"]}, ConfigError, "must be a number"),
        ({"xla_disable_hlo_pass": None}, UnknownNameError, f"did you mean {PASSES}"),
    ],
)
def test_errors_of_the_user(mesh, wanted, error, words):
    with pytest.raises(error, match=words):
        xla_options(mesh, Engine(wanted))


def test_what_this_xla_lacks_is_left_out_with_a_message(mesh, monkeypatch, capsys):
    old = XlaOption("xla_of_long_ago", True, frozenset({"cpu"}), "", "")
    monkeypatch.setattr(options, "TABLE", (*options.TABLE, old))
    assert xla_options(mesh, Engine()) == OF_THE_TABLE
    assert "does not have the option xla_of_long_ago" in capsys.readouterr().err
    assert xla_options(mesh, Engine()) == OF_THE_TABLE
    assert not capsys.readouterr().err, "said once"


def test_the_pass_that_is_taken_out_is_out():
    """It acts through the options of one compilation, without XLA_FLAGS."""
    x = jax.ShapeDtypeStruct((64, 512), np.int32)
    lowered = jax.jit(lambda x: x.sum(axis=1)).lower(x)
    without = lowered.compile(compiler_options={PASSES: "tree_reduction_rewriter"})
    assert "reduce-window" not in without.as_text()
    assert "reduce-window" in lowered.compile().as_text()


def test_families():
    for generation in GENERATIONS.values():
        kind = SimpleNamespace(platform="tpu", device_kind=generation.device_kind)
        assert device_family(kind) == generation.name
    assert device_family(SimpleNamespace(platform="cuda", device_kind="x")) == "gpu"
    assert device_family(SimpleNamespace(platform="tpu", device_kind="v9")) == "tpu"


def test_every_option_says_why_and_who_says_so():
    families = {"cpu", "gpu", *GENERATIONS}
    for option in options.TABLE:
        assert option.kinds <= families
        assert option.reason.endswith(".")
        assert option.source
