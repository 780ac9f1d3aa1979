"""Large programs are compiled in a process of their own."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import tensorflow as tf

from mtmoe.engine import own_python
from mtmoe.engine.compile import apart, compiler_process, kept_programs, runner
from mtmoe.engine.kept import cache
from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.initializers import ones
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.signature import Argument, Signature

SIGNATURE = {"x": tf.TensorSpec([4], tf.float32)}


@dataclasses.dataclass(frozen=True)
class _Sum:
    """Counts up a variable, and multiplies by it what is summed over the mesh."""

    size: int = 4

    def __call__(self, context, features):
        d = mtf.Dimension("d", self.size)
        w = context.variable("w", mtf.Shape([d]), ones)
        x = context.import_tensor(features["x"], [d])
        return {"y": mtf.reduce_sum(x * w)}, [mtf.assign(w, w + 1.0)]


@pytest.fixture
def small_is_large(tmp_path, monkeypatch):
    """Every program is compiled apart, and kept in the folder that is returned."""
    monkeypatch.setattr(apart, "_LEAST_BYTES", 1)
    monkeypatch.setattr(cache, "programs", tmp_path)
    monkeypatch.setattr(kept_programs, "digest", lambda: "the sources")
    yield tmp_path
    apart.dismiss()


@pytest.fixture
def compiled_here(monkeypatch):
    """Counts what this process compiles by itself."""
    calls = []
    real = runner.compile_here
    monkeypatch.setattr(
        runner, "compile_here", lambda *given: calls.append(given) or real(*given)
    )
    return calls


def _sums(layout):
    function = MeshProgram(layout).function(_Sum(), SIGNATURE, "summed")
    x = np.float32([1, 2, 3, 4])
    return [float(function(step, x=x)["y"]) for step in range(3)]


@pytest.mark.parametrize("layout", [Layout(), Layout("a:2;b:2", "d:b")])
def test_what_another_process_compiled_runs_here(small_is_large, compiled_here, layout):
    assert _sums(layout) == [10.0, 20.0, 30.0]
    (path,) = small_is_large.glob("*.executable")
    made = path.stat().st_ino
    assert _sums(layout) == [10.0, 20.0, 30.0]  # taken over
    assert list(small_is_large.glob("*.executable")) == [path]
    assert path.stat().st_ino == made and not compiled_here


def test_the_process_that_waits_is_started_while_lowering(small_is_large):
    function = MeshProgram().function(_Sum(), SIGNATURE, "summed")
    waiting = apart._waiting
    assert waiting.poll() is None
    function.executable  # noqa: B018  (compiled when asked for)
    assert waiting.returncode == 0 and apart._waiting is None


def test_a_process_that_is_not_needed_ends(small_is_large):
    _sums(Layout())
    apart.expect(_signature([4]))
    waiting = apart._waiting
    _sums(Layout())
    assert waiting.returncode == -signal.SIGKILL and apart._waiting is None


def test_without_the_other_process_this_one_compiles_and_says_why(
    small_is_large, compiled_here, monkeypatch, capsys
):
    fails = [sys.executable, "-c", "raise SystemExit('no memory left')"]
    monkeypatch.setattr(own_python, "command", lambda module: fails)
    assert _sums(Layout()) == [10.0, 20.0, 30.0]
    said = capsys.readouterr().err
    assert "summed" in said and "ended with 1: no memory left" in said
    assert len(compiled_here) == 1


def test_what_cannot_be_written_down_is_compiled_here_and_says_why(
    small_is_large, compiled_here, capsys
):
    assert _sums(Layout()) == [10.0, 20.0, 30.0]
    (path,) = small_is_large.glob("*.executable")
    path.unlink()
    path.mkdir()  # nobody, root included, can write or read a file there
    assert _sums(Layout()) == [10.0, 20.0, 30.0]
    said = capsys.readouterr().err
    assert "summed" in said and "ended with 0" in said
    assert f"{path} is not kept: " in said
    assert len(compiled_here) == 1


def test_a_damaged_executable_is_compiled_apart_again(small_is_large, compiled_here):
    assert _sums(Layout()) == [10.0, 20.0, 30.0]
    (path,) = small_is_large.glob("*.executable")
    path.write_bytes(b"damaged")
    assert _sums(Layout()) == [10.0, 20.0, 30.0]
    assert not compiled_here


def test_an_interrupt_ends_the_other_process(small_is_large, monkeypatch):
    sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(own_python, "command", lambda module: sleeps)
    function = MeshProgram().function(_Sum(), SIGNATURE, "summed")
    waiting = apart._waiting

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            function.executable  # noqa: B018
    finally:
        signal.signal(signal.SIGALRM, before)
    assert waiting.returncode == -signal.SIGKILL


def test_the_other_process_ends_with_the_one_that_started_it():
    code = (
        "import subprocess, time\nfrom mtmoe.engine import own_python\n"
        f"command = own_python.command('{compiler_process.__name__}')\n"
        "child = subprocess.Popen(command, stdin=subprocess.PIPE, "
        "env=own_python.environment())\n"
        "print(child.pid, flush=True)\ntime.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    while _state(child) != "S":  # it has imported all, and waits to be asked
        time.sleep(0.1)
    parent.kill()
    parent.communicate()
    until = time.monotonic() + 60
    while _state(child) not in ("", "Z") and time.monotonic() < until:
        time.sleep(0.1)
    assert _state(child) in ("", "Z")


def _state(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _signature(*shapes):
    variables = tuple(
        Argument(f"w{i}", ("d",) * len(shape), tuple(shape), "float32", (None,))
        for i, shape in enumerate(shapes)
    )
    return Signature("f", (), (), variables, (), (), (), ())


def test_large_programs_of_one_process_on_a_cpu_are_compiled_apart(monkeypatch):
    large = _signature([4000, 3000], [500, 1000])
    assert apart.is_wanted(large, "cpu")
    assert not apart.is_wanted(_signature([4000, 3000]), "cpu")
    assert not apart.is_wanted(large, "gpu") and not apart.is_wanted(large, "tpu")
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert not apart.is_wanted(large, "cpu")


def test_nothing_is_started_where_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(apart, "_LEAST_BYTES", 1)
    monkeypatch.setattr(cache, "programs", None)
    monkeypatch.setattr(apart, "_start", pytest.fail)
    assert _sums(Layout()) == [10.0, 20.0, 30.0]


def test_the_other_process_imports_what_this_one_would(tmp_path, monkeypatch):
    """Not a `jax.py` that lies in the working directory."""
    (tmp_path / "jax.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    code = "import os, sys; print('tensorflow' in sys.modules, os.getcwd())"
    if sys.version_info < (3, 11):
        pytest.skip("Python 3.10 always looks in the working directory")
    done = subprocess.run(
        [sys.executable, "-c", f"import {compiler_process.__name__}; {code}"],
        env=own_python.environment() | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"False {os.getcwd()}\n", done.stderr
