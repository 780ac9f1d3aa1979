"""Sums over processors that are made together.

What a collective costs on CPUs is above all that everybody waits for everybody: tens
of microseconds between the devices of a process, milliseconds between processes. A step
has a small sum for every norm, router and number in its log. Here all that are ready at
a time are sent as one array. Large ones go alone: to copy them costs more than to wait.
On TPUs and GPUs XLA itself combines collectives, and overlaps them with other work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtmoe.mesh import collectives
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.operation import LaidOutOperation

LARGEST = 1 << 16
"""Elements of a processor's slice that are sent together with others at the most."""


def joined_sums(tensors: Sequence[mtf.Tensor]) -> list[mtf.Tensor]:
    """Returns the same tensors; what is still to be summed of them is summed together.

    They are of any shapes, and all are computed before any of them is needed. Sums over
    other processors or of another dtype are made apart.
    """
    if not tensors:
        return []
    dtypes = [tensor.dtype for tensor in tensors]

    def lower(mesh_impl: mtf.MeshImpl, *laid_out: Any) -> list[Any]:
        # Sums can travel together that are over the same axes and of one dtype: as one
        # array [sum of sizes], cut up again behind the all-reduce.
        values = list(laid_out)
        groups: dict[Any, list[int]] = {}
        for index, (dtype, value) in enumerate(zip(dtypes, values, strict=True)):
            if is_unmade_sum(value) and _is_small(value):
                groups.setdefault((tuple(value.mesh_axes), dtype), []).append(index)
        for (mesh_axes, _), indices in groups.items():
            if len(indices) < 2 or not _joins(mesh_impl):
                continue
            for index in indices:
                if values[index].add_counter_fn:
                    values[index].add_counter_fn()
            summands = [values[index].laid_out_input for index in indices]
            totals = _sum_as_one(mesh_impl, summands, mesh_axes)
            for index, total in zip(indices, totals, strict=True):
                values[index] = total
        return values

    def gradient(
        operation: mtf.Operation, *grads: mtf.Tensor | None
    ) -> list[mtf.Tensor | None]:
        del operation
        return list(grads)

    outputs = [(x.shape, x.dtype) for x in tensors]
    operation = LaidOutOperation(lower, tensors, outputs, "joined_sums", gradient)
    return list(operation.outputs)


def sum_across(
    mesh_impl: mtf.MeshImpl, summands: Sequence[Any], mesh_axes: Sequence[int]
) -> list[Any]:
    """Sums laid out tensors of one dtype over mesh axes; where faster, as one array."""
    if len(summands) > 1 and _joins(mesh_impl) and all(map(_is_small, summands)):
        return _sum_as_one(mesh_impl, summands, mesh_axes)
    return [mesh_impl.allreduce(x, list(mesh_axes), "SUM") for x in summands]


def _joins(mesh_impl: mtf.MeshImpl) -> bool:
    """Whether to join sums there; Mesh TensorFlow's own implementations never do."""
    return getattr(mesh_impl, "joins_sums", False)


def is_unmade_sum(value: Any) -> bool:
    """Whether a laid out value is a sum over processors that is still to be made."""
    return isinstance(value, mtf.LazyAllreduceSum) and value._reduced is None


def _is_small(value: Any) -> bool:
    return bool(mtf.list_product(value.slice_shape) <= LARGEST)


def _sum_as_one(
    mesh_impl: mtf.MeshImpl, summands: Sequence[Any], mesh_axes: Sequence[int]
) -> list[Any]:
    shapes = [[int(size) for size in summand.slice_shape] for summand in summands]
    joined = mesh_impl.slicewise(lambda *slices: collectives.join(slices), *summands)
    total = mesh_impl.allreduce(joined, list(mesh_axes), "SUM")
    return list(
        mesh_impl.slicewise(lambda whole: tuple(collectives.cut(whole, shapes)), total)
    )
