"""Expert choice, hash, BASE, Sinkhorn, no-token-left-behind and random routers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from oracles import routers_numpy as oracle
from oracles.router_runner import RouterProgram, random_tokens

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.mesh.initializers import truncated_normal
from mtmoe.mesh.random import name_key
from mtmoe.model.moe.capacity import Capacity
from mtmoe.model.moe.routers.base import BaseRouter, orthogonal
from mtmoe.model.moe.routers.expert_choice import ExpertChoiceRouter
from mtmoe.model.moe.routers.hash import HashRouter
from mtmoe.model.moe.routers.no_token_left_behind import NoTokenLeftBehindRouter
from mtmoe.model.moe.routers.random import RandomRouter
from mtmoe.model.moe.routers.sinkhorn import SinkhornRouter, sinkhorn

B, L, M, E = 4, 12, 6, 4
GROUPS, S, C = 2, 24, 6

ROUTERS = {
    "expert_choice": ExpertChoiceRouter(),
    "hash": HashRouter(50),
    "base": BaseRouter(),
    "sinkhorn": SinkhornRouter(),
    "no_token_left_behind": NoTokenLeftBehindRouter(2, jitter_epsilon=0.0),
    "random": RandomRouter(),
}
NO_LOSSES = ("hash", "base", "sinkhorn", "random")
BY_DIFFERENCES = tuple(n for n in ROUTERS if n not in ("hash", "random", "base"))


def make_program(arrays, training, priority="position", routers=None, **fields):
    return RouterProgram(
        routers or ROUTERS,
        arrays,
        training,
        num_experts=E,
        capacity=Capacity(1.0, 1.0, minimum=1),
        group_size=S,
        priority=priority,
        **fields,
    )


@pytest.fixture(scope="module")
def arrays():
    return random_tokens(B, L, M, seed=4)


@pytest.fixture(scope="module")
def program(arrays):
    return make_program(arrays, True)


@pytest.fixture(scope="module")
def decided(program, arrays):
    return program(arrays)


@pytest.fixture(scope="module")
def greedy_program(arrays):
    """Outside training; Sinkhorn's gate is of the other kind."""
    routers = {name: ROUTERS[name] for name in ("base", "random")}
    routers["sinkhorn"] = SinkhornRouter("sigmoid")
    return make_program(arrays, False, routers=routers, gradients=False)


@pytest.fixture(scope="module")
def mask(arrays):
    return arrays["mask"].reshape(GROUPS, S)


def logits(program, arrays, name):
    weights = program.variables(name)["router"]
    return (arrays["x"].astype(np.float64) @ weights).reshape(GROUPS, S, E)


