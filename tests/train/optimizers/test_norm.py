"""Means and norms: exact on every layout, and of many numbers."""

import numpy as np
import pytest
import tensorflow as tf
from oracles.mesh_runner import run_mesh

from mtmoe.mesh.compat import mtf
from mtmoe.train.optimizers.means import mean_over
from mtmoe.train.optimizers.norm import clipping_factor, global_norm

SHAPES = {
    "matrix": mtf.Shape([mtf.Dimension("d_model", 8), mtf.Dimension("d_ff", 12)]),
    "experts": mtf.Shape([mtf.Dimension("experts", 4), mtf.Dimension("d_ff", 12)]),
    "scalar": mtf.Shape([]),
}
_RNG = np.random.default_rng(1)
VALUES = {
    name: np.asarray(_RNG.normal(size=shape.to_integer_list), np.float32)
    for name, shape in SHAPES.items()
}
NORM = np.sqrt(sum(np.sum(np.square(x, dtype=np.float64)) for x in VALUES.values()))


@pytest.mark.parametrize(
    ("mesh_shape", "rules"), [("", ""), ("a:2;b:2", "experts:a;d_ff:b")]
)
def test_global_norm_and_what_clips_it(mesh_shape, rules):
    def build(context, features):
        pairs = [
            (None, context.import_tensor(features[name], shape))
            for name, shape in SHAPES.items()
        ]
        assert clipping_factor(pairs, None) is None
        return {
            "norm": global_norm(pairs),
            "above": clipping_factor(pairs, 2.0),
            "below": clipping_factor(pairs, 200.0),
        }

    got = run_mesh(build, VALUES, mesh_shape, rules)
    np.testing.assert_allclose(got["norm"], NORM, rtol=1e-6)
    np.testing.assert_allclose(got["above"], 2.0 / NORM, rtol=1e-6)
    assert got["below"] == 1.0


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (1, 2), (0, 1, 2)])
def test_means_of_many_numbers_keep_their_digits(axes):
    x = _RNG.normal(size=[16, 512, 256]).astype(np.float32) + np.float32(3)
    compiled = tf.function(mean_over, autograph=False)
    wanted = x.mean(axes, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(compiled(x, axes), wanted, rtol=2e-6)
