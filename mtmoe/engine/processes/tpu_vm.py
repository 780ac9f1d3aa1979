"""Whether this host is one of several of a TPU slice made without GKE.

Its environment does not say so; the metadata server of its machine does, and JAX knows
how to ask it.
"""

from __future__ import annotations

from pathlib import Path

from mtmoe.engine.processes.environment import Start

_DEVICES = Path("/dev")


def find_tpu_vm() -> Start | None:
    """Returns how the hosts of a TPU slice find each other; None: there is one host."""
    if not [*_DEVICES.glob("accel[0-9]*"), *_DEVICES.glob("vfio/[0-9]*")]:
        return None  # no chips: do not ask the server
    from jax._src import clusters

    known = {cluster.name: cluster for cluster in clusters.ClusterEnv._cluster_types}
    cluster = known.get("gcetpu")
    if cluster is None or not cluster.is_env_present():
        return None
    return Start("the TPU VM") if cluster.get_process_count() > 1 else None
