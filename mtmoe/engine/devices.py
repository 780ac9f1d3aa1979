"""The devices that a layout runs on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh

from mtmoe.engine.hardware.cores import num_cores
from mtmoe.engine.hardware.topologies import Topology
from mtmoe.engine.processes.current import current, devices_per_process
from mtmoe.errors import LayoutError
from mtmoe.mesh.layout import Layout

# XLA's CPU client reads the number of cores from it, if it is set.
_NUM_THREADS = "NPROC"

# The one axis of a mesh without dimensions.
ONE_PROCESSOR = "processor"


def device_mesh(layout: Layout) -> Mesh:
    """Returns the devices of a layout, in the order of its processors.

    On a host with only a CPU, the CPU is divided into one device a processor.

    Raises:
      LayoutError: there are too few devices.
    """
    count = layout.size
    _wait_for_cpu_programs()
    _ensure_cpu_devices(count)
    devices = jax.devices()
    if jax.process_count() > 1 and len(devices) != count:
        raise LayoutError(
            f"the layout {layout.mesh_shape!r} has {count} processors, but the "
            f"{jax.process_count()} processes have {len(devices)} devices together "
            f"({devices[0].device_kind}); with several processes every device must be "
            f"used. Take a layout of {len(devices)} processors"
        )
    if len(devices) < count:
        raise LayoutError(
            f"the layout {layout.mesh_shape!r} has {count} processors, but there are "
            f"{len(devices)} devices ({devices[0].device_kind})"
        )
    return arranged(devices[:count], layout)


def sums_differ(mesh: Mesh) -> bool:
    """Whether several processes would sum in another order than one.

    CPUs of one process sum in the order of the devices; Gloo, between processes, in
    that of a ring.
    """
    return current().count > 1 and mesh.devices.flat[0].platform == "cpu"


def topology_mesh(topology: Topology, layout: Layout) -> Mesh:
    """Returns devices of a TPU slice to compile for, as a layout would use them.

    Raises:
      HardwareError: libtpu is not there, or it does not know the slice.
      LayoutError: the layout has more or fewer processors than the slice has devices.
    """
    if layout.size != topology.num_devices:
        raise LayoutError(
            f"the layout {layout.mesh_shape!r} has {layout.size} processors, but "
            f"{topology.name} has {topology.num_devices} devices"
        )
    return arranged(topology.devices(), layout)


def arranged(devices: Sequence[Any], layout: Layout) -> Mesh:
    """Returns a mesh of devices; on TPUs neighbours of the mesh are wired together."""
    dimensions = layout.mesh_dimensions.dims
    sizes = [dimension.size for dimension in dimensions] or [1]
    names = [dimension.name for dimension in dimensions] or [ONE_PROCESSOR]
    if devices[0].platform != "tpu":
        return Mesh(np.array(devices).reshape(sizes), names)
    create = mesh_utils.create_device_mesh
    try:
        array = create(sizes, devices)
    except NotImplementedError:  # it needs a dimension of the slice to be split
        array = create(sizes, devices, allow_split_physical_axes=True)
    return Mesh(array, names)


def _wait_for_cpu_programs() -> None:
    """Makes CPUs run a program while it is called; no effect after the first use.

    By default a thread runs it, and the next call already prepares what it needs: its
    temporary memory while the last one's is still in use, and copies of donated
    variables. Where host and device are one, waiting costs less.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def _ensure_cpu_devices(count: int) -> None:
    """Asks for `count` CPU devices; has an effect only before the first use.

    XLA cuts loops by the number of its threads, which is the larger of the cores and of
    the process's devices, and rounds the sum of each part. So several processes use as
    many threads as one with all the devices would.
    """
    here = devices_per_process(count, current().count)
    if here < count and count > num_cores():
        os.environ.setdefault(_NUM_THREADS, str(count))
    if jax.config.jax_num_cpu_devices < here:
        try:
            jax.config.update("jax_num_cpu_devices", here)
        except RuntimeError:  # devices are in use already, and stay as they are
            return
