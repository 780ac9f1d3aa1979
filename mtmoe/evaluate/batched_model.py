"""A run's model as one compiled function, called on batches of one size.

Legend: B batch, E examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mtmoe.engine.program import MeshProgram
from mtmoe.errors import CheckpointError
from mtmoe.evaluate.progress import BatchProgress
from mtmoe.mesh.build import Build

Arrays = Mapping[str, NDArray[np.generic]]
# What fills a batch up, where it is not 0.
_FILLERS = {"example_keys": -1}


class BatchedModel:
    """A function of a run's model; weights come by `load`."""

    def __init__(
        self,
        program: MeshProgram,
        build: Build,
        features: Mapping[str, tf.TensorSpec],
        name: str,
    ):
        """Builds the graph, one for all batches; XLA compiles at the first."""
        self._program = program
        self._batch_size = int(next(iter(features.values())).shape[0])
        self._function = program.function(build, features, name=name)

    def load(self, values: Arrays, where: str) -> None:
        """Takes the weights of a checkpoint; see `assign_weights`."""
        assign_weights(self._program, values, where)

    def outputs(
        self,
        rows_E: NDArray[np.int64],
        features: Callable[[NDArray[np.int64]], Arrays],
        what: str,
    ) -> Iterator[dict[str, NDArray[np.generic]]]:
        """Yields what the function gives for each batch, and shows how far it is.

        Args:
          rows_E: numbers of the examples, in the order of the batches.
          features: what the function takes of the examples of these numbers; the last
            batch is filled up, which shows in no output.
          what: named by the progress line.
        """
        starts = range(0, len(rows_E), self._batch_size)
        progress = BatchProgress(what, len(starts))
        for number, start in enumerate(starts, start=1):
            rows_B = rows_E[start : start + self._batch_size]
            filled = {
                name: _filled(value, self._batch_size, _FILLERS.get(name, 0))
                for name, value in features(rows_B).items()
            }
            outputs = self._function(0, **filled)
            yield {
                name: np.asarray(value)[: len(rows_B)]
                for name, value in outputs.items()
            }
            progress.done(number)


def assign_weights(program: MeshProgram, values: Arrays, where: str) -> None:
    """Sets a program's variables from a checkpoint, the optimizer's state left out.

    Raises:
      CheckpointError: a variable is missing or of another shape; `where` is named.
    """
    names = program.variable_names()
    missing = [name for name in names if name not in values]
    if missing:
        raise CheckpointError(
            f"{where} is not of the model its config.gin describes: it lacks "
            f"{', '.join(missing[:3])}"
            + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        )
    program.assign({name: values[name] for name in names})


def _filled(values: NDArray[np.generic], size: int, filler: int) -> NDArray[np.generic]:
    room = ((0, size - len(values)), *((0, 0),) * (values.ndim - 1))
    return np.pad(values, room, constant_values=filler)
