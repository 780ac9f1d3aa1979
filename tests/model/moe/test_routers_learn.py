"""Routers that learn find the clusters of their tokens; the others do not.

Shape suffixes: N tokens, M d_model, C clusters, E experts.
"""

import numpy as np
import pytest
from oracles.router_runner import RouterProgram

from mtmoe.model.moe.capacity import Capacity
from mtmoe.model.moe.routers.base import BaseRouter
from mtmoe.model.moe.routers.expert_choice import ExpertChoiceRouter
from mtmoe.model.moe.routers.hash import HashRouter
from mtmoe.model.moe.routers.no_token_left_behind import NoTokenLeftBehindRouter
from mtmoe.model.moe.routers.random import RandomRouter
from mtmoe.model.moe.routers.sinkhorn import SinkhornRouter
from mtmoe.model.moe.routers.switch import SwitchRouter
from mtmoe.model.moe.routers.top_2 import Top2Router
from mtmoe.model.moe.routers.top_k import TopKRouter

B, L, M, E = 8, 16, 8, 4
STEPS, LEARNING_RATE = 200, 0.02

LEARNED = {
    "switch": SwitchRouter(balance_loss_weight=0.3),
    "top_2": Top2Router(),
    "top_2_unnormalized": TopKRouter(2, normalize_weights=False),
    "no_token_left_behind": NoTokenLeftBehindRouter(balance_loss_weight=0.3),
    "expert_choice": ExpertChoiceRouter(),
    "base": BaseRouter(),
    "sinkhorn": SinkhornRouter(),
}
FIXED = {"hash": HashRouter(64), "random": RandomRouter()}


class Adam:
    """Kingma and Ba 2015, algorithm 1."""

    def __init__(self, values):
        self.values = dict(values)
        self.mean = {name: np.zeros_like(x) for name, x in values.items()}
        self.square = {name: np.zeros_like(x) for name, x in values.items()}

    def step(self, gradients, count):
        for name, gradient in gradients.items():
            self.mean[name] += 0.1 * (gradient - self.mean[name])
            self.square[name] += 0.001 * (np.square(gradient) - self.square[name])
            mean = self.mean[name] / (1 - 0.9**count)
            square = self.square[name] / (1 - 0.999**count)
            self.values[name] -= LEARNING_RATE * mean / (np.sqrt(square) + 1e-8)


def clustered_tokens(seed):
    """Tokens around E centres; what is wanted of them is another matrix in each."""
    fixed, generator = np.random.default_rng(0), np.random.default_rng(seed)
    centres_CM = 2.0 * np.linalg.qr(fixed.standard_normal([M, M]))[0][:E]
    maps_CMM = fixed.standard_normal([E, M, M])
    cluster_BL = generator.integers(0, E, [B, L])
    x = centres_CM[cluster_BL] + 0.4 * generator.standard_normal([B, L, M])
    target = np.einsum("blm,blmn->bln", x, maps_CMM[cluster_BL])
    return (
        {
            "x": x.astype(np.float32),
            "mask": np.ones([B, L], np.float32),
            "ids": generator.integers(1, 50, [B, L]).astype(np.int32),
            "cotangent": np.zeros([B, L, M], np.float32),
        },
        target,
        cluster_BL,
    )


def mutual_information(cluster_N, expert_N):
    """In units of log E: 1 if the one tells the other."""
    joint = np.histogram2d(cluster_N, expert_N, bins=[range(E + 1)] * 2)[0]
    joint /= joint.sum()
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return (joint[seen] * np.log(joint[seen] / product[seen])).sum() / np.log(E)


def trained(router):
    """Mutual information of clusters and first choices, and the error that is left."""
    arrays, _, _ = clustered_tokens(0)
    program = RouterProgram(
        {"layer": router},
        arrays,
        training=True,
        d_ff=16,
        num_experts=E,
        capacity=Capacity(2.0, 2.0),
        group_size=B * L,
    )
    # From some starts two clusters stay with one expert: a local optimum of any router.
    generator = np.random.default_rng(2)
    adam = Adam(
        {
            name: 0.3 * generator.standard_normal(value.shape)
            if value.ndim > 1
            else value
            for name, value in program.values.items()
        }
    )
    for step in range(1, STEPS + 1):
        program.program.assign(adam.values)
        arrays, target, cluster = clustered_tokens(step)
        said = program(arrays, step)["layer"]
        error = said["y"] - target
        cotangent = (2 * error).astype(np.float32)
        gradients = program(arrays | {"cotangent": cotangent}, step)["layer"]
        adam.step(
            {
                f"layer/{key.removeprefix('gradient ')}": value
                for key, value in gradients.items()
                if key.startswith("gradient ") and key != "gradient x"
            },
            step,
        )
    expert = said["first_choice"].reshape([-1, E]).argmax(-1)
    found = mutual_information(cluster.reshape([-1]), expert)
    return found, np.square(error).mean() / np.square(target).mean()


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNED)
def test_learned_routers_find_clusters(name):
    found, error = trained(LEARNED[name])
    assert found > 0.8
    assert error < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", FIXED)
def test_fixed_routers_do_not(name):
    found, error = trained(FIXED[name])
    assert found < 0.2
    assert error > 0.05
