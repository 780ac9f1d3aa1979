"""Memory that is freed and had again; in a process of its own."""

import platform
import subprocess
import sys

import pytest

# Page faults of a thread's array of 80 MB, after other threads had one and freed it.
_PROGRAM = """
import resource, sys, threading
import numpy as np
from mtmoe.mesh.memory import keep_freed_memory
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc has mallopt")
def test_a_thread_gets_memory_that_others_freed():
    command = [sys.executable, "-c", _PROGRAM]
    faults = subprocess.run(command, capture_output=True, check=True).stdout
    assert int(faults) < 10


_RETURNED = """
import numpy as np
from mtmoe.mesh.memory import keep_freed_memory, return_freed_memory
def megabytes():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024
keep_freed_memory()
before = megabytes()
large = np.ones(20_000_000)
above = [np.ones(3000) for _ in range(50)]
del large
kept = megabytes() - before
return_freed_memory()
print(kept, megabytes() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc has malloc_trim")
def test_what_was_kept_is_returned_when_it_is_time():
    command = [sys.executable, "-c", _RETURNED]
    said = subprocess.run(command, capture_output=True, check=True).stdout
    kept, left = map(int, said.split())
    assert kept > 140 and left < 20
