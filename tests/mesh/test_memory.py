"""Memory that is freed and had again; in a process of its own."""

import platform
import subprocess
import sys

import pytest

# Page faults of a thread's second array of 80 MB, freed before by another thread.
_PROGRAM = """
import resource, sys, threading
import numpy as np
from mtmoe.mesh.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
assert "tensorflow" not in sys.modules
faults = []
def fill():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(10_000_000).fill(1)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
for _ in range(3):
    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
print(faults[-1])
"""


def _faults(mode):
    command = [sys.executable, "-c", _PROGRAM, mode]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc has mallopt")
def test_a_thread_gets_memory_that_another_freed():
    assert _faults("keep") < 10
