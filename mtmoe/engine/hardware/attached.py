"""Which devices this machine has, found without flags.

JAX is asked in a separate process, with a time limit: opening a TPU takes it away from
others, and one host of a larger slice waits until the others open theirs. What is
plugged in is also read from the system, which shows accelerators without a driver.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtmoe.engine import own_python
from mtmoe.errors import HardwareError

# Of the PCI bus. The numbers are those of jax/_src/hardware_utils.py.
_GOOGLE = "0x1ae0"
_TPU_CHIPS = {
    "0x0027": "v3",
    "0x005e": "v4",
    "0x0062": "v5p",
    "0x0063": "v5e",
    "0x006f": "v6e",
    "0x0076": "tpu7x",
}

_SECONDS = 60.0


@dataclass(frozen=True)
class Devices:
    """Devices of one kind, as JAX sees them.

    Attributes:
      platform: "cpu", "gpu" or "tpu".
      kind: JAX's name of the kind, "TPU v5 lite" or "NVIDIA H100 80GB HBM3".
      count: how many.
      memory_bytes: what a program may use of one device's memory; 0 where unknown.
    """

    platform: str
    kind: str
    count: int
    memory_bytes: int


def find_devices(seconds: float = _SECONDS) -> list[Devices]:
    """Asks JAX for the devices it would run on, and waits `seconds` at most.

    Raises:
      HardwareError: JAX fails, or does not answer in time.
    """
    environment = own_python.environment() | {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Looking must not take three quarters of a GPU's memory from a running program.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    command = own_python.command("mtmoe.engine.hardware.attached")
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise HardwareError(
            f"JAX has not found its devices in {seconds:g} s. One host of a TPU slice "
            "of several waits for the others: start mtmoe on all of them at once. On "
            "one host, another process may hold the devices"
        ) from error
    lines = [line for line in done.stdout.splitlines() if line.startswith("[{")]
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines() or ["it says nothing"]
        raise HardwareError(f"JAX finds no devices: {said[-1]}")
    return [Devices(**fields) for fields in json.loads(lines[-1])]


def describe_devices(devices: list[Any]) -> list[Devices]:
    """Counts JAX's devices by kind."""
    counts = Counter((device.platform, device.device_kind) for device in devices)
    first = {(device.platform, device.device_kind): device for device in devices[::-1]}
    return [
        Devices(platform, kind, count, _memory(first[platform, kind]))
        for (platform, kind), count in counts.items()
    ]


def _memory(device: Any) -> int:
    try:
        return int((device.memory_stats() or {}).get("bytes_limit", 0))
    except Exception:  # which error it is depends on the platform
        return 0


def attached_tpus(root: Path = Path("/sys/bus/pci/devices")) -> list[tuple[str, int]]:
    """Returns the TPU chips on the PCI bus: generation and number, driver or not."""
    counts: Counter[str] = Counter()
    for vendor in root.glob("*/vendor"):
        if vendor.read_text().strip() == _GOOGLE:
            number = (vendor.parent / "device").read_text().strip()
            if number in _TPU_CHIPS:
                counts[_TPU_CHIPS[number]] += 1
    return sorted(counts.items())


def attached_gpus(root: Path = Path("/proc/driver/nvidia")) -> list[tuple[str, int]]:
    """Returns the GPUs that NVIDIA's driver knows: model and number."""
    models: Counter[str] = Counter()
    for information in root.glob("gpus/*/information"):
        match = re.search(r"^Model:\s*(.+)$", information.read_text(), re.MULTILINE)
        models[match[1].strip() if match else "NVIDIA GPU"] += 1
    return sorted(models.items())


def _print_devices() -> None:
    import jax

    print(json.dumps([asdict(found) for found in describe_devices(jax.devices())]))


if __name__ == "__main__":
    _print_devices()
