"""Which rows of a batch each process's devices hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from mtmoe.engine.standalone.mesh_call import sharding
from mtmoe.mesh.signature import Argument

Int64Array = npt.NDArray[np.int64]


class OwnRows(NamedTuple):
    """The rows of every batch that a process builds.

    Attributes:
      rows: numbers of the rows its devices hold, increasing.
      counted: those of them that no process with a lower number holds. Over all
        processes they are the batch, each row once.
    """

    rows: Int64Array
    counted: Int64Array


def own_rows(features: Iterable[Argument], batch_size: int, mesh: Mesh) -> OwnRows:
    """Finds this process's rows of a batch, of the features as the program takes them.

    A feature may lie on the devices in another shape than in the batch, such as
    [parts, rows of a part, length], with its elements in the batch's order.
    """
    here = jax.process_index()
    held = [np.zeros(batch_size, bool) for _ in range(jax.process_count())]
    for feature in features:
        size = int(np.prod(feature.shape))
        row = (np.arange(size) // (size // batch_size)).reshape(feature.shape)
        placed = sharding(feature, mesh).devices_indices_map(feature.shape)
        slices = {(d.process_index, str(index)): index for d, index in placed.items()}
        for (process, _), index in slices.items():  # each once: rows are many
            held[process][row[index].reshape(-1)] = True
    before = np.logical_or.reduce(held[:here], axis=0)
    return OwnRows(np.flatnonzero(held[here]), np.flatnonzero(held[here] & ~before))


def whole_value(array: jax.Array) -> npt.NDArray[Any]:
    """Returns a whole array, with the parts that other processes hold."""
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.array(array)
    return np.array(multihost_utils.process_allgather(array, tiled=True))


def whole_with(
    rows: Int64Array, values: npt.NDArray[Any], batch_size: int
) -> npt.NDArray[Any]:
    """Returns an array of the batch's shape with the given rows in place.

    The others are zero and, in pages that are never touched, take no memory.
    """
    whole = np.zeros((batch_size, *values.shape[1:]), values.dtype)
    whole[rows] = values
    return whole
