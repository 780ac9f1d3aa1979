"""Dispatch by gather and by einsum: against numpy, each other, and on every layout."""

import functools
import re

import numpy as np
import oracles.dispatch as oracle
import pytest
import tensorflow as tf
from oracles.mesh_runner import run_mesh, stablehlo_text

from mtmoe.engine.program import MeshProgram
from mtmoe.errors import LayoutError, UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.dispatch import combine, dispatch
from mtmoe.mesh.slots import assign_slots, slots_of_chosen_tokens

OUTER = mtf.Dimension("outer", 2)
GROUP = mtf.Dimension("group", 2)
CHOICE = mtf.Dimension("choice", 2)
TOKEN = mtf.Dimension("token", 24)
EXPERTS = mtf.Dimension("experts", 4)
CAPACITY = mtf.Dimension("capacity", 6)
D_MODEL = mtf.Dimension("d_model", 6)
SLOTS_SHAPE = mtf.Shape([OUTER, GROUP, EXPERTS, CAPACITY])
X_SHAPE = mtf.Shape([OUTER, GROUP, TOKEN, D_MODEL])
Y_SHAPE = SLOTS_SHAPE + D_MODEL

METHODS = ("gather", "einsum")
KINDS = ("one choice", "two choices", "experts choose")
EVERYTHING_SPLIT = ("data:2;model:2", "group:data;d_model:model")
LAYOUTS = [
    ("data:2", "outer:data"),
    ("model:2", "d_model:model"),
    ("outer:2;inner:2", "outer:outer;group:inner"),
]


def make_arrays(kind):
    rng = np.random.default_rng(1)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    arrays = {
        "x": normal(2, 2, 24, 6),
        "y": normal(2, 2, 4, 6, 6),
        "grad_z": normal(2, 2, 24, 6),
    }
    if kind == "experts choose":
        # Different tokens of an expert, the same for several experts, and empty slots.
        chosen = rng.permuted(np.broadcast_to(np.arange(24), (2, 2, 4, 24)), axis=-1)
        chosen = np.where(np.arange(6) < [[5], [6], [3], [0]], chosen[..., :6], 24)
        return arrays | {
            "chosen": chosen.astype(np.int32),
            "weights": normal(2, 2, 4, 6),
        }
    shape = (2, 2, 24) if kind == "one choice" else (2, 2, 2, 24)
    # Uneven experts: some drop tokens, some have empty slots.
    expert_index = rng.choice(4, p=[0.5, 0.3, 0.15, 0.05], size=shape)
    return arrays | {
        "expert_index": expert_index.astype(np.int32),
        "keep_mask": rng.random(shape) < 0.8,
        "weights": normal(*shape),
    }


def mesh_slots(context, features, kind, method):
    if kind == "experts choose":
        chosen = context.import_tensor(features["chosen"], SLOTS_SHAPE)
        return slots_of_chosen_tokens(chosen, TOKEN)
    choice_dim = CHOICE if kind == "two choices" else None
    shape = [OUTER, GROUP, *([choice_dim] if choice_dim else []), TOKEN]
    return assign_slots(
        context.import_tensor(features["expert_index"], shape),
        TOKEN,
        EXPERTS,
        CAPACITY,
        choice_dim,
        keep_mask=context.import_tensor(features["keep_mask"], shape),
        method=method,
    )


def build_movements(kind, methods=METHODS):
    """Both movements and their gradients by each method, `<method> <name>`."""

    def build(context, features):
        outputs = {}
        for method in methods:
            slots = mesh_slots(context, features, kind, method)
            shapes = {"x": X_SHAPE, "y": Y_SHAPE, "weights": slots.weights_shape}
            inputs = {
                name: context.import_tensor(features[name], shape)
                for name, shape in shapes.items()
            }
            x, y, weights = inputs.values()
            slots_of_x = dispatch(x, slots, method)
            tokens_of_y = combine(y, slots, weights, method)
            assert slots_of_x.shape == Y_SHAPE and tokens_of_y.shape == X_SHAPE
            gradients = mtf.gradients(
                [slots_of_x, tokens_of_y],
                list(inputs.values()),
                grad_ys=[y, context.import_tensor(features["grad_z"], X_SHAPE)],
            )
            outputs[f"{method} slots_of_x"] = slots_of_x
            outputs[f"{method} tokens_of_y"] = tokens_of_y
            for name, gradient in zip(inputs, gradients, strict=True):
                outputs[f"{method} grad_{name}"] = gradient
        return outputs

    return build