def expert_of_token(said):
    """The expert a token sits with, E if none."""
    slot = said["slot_of_token"]
    return np.minimum(slot // C, E)


def first_come(expert_GT, mask_GT):
    """The experts of the tokens that find room, E for the others."""
    seated = np.full_like(expert_GT, E)
    for g in range(GROUPS):
        load = [0] * E
        for t in np.flatnonzero(mask_GT[g]):
            if load[expert_GT[g, t]] < C:
                load[expert_GT[g, t]] += 1
                seated[g, t] = expert_GT[g, t]
    return seated


def test_expert_choice_takes_the_best_tokens(program, decided, arrays, mask):
    said = decided["expert_choice"]
    p = oracle.softmax(logits(program, arrays, "expert_choice"))
    token, weight = oracle.expert_choice(p, mask, C)
    np.testing.assert_array_equal(said["token_of_slot"], token)
    np.testing.assert_allclose(said["weights"], weight, rtol=1e-5)
    assert "slot_of_token" not in said
    # Tokens with several experts and with none.
    experts = np.bincount(token[0].ravel(), minlength=S)[mask[0] > 0]
    assert experts.min() == 0 and experts.max() > 1
    assert said["balance_loss"] == 0.0 < said["z_loss"]


def test_expert_choice_leaves_slots_empty_where_tokens_are_few(program, arrays):
    few = dict(arrays, mask=np.zeros([B, L], np.float32))
    few["mask"][0, :3] = 1.0
    said = program(few)["expert_choice"]
    assert np.all(np.sort(said["token_of_slot"][0], -1)[:, :3] == [0, 1, 2])
    assert np.all(said["token_of_slot"][0, :, 3:] == S)
    assert np.all(said["token_of_slot"][1] == S)
    assert np.all(said["weights"][said["token_of_slot"] == S] == 0.0)


def test_hash_router_looks_the_expert_up(decided, arrays, mask):
    table = HashRouter(50).table(E, "hash/router")
    wanted = table[arrays["ids"].reshape(GROUPS, S)]
    said = decided["hash"]
    one_hot = np.eye(E)[wanted] * mask[..., np.newaxis]
    np.testing.assert_array_equal(said["first_choice"], one_hot)
    np.testing.assert_array_equal(expert_of_token(said), first_come(wanted, mask))


def test_random_router_draws_anew_at_every_step(program, arrays, mask):
    def choices(step):
        first_choice = program(arrays, step)["random"]["first_choice"]
        return first_choice.argmax(-1)[mask > 0]

    assert np.any(choices(0) != choices(1))
    np.testing.assert_array_equal(choices(0), choices(0))
    counts = sum(np.bincount(choices(step), minlength=E) for step in range(40))
    expected = counts.sum() / E
    # Chi-square with 3 degrees of freedom: 16.3 is its 99.9th percentile.
    assert np.square(counts - expected).sum() / expected < 16.3


def test_random_router_goes_by_the_id_outside_training(greedy_program, arrays):
    def choices(changed, step=0):
        said = greedy_program(changed, step)["random"]
        return said["first_choice"].reshape(B, L, E)

    wanted = choices(arrays)
    np.testing.assert_array_equal(choices(arrays, step=1), wanted)
    rolled = {name: np.roll(value, 1, axis=0) for name, value in arrays.items()}
    np.testing.assert_array_equal(np.roll(choices(rolled), -1, axis=0), wanted)
    used = wanted[arrays["mask"] > 0].argmax(-1)
    by_id = {}
    for token, expert in zip(arrays["ids"][arrays["mask"] > 0], used, strict=True):
        assert by_id.setdefault(token, expert) == expert
    assert len(by_id) < len(used) and set(by_id.values()) == set(range(E))


def test_base_deals_tokens_out_evenly_while_training(program, decided, arrays, mask):
    said, scores = decided["base"], logits(program, arrays, "base")
    expert = expert_of_token(said)
    for g in range(GROUPS):
        real = mask[g] > 0
        tokens = int(real.sum())
        assert np.all(expert[g, real] < E)
        load = np.bincount(expert[g, real], minlength=E)
        assert load.max() == -(-tokens // E)
        got = scores[g, real, expert[g, real]].sum()
        spread = np.ptp(scores[g, real])
        slack = E * load.max() * BaseRouter().epsilon * spread
        assert got >= oracle.best_balanced_sum(scores[g], mask[g]) - slack
    picked = np.take_along_axis(scores, np.minimum(expert, E - 1)[..., np.newaxis], -1)
    wanted = 1 / (1 + np.exp(-picked[..., 0]))
    np.testing.assert_allclose(said["weights"][mask > 0], wanted[mask > 0], rtol=1e-5)
    # First choices are those of the scores, which are not even.
    favorite = np.eye(E)[scores.argmax(-1)] * mask[..., np.newaxis]
    np.testing.assert_array_equal(said["first_choice"], favorite)
    assert np.ptp(favorite.sum((0, 1))) > 1
    # d y / d score = y (1 - sigmoid), for a given assignment.
    grouped = {k: v.reshape(GROUPS, S, M) for k, v in arrays.items() if v.ndim == 3}
    inner = np.sum(said["y"].reshape(GROUPS, S, M) * grouped["cotangent"], -1)
    gradient = np.einsum(
        "gt,gtm,gte->me",
        inner * (1 - wanted) * mask,
        grouped["x"],
        np.eye(E + 1)[expert][..., :E],
    )
    np.testing.assert_allclose(said["gradient router"], gradient, rtol=1e-4, atol=1e-4)


def test_evaluation_is_greedy(greedy_program, arrays, mask):
    results = greedy_program(arrays)
    for name in ("base", "sinkhorn"):
        said, scores = results[name], logits(greedy_program, arrays, name)
        expert = scores.argmax(-1)
        np.testing.assert_array_equal(expert_of_token(said), first_come(expert, mask))
        wanted = 1 / (1 + np.exp(-scores.max(-1)))
        np.testing.assert_allclose(
            said["weights"][mask > 0], wanted[mask > 0], rtol=1e-5
        )


def test_a_sinkhorn_group_stops_by_itself():
    generator = np.random.default_rng(0)
    hard = generator.normal(size=[1, S, E]) * 6
    easy = generator.normal(size=[1, S, E])
    both = tf.constant(np.concatenate([hard, easy]), tf.float32)
    alone = sinkhorn(both[1:], tf.ones([1, S]), 0.05, 500)
    beside = sinkhorn(both, tf.ones([2, S]), 0.05, 500)
    np.testing.assert_allclose(beside[1:], alone, atol=1e-6)
    further = sinkhorn(both[1:], tf.ones([1, S]), 1e-4, 500)
    assert np.abs(further - alone).max() > 1e-3


def test_sinkhorn_chooses_by_the_transport_plan(program, decided, arrays, mask):
    said, scores = decided["sinkhorn"], logits(program, arrays, "sinkhorn")
    plans = [
        oracle.transport_plan(*pair, 2_000) for pair in zip(scores, mask, strict=True)
    ]
    expert = np.argmax(plans, -1)
    np.testing.assert_array_equal(expert_of_token(said), first_come(expert, mask))
    assert np.any(expert != scores.argmax(-1))
    picked = expert[..., np.newaxis]
    wanted = np.take_along_axis(oracle.softmax(scores), picked, -1)[..., 0]
    np.testing.assert_allclose(said["weights"][mask > 0], wanted[mask > 0], rtol=1e-5)


def test_sinkhorn_marginals():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((4, 64, 8)).astype(np.float32)
    scores[1] = scores[1] * 0.3 + 5.0 * rng.standard_normal(8)
    scores[2] += 1e3
    masks = np.ones((4, 64), np.float32)
    masks[0, 50:] = masks[3] = 0.0
    scores[0, 50:] = np.nan
    bonus = np.asarray(tf.function(sinkhorn)(scores, masks, 1e-3, 100))
    for g in range(3):
        real = masks[g] > 0
        plan = oracle.softmax(scores[g, real] + bonus[g])
        np.testing.assert_allclose(plan.sum(0), real.sum() / 8, rtol=1e-3)
        wanted = oracle.transport_plan(
            scores[g, real] - scores[g, real].max(), np.ones(real.sum()), 2_000
        )
        np.testing.assert_allclose(plan, wanted, rtol=0.01, atol=1e-4)
    np.testing.assert_array_equal(bonus[3], np.zeros(8))


@pytest.mark.parametrize(("priority", "rounds"), [("position", 2), ("confidence", 1)])
def test_no_token_left_behind_tries_the_next_expert(
    priority, rounds, program, decided, arrays, mask
):
    name = "no_token_left_behind"
    said = decided[name]
    if priority == "confidence":
        routers = {name: NoTokenLeftBehindRouter(rounds, jitter_epsilon=0.0)}
        program = make_program(arrays, True, priority, routers, gradients=False)
        said = program(arrays)[name]
    p = oracle.softmax(logits(program, arrays, name))
    wanted = oracle.no_token_left_behind(p, mask, C, rounds, priority == "confidence")
    np.testing.assert_array_equal(expert_of_token(said), wanted)
    gate = np.take_along_axis(
        np.concatenate([p, np.zeros([GROUPS, S, 1])], -1), wanted[..., None], -1
    )
    np.testing.assert_allclose(said["weights"], gate[..., 0], rtol=1e-5)
    # The case is worth testing: some went elsewhere.
    assert np.any((wanted < E) & (wanted != p.argmax(-1)))
    assert said["balance_loss"] > 0.0 and said["z_loss"] > 0.0


def test_routers_without_losses(decided):
    for name in NO_LOSSES:
        said = decided[name]
        assert said["balance_loss"] == said["z_loss"] == 0.0
        if name in ("hash", "random"):
            assert np.all(said["weights"] == 1.0)


@pytest.mark.parametrize("name", BY_DIFFERENCES)
def test_gradient_is_that_of_finite_differences(name, program, arrays):
    """Through the weights to the router; a small step does not change the choices."""
    rng = np.random.default_rng(1)
    key = f"{name}/router"
    direction = rng.standard_normal(program.values[key].shape)

    def at(step):
        program.program.assign(
            program.values | {key: program.values[key] + step * direction}
        )
        said = program(arrays)[name]
        objective = np.sum(np.float64(said["y"]) * arrays["cotangent"])
        return objective + said["balance_loss"] + said["z_loss"], said

    step = 1e-3
    (above, said_above), (below, said_below), (_, said) = at(step), at(-step), at(0.0)
    assert np.all(said_above["token_of_slot"] == said_below["token_of_slot"])
    wanted = (above - below) / (2 * step)
    got = np.sum(said["gradient router"] * direction)
    np.testing.assert_allclose(got, wanted, rtol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"layout": ("batch:2", "batch:batch;experts:batch"), "dispatch": "einsum"},
        {"layout": ("model:2", "heads:model;d_ff:model;vocab:model")},
    ],
)
def test_layouts_and_methods_agree(fields, decided, arrays):
    """Each alone, in evaluation: test_router_contract."""
    got = make_program(arrays, True, **fields)(arrays)
    for name, said in decided.items():
        for key, value in said.items():
            np.testing.assert_allclose(
                got[name][key], value, rtol=1e-4, atol=1e-4, err_msg=f"{name} {key}"
            )


