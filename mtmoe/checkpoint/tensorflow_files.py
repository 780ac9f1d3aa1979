"""Reads TensorFlow's V2 checkpoint files, which checkpoints of format 1 are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mtmoe.errors import CheckpointError

PREFIX = "variables"


class TensorFlowFiles:
    """The variables of a folder of format 1."""

    def __init__(self, folder: Path):
        """Opens the index.

        Raises:
          CheckpointError: TensorFlow cannot read the files.
        """
        import tensorflow as tf  # takes seconds, and only old checkpoints need it

        self._folder = folder
        self._errors = (tf.errors.OpError, ValueError, RuntimeError)
        try:
            self._reader = tf.train.load_checkpoint(str(folder / PREFIX))
        except self._errors as error:
            raise self._unreadable(error) from error

    def read(self, name: str) -> np.ndarray:
        """Reads a whole variable; TensorFlow checks its CRC-32C.

        Raises:
          CheckpointError: it is damaged or not there.
        """
        try:
            return np.asarray(self._reader.get_tensor(name))
        except self._errors as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> CheckpointError:
        return CheckpointError(f"{self._folder}: TensorFlow cannot read it: {error}")
