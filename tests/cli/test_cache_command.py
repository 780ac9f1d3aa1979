"""`mtmoe cache`: what it prints and returns, stopped at any time, and its page."""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
from oracles.forked_commands import ForkedCommand

from mtmoe.cli.cache_progress import CachingProgress
from mtmoe.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "cache.md"
BYTES = "--gin_param=configured_vocabulary.factory=@byte_vocabulary"
TASKS = "kept_tasks"

MODULE = '''
import glob, os, time
import seqio
from mtmoe.data.mixing.mixtures import register_weighted_mixture
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.tasks.registration import register_text_task
from mtmoe.data.sources.text import TextSource
from mtmoe.data.tasks.card import TaskCard

PARENT = os.getppid()

def documents(count, split):
    """Waits while KEPT_ROOT has KEPT_LIMIT finished splits, and the parent lives."""
    limit = int(os.environ.get("KEPT_LIMIT", "0"))
    finished = os.path.join(os.environ.get("KEPT_ROOT", ""), "*", "*", "MANIFEST.json")
    while limit and len(glob.glob(finished)) >= limit and os.getppid() == PARENT:
        time.sleep(0.05)
    return [f"{split} document {n} of {count}. " * 9 for n in range(count)]

def text(count):
    source = TextSource(lambda split: documents(count, split), fingerprint=lambda: "1")
    return register_text_task(
        f"kept.t{count}", source, SpanCorruption(), TaskCard("pretraining", "de")
    )

names = [text(count) for count in range(20, 28)]
register_weighted_mixture("kept.texts", {name: 1 for name in names})
empty = text(0)
register_weighted_mixture("kept.with_empty", {names[0]: 1, empty: 1})

def random_start(dataset):
    return dataset

feature = seqio.get_mixture_or_task(empty).output_features
seqio.TaskRegistry.add(
    "kept.stream",
    source=TextSource(lambda split: ["a"], fingerprint=lambda: "1"),
    preprocessors=[seqio.CacheDatasetPlaceholder(), random_start],
    output_features=feature,
)
register_weighted_mixture("kept.with_stream", {names[0]: 1, "kept.stream": 1})
'''


@pytest.fixture
def here(tmp_path, monkeypatch, clean_registry):
    """A user's folder, with a module of tasks."""
    (tmp_path / f"{TASKS}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path / "own_cache"))
    yield tmp_path
    sys.modules.pop(TASKS, None)


def command(mixture, *flags):
    return ["cache", f"--mixture={mixture}", f"--task_module={TASKS}", BYTES, *flags]


def files_of(root):
    return {
        path.relative_to(root): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_writes_once_and_tells_what_there_is(here, capsys):
    arguments = command("kept.texts", "--num_workers=1", "--rows=2")
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "task",
        "split",
        "examples",
        "tokens",
        "bytes",
        "seconds",
    ]
    assert re.match(r"kept\.t27 +validation +27 +\d,\d{3} +.*  written$", lines[1])
    assert lines[3].startswith("... 14 more")
    total = 2 * sum(range(20, 28))
    assert re.match(rf"total +{total} ", lines[4])
    root = here / "own_cache" / "tasks"
    assert re.match(rf"16 splits: 16 written; \d+ s, in {root}$", lines[-1])
    before = files_of(root)
    assert main(arguments) == 0
    assert "16 splits: 16 already there" in capsys.readouterr().out
    assert files_of(root) == before
    assert main([*arguments, "--verify", "--split=train"]) == 0
    assert "8 splits: 8 sound" in capsys.readouterr().out
    path = next(root.glob("kept.t20/train-*/*.array_record"))
    path.write_bytes(path.read_bytes()[:-1])
    assert main([*arguments, "--verify", "--split=train"]) == 1
    output = capsys.readouterr().out
    assert "\nfailed:\n  kept.t20 train: " in output and path.name in output
    assert "7 sound, 1 failed" in output or "1 failed, 7 sound" in output


def test_what_fails_is_listed_after_the_rest_is_done(here, capsys):
    arguments = command("kept.with_empty", "--split=train", "--output_dir=out")
    assert main([*arguments, "--num_workers=1"]) == 1
    output = capsys.readouterr().out
    assert re.search(r"^kept\.t20 +train +20 .* written$", output, re.MULTILINE)
    assert re.search(r"^failed:\n  kept\.t0 train: .*no text", output, re.MULTILINE)
    assert not list(here.glob("out/kept.t0/*/MANIFEST.json"))


def test_tasks_that_cannot_be_cached_show_in_the_status(here, capsys):
    arguments = command("kept.with_stream", "--split=train", "--num_workers=1")
    for _ in range(2):
        assert main(arguments) == 3
        output = capsys.readouterr().out
        assert "cannot be cached:\n  kept.stream train: steps other than" in output
    assert re.search(r"^.*2 splits: .*1 already there", output, re.MULTILINE)
    assert re.search(r"^.*2 splits: .*1 streamed", output, re.MULTILINE)
    assert main(command("kept.stream")) == 2
    message = capsys.readouterr().err
    assert "nothing here can be cached:\n  kept.stream: steps other than" in message


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "usage: mtmoe cache --mixture=NAME"),
        (["extra"], "usage: mtmoe cache --mixture=NAME"),
        (["--mixture=kept.text", f"--task_module={TASKS}"], "did you mean kept.texts"),
        (command("kept.texts", "--split=trian")[1:], "did you mean train"),
        (["--mixture=m", "--beam_options=--x"], "with --runner=beam only"),
        (["--mixture=m", "--runner=beam", "--num_workers=2"], "--runner=local only"),
    ],
)
def test_mistakes(here, capsys, flags, message):
    assert main(["cache", *flags]) == 2
    assert message in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_one_line_on_a_terminal_and_few_elsewhere():
    now = [0.0]
    terminal, file = Terminal(), io.StringIO()
    shown = [
        CachingProgress("shards", 100, stream, lambda: now[0])
        for stream in (terminal, file)
    ]
    for second in range(1, 26):
        now[0] = float(second)
        for progress in shown:
            progress.show_examples(second, 1000 * second)
            progress.show_examples(second, 1000 * second)  # at once: says nothing
    for progress in shown:
        progress.erase_line()
    assert (
        terminal.getvalue().count("\r\033[K") == 26 and "\n" not in terminal.getvalue()
    )
    assert file.getvalue().splitlines() == [
        "shards 10/100  10%  10,000 examples, 1,000/s  0:10 elapsed  1:30 left",
        "shards 20/100  20%  20,000 examples, 1,000/s  0:20 elapsed  1:20 left",
    ]


