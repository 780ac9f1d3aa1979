"""Which processes a run has, read from the environment.

All processes of a run are started by the same command and differ in their environment.
Our variables come first, then those of the launchers that JAX knows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from mtmoe.errors import ConfigError

COORDINATOR = ("MTMOE_COORDINATOR", "JAX_COORDINATOR_ADDRESS")
COUNT = ("MTMOE_NUM_PROCESSES", "JAX_NUM_PROCESSES")
INDEX = ("MTMOE_PROCESS_ID", "JAX_PROCESS_ID")
HEARTBEAT = "MTMOE_HEARTBEAT_SECONDS"
START = "MTMOE_START_SECONDS"

_HOW = (
    "Set MTMOE_COORDINATOR=host:port, MTMOE_NUM_PROCESSES and MTMOE_PROCESS_ID in "
    "every process, or none of them for one process"
)
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID")


@dataclasses.dataclass(frozen=True)
class Start:
    """How the processes of a run find each other.

    Attributes:
      found_in: where this was found: "MTMOE_COORDINATOR", "Slurm", ...
      coordinator: host and port of process 0; None: JAX finds it.
      count: processes; None: JAX finds it.
      index: number of this one, from 0; None: JAX finds it.
      heartbeat_seconds: after so long without a sign of life a process counts as dead.
      start_seconds: how long the processes wait for each other at the start.
    """

    found_in: str
    coordinator: str | None = None
    count: int | None = None
    index: int | None = None
    heartbeat_seconds: int = 30
    start_seconds: int = 300


def find_processes(environment: Mapping[str, str]) -> Start | None:
    """Returns how this process belongs to others; None: it is alone.

    Raises:
      ConfigError: variables that are incomplete, contradict each other, or are no
        numbers.
    """
    launched = _launched(environment)
    coordinator = _one_of(environment, COORDINATOR)
    count = _one_of(environment, COUNT)
    index = _one_of(environment, INDEX)
    given = {found[0]: found[1] for found in (coordinator, count, index) if found}
    if count and len(given) == 1 and _number(environment, count[0], 1) == 1:
        return None  # explicit, whatever a launcher says
    if not given:
        return with_timeouts(launched, environment) if launched else None
    if len(given) < 3:
        # A launcher says how many there are, but perhaps not who coordinates.
        if coordinator and len(given) == 1 and launched and launched.count is not None:
            address = _address(*coordinator)
            launched = dataclasses.replace(launched, coordinator=address)
            return with_timeouts(launched, environment)
        wanted = {COORDINATOR[0]: coordinator, COUNT[0]: count, INDEX[0]: index}
        missing = [name for name, found in wanted.items() if not found]
        raise ConfigError(
            f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} set, but "
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not. "
            f"{_HOW}"
        )
    assert coordinator and count and index
    processes = _number(environment, count[0], 1)
    number = _number(environment, index[0], 0)
    assert processes is not None and number is not None
    if number >= processes:
        raise ConfigError(
            f"{index[0]} is {number}, but {count[0]} is {processes}: the numbers go "
            f"from 0 to {processes - 1}"
        )
    start = Start(coordinator[0], _address(*coordinator), processes, number)
    return None if processes == 1 else with_timeouts(start, environment)


def with_timeouts(start: Start, environment: Mapping[str, str]) -> Start:
    """Returns `start` with the seconds that the environment sets.

    Raises:
      ConfigError: they are no numbers.
    """
    return dataclasses.replace(
        start,
        heartbeat_seconds=_number(environment, HEARTBEAT, 2) or start.heartbeat_seconds,
        start_seconds=_number(environment, START, 1) or start.start_seconds,
    )


def _launched(environment: Mapping[str, str]) -> Start | None:
    """Reads the variables of launchers; a launcher of one process is ignored."""
    if all(name in environment for name in _SLURM):
        name = "SLURM_STEP_NUM_TASKS"  # of this step; SLURM_NTASKS may be the job's
        count = _number(environment, name, 1) or _number(environment, "SLURM_NTASKS", 1)
        return Start("Slurm") if count and count > 1 else None
    size = _number(environment, "OMPI_COMM_WORLD_SIZE", 1)
    if size and size > 1:
        if "OMPI_MCA_orte_hnp_uri" in environment:
            return Start("Open MPI")
        index = _number(environment, "OMPI_COMM_WORLD_RANK", 0)
        if not any(name in environment for name in COORDINATOR):
            raise ConfigError(
                f"Open MPI started {size} processes, but does not say where the first "
                "one runs. Set MTMOE_COORDINATOR=host:port, the host of rank 0 and a "
                "free port of it: mpirun -x MTMOE_COORDINATOR=node1:12345 ..."
            )
        return Start("Open MPI", None, size, index)
    workers = environment.get("TPU_WORKER_HOSTNAMES", "").split(",")
    slices = _number(environment, "MEGASCALE_NUM_SLICES", 1) or 1
    if len(workers) * slices > 1 and environment.get("TPU_WORKER_ID"):
        return Start("GKE")
    indexed_job = {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"}
    return Start("Kubernetes") if indexed_job <= environment.keys() else None


def _one_of(
    environment: Mapping[str, str], names: tuple[str, ...]
) -> tuple[str, str] | None:
    """Returns name and value of the one that is set.

    Raises:
      ConfigError: two are set, to different values.
    """
    found = [(name, environment[name]) for name in names if environment.get(name)]
    if len({value for _, value in found}) > 1:
        said = " and ".join(f"{name}={value}" for name, value in found)
        raise ConfigError(f"{said} contradict each other; set one of them")
    return found[0] if found else None


def _number(environment: Mapping[str, str], name: str, least: int) -> int | None:
    text = environment.get(name)
    if not text:
        return None
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise ConfigError(f"{name} is {text!r}; it must be a whole number from {least}")
    return number


def _address(name: str, text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(
            f"{name} is {text!r}; it must be host:port, the host of process 0 and a "
            "free port of it, such as node1:12345"
        )
    return text


def without_proxies(address: str, environment: Mapping[str, str]) -> str:
    """Returns `no_grpc_proxy` with the coordinator's host added.

    gRPC would use a web proxy to reach a machine of the same cluster.
    """
    host = address.rpartition(":")[0].strip("[]")
    kept = environment.get("no_grpc_proxy") or environment.get("no_proxy") or ""
    return ",".join([*(part for part in kept.split(",") if part), host])
