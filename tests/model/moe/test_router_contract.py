"""What every router promises, whoever it is.

Shape suffixes: B batch, L length, M d_model, F d_ff, G groups, S tokens of a group,
K choices, E experts, C capacity.
"""

import numpy as np
import pytest
from oracles.router_runner import RouterProgram, random_tokens

from mtmoe.errors import ConfigError
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.capacity import Capacity
from mtmoe.model.moe.layer import MixtureOfExperts, MixtureOfExpertsLayer
from mtmoe.model.moe.routers.base import BaseRouter
from mtmoe.model.moe.routers.expert_choice import ExpertChoiceRouter
from mtmoe.model.moe.routers.hash import HashRouter
from mtmoe.model.moe.routers.no_token_left_behind import NoTokenLeftBehindRouter
from mtmoe.model.moe.routers.random import RandomRouter
from mtmoe.model.moe.routers.sinkhorn import SinkhornRouter
from mtmoe.model.moe.routers.switch import SwitchRouter
from mtmoe.model.moe.routers.top_2 import Top2Router
from mtmoe.model.moe.routers.top_k import TopKRouter

B, L, M, F, E = 4, 8, 6, 10, 4
GROUPS, SLOTS = 2, 4

ROUTERS = {
    "switch": SwitchRouter(),
    "top_2": Top2Router(),
    "noisy_top_3": TopKRouter(3, normalize_weights=False, learned_noise=True),
    "no_token_left_behind": NoTokenLeftBehindRouter(2),
    "expert_choice": ExpertChoiceRouter(),
    "base": BaseRouter(),
    "sinkhorn": SinkhornRouter(),
    "hash": HashRouter(64),
    "random": RandomRouter(),
}
BY_GATE = ("switch", "top_2", "noisy_top_3", "sinkhorn")
"""Those whose tokens get slots of their first choice by softmax, if by confidence."""
WITHOUT_GRADIENT = ("hash", "random")
FAMILIES = ("switch", "top_2", "expert_choice", "base", "hash")
"""One of each way to decide."""

FIELDS = {
    "num_experts": E,
    "capacity": Capacity(1.0, 1.0, minimum=1),
    "group_size": B * L // GROUPS,
}
every_router = pytest.mark.parametrize("name", ROUTERS)


@pytest.fixture(scope="module")
def arrays():
    return random_tokens(B, L, M)


@pytest.fixture(scope="module")
def programs(arrays):
    """In evaluation and in training, built when first asked for."""
    made = {}

    def get(training):
        if training not in made:
            made[training] = RouterProgram(
                ROUTERS, arrays, training, d_ff=F, gradients=not training, **FIELDS
            )
        return made[training]

    return get


@pytest.fixture(scope="module")
def results(programs, arrays):
    return {training: programs(training)(arrays) for training in (False, True)}


@pytest.fixture(scope="module", params=[False, True], ids=["evaluation", "training"])
def decided(request, results):
    return results[request.param]


def grouped(array_BL):
    return array_BL.reshape([GROUPS, -1, *array_BL.shape[2:]])


def seats(said):
    """Which tokens sit where, and what the expert's output is multiplied by there.

    Returns:
      dispatch_GSEC in {0, 1} and combine_GSEC.
    """
    token_GEC = said["token_of_slot"]
    num_groups, num_experts, capacity = token_GEC.shape
    tokens = said["entropy"].shape[1]
    weights = said["weights"]
    choices = weights.shape[1] if weights.ndim == 3 else 1
    dispatch = np.zeros([num_groups, tokens, num_experts, capacity])
    combine = np.zeros_like(dispatch)
    for g, e, c in np.ndindex(token_GEC.shape):
        assignment = token_GEC[g, e, c]
        if "slot_of_token" not in said:
            if assignment < tokens:
                dispatch[g, assignment, e, c] += 1
                combine[g, assignment, e, c] = weights[g, e, c]
        elif assignment < choices * tokens:
            choice, token = divmod(assignment, tokens)
            dispatch[g, token, e, c] += 1
            place = (g, choice, token) if choices > 1 else (g, token)
            combine[g, token, e, c] = weights[place]
            assert said["slot_of_token"][place] == e * capacity + c
    return dispatch, combine


def expert_outputs(x_GSM, values):
    """Every expert on every token: [G, S, E, M]."""
    hidden = np.einsum("gsm,emf->gsef", x_GSM, values["experts/wi"])
    return np.einsum("gsef,efm->gsem", np.maximum(hidden, 0), values["experts/wo"])


