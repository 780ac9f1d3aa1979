"""The process that compiles one program for another process.

It reads a pickled `apart.Request` from standard input, writes the executable to a file,
and ends. It imports no TensorFlow.
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

from mtmoe.engine.compile.apart import Request
from mtmoe.engine.compile.kept_executables import keep
from mtmoe.engine.compile.runner import compile_here

_POLL_SECONDS = 0.5


def main() -> None:
    """Compiles the program on standard input."""
    # A host that shuts down signals all processes; the one that asks decides.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # The other process reports the last line of this log.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("mtmoe").setLevel(logging.INFO)
    request: Request = pickle.load(sys.stdin.buffer)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", request.cpu_devices)
    # XLA serializes only a part of an executable that JAX read from its cache.
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
