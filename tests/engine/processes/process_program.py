"""A tiny program that tests run as one of several processes.

    python process_program.py MODE [INDEX]

It sums one number of each process for some steps. MODE "fail" raises an error in
process INDEX, "unlike" gives it other facts, "unlike_layout" asks for processors that
do not divide; anything else goes on until all steps are done or a signal has come.
"""

from __future__ import annotations

import sys
import time

from mtmoe.engine.processes import current as joined
from mtmoe.errors import MtmoeError
from mtmoe.train.signals import StopSignal

STEPS = 2000


def main(mode: str, index: int) -> int:
    """Runs; returns the exit status."""
    processes = joined.start_processes()
    import jax
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    own = mode == "unlike" and processes.index == index
    joined.check_alike({"config": f"a = 1\nb = {2 + own}\nc = 4"})
    names = processes.gather("names", processes.name())
    again = processes.gather("names", processes.index)
    print(names, again, flush=True)
    mesh = jax.make_mesh((processes.count,), ("processor",))
    split = PartitionSpec("processor")

    def total(x):
        return jax.lax.psum(x, "processor")

    add = jax.jit(
        jax.shard_map(total, mesh=mesh, in_specs=split, out_specs=PartitionSpec())
    )
    ones = jax.make_array_from_process_local_data(
        NamedSharding(mesh, split), np.ones(1, np.float32)
    )
    processes.begin_steps(0)
    with StopSignal(processes.request_stop):
        for step in range(1, STEPS + 1):
            assert float(add(ones)[0]) == processes.count
            if step == 5:
                print("running", flush=True)
                if mode == "fail" and processes.index == index:
                    raise MtmoeError("the disk is full")
                if mode == "crash" and processes.index == index:
                    raise RuntimeError("a defect")
            received = processes.stop_at(step)
            if received:
                processes.complain(f"stopped after step {step}")
                return 128 + received
            time.sleep(0.005)
    return 0


def guarded(mode: str, index: int) -> int:
    """Does what the command line does about an error."""
    try:
        status = main(mode, index)
        joined.current().leave(status)
    except MtmoeError as error:
        status = 2
        joined.current().complain(str(error))
        joined.current().leave(status, str(error))
    except Exception as error:
        status = 1
        joined.current().note_failure(error)
        joined.current().complain(repr(error))
        joined.current().leave(status, repr(error))
    return status


if __name__ == "__main__":
    sys.exit(guarded(sys.argv[1], int((sys.argv[2:] or ["0"])[0])))
