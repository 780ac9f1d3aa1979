"""What is found of a machine's devices."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from mtmoe.engine.hardware import attached
from mtmoe.errors import HardwareError


def device(platform, kind, memory=None):
    def memory_stats():
        if isinstance(memory, Exception):
            raise memory
        return memory

    return SimpleNamespace(
        platform=platform, device_kind=kind, memory_stats=memory_stats
    )


def test_devices_are_counted_by_kind():
    tpu = device("tpu", "TPU v5 lite", {"bytes_limit": 7})
    found = attached.describe_devices([tpu, tpu, device("cpu", "cpu")])
    assert found == [
        attached.Devices("tpu", "TPU v5 lite", 2, 7),
        attached.Devices("cpu", "cpu", 1, 0),
    ]


def test_memory_that_nobody_tells_is_unknown():
    (found,) = attached.describe_devices([device("gpu", "A", RuntimeError("no"))])
    assert found.memory_bytes == 0


def test_this_machine_answers(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert attached.find_devices()[0].platform == "cpu"


def test_an_answer_that_does_not_come_is_not_waited_for(monkeypatch):
    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(HardwareError, match="in 3 s"):
        attached.find_devices(seconds=3)


def test_what_jax_says_is_passed_on(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(HardwareError, match="it says nothing"):
        attached.find_devices()


def test_accelerators_on_the_bus(tmp_path):
    for number, (vendor, kind) in enumerate(
        [("0x1ae0", "0x0063"), ("0x1ae0", "0x0063"), ("0x1ae0", "0x1"), ("0x8086", "")]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "device").write_text(f"{kind}\n")
    assert attached.attached_tpus(tmp_path) == [("v5e", 2)]
    assert attached.attached_tpus(tmp_path / "none") == []


def test_gpus_of_the_driver(tmp_path):
    folder = tmp_path / "gpus" / "0000:01:00.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text("Model: \t\t NVIDIA H200\nIRQ: 1\n")
    assert attached.attached_gpus(tmp_path) == [("NVIDIA H200", 1)]


def test_tensorflow_sees_no_accelerator():
    import tensorflow as tf

    from mtmoe.mesh.compat import mtf

    assert mtf.Mesh
    visible = {device.device_type for device in tf.config.get_visible_devices()}
    assert visible == {"CPU"}