def mesh_step(build, kind):
    program = MeshProgram()
    signature = {
        name: tf.TensorSpec(array.shape, array.dtype)
        for name, array in make_arrays(kind).items()
    }
    return program.function(
        lambda context, features: (build(context, features), []), signature, "test"
    )


@functools.cache
def one_device_step(kind):
    return mesh_step(build_movements(kind), kind)


def one_device(kind, arrays=None):
    outputs = one_device_step(kind)(0, **(arrays or make_arrays(kind)))
    return {name: np.asarray(value) for name, value in outputs.items()}


def oracle_mask(arrays):
    """[G, K, T, E, C], the four groups being one dimension."""
    if "chosen" in arrays:
        chosen = arrays["chosen"].reshape(4, 4, 6)
        return oracle.dispatch_mask_of_chosen_tokens(chosen, 24)[:, np.newaxis]
    flat = np.where(arrays["keep_mask"], arrays["expert_index"], 4).reshape(4, -1)
    slot, _ = oracle.assign_slots(flat, 4, 6)
    return oracle.dispatch_mask(slot, 4, 6).reshape(4, -1, 24, 4, 6)


def oracle_outputs(arrays):
    mask = oracle_mask(arrays)
    sizes = [4, 1, 1, 4, 6] if "chosen" in arrays else [4, -1, 24, 1, 1]
    outputs = oracle.dispatch_and_gradients(
        mask,
        arrays["weights"].reshape(sizes),
        arrays["x"].reshape(4, 24, 6),
        arrays["y"].reshape(4, 4, 6, 6),
        arrays["grad_z"].reshape(4, 24, 6),
    )
    axes = (1, 2) if "chosen" in arrays else (3, 4)
    outputs["grad_weights"] = outputs["grad_weights"].sum(axes)
    return outputs


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_the_oracle(kind):
    got, wanted = one_device(kind), oracle_outputs(make_arrays(kind))
    for method in METHODS:
        for name, value in wanted.items():
            np.testing.assert_allclose(
                got[f"{method} {name}"].reshape(value.shape),
                value,
                rtol=1e-6,
                atol=1e-6,
                err_msg=f"{method} {name}",
            )
        if kind != "experts choose":  # copies are exact
            assert np.all(
                got[f"{method} slots_of_x"].reshape(4, 4, 6, 6)
                == wanted["slots_of_x"].astype(np.float32)
            )
    # The case is worth testing: tokens without a slot, and empty slots.
    mask = oracle_mask(make_arrays(kind))
    assert np.any(mask.sum((1, 3, 4)) == 0) and np.any(mask.sum((1, 2)) == 0)
    if kind == "experts choose":
        assert mask.sum((1, 3, 4)).max() > 1


@pytest.mark.parametrize(
    ("kind", "layout"),
    [
        ("two choices", EVERYTHING_SPLIT),
        *(
            pytest.param(kind, layout, marks=pytest.mark.slow)
            for kind in KINDS
            for layout in (EVERYTHING_SPLIT, *LAYOUTS)
            if (kind, layout) != ("two choices", EVERYTHING_SPLIT)
        ),
    ],
)
def test_layouts_agree(kind, layout):
    got = run_mesh(build_movements(kind), make_arrays(kind), *layout)
    for name, value in one_device(kind).items():
        np.testing.assert_allclose(
            got[name], value, rtol=1e-6, atol=1e-6, err_msg=f"{layout} {name}"
        )


def stablehlo_operations(kind, method):
    """Names of the operations in what XLA is given, "stablehlo." left out."""
    program = mesh_step(build_movements(kind, [method]), kind).program
    return set(re.findall(r"\bstablehlo\.(\w+)", stablehlo_text(program)))


def test_gather_does_not_scatter_in_either_direction():
    names = stablehlo_operations("two choices", "gather")
    assert "gather" in names
    assert not [name for name in names if "scatter" in name]


