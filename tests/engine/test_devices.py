"""The devices of a layout: as many as it has processors, in their order."""

import os
import types

import jax
import pytest

from mtmoe.engine import devices
from mtmoe.engine.devices import device_mesh
from mtmoe.errors import LayoutError
from mtmoe.mesh.layout import Layout


def test_one_device_without_a_mesh():
    mesh = device_mesh(Layout())
    assert mesh.size == 1 and mesh.devices.flat[0] == jax.devices()[0]


def test_processors_are_numbered_in_row_major_order():
    mesh = device_mesh(Layout("batch:2;model:3"))
    assert dict(mesh.shape) == {"batch": 2, "model": 3}
    assert mesh.devices[1, 2] == jax.devices()[5]


def test_too_few_devices():
    jax.devices()  # now they are counted
    with pytest.raises(LayoutError, match="'batch:64' has 64 processors.*8 devices"):
        device_mesh(Layout("batch:64"))


@pytest.mark.parametrize(
    ("processes", "cores", "before", "after"),
    [
        (4, 2, None, "4"),
        (2, 2, None, "4"),
        (4, 4, None, None),
        (1, 2, None, None),  # XLA takes one thread a device by itself
        (4, 2, "3", "3"),
    ],
)
def test_a_process_takes_as_many_threads_as_one_with_all_devices(
    monkeypatch, processes, cores, before, after
):
    monkeypatch.setenv("NPROC", before or "")
    if before is None:
        monkeypatch.delenv("NPROC")
    group = types.SimpleNamespace(count=processes)
    monkeypatch.setattr(devices, "current", lambda: group)
    monkeypatch.setattr(devices, "num_cores", lambda: cores)
    devices._ensure_cpu_devices(4)
    assert os.environ.get("NPROC") == after
