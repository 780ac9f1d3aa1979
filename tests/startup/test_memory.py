"""Memory that is freed and had again; in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

from mtmoe.startup import memory

# Page faults of a thread's array of 80 MB, after other threads had one and freed it.
_PROGRAM = """
import resource, sys, threading
import numpy as np
from mtmoe.startup.memory import keep_freed_memory
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
from mtmoe.startup.memory import keep_freed_memory, return_freed_memory
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


_RESTARTED = """
import os, pathlib, platform, sys
from mtmoe.startup import memory
memory._TRANSPARENT_HUGE_PAGES = pathlib.Path(sys.argv[1])
platform.machine = lambda: sys.argv[2]
memory.restart_with_tunables()
print(os.environ.get("GLIBC_TUNABLES", ""), sys.argv[3:], sys.flags.dev_mode)
"""
_PAGES = "glibc.malloc.hugetlb=1"
_COPIES = "glibc.cpu.x86_non_temporal_threshold=0x800000"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc has tunables")
@pytest.mark.parametrize(
    ("kernel", "machine", "before", "after"),
    [
        ("always [madvise] never", "x86_64", "", f"{_PAGES}:{_COPIES}"),
        ("always [madvise] never", "aarch64", "", _PAGES),
        (
            "always [madvise] never",
            "x86_64",
            "glibc.malloc.check=0",
            f"glibc.malloc.check=0:{_PAGES}:{_COPIES}",
        ),
        (
            "always [madvise] never",
            "x86_64",
            "glibc.malloc.hugetlb=0",
            f"glibc.malloc.hugetlb=0:{_COPIES}",
        ),
        ("[always] madvise never", "x86_64", "", _COPIES),
        ("always madvise [never]", "aarch64", "", ""),
        (None, "x86_64", f"{_COPIES}0", f"{_COPIES}0"),
        (None, "aarch64", "", ""),
    ],
)
def test_a_program_starts_anew_with_the_tunables_that_have_an_effect(
    tmp_path, kernel, machine, before, after
):
    mode = tmp_path / "enabled"
    if kernel:
        mode.write_text(kernel)
    command = [
        sys.executable,
        "-X",
        "dev",
        "-c",
        _RESTARTED,
        mode,
        machine,
        "an argument",
        "",
    ]
    environment = os.environ | {"GLIBC_TUNABLES": before}
    said = subprocess.run(
        command, capture_output=True, check=True, env=environment, text=True
    ).stdout
    assert said == f"{after} ['an argument', ''] True\n"


def _advised(*arguments):
    """Whether the memory of a new program asks for huge pages."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mtmoe.startup.memory import restart_with_tunables\n"
        "if sys.argv[1:]: restart_with_tunables()\n"
        "parts = Path('/proc/self/smaps').read_text().split('VmFlags:')\n"
        "heap = next(i for i, part in enumerate(parts) if '[heap]' in part)\n"
        "print(' hg' in parts[heap + 1].splitlines()[0])\n"
    )
    command = [sys.executable, "-c", program, *arguments]
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    return subprocess.check_output(command, env=environment) == b"True\n"


@pytest.mark.skipif(
    memory._HUGE_PAGES not in memory._wanted()
    or tuple(map(int, platform.libc_ver()[1].split("."))) < (2, 35),
    reason="the kernel gives huge pages to all or to none, or glibc is too old",
)
def test_memory_asks_for_huge_pages_after_the_restart():
    assert not _advised()
    assert _advised("restart")
