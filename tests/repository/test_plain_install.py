"""A plain `pip install .` into an empty environment gives a working mtmoe.

t5 asks for seqio-nightly and tfds-nightly, which lie in the folders of seqio and
tensorflow-datasets. pip installs both of each pair; what counts is whose files remain.
"""

import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

NO_INDEX = ("No matching distribution found", "Failed to establish a new connection")


def run(command, **options):
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, **options
    )


def skip_without_index(python, folder):
    """Skips, with pip's own words, where not even one small package can be had."""
    done = run(
        [python, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "-d", folder]
        + ["--quiet", "absl-py"],
        cwd=python.parent,
    )
    if done.returncode and any(words in done.stderr for words in NO_INDEX):
        pytest.skip(f"no package index can be reached: {done.stderr.strip()[-200:]}")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The python of an empty environment into which a copy of the tree went."""
    folder = tmp_path_factory.mktemp("plain")
    source = folder / "source"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "BUILD.bazel")
    for name in ("mtmoe", "tasks", "gin", "launch"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, source)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    skip_without_index(python, folder)
    # The pip that comes with an older Python takes twice as long to resolve.
    done = run([python, "-m", "pip", "install", "--quiet", "--upgrade", "pip"])
    assert done.returncode == 0, done.stderr[-3000:]
    done = run([python, "-m", "pip", "install", "--no-compile", source], cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    yield python
    # Gigabytes in many files: nobody waits until they are gone.
    subprocess.Popen(["rm", "-rf", folder], start_new_session=True)


def copied_tree(python):
    """Returns the copy of the tree that was installed; the checkout may move on."""
    return python.parents[2] / "source"


def inside(python, *command):
    """Runs a program of the environment, away from the checkout."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH"
    }
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    environment["MTMOE_NODE_MODULES"] = str(ROOT / "node_modules")
    return run(command, cwd=python.parent, env=environment)


@pytest.mark.slow
def test_doctor_finds_it_usable(installed):
    done = inside(installed, installed.parent / "mtmoe", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mtmoe is usable." in done.stdout
    assert str(ROOT / "mtmoe") not in done.stdout


@pytest.mark.slow
def test_no_file_of_a_nightly_stands_in_for_ours(installed):
    done = inside(
        installed,
        installed,
        "-c",
        "from mtmoe.cli import installation\n"
        "for mix in installation.mixes():\n"
        "    assert mix.is_harmless, mix\n"
        "    print(mix.wanted)\n"
        "import seqio, t5.data, t5.evaluation.metrics, tensorflow_datasets\n"
        "from t5.data.preprocessors import random_spans_noise_mask\n"
        "print(seqio.__version__, tensorflow_datasets.__version__)\n",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    versions = done.stdout.split()[-2:]
    expected = [
        line.partition("==")[2].split()[0]
        for name in ("seqio==", "tensorflow-datasets==")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if line.startswith(name)
    ]
    assert versions == expected


@pytest.mark.slow
def test_tasks_and_gin_files_install_inside_the_package(installed):
    done = inside(
        installed,
        installed,
        "-c",
        "import importlib.util, mtmoe.tasks\n"
        "from pathlib import Path\n"
        "from mtmoe.config.load import gin_directory\n"
        "assert importlib.util.find_spec('tasks') is None\n"
        "import gin; gin.parse_config  # gin-config, not our folder\n"
        "for path in sorted(Path(gin_directory()).rglob('*.gin')):\n"
        "    print(path.relative_to(gin_directory()).as_posix())\n",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    files = copied_tree(installed) / "gin"
    wanted = sorted(path.relative_to(files).as_posix() for path in files.rglob("*.gin"))
    assert wanted
    assert sorted(done.stdout.split()) == wanted


@pytest.mark.slow
def test_every_file_of_the_tree_is_installed(installed):
    site = installed.parent.parent / "lib" / f"python3.{sys.version_info.minor}"
    package = site / "site-packages" / "mtmoe"
    for top, inner in (("mtmoe", "."), ("tasks", "tasks"), ("launch", "launch")):
        for path in (copied_tree(installed) / top).rglob("*"):
            if path.is_dir():
                continue
            relative = path.relative_to(copied_tree(installed) / top)
            assert (package / inner / relative).is_file(), f"{path} is not installed"


@pytest.mark.slow
def test_help_answers_in_half_a_second(installed):
    seconds = []
    for _ in range(5):
        started = time.monotonic()
        done = inside(installed, installed.parent / "mtmoe", "--help")
        seconds.append(time.monotonic() - started)
        assert done.returncode == 0
        assert "doctor" in done.stdout
    assert min(seconds) < 0.5, seconds
