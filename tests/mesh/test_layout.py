"""Mesh shapes and layout rules: parsed, checked, and refused with a reason."""

import pytest

from mtmoe.errors import LayoutError, UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout, indivisible


def test_one_processor_by_default():
    layout = Layout()
    assert layout.size == 1
    assert layout.splits("batch") == 1


def test_two_dimensions():
    layout = Layout("batch:2;model:2", "batch:batch;d_ff:model;heads:model")
    assert layout.size == 4
    assert layout.splits("batch") == 2
    assert layout.splits("d_ff") == 2
    assert layout.splits("length") == 1


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


SHAPE = mtf.Shape([mtf.Dimension("batch", 6), mtf.Dimension("d_ff", 8)])


def test_slices():
    layout = Layout("data:2;model:4", "batch:data;d_ff:model")
    assert layout.split_axes(SHAPE) == ("data", "model")
    assert Layout().split_axes(SHAPE) == (None, None)


def test_sizes_may_be_a_mapping():
    layout = Layout({"data": 2, "model": 4}, "batch:data")
    assert layout == Layout("data:2;model:4", "batch:data")
    assert layout.size == 8


def test_a_dimension_is_split_once():
    with pytest.raises(LayoutError, match="names 'batch' twice.*outer_batch"):
        Layout("data:2;outer:2", "batch:data;batch:outer")


def test_without_some_rules():
    layout = Layout("data:2;model:2", "batch:data;length:model;heads:model")
    assert layout.without("length", "vocab").layout_rules == "batch:data;heads:model"


@pytest.mark.parametrize(
    ("size", "ways", "said"),
    [
        (6, 4, "6 = 4 x 1 + 2; n of 4 or 8 would, and so would mesh_shape a:3 or a:6"),
        (2, 3, "2 = 3 x 0 + 2; n of 3 would, and so would mesh_shape a:2"),
        (7, 2, "7 = 2 x 3 + 1; n of 6 or 8 would, and so would mesh_shape a:1 or a:7"),
    ],
)
def test_what_near_a_size_would_divide(size, ways, said):
    assert indivisible("n", size, "a", ways).endswith(said)