@pytest.mark.parametrize("kind", KINDS)
def test_einsum_neither_gathers_nor_scatters_nor_sorts(kind):
    names = stablehlo_operations(kind, "einsum")
    assert "dot_general" in names
    words = ["gather", "sort", "top_k"]
    if kind != "experts choose":  # which counts its tokens so, but moves no row
        words.append("scatter")
    assert not [name for name in names if any(word in name for word in words)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_padding_and_empty_slots_does_not_leak(kind):
    arrays = make_arrays(kind)
    mask = oracle_mask(arrays)
    unrouted = (mask.sum((1, 3, 4)) == 0).reshape(2, 2, 24)
    empty = (mask.sum((1, 2)) == 0).reshape(2, 2, 4, 6)
    no_weight = empty
    if kind != "experts choose":
        no_weight = (mask.sum((3, 4)) == 0).reshape(arrays["weights"].shape)
    arrays["x"][unrouted] = arrays["grad_z"][unrouted] = np.nan
    arrays["y"][empty] = np.inf
    arrays["weights"][no_weight] = np.nan
    got = one_device(kind, arrays)
    clean = one_device(kind)
    for method in METHODS:
        zero = {
            "slots_of_x": empty,
            "grad_y": empty,
            "tokens_of_y": unrouted,
            "grad_x": unrouted,
            "grad_weights": no_weight,
        }
        for name, where in zero.items():
            value = got[f"{method} {name}"]
            assert np.all(value[where] == 0.0), (method, name)
            np.testing.assert_allclose(
                value[~where], clean[f"{method} {name}"][~where], rtol=1e-5, atol=1e-6
            )


def test_gather_keeps_infinities_in_their_own_rows():
    arrays = make_arrays("one choice")
    arrays["x"][...] = np.inf
    got = one_device("one choice", arrays)
    filled = oracle_mask(arrays).sum((1, 2)).reshape(2, 2, 4, 6) > 0
    wanted = np.where(filled[..., np.newaxis], np.inf, np.zeros(6))
    np.testing.assert_array_equal(got["gather slots_of_x"], wanted)


@pytest.mark.parametrize("kind", ["two choices", "experts choose"])
def test_features_of_any_number_and_dtype(kind):
    """Rows of no and of two dimensions; bfloat16 is summed in float32 by gather."""
    arrays = make_arrays(kind)
    heads, d_kv = mtf.Dimension("heads", 2), mtf.Dimension("d_kv", 3)

    def build(context, features):
        outputs = {}
        for method in METHODS:
            slots = mesh_slots(context, features, kind, method)
            weights = context.import_tensor(features["weights"], slots.weights_shape)
            ones = mtf.ones(context.mesh, mtf.Shape([OUTER, GROUP, TOKEN]))
            y = context.import_tensor(features["y"], SLOTS_SHAPE + heads + d_kv)
            rows = combine(mtf.cast(y, tf.bfloat16), slots, weights, method)
            assert rows.dtype == tf.bfloat16
            outputs[f"{method} filled"] = dispatch(ones, slots, method)
            outputs[f"{method} rows"] = mtf.cast(rows, tf.float32)
        return outputs

    got = run_mesh(build, arrays)
    mask, wanted = oracle_mask(arrays), oracle_outputs(arrays)["tokens_of_y"]
    for method in METHODS:
        filled = got[f"{method} filled"].reshape(4, 4, 6)
        np.testing.assert_array_equal(filled, mask.sum((1, 2)))
        rows = got[f"{method} rows"].reshape(4, 24, 6)
        np.testing.assert_allclose(rows, wanted, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dimension", ["token", "experts", "capacity"])
def test_other_dimensions_cannot_be_split(dimension, method):
    build = build_movements("one choice", [method])
    with pytest.raises(LayoutError, match=f"'{dimension}' cannot be split .over 'm'."):
        run_mesh(build, make_arrays("one choice"), "m:2", f"{dimension}:m")


def test_arguments_out_of_order_are_refused():
    zeros = np.zeros((24, 2), np.float32)
    arrays = make_arrays("one choice")

    def build(context, features, which):
        slots = mesh_slots(context, features, "one choice", "gather")
        x = context.import_tensor(zeros, [TOKEN, GROUP])
        y = context.import_tensor(features["y"], Y_SHAPE)
        if which == "x":
            dispatch(x, slots)
        elif which == "method":
            dispatch(y, slots, "one_hot")
        else:
            combine(x if which == "y" else y, slots, x)

    for which, error, message in (
        ("x", ValueError, "x .* must begin with"),
        ("y", ValueError, "y .* must begin with"),
        ("weights", ValueError, "weights .* must have the shape"),
        ("method", UnknownNameError, "dispatch method 'one_hot'"),
    ):
        with pytest.raises(error, match=message):
            run_mesh(lambda *args, which=which: build(*args, which), arrays)
