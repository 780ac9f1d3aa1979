"""Dispatch by gather: against numpy loops, one-hot einsums, and on every layout."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import oracles.dispatch as oracle
import pytest
import tensorflow as tf
from oracles.mesh_runner import run_mesh, with_gradients

from mtmoe.errors import LayoutError
from mtmoe.mesh import dispatch
from mtmoe.mesh.compat import mtf

OUTER = mtf.Dimension("outer", 2)
GROUP = mtf.Dimension("group", 2)
CHOICE = mtf.Dimension("choice", 2)
TOKEN = mtf.Dimension("token", 24)
EXPERTS = mtf.Dimension("experts", 4)
CAPACITY = mtf.Dimension("capacity", 6)
D_MODEL = mtf.Dimension("d_model", 6)

NO_SLOT, NO_TOKEN = 4 * 6, 24  # what stands for none, with one choice

LAYOUTS = [
    ("", ""),
    ("data:2", "outer:data"),
    ("model:2", "d_model:model"),
    ("data:2;model:2", "group:data;d_model:model"),
    ("outer:2;inner:2", "outer:outer;group:inner"),
]


def make_arrays(choices):
    rng = np.random.default_rng(1)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    leading = (2, 2, choices) if choices > 1 else (2, 2)
    # Uneven experts: some drop tokens, some have empty slots.
    expert_index = rng.choice(4, p=[0.5, 0.3, 0.15, 0.05], size=(*leading, 24))
    return {
        "x": normal(2, 2, 24, 6),
        "y": normal(2, 2, 4, 6, 6),
        "expert_index": expert_index.astype(np.int32),
        "keep_mask": rng.random((*leading, 24)) < 0.8,
    }


def mesh_slots(context, features, choice_dim):
    choices = [choice_dim] if choice_dim else []
    shape = mtf.Shape([OUTER, GROUP, *choices, TOKEN])
    return dispatch.assign_slots(
        context.import_tensor(features["expert_index"], shape),
        TOKEN,
        EXPERTS,
        CAPACITY,
        choice_dim,
        keep_mask=context.import_tensor(features["keep_mask"], shape),
    )


def oracle_slots(arrays):
    flat = np.where(arrays["keep_mask"], arrays["expert_index"], 4).reshape(4, -1)
    return oracle.assign_slots(flat, 4, 6)


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(
    groups=st.integers(1, 3),
    assignments=st.integers(1, 40),
    experts=st.integers(1, 9),
    capacity=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_assignment_is_first_come_first_served(
    groups, assignments, experts, capacity, seed
):
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, experts + 1, (groups, assignments)).astype(np.int32)
    slot, assignment = dispatch._assign_by_sorting(
        tf.constant(chosen), experts, capacity
    )
    wanted_slot, wanted_assignment = oracle.assign_slots(chosen, experts, capacity)
    np.testing.assert_array_equal(slot, wanted_slot)
    np.testing.assert_array_equal(assignment, wanted_assignment.reshape(groups, -1))


def test_assignment_of_many_tokens_to_many_slots():
    """65,536 tokens and as many slots: the keys that are sorted pass 2^31."""
    size = 2**16
    chosen = np.random.default_rng(0).permutation(size).astype(np.int32)[np.newaxis]
    slot, token = dispatch._assign_by_sorting(tf.constant(chosen), size, 1)
    np.testing.assert_array_equal(slot, chosen)
    np.testing.assert_array_equal(token, np.argsort(chosen))


@pytest.mark.parametrize("choice_dim", [None, CHOICE])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_slots(choice_dim, jit_compile):
    def build(context, features):
        slots = mesh_slots(context, features, choice_dim)
        return {
            "slot": slots.slot_of_token,
            "token": slots.token_of_slot,
            "has_slot": slots.has_slot,
        }

    arrays = make_arrays(2 if choice_dim else 1)
    names = ("expert_index", "keep_mask")
    got = run_mesh(build, {n: arrays[n] for n in names}, jit_compile=jit_compile)
    slot, token = oracle_slots(arrays)
    np.testing.assert_array_equal(got["slot"].reshape(slot.shape), slot)
    np.testing.assert_array_equal(got["token"].reshape(token.shape), token)
    np.testing.assert_array_equal(got["has_slot"].reshape(slot.shape), slot < NO_SLOT)
    # The case is worth testing: kept, dropped for lack of room, and masked tokens.
    kept = arrays["keep_mask"].reshape(slot.shape)
    assert (
        np.any(slot < NO_SLOT)
        and np.any((slot == NO_SLOT) & kept)
        and np.any(token == token.max())
    )


def test_without_mask_every_token_wants_a_slot():
    arrays = make_arrays(1)

    def build(context, features):
        index = context.import_tensor(features["expert_index"], [OUTER, GROUP, TOKEN])
        slots = dispatch.assign_slots(index, TOKEN, EXPERTS, CAPACITY)
        return {"slot": slots.slot_of_token}

    got = run_mesh(build, {"expert_index": arrays["expert_index"]})
    wanted, _ = oracle.assign_slots(arrays["expert_index"].reshape(4, 24), 4, 6)
    np.testing.assert_array_equal(got["slot"].reshape(4, 24), wanted)


def gather_build(choice_dim, seen_operations=None):
    choices = [choice_dim] if choice_dim else []

    def build(context, features):
        x = context.import_tensor(features["x"], [OUTER, GROUP, TOKEN, D_MODEL])
        y_shape = mtf.Shape([OUTER, GROUP, EXPERTS, CAPACITY, D_MODEL])
        y = context.import_tensor(features["y"], y_shape)
        z_shape = mtf.Shape([OUTER, GROUP, *choices, TOKEN, D_MODEL])
        grad_z = context.import_tensor(features["grad_z"], z_shape)
        slots = mesh_slots(context, features, choice_dim)
        outputs = {"slots_of_x": dispatch.dispatch(x, slots)}
        outputs["tokens_of_y"] = dispatch.combine(y, slots)
        assert outputs["slots_of_x"].shape == y_shape
        assert outputs["tokens_of_y"].shape == z_shape
        if seen_operations is not None:
            seen_operations.append(context.step.graph)
        weights = {"slots_of_x": y, "tokens_of_y": grad_z}
        return with_gradients(outputs, weights, {"x": x, "y": y})

    return build


def einsum_outputs(arrays, choices):
    """The same by one-hot einsums, in float64."""
    slot, _ = oracle_slots(arrays)
    mask = oracle.dispatch_mask(slot, 4, 6).reshape(2, 2, choices, 24, 4, 6)
    grad_z = arrays["grad_z"].reshape(2, 2, choices, 24, 6)
    tokens_of_y = np.einsum("ogktec,ogecd->ogktd", mask, arrays["y"])
    return {
        "slots_of_x": np.einsum("ogktec,ogtd->ogecd", mask, arrays["x"]),
        "tokens_of_y": tokens_of_y.reshape(arrays["grad_z"].shape),
        "grad_x": np.einsum("ogktec,ogecd->ogtd", mask, arrays["y"]),
        "grad_y": np.einsum("ogktec,ogktd->ogecd", mask, grad_z),
    }


@pytest.mark.parametrize("choice_dim", [None, CHOICE])
@pytest.mark.parametrize(("mesh_shape", "rules"), LAYOUTS)
def test_values_and_gradients_are_those_of_one_hot_einsums(
    choice_dim, mesh_shape, rules
):
    choices = 2 if choice_dim else 1
    arrays = make_arrays(choices)
    rng = np.random.default_rng(2)
    grad_z_shape = (*arrays["expert_index"].shape, 6)
    arrays["grad_z"] = rng.normal(size=grad_z_shape).astype(np.float32)
    got = run_mesh(gather_build(choice_dim), arrays, mesh_shape, rules)
    wanted = einsum_outputs(arrays, choices)
    assert got.keys() == wanted.keys()
    for name in wanted:
        # Copies are exact; only grad_x adds anything up, and only with two choices.
        np.testing.assert_allclose(
            got[name], wanted[name], rtol=1e-6 * (choices - 1), err_msg=name
        )


def test_xla_and_plain_are_bit_equal():
    arrays = make_arrays(1)
    arrays["grad_z"] = arrays["x"] + 1
    plain, compiled = (
        run_mesh(gather_build(None), arrays, jit_compile=jit_compile)
        for jit_compile in (False, True)
    )
    for name in plain:
        np.testing.assert_array_equal(plain[name], compiled[name])


def test_no_scatter_in_either_direction():
    arrays = make_arrays(2)
    arrays["grad_z"] = np.ones((2, 2, 2, 24, 6), np.float32)
    graphs = []
    run_mesh(gather_build(CHOICE, graphs), arrays)
    kinds = {operation.type for operation in graphs[0].get_operations()}
    assert "GatherV2" in kinds
    assert not [kind for kind in kinds if "Scatter" in kind or "Segment" in kind]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_dropped_tokens_and_empty_slots_are_zero_even_beside_infinities(jit_compile):
    arrays = make_arrays(1)
    arrays["grad_z"] = np.full_like(arrays["x"], np.nan)
    slot, token = (a.reshape(2, 2, *a.shape[1:]) for a in oracle_slots(arrays))
    arrays["x"][...], arrays["y"][...] = np.nan, np.inf
    got = run_mesh(gather_build(None), arrays, jit_compile=jit_compile)
    assert np.all(got["tokens_of_y"][slot == NO_SLOT] == 0.0)
    assert np.all(got["grad_x"][slot == NO_SLOT] == 0.0)
    assert np.all(got["slots_of_x"][token == NO_TOKEN] == 0.0)
    assert np.all(got["grad_y"][token == NO_TOKEN] == 0.0)
    assert np.all(np.isinf(got["tokens_of_y"][slot < NO_SLOT]))


def test_features_of_any_number_and_dtype():
    """[.., token] without features, and bfloat16 rows of two dimensions."""
    arrays = make_arrays(1)
    heads, d_kv = mtf.Dimension("heads", 2), mtf.Dimension("d_kv", 3)

    def build(context, features):
        slots = mesh_slots(context, features, None)
        shape = mtf.Shape([OUTER, GROUP, TOKEN])
        mask = context.import_tensor(features["keep_mask"], shape)
        x = context.import_tensor(
            tf.reshape(features["x"], [2, 2, 24, 2, 3]), shape + heads + d_kv
        )
        rows = dispatch.dispatch(mtf.cast(x, tf.bfloat16), slots)
        assert rows.dtype == tf.bfloat16
        back = dispatch.combine(rows, slots)
        return {
            "scalars": dispatch.dispatch(mtf.cast(mask, tf.float32), slots),
            "back": mtf.cast(back, tf.float32),
        }

    names = ("x", "expert_index", "keep_mask")
    got = run_mesh(build, {name: arrays[name] for name in names})
    slot, token = oracle_slots(arrays)
    np.testing.assert_array_equal(got["scalars"].reshape(4, 4, 6), token < NO_TOKEN)
    rounded = tf.cast(tf.cast(arrays["x"], tf.bfloat16), tf.float32).numpy()
    wanted = rounded.reshape(4, 24, 6) * (slot < NO_SLOT)[..., np.newaxis]
    np.testing.assert_array_equal(got["back"].reshape(4, 24, 6), wanted)


@pytest.mark.parametrize("dimension", ["token", "experts", "capacity"])
def test_other_dimensions_cannot_be_split(dimension):
    arrays = make_arrays(1)
    arrays["grad_z"] = arrays["x"]
    with pytest.raises(LayoutError, match=f"not split '{dimension}' .over 'm'."):
        run_mesh(gather_build(None), arrays, "m:2", f"{dimension}:m")


def test_dimensions_out_of_order_are_refused():
    def build(context, which):
        index = context.import_tensor(np.zeros((2, 24), np.int32), [GROUP, TOKEN])
        flipped = context.import_tensor(np.zeros((24, 2), np.int32), [TOKEN, GROUP])
        x = context.import_tensor(np.zeros((24, 2), np.float32), [TOKEN, GROUP])
        if which == "index":
            return dispatch.assign_slots(flipped, TOKEN, EXPERTS, CAPACITY)
        if which == "mask":
            return dispatch.assign_slots(
                index, TOKEN, EXPERTS, CAPACITY, keep_mask=flipped
            )
        slots = dispatch.assign_slots(index, TOKEN, EXPERTS, CAPACITY)
        return (
            dispatch.dispatch(x, slots) if which == "x" else dispatch.combine(x, slots)
        )

    for which, message in {
        "index": "expert_index .* must end with",
        "mask": "keep_mask .* must have the shape",
        "x": "x .* must begin with",
        "y": "y .* must begin with",
    }.items():
        with pytest.raises(ValueError, match=message):
            run_mesh(lambda context, _, which=which: {"": build(context, which)}, {})
