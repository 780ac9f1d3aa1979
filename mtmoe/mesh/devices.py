"""The devices a mesh runs on."""

from __future__ import annotations

import tensorflow as tf

from mtmoe.errors import LayoutError
from mtmoe.mesh.layout import Layout


def device_names(layout: Layout) -> list[str]:
    """Returns a device name per processor of `layout`; creates logical CPUs if needed.

    One processor is placed nowhere in particular (""), which lets XLA compile the whole
    step and spares the copy of each variable.

    Raises:
      LayoutError: TensorFlow is already running with fewer logical CPUs. They can only
        be created before the first TensorFlow operation of a process.
    """
    if layout.devices:
        return list(layout.devices)
    if layout.size == 1:
        return [""]
    _ensure_logical_cpus(layout.size)
    return [f"/device:CPU:{index}" for index in range(layout.size)]


def _ensure_logical_cpus(count: int) -> None:
    host = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(host) or []
    if len(configured) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(
            host, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        )
    except RuntimeError as error:
        raise LayoutError(
            f"the layout wants {count} logical CPU devices, TensorFlow already runs "
            f"with {max(1, len(configured))}; build the program before any other "
            "TensorFlow operation of the process"
        ) from error
