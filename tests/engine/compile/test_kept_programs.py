"""What one process lowers and compiles, and another takes over."""

import dataclasses
import functools
import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import time
import types
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow as tf
from jax.experimental.compilation_cache import compilation_cache
from oracles.forked_commands import ForkedScript

from mtmoe.engine.compile import kept_executables, kept_programs, runner
from mtmoe.engine.devices import device_mesh
from mtmoe.engine.kept import cache, sources
from mtmoe.engine.kept.sources import ChangedSourceError, digest
from mtmoe.engine.program import MeshProgram
from mtmoe.engine.standalone.mesh_call import sharding
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.initializers import ones
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.lowered import ProgramOptions, lower
from mtmoe.mesh.precision import named_precision

TESTS = Path(__file__).resolve().parents[2]
_USERS_MODULE = """
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.initializers import ones
d = mtf.Dimension("d", 3)
def build(context, features):
    w = context.variable("w", [d], ones)
    y = mtf.tanh(context.import_tensor(features["x"], [d]) * w) * {factor}
    return {{"y": y}}, [mtf.assign(w, w + 1.0)]
"""
# What it imports first is where forked processes begin, so that it runs in both kinds.
_PROGRAM = """
import logging, sys
from pathlib import Path
import oracles.forked_commands, oracles.imported_for_commands
import jax
import numpy as np
import tensorflow as tf
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(sys.argv[0]).parent))
import users_module
from mtmoe.engine.kept import cache
from mtmoe.engine.program import MeshProgram
logging.getLogger("mtmoe.engine").addHandler(logging.StreamHandler(sys.stderr))
logging.getLogger("mtmoe.engine").setLevel(logging.INFO)
jax.config.update("jax_compilation_cache_dir", None)  # the one that tests share
cache.keep_compiled(Path(sys.argv[1]))
build = users_module.build
function = MeshProgram().function(build, {"x": tf.TensorSpec([3], tf.float32)}, "f")
for step in range(2):
    outputs = function(step, x=np.arange(3, dtype=np.float32))
print(hash("a text"), np.asarray(outputs["y"]).tolist())
"""


