"""Which variables of the environment make a process one of several."""

from __future__ import annotations

import pytest

from mtmoe.engine.processes.environment import Start, find_processes, without_proxies
from mtmoe.errors import ConfigError

OURS = {
    "MTMOE_COORDINATOR": "node1:1234",
    "MTMOE_NUM_PROCESSES": "4",
    "MTMOE_PROCESS_ID": "3",
}
SLURM = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NUM_TASKS": "2",
}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2"}


def test_without_variables_there_is_one_process():
    assert find_processes({}) is None
    assert find_processes(SLURM | {"MTMOE_NUM_PROCESSES": "1"}) is None
    assert (
        find_processes(OURS | {"MTMOE_NUM_PROCESSES": "1"} | {"MTMOE_PROCESS_ID": "0"})
        is None
    )


def test_our_variables_and_those_of_jax_say_the_same():
    ours = find_processes(OURS)
    assert ours == Start("MTMOE_COORDINATOR", "node1:1234", 4, 3)
    jax = {
        "JAX_COORDINATOR_ADDRESS": "node1:1234",
        "JAX_NUM_PROCESSES": "4",
        "JAX_PROCESS_ID": "3",
    }
    theirs = find_processes(jax)
    assert theirs is not None and theirs.index == 3 and theirs.count == 4
    assert find_processes(jax | OURS) == ours
    seconds = {"MTMOE_HEARTBEAT_SECONDS": "7", "MTMOE_START_SECONDS": "9"}
    patient = find_processes(OURS | seconds)
    assert patient is not None
    assert (patient.heartbeat_seconds, patient.start_seconds) == (7, 9)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        (SLURM, Start("Slurm")),
        # A job of two tasks, of which this step is one.
        (SLURM | {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "1"}, None),
        # The shell of a job, outside any step.
        ({"SLURM_JOB_ID": "77", "SLURM_NTASKS": "2"}, None),
        (OPEN_MPI | {"OMPI_MCA_orte_hnp_uri": "1.0;tcp://a:1"}, Start("Open MPI")),
        (
            OPEN_MPI | {"MTMOE_COORDINATOR": "node1:5"},
            Start("Open MPI", "node1:5", 4, 2),
        ),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"}, Start("GKE")),
        ({"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
        (
            {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"},
            Start("Kubernetes"),
        ),
        (SLURM | OURS, Start("MTMOE_COORDINATOR", "node1:1234", 4, 3)),
    ],
)
def test_launchers_are_known_by_their_variables(environment, found):
    assert find_processes(environment) == found


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"MTMOE_COORDINATOR": "node1:1234"},
            "^MTMOE_COORDINATOR is set, but MTMOE_NUM_PROCESSES and MTMOE_PROCESS_ID "
            "are not",
        ),
        (
            {"MTMOE_NUM_PROCESSES": "2", "MTMOE_PROCESS_ID": "0"},
            "but MTMOE_COORDINATOR is not. Set MTMOE_COORDINATOR=host:port",
        ),
        (OURS | {"MTMOE_PROCESS_ID": "4"}, "ID is 4, but .* is 4: .* from 0 to 3"),
        (OURS | {"MTMOE_PROCESS_ID": "one"}, "ID is 'one'; it must be a whole number"),
        (OURS | {"MTMOE_NUM_PROCESSES": "0"}, "PROCESSES is '0'; .* from 1"),
        (OURS | {"MTMOE_COORDINATOR": "node1"}, "is 'node1'; it must be host:port"),
        (OURS | {"MTMOE_COORDINATOR": "a:99999"}, "it must be host:port"),
        (
            OURS | {"JAX_PROCESS_ID": "1"},
            "MTMOE_PROCESS_ID=3 and JAX_PROCESS_ID=1 contradict",
        ),
        (OURS | {"MTMOE_HEARTBEAT_SECONDS": "1"}, "HEARTBEAT_SECONDS is '1'; .* 2"),
        (OPEN_MPI, "Open MPI started 4 processes, but does not say where"),
    ],
)
def test_what_is_half_set_or_contradicts_itself_is_named(environment, message):
    with pytest.raises(ConfigError, match=message):
        find_processes(environment)


def test_the_coordinator_is_not_asked_for_through_a_proxy():
    assert without_proxies("[::1]:80", {}) == "::1"
    assert without_proxies("node1:80", {"no_proxy": "a,b"}) == "a,b,node1"
    kept = {"no_grpc_proxy": "c", "no_proxy": "a"}
    assert without_proxies("node1:80", kept) == "c,node1"
