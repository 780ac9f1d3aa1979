"""Parameters of one checkpoint as the initial values of another run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mtmoe.checkpoint import store
from mtmoe.checkpoint.reader import parameter_names
from mtmoe.engine.program import MeshProgram
from mtmoe.errors import CheckpointError

_SHOWN = 5


def load_initial_values(directory: Path | str, program: MeshProgram) -> int:
    """Sets a built program's parameters to those of a folder's newest checkpoint.

    Parameters are matched by name. What belongs to the optimizer keeps its initial
    value here and is left behind there. The folder is a model folder, or what
    `mtmoe import` wrote.

    Returns:
      The step of the checkpoint.

    Raises:
      CheckpointError: there is no intact checkpoint, or the parameters differ in name
        or shape; the message says which. Nothing has been set then.
    """
    checkpoints = Path(directory) / "checkpoints"
    step = store.latest(checkpoints)
    if step is None:
        raise CheckpointError(
            f"train.initial_checkpoint: {directory} has no checkpoints; it must be a "
            "model folder, or a folder that mtmoe import wrote"
        )
    reader = store.open(checkpoints, step)
    given = {name: shape for name, (shape, _) in reader.variables.items()}
    current = program.variables()
    names = program.parameter_names()
    problems = [f"{name} is missing there" for name in names if name not in given]
    problems += [
        f"{name} is unknown here"
        for name in parameter_names(given)
        if name not in current
    ]
    problems += [
        f"{name} has shape {given[name]} there, {current[name].shape} here"
        for name in names
        if name in given and given[name] != current[name].shape
    ]
    if problems:
        more = len(problems) - _SHOWN
        raise CheckpointError(
            f"train.initial_checkpoint: step {step} of {directory} is of another "
            "model:\n  "
            + "\n  ".join(problems[:_SHOWN])
            + (f"\n  and {more} more" if more > 0 else "")
        )
    values = {name: reader.read(name).astype(np.float32) for name in names}
    program.assign(current | values)
    return step