def _start(here, root, num_workers, limit):
    """Starts the command; it goes on until about `limit` splits are finished."""
    environment = {
        **os.environ,
        "KEPT_ROOT": str(root),
        "KEPT_LIMIT": str(limit),
        "PYTHONPATH": str(here),
    }
    flags = [f"--num_workers={num_workers}", f"--output_dir={root}"]
    return ForkedCommand(command("kept.texts", *flags), here, environment)


def _wait_until(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _finished(root):
    return {path: path.stat().st_mtime_ns for path in root.glob("*/*/MANIFEST.json")}


@pytest.mark.slow
def test_stopped_and_killed_and_given_again(here, capsys):
    """After Ctrl-C and kill -9 what is done stays, and the end is the same."""
    root = here / "out"
    stopped = _start(here, root, num_workers=1, limit=2)
    _wait_until(lambda: len(_finished(root)) >= 2)
    stopped.send_signal(signal.SIGINT)
    _, errors = stopped.communicate(timeout=60)
    assert stopped.returncode == 130 and errors.endswith("mtmoe: interrupted\n")
    first = _finished(root)
    assert len(first) == 2

    killed = _start(here, root, num_workers=2, limit=3)
    _wait_until(lambda: len(_finished(root)) > len(first))
    children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text()
    killed.kill()
    killed.wait()
    _wait_until(lambda: not any(map(_runs, children.split())))
    second = _finished(root)
    assert first.items() <= second.items() and len(second) < 16

    assert main(command("kept.texts", "--num_workers=1", "--output_dir=out")) == 0
    assert f"{len(second)} already there" in capsys.readouterr().out
    assert second.items() <= _finished(root).items()
    assert main(command("kept.texts", "--num_workers=1", "--output_dir=whole")) == 0
    resumed = {
        path: content
        for path, (_, content) in files_of(root).items()
        if path.suffix != ".tmp"
    }
    whole = {path: content for path, (_, content) in files_of(here / "whole").items()}
    assert resumed == whole


def _runs(pid):
    """Whether a process runs: neither gone nor waiting for its parent to notice."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_every_flag_on_the_page_exists():
    """The commands of the page name flags that the command has."""
    from absl import flags

    from mtmoe.cli import cache

    known = set(flags.FLAGS)
    cache.define_flags()
    try:
        own = set(flags.FLAGS) - known
    finally:
        for name in set(flags.FLAGS) - known:
            delattr(flags.FLAGS, name)
    blocks = re.findall(r"```\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines if "mtmoe c" in line]
    commands = [words for words in commands if words[:2] == ["mtmoe", "cache"]]
    assert len(commands) >= 4
    for words in commands:
        for word in words[2:]:
            assert word.partition("=")[0].lstrip("-") in own, word
