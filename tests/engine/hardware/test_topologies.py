"""Names of TPU slices, and the library that compiles for them."""

import jax
import pytest

from mtmoe.engine.devices import arranged, topology_mesh
from mtmoe.engine.hardware import topologies
from mtmoe.engine.hardware.generations import GENERATIONS, generation_of
from mtmoe.engine.hardware.plugins import libtpu_path
from mtmoe.engine.hardware.topologies import named_topology
from mtmoe.errors import HardwareError, LayoutError, UnknownNameError
from mtmoe.mesh.layout import Layout


@pytest.mark.parametrize(
    ("written", "name", "chips", "devices"),
    [
        ("v5e:2x2", "v5e:2x2", 4, 4),
        ("v5e:2x2x1", "v5e:2x2", 4, 4),
        ("v5e-32", "v5e:4x8", 32, 32),
        ("v5litepod-256", "v5e:16x16", 256, 256),
        ("v6e-8", "v6e:2x4", 8, 8),
        ("v4-8", "v4:2x2x1", 4, 4),
        ("v4-128", "v4:4x4x4", 64, 64),
        ("v4-2048", "v4:8x8x16", 1024, 1024),
        ("V5P-16", "v5p:2x2x2", 8, 8),
        ("v5p:16x20x28", "v5p:16x20x28", 8960, 8960),
        ("tpu7x:2x2x1", "tpu7x:2x2x1", 4, 8),
        ("tpu7x-8", "tpu7x:2x2x1", 4, 8),
        ("v3-8", "v3:2x2", 4, 8),
        ("v5e-1", "v5e:1x1", 1, 1),
        ("2*v5e:4x8", "2*v5e:4x8", 64, 64),
    ],
)
def test_names(written, name, chips, devices):
    topology = named_topology(written)
    assert topology.name == name
    assert topology.num_chips == chips
    assert topology.num_devices == devices
    assert named_topology(name) == topology


def test_chips_of_v4_are_one_device_each():
    assert named_topology("v4-8").options["chip_config_name"] == "megacore"
    assert "chip_config_name" not in named_topology("v5p-8").options


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("v5e:4x8", [False, False, False]),
        ("v6e:8x16", [False, True, False]),
        ("v4:4x4x8", [True, True, True]),
        ("v4:2x4x4", [False, False, False]),
    ],
)
def test_rings(name, wrap):
    assert named_topology(name).options["wrap"] == wrap


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("v5e", HardwareError, "write it such as v5e:2x2"),
        ("v5x:2x2", UnknownNameError, "did you mean v5p or v5e"),
        ("v5e:3x5", HardwareError, "next larger slice that does is v5e:4x6"),
        ("v5e:2x2x2", HardwareError, "a slice of v5e has 2: v5e:2x2"),
        ("v5p:4x4", HardwareError, "a slice of v5p has 3: v5p:2x2x1"),
        ("v5e:32x32", HardwareError, "largest of v5e is v5e:16x16"),
        ("v5e-33", HardwareError, "counts chips.*nearest is v5e-32"),
        ("v4-9", HardwareError, "counts cores.*nearest is v4-8"),
        ("0*v5e:2x2", HardwareError, "at least 1"),
    ],
)
def test_errors_name_what_is_near(name, error, words):
    with pytest.raises(error, match=words):
        named_topology(name)


def test_generations_are_found_by_what_jax_calls_their_devices():
    for generation in GENERATIONS.values():
        assert generation_of(generation.device_kind.upper()) is generation
    assert generation_of("NVIDIA H100") is None


def test_missing_compiler_is_named_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("TPU_LIBRARY_PATH", str(tmp_path / "libtpu.so"))
    with pytest.raises(HardwareError, match="there is no such file"):
        libtpu_path()
    (tmp_path / "libtpu.so").write_bytes(b"")
    assert libtpu_path() == tmp_path / "libtpu.so"
    monkeypatch.delenv("TPU_LIBRARY_PATH")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HardwareError, match=r"pip install 'libtpu==0\.0\."):
        topologies.named_topology("v5e:2x2").devices()


def test_a_layout_has_as_many_processors_as_the_slice_has_devices():
    with pytest.raises(LayoutError, match="4 processors, but tpu7x:2x2x1 has 8"):
        topology_mesh(named_topology("tpu7x-8"), Layout(mesh_shape="data:4"))


def test_devices_that_are_not_wired_in_a_grid_keep_their_order():
    devices = jax.devices("cpu")[:4]
    mesh = arranged(devices, Layout("data:2;model:2"))
    assert mesh.axis_names == ("data", "model")
    assert list(mesh.devices.flat) == devices
