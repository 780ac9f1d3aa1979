"""The mean of several checkpoints of a run, as a new model.

Vaswani et al. 2017 average the last checkpoints of a transformer; Izmailov et al. 2018,
"Averaging Weights Leads to Wider Optima and Better Generalization", say why it helps.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtmoe.checkpoint import store
from mtmoe.checkpoint.pieces import Piece, rows_of
from mtmoe.checkpoint.reader import CheckpointReader, parameter_names
from mtmoe.checkpoint.shards import dtype_of
from mtmoe.errors import CheckpointError
from mtmoe.surgery.huggingface.files import check_new, new_folder

_PART = 1 << 22  # elements
_COPIED = ("config.gin", "provenance.json")


@dataclasses.dataclass(frozen=True)
class Averaged:
    """The new checkpoint: its step, its parameters, and the optimizer's left out."""

    step: int
    parameters: int
    left_out: int


def average_checkpoints(
    model_dir: Path, steps: Sequence[int], output_dir: Path
) -> Averaged:
    """Writes a model folder whose parameters are the means over several steps.

    It has `config.gin` and one checkpoint without the optimizer's state, for `mtmoe
    evaluate`, `predict`, `export` and `train.initial_checkpoint`. One variable is in
    memory at a time; sums are in float64.

    Raises:
      CheckpointError: there are fewer than two different steps, one is absent or
        damaged, they are not of one model, or the folder exists. Nothing has been
        written then.
    """
    check_new(output_dir)
    if len(set(steps)) != len(steps) or len(steps) < 2:
        raise CheckpointError(
            f"a mean is of two different steps at least, not of {list(steps)}; "
            f"{model_dir} has {store.steps(model_dir / 'checkpoints') or 'none'}"
        )
    if not (model_dir / _COPIED[0]).is_file():
        raise CheckpointError(
            f"{model_dir} is not a model folder: it has no {_COPIED[0]}"
        )
    readers = [store.open(model_dir / "checkpoints", step) for step in sorted(steps)]
    names = _common_parameters(readers)
    pieces = []
    for name in names:
        shape, dtype = readers[0].variables[name]
        pieces.append(Piece.whole(name, _Mean(name, shape, dtype_of(dtype), readers)))
    metadata: dict[str, Any] = {"averaged": {"steps": sorted(steps)}}
    if "imported" in readers[0].metadata:
        metadata["imported"] = readers[0].metadata["imported"]
    with new_folder(output_dir) as folder:
        store.save(folder / "checkpoints", max(steps), pieces, metadata)
        for name in _COPIED:
            if (model_dir / name).is_file():
                shutil.copyfile(model_dir / name, folder / name)
    return Averaged(
        step=max(steps),
        parameters=sum(int(np.prod(piece.shape)) for piece in pieces),
        left_out=len(readers[0].variables) - len(names),
    )


@dataclasses.dataclass(frozen=True)
class _Mean:
    """The mean of a variable, computed when it is asked for."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    readers: Sequence[CheckpointReader]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns the elements."""
        mean = np.empty(self.shape, self.dtype)
        for begin, size in rows_of(self.shape, _PART):
            parts = [reader.read(self.name, begin, size) for reader in self.readers]
            place = tuple(slice(b, b + s) for b, s in zip(begin, size, strict=True))
            mean[place] = self._mean(parts)
        return mean if dtype is None else mean.astype(dtype)

    def _mean(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        if self.dtype.kind in "iub":
            if any(part.tobytes() != parts[0].tobytes() for part in parts):
                raise CheckpointError(
                    f"variable {self.name} is of whole numbers, which differ between "
                    "the steps: it has no mean"
                )
            return parts[0]
        total = np.zeros(parts[0].shape, np.float64)
        for part in parts:
            total += part.astype(np.float64)
        return total / len(parts)


def _common_parameters(readers: Sequence[CheckpointReader]) -> list[str]:
    first = readers[0]
    names = parameter_names(first.variables)
    for other in readers[1:]:
        there = parameter_names(other.variables)
        differing = sorted(set(names) ^ set(there)) or [
            name for name in names if first.variables[name] != other.variables[name]
        ]
        if differing:
            name = differing[0]
            raise CheckpointError(
                f"steps {first.step} and {other.step} are not of one model: {name} is "
                f"{first.variables.get(name, 'missing')} in the first, "
                f"{other.variables.get(name, 'missing')} in the other"
            )
    return names
