"""The auction against an exact solver, all cases in one call."""

import numpy as np
import pytest
import tensorflow as tf
from oracles import routers_numpy as oracle
from oracles.mesh_runner import run_mesh

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.model.moe.balanced_assignment import balanced_assignment

T, E, EPSILON = 44, 6, 0.01


def cases():
    rng = np.random.default_rng(0)
    normal = rng.standard_normal
    clusters = normal((5, E))[rng.integers(0, 5, T)] + 0.01 * normal((T, E))
    scores = {
        "independent": normal((T, E)),
        "all like the same": 0.1 * normal((T, E)) + 3.0 * normal((1, E)),
        "all alike": np.repeat(normal((1, E)), T, 0),
        "clusters": clusters,
        "constant": np.full((T, E), 7.0),
        "far from zero": 1e4 + normal((T, E)),
        "padded": normal((T, E)),
        "fewer tokens than experts": normal((T, E)),
        "one token": normal((T, E)),
        "padding alone": normal((T, E)),
    }
    masks = {name: np.ones(T) for name in scores}
    masks["padded"] = rng.random(T) < 0.7
    masks["fewer tokens than experts"][5:] = 0
    masks["one token"][1:] = 0
    masks["padding alone"][:] = 0
    return list(scores), np.float32([*scores.values()]), np.float32([*masks.values()])


def test_sum_is_within_epsilon_of_the_best_and_load_is_even():
    names, scores, masks = cases()
    scores[-2, 1:] = np.nan  # what is in padding does not count
    problems, tokens, experts = map(
        mtf.Dimension, ("problems", "tokens", "experts"), scores.shape
    )

    def build(context, features):
        shape = mtf.Shape([problems, tokens])
        assigned = mtf.slicewise(
            lambda s, m: balanced_assignment(s, m, EPSILON),
            [
                context.import_tensor(features["scores"], shape + experts),
                context.import_tensor(features["masks"], shape),
            ],
            output_shape=shape,
            output_dtype=tf.int32,
            splittable_dims=[problems],
        )
        return {"experts": assigned}

    assigned = run_mesh(build, {"scores": scores, "masks": masks})["experts"]
    for name, score, mask, expert in zip(names, scores, masks, assigned, strict=True):
        tokens = int(mask.sum())
        chosen = expert[mask > 0]
        assert np.all((expert >= 0) & (expert < E))
        load = np.bincount(chosen, minlength=E)
        capacity = -(-tokens // E)
        assert load.max(initial=0) <= capacity, name
        if tokens == 0:
            continue
        real = score[mask > 0]
        best = oracle.best_balanced_sum(score, mask)
        got = real.astype(np.float64)[np.arange(tokens), chosen].sum()
        spread = real.max() - real.min()
        assert got <= best + 1e-6 * abs(best), name
        assert got >= best - E * capacity * EPSILON * spread - 1e-6 * abs(best), name
        if name == "independent":
            # The bound is a loose one: what is lost is far less.
            assert best - got <= 0.1 * tokens * EPSILON * spread
    # Choosing greedily would not do: the case has a price.
    assert np.bincount(scores[1].argmax(-1), minlength=E).max() > -(-T // E)


def test_one_expert_takes_all():
    ones = np.ones((2, 3), np.float32)
    expert = balanced_assignment(tf.ones([2, 3, 1]), tf.constant(ones), EPSILON)
    np.testing.assert_array_equal(expert, np.zeros((2, 3)))


def test_more_than_the_keys_can_hold_is_refused():
    scores, mask = tf.TensorSpec([1, 2**18, 2**15]), tf.TensorSpec([1, 2**18])
    trace = tf.function(lambda s, m: balanced_assignment(s, m, EPSILON))
    with pytest.raises(ConfigError, match="too many to balance"):
        trace.get_concrete_function(scores, mask)
