"""Lowering for one processor: what Mesh TensorFlow asks of a mesh, against numpy.

All cases of a mesh are one program. Each operates on a tensor whose first dimensions
are those of the mesh, so that every processor has a slice of its own to begin with, and
what it ends with stands at its place.
"""

import re

import numpy as np
import pytest
import tensorflow as tf
from oracles import slices as oracle
from oracles.mesh_runner import run_mesh, stablehlo_text

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.lowered import ProgramOptions, lower
from mtmoe.mesh.precision import named_precision

MESHES = [(1,), (2,), (4,), (2, 2), (1, 2)]
OWN = (4, 8)


class _OnSlices(mtf.Operation):
    """What a function of the mesh and a laid out slice makes of each slice."""

    def __init__(self, x, function, shape, dtype):
        super().__init__([x], name="on_slices")
        self._function, self._rank = function, len(x.shape.dims) - len(OWN)
        self._outputs = [mtf.Tensor(self, shape, dtype)]

    def lower(self, lowering):
        mesh_impl, ones = lowering.mesh_impl(self), [1] * self._rank
        own = mesh_impl.slicewise(
            lambda x: tf.squeeze(x, list(range(self._rank))),
            lowering.tensors[self.inputs[0]],
        )
        made = self._function(mesh_impl, own).to_laid_out_tensor()
        placed = mesh_impl.slicewise(
            lambda x: tf.reshape(x, ones + x.shape.as_list()), made
        )
        lowering.set_tensor_lowering(self.outputs[0], placed)


def _filled(x, number):
    return tf.zeros_like(x) + tf.cast(number, x.dtype)


def moves(mesh):
    """Yields a name, what the mesh does with a slice, and the same in numpy."""
    rank = len(mesh)
    every = tuple(range(rank))
    for axes in {every, (0,), (rank - 1,)}:
        for operation in ("SUM", "MAX", "MIN"):
            yield (
                f"allreduce {operation} {axes}",
                lambda m, x, a=axes, o=operation: m.allreduce(x, list(a), o),
                lambda x, a=axes, o=operation: oracle.all_reduce(x, a, o),
            )
    for axis, size in enumerate(mesh):
        yield (
            f"reduce_scatter {axis}",
            lambda m, x, a=axis: m.reduce_scatter(x, a, 1),
            lambda x, a=axis: oracle.reduce_scatter(x, a, rank, 1),
        )
        yield (
            f"alltoall {axis}",
            lambda m, x, a=axis: m.alltoall(x, a, 1, 0),
            lambda x, a=axis: oracle.all_to_all(x, a, rank, 1, 0),
        )
        yield (
            f"allconcat {axis}",
            lambda m, x, a=axis: m.allconcat(x, a, 1),
            lambda x, a=axis: oracle.all_gather(x, a, rank, 1),
        )
        yield (
            f"allconcat stacked {axis}",
            lambda m, x, a=axis: m.allconcat(x, a, 1, stack=True),
            lambda x, a=axis: oracle.all_gather(
                np.expand_dims(x, rank + 1), a, rank, 1
            ),
        )
        for name, sources in {
            "from the one before": [None, *range(size - 1)],
            "from the next in a ring": [(i + 1) % size for i in range(size)],
            "from itself": list(range(size)),
            "from nobody": [None] * size,
            "from the first": [0] + [None] * (size - 1),
        }.items():
            yield (
                f"receive {name} {axis}",
                lambda m, x, a=axis, s=sources: m.receive(x, a, s),
                lambda x, a=axis, s=sources: oracle.permute(x, a, s),
            )
        yield (
            f"pcoord {axis}",
            lambda m, x, a=axis: m.slicewise(_filled, x, m.laid_out_pcoord(a)),
            lambda x, a=axis: x * 0 + np.indices(mesh)[a][..., None, None],
        )
    yield (
        "pnum",
        lambda m, x: m.slicewise(_filled, x, m.laid_out_pnum()),
        lambda x: x * 0 + np.arange(np.prod(mesh)).reshape(mesh)[..., None, None],
    )


