"""Products against numpy's einsum."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.products import exact_products, product

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


@hypothesis.settings(deadline=None, max_examples=20)
@hypothesis.given(
    st.permutations("ebd"), st.permutations("edf"), st.permutations("ebf"), st.data()
)
def test_experts_of_any_size_on_a_cpu(y_labels, w_labels, x_labels, data):
    """The gradient of their inputs: `product` chooses what is transposed."""
    sizes = {label: data.draw(st.integers(1, 6)) for label in "ebdf"}
    rng = np.random.default_rng(0)
    x, w = (
        rng.integers(-9, 9, [sizes[k] for k in labels]).astype(np.float32)
        for labels in (x_labels, w_labels)
    )
    equation = f"{''.join(x_labels)},{''.join(w_labels)}->{''.join(y_labels)}"

    @tf.function(jit_compile=True)
    def run(x, w):
        return product(equation, x, w)

    with exact_products(False):
        y = run(tf.constant(x), tf.constant(w))
    np.testing.assert_array_equal(y, np.einsum(equation, x, w))


@pytest.mark.parametrize(("rows", "is_transposed"), [(4, False), (64, True)])
def test_large_weights_are_not_multiplied_transposed(rows, is_transposed):
    """A CPU would take twice as long; so its compiled program holds no such product."""
    experts, tokens, width, hidden = (
        mtf.Dimension(*d) for d in (("e", 8), ("b", rows), ("d", 32), ("f", 64))
    )

    def build(context, features):
        x = context.import_tensor(features["x"], [experts, tokens, hidden])
        w = context.import_tensor(features["w"], [experts, width, hidden])
        return {"y": mtf.einsum([x, w], [experts, tokens, width])}, []

    signature = {
        "x": tf.TensorSpec([8, rows, 64]),
        "w": tf.TensorSpec([8, 32, 64]),
    }
    function = MeshProgram().function(build, signature, "test")
    (dot,) = (
        line
        for line in function.executable.compiled.as_text().splitlines()
        if " dot(" in line
    )
    assert ("rhs_contracting_dims={2}" in dot) == is_transposed
    assert "lhs_contracting_dims={2}" in dot
