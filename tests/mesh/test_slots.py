"""Slot assignment by sorting and by sums: against loops in numpy."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import oracles.dispatch as oracle
import pytest
import tensorflow as tf
from oracles.mesh_runner import run_mesh

from mtmoe.errors import UnknownNameError
from mtmoe.mesh import slots as slots_module
from mtmoe.mesh.compat import mtf

GROUP = mtf.Dimension("group", 3)
CHOICE = mtf.Dimension("choice", 2)
TOKEN = mtf.Dimension("token", 24)
EXPERTS = mtf.Dimension("experts", 4)
CAPACITY = mtf.Dimension("capacity", 6)
METHODS = ("gather", "einsum")


@hypothesis.settings(deadline=None, max_examples=20)
@hypothesis.given(
    groups=st.integers(1, 3),
    choices=st.integers(1, 3),
    tokens=st.integers(1, 20),
    experts=st.integers(1, 9),
    capacity=st.integers(1, 12),
    levels=st.integers(0, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_assignment_by_position_or_priority(
    groups, choices, tokens, experts, capacity, levels, seed
):
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, experts + 1, (groups, choices * tokens)).astype(np.int32)
    priority = None
    if levels:  # few levels: there are ties
        priority = rng.integers(-levels, levels, (groups, choices, tokens))
        priority = priority.astype(np.float32)
    wanted_slot, wanted = oracle.assign_slots(chosen, experts, capacity, priority)
    for assign in (slots_module._assign_by_sorting, slots_module._assign_by_sums):
        slot, assignment = assign(tf.constant(chosen), experts, capacity, priority)
        np.testing.assert_array_equal(slot, wanted_slot)
        np.testing.assert_array_equal(assignment, wanted.reshape(groups, -1))


def test_assignment_of_many_tokens_to_many_slots():
    """65,536 tokens and as many slots: the keys that are sorted pass 2^31."""
    size = 2**16
    chosen = np.random.default_rng(0).permutation(size).astype(np.int32)[np.newaxis]
    slot, token = slots_module._assign_by_sorting(tf.constant(chosen), size, 1)
    np.testing.assert_array_equal(slot, chosen)
    np.testing.assert_array_equal(token, np.argsort(chosen))


@pytest.mark.parametrize(
    "choice_dim", [CHOICE, pytest.param(None, marks=pytest.mark.slow)]
)
def test_slots_on_the_mesh(choice_dim):
    choices = 2 if choice_dim else 1
    rng = np.random.default_rng(1)
    shape = [GROUP, *([choice_dim] if choice_dim else []), TOKEN]
    sizes = mtf.Shape(shape).to_integer_list
    arrays = {
        # Uneven experts: some drop tokens, some have empty slots.
        "expert": rng.choice(4, p=[0.5, 0.3, 0.15, 0.05], size=sizes).astype(np.int32),
        "keep": (rng.random(sizes) < 0.8).astype(np.float32),
        "priority": rng.random(sizes).astype(np.float32),
    }
    # Nothing in padding counts, not even what is no number.
    arrays["priority"][arrays["keep"] == 0] = np.nan

    def build(context, features):
        expert, keep, priority = (
            context.import_tensor(features[name], shape) for name in arrays
        )
        outputs = {}
        for method in METHODS:
            for name, arguments in {
                "everyone": {},
                "masked": {"keep_mask": keep},
                "priority": {"keep_mask": keep, "priority": priority},
            }.items():
                slots = slots_module.assign_slots(
                    expert,
                    TOKEN,
                    EXPERTS,
                    CAPACITY,
                    choice_dim,
                    method=method,
                    **arguments,
                )
                assert slots.weights_shape == expert.shape
                outputs[f"{method} {name} slot"] = slots.slot_of_token
                outputs[f"{method} {name} token"] = slots.token_of_slot
                outputs[f"{method} {name} has_slot"] = slots.has_slot
        return outputs

    got = run_mesh(build, arrays)
    priority = np.nan_to_num(arrays["priority"]).reshape(3, choices, 24)
    masked = np.where(arrays["keep"] > 0, arrays["expert"], 4).reshape(3, -1)
    for name, wanted in {
        "everyone": oracle.assign_slots(arrays["expert"].reshape(3, -1), 4, 6),
        "masked": oracle.assign_slots(masked, 4, 6),
        "priority": oracle.assign_slots(masked, 4, 6, priority),
    }.items():
        slot, token = wanted
        for method in METHODS:
            results = {
                kind: got[f"{method} {name} {kind}"].reshape(3, -1)
                for kind in ("slot", "token", "has_slot")
            }
            np.testing.assert_array_equal(results["slot"], slot)
            np.testing.assert_array_equal(results["token"], token.reshape(3, -1))
            np.testing.assert_array_equal(results["has_slot"], slot < 24)
        # The case is worth testing: kept, dropped for lack of room, and empty slots.
        assert np.any(slot < 24) and np.any((slot == 24) & (masked < 4))
        assert np.any(token == token.max())


def test_slots_of_chosen_tokens():
    rng = np.random.default_rng(3)
    chosen = np.sort(rng.integers(0, 25, (3, 4, 6)), axis=-1).astype(np.int32)

    def build(context, features):
        token = context.import_tensor(features["chosen"], [GROUP, EXPERTS, CAPACITY])
        slots = slots_module.slots_of_chosen_tokens(token, TOKEN)
        assert slots.slot_of_token is None
        assert slots.weights_shape == token.shape
        assert (slots.num_slots, slots.num_assignments) == (24, 24)
        return {"has_slot": slots.has_slot}

    for mesh_shape, rules in (("", ""), ("data:3", "group:data")):
        got = run_mesh(build, {"chosen": chosen}, mesh_shape, rules)["has_slot"]
        wanted = [np.isin(np.arange(24), group) for group in chosen]
        np.testing.assert_array_equal(got, wanted)
        assert not np.all(got)


def test_arguments_out_of_order_are_refused():
    def build(context, expert="index", method="gather", **arguments):
        tensors = {
            "index": context.import_tensor(np.zeros((3, 24), np.int32), [GROUP, TOKEN]),
            "flipped": context.import_tensor(
                np.zeros((24, 3), np.int32), [TOKEN, GROUP]
            ),
        }
        arguments = {name: tensors[value] for name, value in arguments.items()}
        slots_module.assign_slots(
            tensors[expert], TOKEN, EXPERTS, CAPACITY, method=method, **arguments
        )

    for arguments, error, message in (
        ({"expert": "flipped"}, ValueError, "expert_index .* must end with"),
        ({"keep_mask": "flipped"}, ValueError, "keep_mask .* must have the shape"),
        ({"priority": "flipped"}, ValueError, "priority .* must have the shape"),
        ({"method": "einsom"}, UnknownNameError, "einsom.*did you mean einsum"),
    ):
        with pytest.raises(error, match=message):
            run_mesh(lambda context, _, a=arguments: build(context, **a), {})
