"""Every source file is in exactly one Bazel target."""

import ast
import collections
import importlib.util
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The main program of every test target, exported and not owned by one of them.
RUNNER = "bazel/run_pytest.py"


@pytest.fixture(scope="module")
def generator():
    """The module bazel/build_files.py; the folder is no package."""
    path = ROOT / "bazel" / "build_files.py"
    spec = importlib.util.spec_from_file_location("build_files", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_files"] = module
    spec.loader.exec_module(module)
    return module


def build_files():
    top = ("bazel", "benchmarks", "gin", "launch", "mtmoe", "tasks", "tests")
    return [
        ROOT / "BUILD.bazel",
        *(
            path
            for folder in top
            for path in (ROOT / folder).rglob("BUILD.bazel")
            if "offline" not in path.parts
        ),
    ]


def owned_files():
    """Counts in how many targets each file is, by Python's own parser."""
    count = collections.Counter()
    for path in build_files():
        room = path.parent.relative_to(ROOT)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "srcs":
                names = ast.literal_eval(node.value)
                count.update((room / name).as_posix() for name in names)
            if isinstance(node, ast.Call) and node.func.id == "exports_files":
                names = ast.literal_eval(node.args[0])
                count.update((room / name).as_posix() for name in names)
    return count


def test_every_source_file_is_in_exactly_one_target(generator):
    files = generator.source_files(ROOT)
    assert len(files) > 30
    assert owned_files() == collections.Counter(files)


def test_build_files_fit_the_tree(generator):
    assert generator.differences(ROOT) == [], "run: make build-files"


def test_generator_sees_new_moved_and_removed_files(generator, tmp_path):
    room = tmp_path / "mtmoe" / "room"
    room.mkdir(parents=True)
    (room / "one.py").write_text("from mtmoe.other.thing import x\n")
    (tmp_path / "mtmoe" / "other").mkdir()
    (tmp_path / "mtmoe" / "other" / "thing.py").write_text("import numpy\n")
    for path, content in generator.build_files(tmp_path).items():
        (tmp_path / path).write_text(content)
    assert generator.differences(tmp_path) == []
    content = (room / "BUILD.bazel").read_text()
    assert 'deps = [\n        "//mtmoe",\n        "//mtmoe/other",\n    ]' in content
    (room / "two.py").write_text("")
    assert generator.differences(tmp_path) == ["mtmoe/room/BUILD.bazel"]
    (room / "two.py").unlink()
    (room / "one.py").rename(tmp_path / "mtmoe" / "one.py")
    assert "mtmoe/room/BUILD.bazel" in generator.differences(tmp_path)


@pytest.mark.skipif(not shutil.which("bazel"), reason="bazel is not installed")
def test_bazel_query_agrees(generator, tmp_path):
    output = subprocess.run(
        ["bazel", f"--output_user_root={tmp_path}", "query", "--output=xml", "//..."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    subprocess.run(
        ["bazel", f"--output_user_root={tmp_path}", "shutdown"],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
    )
    assert output.returncode == 0, output.stderr
    count = collections.Counter()
    for rule in xml.etree.ElementTree.fromstring(output.stdout).iter("rule"):
        for sources in rule.iterfind("list[@name='srcs']"):
            for label in sources.iterfind("label"):
                room, _, name = label.get("value").removeprefix("//").partition(":")
                count[f"{room}/{name}"] += 1
    assert count.pop(RUNNER) > 1
    files = [file for file in generator.source_files(ROOT) if file != RUNNER]
    assert count == collections.Counter(files)
