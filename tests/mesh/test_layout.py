"""Mesh shapes and layout rules: parsed, checked, and refused with a reason."""

import pytest
import tensorflow as tf

from mtmoe.errors import LayoutError, UnknownNameError
from mtmoe.mesh.devices import device_names
from mtmoe.mesh.layout import Layout


def test_one_processor_by_default():
    layout = Layout()
    assert layout.size == 1
    assert layout.splits("batch") == 1
    assert device_names(layout) == [""]


def test_two_dimensions():
    layout = Layout("batch:2;model:2", "batch:batch;d_ff:model;heads:model")
    assert layout.size == 4
    assert layout.splits("batch") == 2
    assert layout.splits("d_ff") == 2
    assert layout.splits("length") == 1
    assert device_names(layout) == [f"/device:CPU:{i}" for i in range(4)]


def test_devices_as_given():
    assert device_names(Layout("batch:1", "", ("/device:CPU:2",))) == ["/device:CPU:2"]


@pytest.mark.parametrize(
    ("mesh_shape", "rules", "message"),
    [
        ("batch", "", "not of the form name:value"),
        ("batch:two", "", "not a positive whole number"),
        ("batch:0", "", "not a positive whole number"),
        ("batch:²", "", "not a positive whole number"),
        ("batch:2;batch:2", "", "repeats a name"),
        ("batch:2", "batch", "not of the form name:value"),
    ],
)
def test_malformed(mesh_shape, rules, message):
    with pytest.raises(LayoutError, match=message):
        Layout(mesh_shape, rules)


def test_unknown_mesh_dimension_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean model"):
        Layout("batch:2;model:2", "d_ff:modle")


def test_wrong_number_of_devices():
    with pytest.raises(LayoutError, match="names 1 devices"):
        Layout("batch:2", "", ("/device:CPU:0",))


def test_too_many_logical_devices():
    tf.constant(0)  # starts TensorFlow with the devices it has
    with pytest.raises(LayoutError, match="wants 64 logical CPU devices"):
        device_names(Layout("batch:64", ""))
