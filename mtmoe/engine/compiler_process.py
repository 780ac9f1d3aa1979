"""The process that compiles what another one asks for, once.

It takes a pickled `mtmoe.engine.apart.Request` on standard input, writes what it has
compiled to a file, and ends. It imports no TensorFlow.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import threading
import time

import jax

from mtmoe.engine.apart import Request
from mtmoe.engine.kept_executables import keep
from mtmoe.engine.runner import compile_here

_POLL_SECONDS = 0.5


def main() -> None:
    """Compiles what is asked for."""
    # A host that is told to stop tells all processes; the one that asks decides.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # What it could not write down is what the other process has to say.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("mtmoe").setLevel(logging.INFO)
    request: Request = pickle.load(sys.stdin.buffer)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", request.cpu_devices)
    # Of what JAX takes over XLA would write down a part.
    jax.config.update("jax_enable_compilation_cache", False)
    compiled = compile_here(request.program, request.mesh(), request.options)
    keep(compiled, request.path)


def _end_with(parent: int) -> None:
    """Ends this process when the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
