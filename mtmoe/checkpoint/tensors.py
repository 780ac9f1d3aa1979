"""Arrays to and from TensorFlow's V2 checkpoint files, under their plain names.

`tf.train.load_checkpoint` opens what is written here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from mtmoe.errors import CheckpointError

PREFIX = "variables"
_GRAPH_NOISE = re.compile(r"\{\{.*?\}\} | \[Op:\w+\]")


def write_tensors(folder: Path, values: Mapping[str, np.ndarray]) -> list[str]:
    """Writes the arrays into an existing folder.

    Returns:
      The names of the files.

    Raises:
      OSError: the disk is full or the folder cannot be written to.
    """
    names = sorted(values)
    try:
        with tf.device("/device:CPU:0"):
            tf.raw_ops.SaveV2(
                prefix=str(folder / PREFIX),
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                tensors=[tf.convert_to_tensor(values[name]) for name in names],
            )
    except tf.errors.OpError as error:
        raise OSError(_GRAPH_NOISE.sub("", error.message)) from error
    return sorted(path.name for path in folder.glob(f"{PREFIX}.*"))


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Reads every array of a folder.

    Raises:
      CheckpointError: TensorFlow cannot read the files.
    """
    try:
        reader = tf.train.load_checkpoint(str(folder / PREFIX))
        return {
            name: np.asarray(reader.get_tensor(name))
            for name in sorted(reader.get_variable_to_shape_map())
        }
    except (tf.errors.OpError, ValueError) as error:
        raise CheckpointError(
            f"{folder}: TensorFlow cannot read it: {error}"
        ) from error
