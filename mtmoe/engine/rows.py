"""Which rows of a batch each process's devices hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from mtmoe.engine.runner import sharding
from mtmoe.mesh.signature import Argument

Int64Array = npt.NDArray[np.int64]


class OwnRows(NamedTuple):
    """What a process has to build of every batch.

    Attributes:
      rows: numbers of the rows its devices hold, increasing.
      counted: those of them that no process with a lower number holds. What all
        processes count is the batch, each row once.
    """

    rows: Int64Array
    counted: Int64Array


def own_rows(features: Iterable[Argument], batch_size: int, mesh: Mesh) -> OwnRows:
    """Finds the rows of this process.

    A feature may lie on the devices in another shape than a batch has it, as
    [parts, rows of a part, length]; in whatever shape, its elements are in the batch's
    order.

    Args:
      features: the features as the program takes them, each with the batch's rows.
      batch_size: rows of the batch.
      mesh: the devices of all processes.
    """
    here = jax.process_index()
    held = [np.zeros(batch_size, bool) for _ in range(jax.process_count())]
    for feature in features:
        size = int(np.prod(feature.shape))
        row = np.arange(size) // (size // batch_size)
        row = row.reshape(feature.shape)
        placed = sharding(feature, mesh).devices_indices_map(feature.shape)
        seen: dict[int, set[str]] = {}
        for device, index in placed.items():
            slices = seen.setdefault(device.process_index, set())
            if str(index) not in slices:
                slices.add(str(index))
                held[device.process_index][row[index].reshape(-1)] = True
    before = np.zeros(batch_size, bool)
    for process in range(here):
        before |= held[process]
    return OwnRows(np.flatnonzero(held[here]), np.flatnonzero(held[here] & ~before))


def whole_value(array: jax.Array) -> npt.NDArray[Any]:
    """Returns an array whole; what other processes hold is fetched from them."""
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.array(array)
    return np.array(multihost_utils.process_allgather(array, tiled=True))


def whole_with(
    rows: Int64Array, values: npt.NDArray[Any], batch_size: int
) -> npt.NDArray[Any]:
    """Returns an array of the batch's shape in which the rows given are in place.

    The others are zero and, in pages that nobody touches, take no memory.
    """
    whole = np.zeros((batch_size, *values.shape[1:]), values.dtype)
    whole[rows] = values
    return whole