def test_orthogonal_columns_or_rows():
    key = name_key(0, "router")
    for shape in ([9, 4], [4, 9]):
        matrix = np.asarray(orthogonal(0.1)(shape, key))
        assert matrix.shape == tuple(shape)
        gram = matrix.T @ matrix if shape[0] > shape[1] else matrix @ matrix.T
        np.testing.assert_allclose(gram, 0.01 * np.eye(4), atol=1e-8)
    # Q R with a positive diagonal of R is the matrix it came from.
    normal = np.asarray(truncated_normal(1.0)([9, 4], key))
    r = 10 * np.asarray(orthogonal(0.1)([9, 4], key)).T @ normal
    np.testing.assert_allclose(r, np.triu(r), atol=1e-5)
    assert np.all(np.diag(r) > 0)


def test_bad_fields_are_refused(arrays):
    with pytest.raises(UnknownNameError, match="gate 'softmaks'"):
        SinkhornRouter("softmaks")
    with pytest.raises(ConfigError, match="SinkhornRouter.tolerance"):
        SinkhornRouter(tolerance=0.0)
    with pytest.raises(ConfigError, match="BaseRouter.epsilon"):
        BaseRouter(0.0)
    with pytest.raises(ConfigError, match="rounds is 0; it must be a whole number"):
        NoTokenLeftBehindRouter(0)
    too_many = {"router": NoTokenLeftBehindRouter(E)}
    with pytest.raises(ConfigError, match="only 3 others to try"):
        make_program(arrays, False, routers=too_many)


def test_only_expert_choice_looks_ahead():
    causal = {name: router.causal for name, router in ROUTERS.items()}
    assert [name for name, value in causal.items() if not value] == ["expert_choice"]
    assert all(router.num_choices == 1 for router in ROUTERS.values())
    assert all(dataclasses.is_dataclass(router) for router in ROUTERS.values())