@every_router
def test_slots_are_taken_once_by_tokens_that_are_there(name, decided, arrays):
    said = decided[name]
    mask = grouped(arrays["mask"])
    dispatch, combine = seats(said)
    assert set(np.unique(dispatch)) <= {0.0, 1.0}
    assert dispatch.sum((1,)).max() <= 1, "two tokens in a slot"
    assert dispatch.sum((1, 3)).max() <= SLOTS, "load above capacity"
    assert dispatch.sum(3).max() <= 1, "a token twice at an expert"
    assert np.all(dispatch.sum((2, 3))[mask == 0] == 0), "padding has a slot"
    assert np.all(np.isfinite(combine)) and np.all(combine >= 0)
    assert np.all(combine[dispatch == 1] > 0)
    if "slot_of_token" in said:
        seated = said["slot_of_token"] < E * SLOTS
        assert seated.sum() == dispatch.sum()
        assert dispatch.sum((2, 3)).max() <= ROUTERS[name].num_choices
    assert dispatch.sum() > 0


@every_router
def test_statistics_count_tokens_and_never_padding(name, decided, arrays):
    said = decided[name]
    mask = arrays["mask"]
    for key in ("first_choice", "entropy", "log_z"):
        assert np.all(said[key][grouped(mask) == 0] == 0.0), key
    first = said["first_choice"]
    assert set(np.unique(first)) <= {0.0, 1.0}
    np.testing.assert_array_equal(first.sum(-1), grouped(mask))
    assert said["tokens"] == mask.sum()
    counts_BE = first.reshape([B, L, E]).sum(1)
    np.testing.assert_array_equal(said["expert_counts"], counts_BE)
    entropy = said["entropy"]
    assert entropy.min() >= -1e-6 and entropy.max() <= np.log(E) + 1e-6
    np.testing.assert_allclose(said["entropy_sum"], entropy.sum(), rtol=1e-5)
    np.testing.assert_allclose(
        said["log_z_square_sum"], np.square(said["log_z"]).sum(), rtol=1e-5
    )
    dispatch, _ = seats(said)
    got = dispatch.sum((2, 3))
    if "slot_of_token" not in said:
        lost = grouped(mask) - np.minimum(got, 1)
    else:
        wanted = said.get("wanted", np.zeros(0))
        wanted = wanted.sum(1) if wanted.size else ROUTERS[name].num_choices
        wanted = wanted * grouped(mask)
        lost = (wanted - got) / np.maximum(wanted, 1)
    dropped_B = lost.reshape([B, L]).sum(1)
    np.testing.assert_allclose(said["dropped_counts"], dropped_B, atol=1e-5)


@every_router
@pytest.mark.parametrize("training", [False, True])
def test_layer_is_the_weighted_sum_of_its_experts(
    name, training, results, programs, arrays
):
    said = results[training][name]
    _, combine = seats(said)
    x = grouped(arrays["x"]).astype(np.float64)
    outputs = expert_outputs(x, programs(training).variables(name))
    expected = np.einsum("gsec,gsem->gsm", combine, outputs).reshape([B, L, M])
    np.testing.assert_allclose(said["y"], expected, rtol=1e-4, atol=1e-4)
    unseated = ~(combine.sum((2, 3)).reshape([B, L]) > 0)
    assert np.all(said["y"][unseated] == 0.0), "exactly, not nearly"


@every_router
def test_evaluation_knows_no_noise(name, results, programs, arrays):
    again = programs(False)(arrays, step=7)[name]
    for key, value in results[False][name].items():
        np.testing.assert_array_equal(again[key], value, err_msg=key)


@every_router
def test_what_is_in_the_padding_changes_nothing(name, results, programs, arrays):
    mask = arrays["mask"][..., None]
    garbage = arrays | {
        "x": np.where(mask > 0, arrays["x"], 1e3).astype(np.float32),
        "ids": np.where(mask[..., 0] > 0, arrays["ids"], 49).astype(np.int32),
    }
    got = programs(False)(garbage)[name]
    for key, value in results[False][name].items():
        if key == "weights":  # never looked at
            continue
        if key == "gradient x":
            assert np.all(got[key][mask[..., 0] == 0] == 0.0)
        np.testing.assert_allclose(got[key], value, rtol=2e-5, atol=1e-5, err_msg=key)


SUMS = ("balance_loss", "z_loss", "tokens", "entropy_sum", "log_z_square_sum")


