"""The first signal asks, the second ends; with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from mtmoe.train.signals import StopSignal


def wait_for(stop: StopSignal) -> None:
    deadline = time.monotonic() + 5
    while stop.received is None and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_is_only_noted(
    number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert stop.received is None
        os.kill(os.getpid(), number)
        wait_for(stop)
    assert stop.received == number
    assert signal.getsignal(number) is before
    assert "finishing this step" in capfd.readouterr().err


def test_other_signals_are_not_taken_for_it() -> None:
    previous = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.1)
        assert stop.received is None
    finally:
        signal.signal(signal.SIGUSR1, previous)


_BUSY = """
import ctypes, sys
from mtmoe.train.signals import StopSignal
with StopSignal():
    print("ready", flush=True)
    ctypes.CDLL(None).usleep.argtypes = [ctypes.c_uint]
    for _ in range(100):  # outside Python, as TensorFlow is; restarted after a signal
        ctypes.CDLL(None).usleep(900_000)
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ends_at_once_even_outside_python(second: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _BUSY], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert b"" == process.stderr.readline().strip()
    assert b"finishing" in process.stderr.readline()
    process.send_signal(second)
    process.communicate(timeout=30)
    assert process.returncode == 128 + second