def on_slices(mesh, cases, x):
    """Outputs of the cases, by name."""
    names = [f"axis_{i}" for i in range(len(mesh))]
    mesh_dims = [mtf.Dimension(n, s) for n, s in zip(names, mesh, strict=True)]
    own = [mtf.Dimension(f"own_{i}", size) for i, size in enumerate(OWN)]

    def build(context, features):
        whole = context.import_tensor(features["x"], mtf.Shape([*mesh_dims, *own]))
        outputs = {}
        for name, function, wanted in cases:
            made = wanted(x).shape[len(mesh) :]
            dims = [mtf.Dimension(f"made_{i}", size) for i, size in enumerate(made)]
            shape = mtf.Shape([*mesh_dims, *dims])
            operation = _OnSlices(whole, function, shape, whole.dtype)
            outputs[name] = operation.outputs[0]
        return outputs

    shape = ";".join(f"m{n}:{s}" for n, s in zip(names, mesh, strict=True))
    return run_mesh(build, {"x": x}, shape, ";".join(f"{n}:m{n}" for n in names))


@pytest.mark.parametrize("mesh", MESHES, ids=str)
def test_what_a_mesh_does(mesh):
    cases = list(moves(mesh))
    x = np.random.default_rng(0).integers(-9, 9, [*mesh, *OWN]).astype(np.float32)
    outputs = on_slices(mesh, cases, x)
    for name, _, wanted in cases:
        np.testing.assert_array_equal(outputs[name], wanted(x), err_msg=name)


def test_truth_values_travel():
    cases = [
        case
        for case in moves((2,))
        if case[0].startswith(("allconcat 0", "alltoall", "receive from the one"))
    ]
    assert len(cases) == 3
    x = np.random.default_rng(0).random([2, *OWN]) < 0.5
    outputs = on_slices((2,), cases, x)
    for name, _, wanted in cases:
        assert outputs[name].dtype == bool
        np.testing.assert_array_equal(outputs[name], wanted(x), err_msg=name)


@pytest.mark.parametrize(
    ("mesh_shape", "rules"),
    [
        ("", ""),
        ("m:2", "a:m"),
        ("m:4", "b:m"),
        ("m:2;n:2", "a:m;b:n"),
        ("m:2;n:2", "b:m"),
    ],
)
def test_a_tensor_that_all_have_is_cut_and_joined_again(mesh_shape, rules):
    """`slice`, `import_tf_tensor` and `export_to_tf_tensor`."""
    dims = mtf.Shape([mtf.Dimension("a", 4), mtf.Dimension("b", 8)])
    constant = np.arange(32, dtype=np.int32).reshape(4, 8)

    def build(context, features):
        laid_out = context.import_tensor(tf.constant(constant), dims)
        own = mtf.slicewise(
            lambda x: tf.zeros_like(x) + tf.reduce_max(x),
            [laid_out],
            splittable_dims=dims.dims,
        )
        return {"whole": laid_out, "largest": own}

    outputs = run_mesh(build, {}, mesh_shape, rules)
    np.testing.assert_array_equal(outputs["whole"], constant)
    layout = Layout(mesh_shape, rules)
    rows, columns = (dim.size // layout.splits(dim.name) for dim in dims.dims)
    largest = constant.copy()
    for i in range(0, 4, rows):
        for j in range(0, 8, columns):
            cut = np.s_[i : i + rows, j : j + columns]
            largest[cut] = constant[cut].max()
    np.testing.assert_array_equal(outputs["largest"], largest)


@pytest.mark.parametrize(("processors", "summed_in"), [(8, "bf16"), (16, "f32")])
def test_sums_of_bfloat16_over_many_processors_are_float32(processors, summed_in):
    """Lowering needs no devices: what is asked of them is in the text."""
    dims = [mtf.Dimension("rows", 16), mtf.Dimension("columns", 3)]

    def build(context, features):
        x = context.import_tensor(features["x"], mtf.Shape(dims))
        return {"sum": mtf.reduce_sum(x, reduced_dim=dims[0])}, []

    layout = Layout(f"m:{processors}", "rows:m")
    options = ProgramOptions(layout, 0, False, named_precision("float32"))
    signature = {"x": tf.TensorSpec([16, 3], tf.bfloat16)}
    program = lower(build, signature, "sum", options)
    text = stablehlo_text(program)
    (reduced,) = re.findall(
        r"stablehlo\.all_reduce.*?\}\) : \(tensor<3x(\w+)>\)", text, re.DOTALL
    )
    assert reduced == summed_in
    assert program.signature.outputs[0].dtype == "bfloat16"