@every_router
def test_sums_of_two_halves_are_those_of_the_whole(name, results, programs, arrays):
    first_half = (np.arange(B) < B // 2)[:, None]
    halves = [
        programs(False)(arrays | {"mask": arrays["mask"] * half})[name]
        for half in (first_half, ~first_half)
    ]
    whole = results[False][name]
    for key in whole:
        if key in SUMS or key.startswith("gradient"):
            total = halves[0][key] + halves[1][key]
            np.testing.assert_allclose(
                total, whole[key], rtol=1e-4, atol=1e-4, err_msg=key
            )
        if key in ("y", "expert_counts", "dropped_counts"):
            joined = np.where(np.arange(B) < B // 2, halves[0][key].T, halves[1][key].T)
            np.testing.assert_allclose(joined.T, whole[key], atol=1e-5, err_msg=key)


@every_router
def test_the_order_of_groups_changes_nothing(name, results, programs, arrays):
    order = np.roll(np.arange(B), B // GROUPS)
    got = programs(False)({key: value[order] for key, value in arrays.items()})[name]
    whole = results[False][name]
    for key in SUMS:
        np.testing.assert_allclose(got[key], whole[key], rtol=1e-5, err_msg=key)
    for key in ("y", "expert_counts", "dropped_counts", "gradient x"):
        np.testing.assert_allclose(
            got[key], whole[key][order], rtol=1e-4, atol=1e-5, err_msg=key
        )


def objective(said, arrays):
    y = said["y"].astype(np.float64)
    losses = float(said["balance_loss"]) + float(said["z_loss"])
    return (y * arrays["cotangent"]).sum() + losses


@every_router
def test_gradient_reaches_the_router(name, results, programs, arrays):
    """Directional derivatives, to the router's matrices and to the experts'.

    Along directions in which no token changes its mind within the step.
    """
    program, said = programs(False), results[False][name]
    generator = np.random.default_rng(3)
    checked, step = set(), 5e-4
    for variable, value in program.variables(name).items():
        key = f"gradient {variable}"
        for _ in range(20 if key in said else 0):
            direction = generator.standard_normal(value.shape)
            objectives, stay = [], True
            for signed in (step, -step):
                moved = value + signed * direction
                program.program.assign(program.values | {f"{name}/{variable}": moved})
                there = program(arrays)[name]
                stay &= all(
                    np.all(there[decision] == said[decision])
                    for decision in ("token_of_slot", "first_choice")
                )
                objectives.append(objective(there, arrays))
            if stay:
                slope = (objectives[0] - objectives[1]) / (2 * step)
                analytic = (said[key].astype(np.float64) * direction).sum()
                np.testing.assert_allclose(analytic, slope, rtol=5e-3, atol=2e-2)
                checked.add(variable)
                break
    program.program.assign(program.values)
    assert {"experts/wi", "experts/wo"} <= checked
    has_router = any(variable.startswith("router") for variable in checked)
    assert has_router == (name not in WITHOUT_GRADIENT)


@pytest.mark.slow
def test_einsum_dispatch_gives_the_same(programs, results, arrays):
    """Of tokens and slots alone: who decided on them does not matter."""
    routers = {name: ROUTERS[name] for name in FAMILIES}
    program = RouterProgram(routers, arrays, d_ff=F, dispatch="einsum", **FIELDS)
    program.program.assign(
        {name: programs(False).values[name] for name in program.values}
    )
    got = program(arrays)
    for name in FAMILIES:
        for key, value in results[False][name].items():
            np.testing.assert_allclose(
                got[name][key], value, rtol=1e-4, atol=2e-5, err_msg=f"{name} {key}"
            )


def test_by_confidence_the_largest_gates_have_the_slots(programs, arrays):
    """Of the first choices: the rest come after, whatever their gates."""
    routers = {name: ROUTERS[name] for name in BY_GATE}
    program = RouterProgram(
        routers, arrays, d_ff=F, gradients=False, priority="confidence", **FIELDS
    )
    by_position = programs(False)(arrays)
    for name, said in program(arrays).items():
        seats(said)
        slots = said["slot_of_token"]
        first_slot = slots[:, 0] if slots.ndim == 3 else slots
        expert, mask = said["first_choice"].argmax(-1), grouped(arrays["mask"]) > 0
        logits = grouped(arrays["x"]) @ program.variables(name)["router"]
        gates = np.exp(logits - np.log(np.exp(logits).sum(-1, keepdims=True))).max(-1)
        lost = 0
        for g, e in np.ndindex(GROUPS, E):
            rivals = mask[g] & (expert[g] == e)
            seated = rivals & (first_slot[g] < E * SLOTS)
            assert seated.sum() == min(rivals.sum(), SLOTS)
            out = rivals & ~seated
            lost += out.sum()
            if out.any():
                assert gates[g][seated].min() >= gates[g][out].max()
        assert lost > 0
        assert np.any(slots != by_position[name]["slot_of_token"])


@pytest.mark.slow
def test_router_stays_in_float32_when_activations_are_bfloat16(arrays):
    program = RouterProgram(
        ROUTERS, arrays, d_ff=F, precision="bfloat16_selective", **FIELDS
    )
    rounded = arrays["x"].astype(np.float32).view(np.uint32)
    rounded = (rounded + 0x7FFF + ((rounded >> 16) & 1)) & 0xFFFF0000
    x = grouped(rounded.view(np.float32)).astype(np.float64)
    for name, said in program(arrays).items():
        assert str(said["y dtype"]) == "bfloat16"
        for key in ("weights", "first_choice", "balance_loss", "z_loss", "log_z"):
            assert said[key].dtype == np.float32, key
            assert f"{key} dtype" not in said, key
        if np.any(said["log_z"] != 0):
            logits = x @ program.variables(name)["router"]
            log_z = np.log(np.exp(logits).sum(-1)) * grouped(arrays["mask"])
            np.testing.assert_allclose(said["log_z"], log_z, rtol=1e-5, atol=1e-5)
        for key in said:
            if key.startswith("gradient router"):
                assert f"{key} dtype" not in said


@pytest.mark.slow
def test_one_expert_is_the_dense_network(arrays):
    routers = {n: r for n, r in ROUTERS.items() if r.num_choices == 1}
    del routers["no_token_left_behind"]  # there is no other expert to try
    fields = FIELDS | {"num_experts": 1, "capacity": Capacity(1.0, 1.0, minimum=1)}
    program = RouterProgram(routers, arrays, d_ff=F, gradients=False, **fields)
    for name, said in program(arrays).items():
        _, combine = seats(said)
        gate = combine.sum((2, 3))
        assert np.all((gate > 0) == (grouped(arrays["mask"]) > 0))
        dense = expert_outputs(grouped(arrays["x"]), program.variables(name))[..., 0, :]
        expected = (gate[..., None] * dense).reshape([B, L, M])
        np.testing.assert_allclose(said["y"], expected, rtol=1e-4, atol=1e-4)
        if name == "switch":
            np.testing.assert_allclose(gate, grouped(arrays["mask"]), atol=1e-6)


def test_all_experts_without_drops_are_the_soft_mixture(arrays):
    routers = {
        "sum": TopKRouter(E, normalize_weights=False),
        "normalized": TopKRouter(E, normalize_weights=True),
        "expert_choice": ExpertChoiceRouter(),
    }
    fields = FIELDS | {"capacity": Capacity(1.0, None)}
    program = RouterProgram(routers, arrays, d_ff=F, gradients=False, **fields)
    for name, said in program(arrays).items():
        values = program.variables(name)
        x = grouped(arrays["x"]).astype(np.float64)
        logits = x @ values["router"]
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        p *= grouped(arrays["mask"])[..., None]
        expected = np.einsum("gse,gsem->gsm", p, expert_outputs(x, values))
        np.testing.assert_allclose(
            said["y"], expected.reshape([B, L, M]), rtol=1e-4, atol=1e-4
        )
        assert np.all(said["dropped_counts"] == 0)


@every_router
def test_decoders_take_causal_routers_only(name):
    config = MixtureOfExperts(E, router=ROUTERS[name])
    if ROUTERS[name].causal:
        MixtureOfExpertsLayer(config, FeedForward(F), causal=True)
    else:
        with pytest.raises(ConfigError, match=type(ROUTERS[name]).__name__):
            MixtureOfExpertsLayer(config, FeedForward(F), causal=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mesh_shape", "rules"),
    [("batch:2", "batch:batch;experts:batch"), ("model:2", "experts:model")],
)
def test_layouts_agree(mesh_shape, rules, programs, results, arrays):
    """The Switch router's: test_moe_layer."""
    routers = {name: ROUTERS[name] for name in FAMILIES if name != "switch"}
    program = RouterProgram(
        routers, arrays, layout=(mesh_shape, rules), d_ff=F, **FIELDS
    )
    program.program.assign(
        {name: programs(False).values[name] for name in program.values}
    )
    for name, said in program(arrays).items():
        for key, value in results[False][name].items():
            np.testing.assert_allclose(
                said[key], value, rtol=1e-4, atol=1e-4, err_msg=f"{name} {key}"
            )
