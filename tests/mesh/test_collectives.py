"""Every collective on CPU devices, against numpy: any dtype, any group of processors.

All cases of a mesh are one program, so that it is compiled once. Each reads a tensor
whose first dimensions are those of the mesh: what is left of it is the processor's own.
"""

import itertools

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from oracles import slices as oracle

from mtmoe.engine.program import MeshProgram
from mtmoe.mesh import collectives
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout

DTYPES = ("float32", "float16", ml_dtypes.bfloat16, "int32", "int8", "uint32", "uint8")
MESHES = [(1,), (2,), (4,), (2, 2)]
OWN = (4, 4)


def slices_of(mesh, dtype):
    """Whole numbers that every dtype keeps, sums over four processors too."""
    values = np.random.default_rng(0).integers(0, 20, [*mesh, *OWN])
    return values.astype(dtype)


class Cases:
    """Operations on a processor's slice, and what they give on a mesh."""

    def __init__(self, mesh):
        self.mesh, self.channel = mesh, collectives.channels()
        numbers = np.arange(np.prod(mesh)).reshape(mesh)
        axes = range(len(mesh))
        self.groups = {
            chosen: np.moveaxis(numbers, chosen, range(-len(chosen), 0))
            .reshape(-1, np.prod([mesh[axis] for axis in chosen]))
            .tolist()
            for count in range(1, len(mesh) + 1)
            for chosen in itertools.combinations(axes, count)
        }

    def all(self):
        """Yields a name, the operation, and the same in numpy."""
        rank = len(self.mesh)
        for axes, groups in self.groups.items():
            for operation in ("SUM", "MAX", "MIN"):
                yield (
                    f"reduce {operation} {axes}",
                    lambda x, g=groups, o=operation: collectives.all_reduce(
                        x, g, o, self.channel()
                    ),
                    lambda x, a=axes, o=operation: oracle.all_reduce(x, a, o),
                )
        for axis in range(rank):
            groups = self.groups[(axis,)]
            sources = [None, *range(self.mesh[axis] - 1)]
            pairs = [
                (group[source], group[place])
                for group in groups
                for place, source in enumerate(sources)
                if source is not None
            ]
            if pairs:
                yield (
                    f"permute {axis}",
                    lambda x, p=pairs: collectives.collective_permute(
                        x, p, self.channel()
                    ),
                    lambda x, a=axis, s=sources: oracle.permute(x, a, s),
                )
            for one in (0, 1):
                yield (
                    f"gather {axis} {one}",
                    lambda x, g=groups, o=one: collectives.all_gather(
                        x, g, o, self.channel()
                    ),
                    lambda x, a=axis, o=one: oracle.all_gather(x, a, rank, o),
                )
                yield (
                    f"scatter {axis} {one}",
                    lambda x, g=groups, o=one: collectives.reduce_scatter(
                        x, g, o, self.channel()
                    ),
                    lambda x, a=axis, o=one: oracle.reduce_scatter(x, a, rank, o),
                )
                for other in (0, 1):
                    yield (
                        f"to_all {axis} {one} {other}",
                        lambda x, g=groups, o=one, t=other: collectives.all_to_all(
                            x, g, o, t, self.channel()
                        ),
                        lambda x, a=axis, o=one, t=other: oracle.all_to_all(
                            x, a, rank, o, t
                        ),
                    )


def own_slices(x, mesh_dims, operation, made):
    """What every processor makes of its slice, of shape `made`: [mesh..., made...]."""
    rank = len(mesh_dims)
    dims = [mtf.Dimension(f"made_{i}", size) for i, size in enumerate(made)]

    def apply(x):
        y = operation(tf.reshape(x, OWN))
        return tf.reshape(y, [1] * rank + y.shape.as_list())

    return mtf.slicewise(
        apply,
        [x],
        output_shape=mtf.Shape([*mesh_dims, *dims]),
        output_dtype=x.dtype,
        splittable_dims=mesh_dims,
    )


def run_on(mesh, dtypes, cases):
    """Outputs of every case and dtype, one program: by dtype and name."""
    names = [f"axis_{i}" for i in range(len(mesh))]
    mesh_dims = [mtf.Dimension(n, s) for n, s in zip(names, mesh, strict=True)]
    own = [mtf.Dimension(f"own_{i}", size) for i, size in enumerate(OWN)]
    layout = Layout(
        ";".join(f"m{n}:{s}" for n, s in zip(names, mesh, strict=True)),
        ";".join(f"{n}:m{n}" for n in names),
    )
    arrays = {str(np.dtype(dtype)): slices_of(mesh, dtype) for dtype in dtypes}

    def build(context, features):
        outputs = {}
        for name, feature in features.items():
            x = context.import_tensor(feature, mtf.Shape([*mesh_dims, *own]))
            for case, operation, wanted in cases:
                made = wanted(arrays[name]).shape[len(mesh) :]
                y = own_slices(x, mesh_dims, operation, made)
                outputs[f"{name}: {case}"] = y
        return outputs, []

    signature = {n: tf.TensorSpec(x.shape, x.dtype) for n, x in arrays.items()}
    function = MeshProgram(layout).function(build, signature, "collectives")
    return arrays, function(0, **arrays)


@pytest.mark.parametrize("mesh", MESHES, ids=str)
def test_collectives(mesh):
    cases = list(Cases(mesh).all())
    arrays, outputs = run_on(mesh, ["float32"], cases)
    assert len(cases) >= 10
    for case, _, wanted in cases:
        np.testing.assert_array_equal(
            outputs[f"float32: {case}"], wanted(arrays["float32"]), err_msg=case
        )


def test_every_dtype_travels():
    cases = [
        case
        for case in Cases((2,)).all()
        if case[0] in ("permute 0", "gather 0 1", "scatter 0 0", "to_all 0 0 1")
        or case[0].startswith("reduce")
    ]
    assert len(cases) == 7
    arrays, outputs = run_on((2,), DTYPES, cases)
    assert len(arrays) == len(DTYPES)
    for name, array in arrays.items():
        for case, _, wanted in cases:
            got = np.asarray(outputs[f"{name}: {case}"])
            assert got.dtype == array.dtype, (name, case)
            np.testing.assert_array_equal(
                got.astype(float), wanted(array).astype(float), err_msg=f"{name} {case}"
            )


def test_channels_are_numbered_from_one():
    channel = collectives.channels()
    assert [channel(), channel(), channel()] == [1, 2, 3]
