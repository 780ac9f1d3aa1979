"""A lowered program: StableHLO for one processor, and a signature of plain data."""

import dataclasses
import json
import re

import pytest
import tensorflow as tf
from oracles.mesh_runner import stablehlo_text

from mtmoe.errors import LayoutError
from mtmoe.mesh import initializers
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.lowered import ProgramOptions, lower
from mtmoe.mesh.precision import named_precision
from mtmoe.mesh.signature import Signature

BATCH, WIDTH, HIDDEN = (
    mtf.Dimension(name, size) for name, size in (("batch", 6), ("d", 4), ("h", 8))
)
SIGNATURE = {
    "x": tf.TensorSpec([6, 4], tf.float32),
    "unused": tf.TensorSpec([6], tf.int32),
}
COLLECTIVES = ("all_reduce", "all_gather", "all_to_all", "collective_permute")


def build(context, features):
    """A step that updates one of two variables, and leaves a feature alone."""
    x = context.import_tensor(features["x"], mtf.Shape([BATCH, WIDTH]))
    w = context.variable("w", mtf.Shape([WIDTH, HIDDEN]), initializers.ones)
    scale = context.variable("s", mtf.Shape([]), initializers.ones, trainable=False)
    loss = mtf.reduce_mean(mtf.square(mtf.einsum([x, w], [BATCH, HIDDEN]))) * scale
    (gradient,) = mtf.gradients([loss], [w])
    return {"loss": loss}, [mtf.assign_sub(w, gradient)]


def lowered(mesh_shape="", rules="", function=build, signature=SIGNATURE):
    options = ProgramOptions(
        Layout(mesh_shape, rules), 0, True, named_precision("float32")
    )
    return lower(function, signature, "step", options)


@pytest.fixture(scope="module")
def four():
    return lowered("m:2;n:2", "batch:m;h:n")


def test_the_signature_says_what_goes_in_and_comes_out(four):
    signature = four.signature
    assert (signature.name, signature.mesh) == ("step", (("m", 2), ("n", 2)))
    (x,) = signature.features  # what the function leaves alone is no argument
    assert dataclasses.asdict(x) == {
        "name": "x",
        "dimensions": ("batch", "d"),
        "shape": (6, 4),
        "dtype": "float32",
        "split": ("m", None),
    }
    splits = {argument.name: argument.split for argument in signature.variables}
    assert splits == {"w": (None, "n"), "s": ()}
    assert signature.trainable == signature.updated == ("w",)
    assert [(output.name, output.shape) for output in signature.outputs] == [
        ("loss", ())
    ]
    assert set(four.initial_values) == {"w", "s"}


def test_the_signature_is_plain_json(four):
    text = four.signature.to_json()
    assert Signature.from_json(text) == four.signature
    assert json.loads(text)["features"][0]["split"] == ["m", None]


def test_arguments_are_slices(four):
    """The step, the processor, x, w and s; out come the loss and w."""
    text = stablehlo_text(four)
    (given, returned) = re.search(
        r"func\.func (?:public )?@main\((.*?)\) -> \(?(.*?)\)? \{\n", text
    ).groups()
    assert re.findall(r"tensor<([^>]*)>", given) == ["i32", "i32", "3x4xf32"] + [
        {"w": "4x4xf32", "s": "f32"}[v.name] for v in four.signature.variables
    ]
    assert re.findall(r"tensor<([^>]*)>", returned) == ["f32", "4x4xf32"]
    assert "stablehlo.all_reduce" in text


@pytest.mark.parametrize(
    ("mesh_shape", "rules"), [("", ""), ("m:1", "batch:m"), ("m:4", "")]
)
def test_where_nothing_is_split_nothing_is_exchanged(mesh_shape, rules):
    text = stablehlo_text(lowered(mesh_shape, rules))
    assert "stablehlo.dot_general" in text
    assert not [name for name in COLLECTIVES if f"stablehlo.{name}" in text]


def test_every_collective_has_a_channel_of_its_own(four):
    text = stablehlo_text(four)
    count = sum(text.count(f"stablehlo.{name}") for name in COLLECTIVES)
    handles = re.findall(r"channel_handle<handle = (\d+)", text)
    assert len(handles) == len(set(handles)) == count > 1


def test_a_layout_that_leaves_a_rest_is_refused_with_the_arithmetic():
    with pytest.raises(LayoutError, match=r"step: .*'m': 6 = 4 x 1 \+ 2"):
        lowered("m:4", "batch:m")


def test_a_feature_is_laid_out_in_one_way():
    def twice(context, features):
        context.import_tensor(features["x"], mtf.Shape([BATCH, WIDTH]))
        context.import_tensor(features["x"], mtf.Shape([WIDTH, BATCH]))
        return {}, []

    with pytest.raises(ValueError, match=r"'x' was laid out as .* one way"):
        lowered(function=twice)


def test_a_feature_of_another_size_is_refused():
    def wrong(context, features):
        context.import_tensor(features["x"], mtf.Shape([BATCH, HIDDEN]))
        return {}, []

    with pytest.raises(ValueError, match=r"'x' of shape \[6, 4\] cannot be laid out"):
        lowered(function=wrong)


def test_a_function_without_outputs_is_refused():
    with pytest.raises(ValueError, match="step has no outputs"):
        lowered(function=lambda context, features: ({}, []))


def test_the_same_function_gives_the_same_program(four):
    """But for the module's name, in its first line."""
    again = lowered("m:2;n:2", "batch:m;h:n")
    texts = [stablehlo_text(program).splitlines()[1:] for program in (again, four)]
    assert texts[0] == texts[1]
    assert again.signature == four.signature
