"""Products against numpy's einsum."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import tensorflow as tf

from mtmoe.mesh.products import product

# Of each label, which of x, y and the result it is in.
_PLACES = ("xy", "xyz", "xz", "yz")


@st.composite
def equations(draw):
    labels = "abcdef"[: draw(st.integers(1, 6))]
    places = [draw(st.sampled_from(_PLACES)) for _ in labels]
    parts = []
    for tensor in "xyz":
        own = [label for label, at in zip(labels, places, strict=True) if tensor in at]
        parts.append("".join(draw(st.permutations(own))))
    return f"{parts[0]},{parts[1]}->{parts[2]}"


@hypothesis.settings(deadline=None, max_examples=200)
@hypothesis.given(equations(), st.integers(0, 2**32 - 1))
def test_any_equation(equation, seed):
    rng = np.random.default_rng(seed)
    sizes = dict(zip("abcdef", rng.integers(1, 4, 6), strict=True))
    x, y = (
        rng.integers(-9, 9, [sizes[label] for label in labels]).astype(np.float32)
        for labels in equation.split("->")[0].split(",")
    )
    z = product(equation, tf.constant(x), tf.constant(y))
    np.testing.assert_array_equal(z, np.einsum(equation, x, y))


def test_the_dtype_is_that_of_the_operands():
    x = tf.ones([2, 3], tf.bfloat16)
    assert product("ab,cb->ca", x, x).dtype == tf.bfloat16