@pytest.fixture
def run(tmp_path):
    """Runs the program in a process of its own; returns what it prints.

    It is forked, or with a seed of its hashes a new one.
    """
    command = [str(tmp_path / "program.py"), str(tmp_path / "a folder")]

    def run(factor=1, hash_seed=""):
        (tmp_path / "users_module.py").write_text(_USERS_MODULE.format(factor=factor))
        (tmp_path / "program.py").write_text(_PROGRAM)
        for name in ("program.py", "users_module.py"):
            os.utime(tmp_path / name, (1, 1))  # before the process began, beyond doubt
        if not hash_seed:
            process = ForkedScript(command, tmp_path)
        else:
            process = subprocess.Popen(
                [sys.executable, *command],
                env=dict(os.environ, PYTHONPATH=str(TESTS), PYTHONHASHSEED=hash_seed),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        stdout, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr[-2000:]
        hashed, _, printed = stdout.splitlines()[-1].partition(" ")
        return printed, int(hashed)

    return run


def _kept(folder):
    return {
        path: path.stat().st_mtime_ns
        for pattern in ("programs/*", "*/jit_f-*-cache")
        for path in folder.glob(pattern)
    }


@pytest.mark.slow
def test_a_second_process_takes_over_what_the_first_made(tmp_path, run):
    folder = tmp_path / "a folder"
    first, hashed = run(hash_seed="1")
    kept = _kept(folder)
    program, compiled = kept
    assert program.suffix == ".program" and compiled.name.startswith("jit_f-")
    again, hashed_again = run(hash_seed="2")
    assert again == first
    assert hashed_again != hashed, "the seeds of the hashes are to differ"
    assert _kept(folder).keys() == kept.keys()
    assert _kept(folder)[compiled] == kept[compiled]


@pytest.mark.slow
def test_of_other_sources_and_damaged_files_programs_are_made_again(tmp_path, run):
    folder = tmp_path / "a folder"
    first, _ = run()
    kept = _kept(folder)
    program, compiled = kept
    other, _ = run(factor=2)
    assert other != first
    assert len(_kept(folder)) == 4

    for path in _kept(folder):
        path.write_bytes(path.read_bytes()[:-20])
    damaged = {path: path.read_bytes() for path in kept}
    assert run()[0] == first
    assert program.read_bytes() != damaged[program]
    assert run()[0] == first
    assert compiled.read_bytes() != damaged[compiled]


@dataclasses.dataclass(frozen=True)
class _Times:
    factor: float = 1.0

    def __call__(self, context, features):
        d = mtf.Dimension("d", 2)
        w = context.variable("w", mtf.Shape([d]), ones)
        return {"y": context.import_tensor(features["x"], [d]) * w * self.factor}, []


_SIGNATURE = {"x": tf.TensorSpec([2], tf.float32)}
_OPTIONS = ProgramOptions(Layout(), 0, False, named_precision("float32"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for programs, whatever JAX does."""
    monkeypatch.setattr(cache, "programs", tmp_path)
    monkeypatch.setattr(kept_programs, "digest", lambda: "the sources")
    return tmp_path


@pytest.fixture
def lowered(monkeypatch):
    """Counts what is lowered."""
    calls = []

    def lower(*arguments):
        calls.append(arguments)
        return real(*arguments)

    real = kept_programs.lower
    monkeypatch.setattr(kept_programs, "lower", lower)
    return calls


def test_every_argument_is_in_the_key(folder):
    keys = [
        kept_programs.program_key(*arguments)
        for arguments in (
            (_Times(), _SIGNATURE, "f", _OPTIONS),
            (_Times(2.0), _SIGNATURE, "f", _OPTIONS),
            (_Times(), {"x": tf.TensorSpec([3], tf.float32)}, "f", _OPTIONS),
            (_Times(), _SIGNATURE, "g", _OPTIONS),
            *(
                (_Times(), _SIGNATURE, "f", dataclasses.replace(_OPTIONS, **changed))
                for changed in (
                    {"layout": Layout("a:2", "d:a")},
                    {"layout": Layout("a:2")},
                    {"seed": 1},
                    {"training": True},
                    {"precision": named_precision("bfloat16")},
                    {"ordered_sums": True},
                    {"joined_sums": True},
                    {"exact_products": False},
                )
            ),
        )
    ]
    assert len(set(keys)) == len(keys) == 4 + len(dataclasses.fields(_OPTIONS)) + 1


def test_a_kept_program_is_the_lowered_one(folder, lowered):
    first, second = (
        kept_programs.lowered_program(_Times(), _SIGNATURE, "f", _OPTIONS)
        for _ in range(2)
    )
    assert len(lowered) == 1
    assert dataclasses.replace(second, seconds=first.seconds) == first
    function = MeshProgram().function(_Times(3.0), _SIGNATURE, "f")
    again = MeshProgram().function(_Times(3.0), _SIGNATURE, "f")
    assert len(lowered) == 2
    x = np.float32([1, 2])
    for each in (function, again):
        np.testing.assert_array_equal(each(0, x=x)["y"], 3 * x)


def test_processes_that_want_the_same_at_once_lower_it_once(folder, lowered):
    """Each opens the lock by itself, as processes do."""
    with ThreadPoolExecutor() as pool:
        arguments = _Times(), _SIGNATURE, "f", _OPTIONS
        calls = [
            pool.submit(kept_programs.lowered_program, *arguments) for _ in range(4)
        ]
        programs = [call.result() for call in calls]
    assert len(lowered) == 1
    assert len({program.stablehlo for program in programs}) == 1
    assert [path.suffix for path in folder.iterdir()] == [".program"]


@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[:-1], lambda b: b"?" + b]
)
def test_a_damaged_program_is_lowered_again(folder, lowered, damage):
    kept_programs.lowered_program(_Times(), _SIGNATURE, "f", _OPTIONS)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    kept_programs.lowered_program(_Times(), _SIGNATURE, "f", _OPTIONS)
    assert len(lowered) == 2
    kept_programs.lowered_program(_Times(), _SIGNATURE, "f", _OPTIONS)
    assert len(lowered) == 2


@pytest.fixture
def compiled(monkeypatch):
    """Counts what is compiled, in a process that is not the run's first."""
    calls = []

    def counted(*given):
        calls.append(given)
        return real(*given)

    real = runner.lower
    monkeypatch.setattr(runner, "lower", counted)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    yield calls
    jax.config.update("jax_enable_compilation_cache", True)
    compilation_cache.reset_cache()


def _tripled(program, layout, options=None):
    """Compiles y = 3 x and returns the y of [1, 2]."""
    mesh = device_mesh(layout)
    executable = runner.compile_program(program, mesh, options)
    x, w = (
        jax.device_put(np.float32(value), sharding(argument, mesh))
        for value, argument in (
            ([1, 2], program.signature.features[0]),
            ([1, 1], program.signature.variables[0]),
        )
    )
    outputs, _ = executable(0, [x], {"w": w})
    return np.asarray(outputs[0]).tolist()


@pytest.mark.parametrize("layout", [Layout(), Layout("a:2", "d:a")])
def test_a_later_process_takes_over_what_was_compiled_in_its_place(
    folder, compiled, layout, monkeypatch
):
    options = dataclasses.replace(_OPTIONS, layout=layout)
    program = lower(_Times(3.0), _SIGNATURE, "f", options)
    tripled = functools.partial(_tripled, program, layout)
    for _ in range(2):
        assert tripled() == [3, 6]
    assert len(compiled) == 1
    (path,) = folder.glob("*.executable")
    whole = path.read_bytes()
    assert tripled({"xla_cpu_enable_fast_min_max": True}) == [3, 6]
    monkeypatch.setattr(jax, "process_index", lambda: 2)
    assert tripled() == [3, 6]
    assert len(compiled) == len(list(folder.glob("*.executable"))) == 3
    monkeypatch.setattr(jax, "process_index", lambda: 0)  # the first one: JAX keeps it
    assert tripled() == [3, 6]
    assert len(compiled) == 4 and len(list(folder.glob("*.executable"))) == 3

    # Damaged, or of a version that cannot be loaded: compiled again.
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    for damaged in (whole[:-1], _kept_as((b"?", None, None))):
        path.write_bytes(damaged)
        assert tripled() == [3, 6]
    assert len(compiled) == 6
    assert tripled() == [3, 6]
    assert len(compiled) == 6


def test_what_jax_has_kept_is_not_kept_again(folder, compiled, monkeypatch):
    """XLA would write down what it has read without some of its functions."""
    program = lower(_Times(3.0), _SIGNATURE, "f", _OPTIONS)
    monkeypatch.setattr(kept_executables, "_cache_hits", 7)
    real = runner.lower

    def lowered(*given):
        jax.monitoring.record_event("/jax/compilation_cache/cache_hits")
        return real(*given)

    monkeypatch.setattr(runner, "lower", lowered)
    assert _tripled(program, Layout()) == [3, 6]
    assert kept_executables._cache_hits == 8 and not list(folder.iterdir())


def test_what_cannot_be_written_down_runs_and_is_not_kept(
    folder, compiled, monkeypatch
):
    def refuses(compiled):
        raise ValueError("no serialization")

    monkeypatch.setattr(kept_executables.serialize_executable, "serialize", refuses)
    program = lower(_Times(3.0), _SIGNATURE, "f", _OPTIONS)
    assert _tripled(program, Layout()) == [3, 6]
    assert not list(folder.iterdir())


def _kept_as(value):
    packed = zlib.compress(pickle.dumps(value))
    return hashlib.sha256(packed).digest() + packed


def test_what_cannot_be_told_is_not_kept(folder, lowered):
    values = iter([1.0, 2.0])
    build = lambda context, features: _Times(next(values))(context, features)  # noqa: E731
    for _ in range(2):
        kept_programs.lowered_program(build, _SIGNATURE, "f", _OPTIONS)
    assert len(lowered) == 2 and not list(folder.iterdir())


def test_a_source_that_changed_is_not_kept(tmp_path, monkeypatch):
    begun = time.time()  # whatever other tests have written
    monkeypatch.setattr(sources, "_process_start", lambda: begun)
    main = sys.modules["__main__"]  # which has no file in a process of xdist
    monkeypatch.setattr(main, "__file__", str(tmp_path / "main.py"), raising=False)
    (tmp_path / "main.py").write_text("x = 1")
    os.utime(tmp_path / "main.py", (1, 1))
    before = digest()
    assert digest() == before
    (tmp_path / "main.py").write_text("x = 2")
    os.utime(tmp_path / "main.py", (begun + 1, begun + 1))
    with pytest.raises(ChangedSourceError, match="younger"):
        digest()
    os.utime(tmp_path / "main.py", (1, 1))
    assert digest() != before
    monkeypatch.delattr(main, "__file__")
    with pytest.raises(ChangedSourceError, match="no file"):
        digest()


def test_a_module_whose_file_is_no_file_is_installed_as_its_package_is(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)
    monkeypatch.setattr(sources, "_process_start", time.time)
    classes = types.ModuleType("numpy.classes")  # as torch makes torch.classes
    classes.__file__ = "_classes.py"
    monkeypatch.setitem(sys.modules, "numpy.classes", classes)
    digest()
    monkeypatch.setitem(sys.modules, "own", types.ModuleType("own"))
    monkeypatch.setitem(sys.modules, "own.classes", classes)
    with pytest.raises(ChangedSourceError, match="cannot read"):
        digest()


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    for age, name in enumerate("abcd"):
        path = tmp_path / f"{name}.program"
        path.write_bytes(b"x" * 10)
        os.utime(path, (1000 - age, 1000 - age))
    cache.make_room(tmp_path, 25)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.program", "b.program"]


def test_what_jax_could_not_read_is_removed_and_other_warnings_pass(tmp_path):
    kept = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    try:
        for name in ("jit_f-1-cache", "jit_f-1-atime", "jit_g-1-cache"):
            (tmp_path / name).touch()
        with pytest.warns(UserWarning, match="another"), cache.mended("jit_f"):
            warnings.warn(
                "Error reading persistent compilation cache entry for 'jit_f'",
                stacklevel=1,
            )
            warnings.warn("another", stacklevel=1)
        assert [path.name for path in tmp_path.iterdir()] == ["jit_g-1-cache"]
    finally:
        jax.config.update("jax_compilation_cache_dir", kept)


@pytest.fixture
def unset(monkeypatch):
    """Nothing is kept by this process before and after."""
    monkeypatch.setattr(cache, "programs", None)
    names = [
        "jax_compilation_cache_dir",
        "jax_compilation_cache_max_size",
        "jax_persistent_cache_min_compile_time_secs",
    ]
    values = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in values.items():
        jax.config.update(name, value)


def test_files_that_a_crash_left_are_removed(tmp_path, unset):
    cache.keep_compiled(tmp_path)
    compiled = jax.config.jax_compilation_cache_dir
    assert os.path.dirname(compiled) == str(tmp_path)
    for name, content in {
        "a-cache": b"",
        "b-cache": b"x",
        "c-cache": b"x",
        "c-atime": b"x",
    }.items():
        with open(os.path.join(compiled, name), "wb") as file:
            file.write(content)
    jax.config.update("jax_compilation_cache_dir", None)
    cache.keep_compiled(tmp_path)
    assert sorted(os.listdir(compiled)) == ["c-atime", "c-cache"]


def test_a_folder_of_the_users_own_is_kept(tmp_path, unset):
    jax.config.update("jax_compilation_cache_dir", "own")
    cache.keep_compiled(tmp_path)
    assert jax.config.jax_compilation_cache_dir == "own"


def test_nothing_is_kept_where_no_folder_can_be_made(tmp_path, unset, capsys):
    (tmp_path / "file").touch()
    cache.keep_compiled(tmp_path / "file")
    assert jax.config.jax_compilation_cache_dir is None and cache.programs is None
    said = capsys.readouterr().err
    assert "not kept" in said and str(tmp_path / "file") in said


def test_nothing_is_kept_on_a_full_disk(tmp_path, unset, capsys, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    cache.keep_compiled(tmp_path)
    assert jax.config.jax_compilation_cache_dir is None and cache.programs is None
    assert "5 MB are left" in capsys.readouterr().err
