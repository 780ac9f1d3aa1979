"""One checkpoint, opened: any slice of any variable, whatever pieces were written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtmoe.checkpoint.finite import check_finite
from mtmoe.checkpoint.manifest import Manifest
from mtmoe.checkpoint.pieces import Box, Variables, check_cover, check_variables, whole
from mtmoe.checkpoint.shards import Shard, StoredPiece, dtype_of
from mtmoe.checkpoint.tensorflow_files import TensorFlowFiles
from mtmoe.errors import CheckpointError, UnknownNameError


class CheckpointReader:
    """Reads what it is asked for and checks every byte of that; no more.

    Attributes:
      folder: the checkpoint's.
      step: the training step after which it was taken.
      metadata: what its writer gave.
      variables: shape and NumPy's name of the dtype, by variable.
    """

    def __init__(self, folder: Path, finite: bool = True):
        """Reads the manifest and the indexes of all shards of a folder.

        Raises:
          CheckpointError: one of them is missing or damaged, or the pieces do not make
            up every variable.
        """
        self.manifest = Manifest.read(folder)
        self.folder = folder
        self.step = self.manifest.step
        self.metadata: Mapping[str, Any] = self.manifest.metadata
        self.variables: Variables = self.manifest.shapes()
        self._finite = finite
        self._old: TensorFlowFiles | None = None
        self._pieces: dict[str, list[tuple[Shard, StoredPiece]]] = {}
        if self.manifest.format > 1:
            for shard in read_shards(folder, self.manifest):
                for piece in shard.pieces:
                    self._pieces.setdefault(piece.name, []).append((shard, piece))

    def read(
        self,
        name: str,
        begin: Sequence[int] | None = None,
        size: Sequence[int] | None = None,
    ) -> np.ndarray:
        """Reads a slice of a variable, by default all of it, into an array of its own.

        It is of the variable's dtype, and refused if a value is not finite, unless the
        checkpoint was opened with `finite=False`.

        Raises:
          UnknownNameError: there is no such variable.
          CheckpointError: what was read is damaged, or not finite.
          ValueError: the slice is not within the variable.
        """
        if name not in self.variables:
            raise UnknownNameError("variable", name, self.variables, str(self.folder))
        shape, dtype = self.variables[name]
        wanted = _slice(name, shape, begin, size)
        if self.manifest.format == 1:
            values = self._read_old(name)[wanted.within(whole(shape))].copy()
        else:
            values = self._read_pieces(name, wanted, dtype)
        if self._finite:
            check_finite({name: values}, str(self.folder))
        return values

    def _read_old(self, name: str) -> np.ndarray:
        self._old = self._old or TensorFlowFiles(self.folder)
        return self._old.read(name)

    def _read_pieces(self, name: str, wanted: Box, dtype: str) -> np.ndarray:
        values = np.empty(wanted.size, dtype_of(dtype))
        for shard, piece in self._pieces[name]:
            common = piece.box.common(wanted)
            if common is None:
                continue
            part = shard.read_box(piece, common)
            if common == wanted and part.flags.c_contiguous and part.flags.aligned:
                return part
            values[common.within(wanted)] = part
        return values


def parameter_names(names: Iterable[str]) -> list[str]:
    """Returns the names that are of parameters, sorted.

    What belongs to the optimizer lies below a parameter's name, as
    `embedding/adafactor_vr`.
    """
    there = set(names)
    return sorted(name for name in there if name.rpartition("/")[0] not in there)


def read_shards(folder: Path, manifest: Manifest) -> list[Shard]:
    """Reads the indexes of a checkpoint's shards.

    Raises:
      CheckpointError: one is missing or damaged, or is of another checkpoint; or the
        pieces do not make up every variable that the manifest lists.
    """
    shards = []
    for process, name in enumerate(manifest.files):
        manifest.verify_file(folder, name)
        shard = Shard.read(folder, name)
        place = (manifest.step, process, len(manifest.files))
        if (shard.step, shard.process, shard.processes) != place:
            raise CheckpointError(
                f"{folder / name} is shard {shard.process} of {shard.processes} of "
                f"step {shard.step}; it must be shard {process} of "
                f"{len(manifest.files)} of step {manifest.step}"
            )
        shards.append(shard)
    pieces = [piece for shard in shards for piece in shard.pieces]
    found = check_cover(
        ((p.name, p.shape, p.dtype, p.box) for p in pieces), str(folder)
    )
    check_variables(found, manifest.shapes(), str(folder))
    return shards


def _slice(
    name: str,
    shape: tuple[int, ...],
    begin: Sequence[int] | None,
    size: Sequence[int] | None,
) -> Box:
    start = (0,) * len(shape) if begin is None else tuple(begin)
    if size is None:
        size = [n - b for n, b in zip(shape, start, strict=True)]
    box = Box(start, tuple(size))
    if len(box.begin) != len(shape) or len(box.size) != len(shape):
        raise ValueError(f"{name} has {len(shape)} dimensions, not those of {box}")
    if any(b < 0 or s < 0 for b, s in zip(box.begin, box.size, strict=True)) or any(
        e > n for e, n in zip(box.end, shape, strict=True)
    ):
        raise ValueError(f"{name}{box} is outside of its shape {list(shape)}")
    return box
