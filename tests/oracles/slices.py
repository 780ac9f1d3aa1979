"""What each processor of a mesh holds, and what it exchanges, in numpy.

Every processor's slice stands in one array, its first dimensions those of the mesh.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def by_processor(slices: np.ndarray, mesh_rank: int) -> np.ndarray:
    """Joins the dimensions of the mesh: [processor, ...]."""
    return slices.reshape(-1, *slices.shape[mesh_rank:])


def all_reduce(slices: np.ndarray, axes: Sequence[int], operation: str) -> np.ndarray:
    """Reduces over axes of the mesh; everyone has the result."""
    function = {"SUM": np.sum, "MAX": np.max, "MIN": np.min}[operation]
    reduced = function(slices, axis=tuple(axes), keepdims=True)
    return np.broadcast_to(reduced, slices.shape)


def parts(slices: np.ndarray, axis: int) -> list[np.ndarray]:
    """The slices along an axis of the mesh, each with that axis of size 1."""
    return np.split(slices, slices.shape[axis], axis)


def all_gather(
    slices: np.ndarray, axis: int, mesh_rank: int, concat_axis: int
) -> np.ndarray:
    """Joins the slices along a mesh axis along an axis of the slice."""
    joined = np.concatenate(parts(slices, axis), mesh_rank + concat_axis)
    return np.repeat(joined, slices.shape[axis], axis)


def reduce_scatter(
    slices: np.ndarray, axis: int, mesh_rank: int, split_axis: int
) -> np.ndarray:
    """Sums along a mesh axis; each keeps its part along an axis of the slice."""
    total = slices.sum(axis, keepdims=True)
    pieces = np.split(total, slices.shape[axis], mesh_rank + split_axis)
    return np.concatenate(pieces, axis)


def all_to_all(
    slices: np.ndarray, axis: int, mesh_rank: int, split_axis: int, concat_axis: int
) -> np.ndarray:
    """Part `i` of everyone's slice goes to the one at `i`, joined in their order."""
    pieces = np.split(slices, slices.shape[axis], mesh_rank + split_axis)
    received = [
        np.concatenate(parts(piece, axis), mesh_rank + concat_axis) for piece in pieces
    ]
    return np.concatenate(received, axis)


def permute(slices: np.ndarray, axis: int, sources: Sequence[int | None]) -> np.ndarray:
    """Everyone takes the slice of the one at `sources[own place]`, or zeros."""
    taken = parts(slices, axis)
    received = [
        np.zeros_like(taken[0]) if source is None else taken[source]
        for source in sources
    ]
    return np.concatenate(received, axis)
