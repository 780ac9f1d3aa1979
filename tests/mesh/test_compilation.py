"""What one process compiles, and another takes over; each in a process of its own."""

import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mtmoe.mesh.compilation import keep_compiled, without_garbage_collection

_PROGRAM = """
import sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from mtmoe.mesh.compilation import keep_compiled
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.program import MeshProgram

keep_compiled(Path(sys.argv[1]))
d = mtf.Dimension("d", 3)
def build(context, features):
    return {"y": mtf.tanh(context.import_tensor(features["x"], [d]))}, []
function = MeshProgram().function(build, {"x": tf.TensorSpec([3], tf.float32)}, "f")
print(function(0, x=np.arange(3, dtype=np.float32))["y"].numpy().tolist())
"""


def _run(folder, **environment):
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(folder)],
        env={**os.environ, "TF_XLA_FLAGS": "", **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.splitlines()[-1]


@pytest.mark.slow
def test_a_second_process_reads_what_the_first_compiled(tmp_path):
    folder = tmp_path / "a folder"
    first = _run(folder)
    (compiled,) = folder.glob("*/*.pb")
    made = compiled.stat().st_mtime_ns
    assert _run(folder) == first
    assert [compiled] == list(folder.glob("*/*.pb"))
    assert compiled.stat().st_mtime_ns == made


@pytest.mark.slow
def test_a_folder_of_the_users_own_is_kept(tmp_path):
    own = Path(tmp_path / "own")
    flags = (
        f"--tf_xla_persistent_cache_directory={own} "
        "--tf_xla_persistent_cache_device_types=CPU"
    )
    _run(tmp_path / "ours", TF_XLA_FLAGS=flags)
    assert list(own.glob("*.pb")) and not (tmp_path / "ours").exists()


@pytest.fixture
def flags(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setenv("TF_XLA_FLAGS", "")
    return lambda: os.environ["TF_XLA_FLAGS"]


def test_a_file_that_a_crash_left_empty_is_not_read(tmp_path, flags):
    keep_compiled(tmp_path)
    (directory,) = tmp_path.iterdir()
    assert f"--tf_xla_persistent_cache_directory='{directory}'" in flags()
    empty, whole = directory / "a.pb", directory / "b.pb"
    empty.touch()
    whole.write_bytes(b"x")
    os.environ["TF_XLA_FLAGS"] = ""
    keep_compiled(tmp_path)
    assert list(directory.iterdir()) == [whole]


def test_nothing_is_kept_where_no_folder_can_be_made(tmp_path, flags, capsys):
    (tmp_path / "file").touch()
    keep_compiled(tmp_path / "file")
    assert not flags()
    said = capsys.readouterr().err
    assert "not kept" in said and str(tmp_path / "file") in said


def test_nothing_is_kept_on_a_full_disk(tmp_path, flags, capsys, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    keep_compiled(tmp_path)
    assert not flags()
    assert "5 MB are left" in capsys.readouterr().err


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_left_as_it_was(enabled):
    was_enabled = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        with pytest.raises(KeyError), without_garbage_collection():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() == enabled
    finally:
        gc.enable() if was_enabled else gc.disable()
