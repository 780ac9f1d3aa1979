"""TensorFlow stays on the host."""

from __future__ import annotations

import tensorflow as tf


def keep_tensorflow_on_the_host() -> None:
    """Hides GPUs and TPUs from TensorFlow, for good.

    TensorFlow builds graphs and prepares data here; programs run on the engine's
    devices. At its first operation it would take all the memory of every GPU it sees.
    Where TensorFlow already runs with what it found, nothing can be changed any more.
    """
    for kind in ("GPU", "TPU"):
        try:
            tf.config.set_visible_devices([], kind)
        except RuntimeError:
            return
