"""Tokens are cached at first use, found again, and never served stale."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sys
import textwrap
import threading
import time
from pathlib import Path

import gin
import numpy as np
import pytest
import seqio
import tensorflow as tf
from fake_tasks import (
    TEXT_STEPS,
    add_supervised_task,
    add_text_task,
    features,
    random_documents,
)
from oracles.forked_commands import ForkedProcess

from mtmoe.data.sources.joined import JoinedSource, Part
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.token_cache import building, encoding, store
from mtmoe.data.token_cache.files.manifest import MANIFEST_NAME
from mtmoe.data.token_cache.store import open_split
from mtmoe.data.token_cache.writer import finish_split, run_job, shard_jobs
from mtmoe.errors import CorpusError, ManifestError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

EXAMPLES = [{"inputs": "a", "targets": "bc"}, {"inputs": "d", "targets": "e"}]


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    """What is said once in a process may be said in each test."""
    monkeypatch.setattr(store, "_SAID", set())
    monkeypatch.setattr(store, "_TOO_LARGE", set())


def add_pairs(name, fingerprint=None, examples=EXAMPLES, splits=("train",)):
    made: list[str] = []

    def of(split):
        made.append(split)
        if split == "test":
            return []
        return examples

    register_task(name, PairSource(of, splits, fingerprint), TaskCard("other"))
    return get_task(name), made


def manifests(folder):
    return sorted(folder.rglob(MANIFEST_NAME))


def test_text_is_cached_once_and_never_served_stale(
    byte_vocabulary, own_cache, monkeypatch, capsys
):
    documents = random_documents(0, 1000)
    task = add_text_task("cached", documents, byte_vocabulary)
    first = open_split(task, "train").all_tokens()
    (made,) = manifests(own_cache)
    encoded: list[str] = []
    monkeypatch.setattr(
        type(byte_vocabulary), "encode", lambda self, s: encoded.append(s) or [5]
    )
    np.testing.assert_array_equal(open_split(task, "train").all_tokens(), first)
    assert encoded == [] and manifests(own_cache) == [made]
    assert capsys.readouterr().err == ""
    seqio.TaskRegistry.remove("cached")
    changed = add_text_task("cached", [*documents[:-1], "new"], byte_vocabulary)
    open_split(changed, "train")
    assert encoded == [*documents[:-1], "new"], "changed text is encoded anew"
    assert "the source was " in capsys.readouterr().err
    encoded.clear()
    seqio.TaskRegistry.remove("cached")
    other = add_text_task("cached", documents, seqio.ByteVocabulary(extra_ids=7))
    open_split(other, "train")
    assert encoded == documents, "so is text for another vocabulary"
    assert capsys.readouterr().err.count("the vocabulary is another one") == 2


@pytest.mark.usefixtures("bytes_configured")
def test_what_names_its_content_is_not_made_again(capsys):
    content = ["first"]
    task, made = add_pairs("named", lambda: content[0])
    first, _ = open_split(task, "train").all_examples()
    again, _ = open_split(task, "train").all_examples()
    assert made == ["train"]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_array_equal(one.bounds, other.bounds)
    content[0] = "second"
    open_split(task, "train")
    assert len(made) == 2
    gin.parse_config("byte_vocabulary.extra_ids = 7")
    open_split(task, "train")
    assert len(made) == 3


@pytest.mark.usefixtures("bytes_configured")
def test_all_splits_of_pairs_are_made_at_once(own_cache):
    task, made = add_pairs("splits", lambda: "v1", splits=("train", "dev", "test"))
    assert open_split(task, "dev").num_examples == 2
    assert sorted(made) == ["dev", "test", "train"]
    names = {path.parent.name.rpartition("-")[0] for path in manifests(own_cache)}
    assert names == {"train", "dev"}
    open_split(task, "train")
    assert len(made) == 3
    with pytest.raises(CorpusError, match="no examples in split 'test'"):
        open_split(task, "test")


@pytest.mark.parametrize("damage", ["manifest", "shorter", "gone", "unfinished"])
def test_a_damaged_cache_is_made_again(byte_vocabulary, own_cache, damage, capsys):
    task = add_text_task("damaged", ["some text"], byte_vocabulary)
    first = open_split(task, "train").all_tokens()
    (path,) = manifests(own_cache)
    (tokens,) = path.parent.glob("tokens-*")
    if damage == "manifest":
        path.write_bytes(b"{}")
    elif damage == "shorter":
        tokens.write_bytes(tokens.read_bytes()[:-1])
    elif damage == "gone":
        tokens.unlink()
    else:
        path.unlink()
    np.testing.assert_array_equal(open_split(task, "train").all_tokens(), first)
    said = capsys.readouterr().err
    assert ("unfinished" if damage == "unfinished" else str(path.parent)) in said
    open_split(task, "train")
    assert capsys.readouterr().err == ""
    assert [path.name for path in path.parent.parent.iterdir()] == [path.parent.name]


def test_directories_are_looked_through_first(byte_vocabulary, own_cache, tmp_path):
    task = add_text_task("first", ["some text"], byte_vocabulary)
    jobs = shard_jobs(task, "train", tmp_path / "shared")
    run_job(jobs[0])
    settings = f"token_cache.directories = ['{tmp_path}/none', '{tmp_path}/shared']"
    gin.parse_config(settings)
    open_split(task, "train")
    assert manifests(own_cache), "an unfinished one is not used"
    finish_split(jobs)
    assert open_split(task, "train").directory == jobs[0].directory


def test_a_stream_and_what_has_no_name_are_none(byte_vocabulary, capsys):
    steps = [*TEXT_STEPS[:2], seqio.preprocessors.append_eos]
    assert (
        open_split(add_text_task("s", ["a"], byte_vocabulary, steps), "train") is None
    )
    lock = threading.Lock()
    task = add_supervised_task("locked", [("a", "b")], byte_vocabulary)

    def step(dataset):
        assert lock
        return dataset

    task = task.replace(preprocessors=[step, *task.preprocessors])
    for _ in range(2):
        assert open_split(task, "train") is None
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "'locked' cannot be cached: closed-over" in said


def test_what_is_too_large_is_streamed_and_that_is_remembered(
    byte_vocabulary, own_cache
):
    made: list[int] = []

    def dataset(split, shuffle_files):
        made.append(1)
        return tf.data.Dataset.from_tensors({"inputs": "a", "targets": "b"}).repeat(600)

    dataset.fingerprint = lambda: "v1"

    def task_of(count):
        source = seqio.FunctionDataSource(
            dataset, ["train"], num_input_examples=count and {"train": count}
        )
        return seqio.Task(
            "large",
            source=source,
            preprocessors=[
                seqio.preprocessors.tokenize,
                seqio.CacheDatasetPlaceholder(),
            ],
            output_features=features(byte_vocabulary),
        )

    gin.parse_config("token_cache.build_up_to_examples = 500")
    assert open_split(task_of(600), "train") is None and made == []
    for _ in range(2):
        assert open_split(task_of(None), "train") is None
    assert made == [1]
    assert not manifests(own_cache) and not list(own_cache.rglob("building-*"))
    gin.parse_config("token_cache.build_up_to_examples = 600")
    store._TOO_LARGE.clear()
    assert open_split(task_of(None), "train").num_examples == 600


def test_large_web_text_is_known_by_its_bytes(byte_vocabulary, tmp_path, monkeypatch):
    monkeypatch.setenv("MTMOE_WEB_TEXT", str(tmp_path / "web"))
    (tmp_path / "web").mkdir()
    lines = "".join(json.dumps({"text": f"habari {i}" * 9}) + "\n" for i in range(99))
    (tmp_path / "web" / "sw.jsonl.gz").write_bytes(gzip.compress(lines.encode(), 0))
    task = seqio.Task(
        "web",
        source=WebTextSource("sw"),
        preprocessors=list(TEXT_STEPS),
        output_features=features(byte_vocabulary),
    )
    gin.parse_config("token_cache.build_up_to_examples = 2")
    assert open_split(task, "train") is None
    gin.parse_config("token_cache.build_up_to_examples = 200")
    assert open_split(task, "train").num_examples == 90  # 9 are held out


def test_the_examples_of_joined_sources_are_counted_if_all_are_known(byte_vocabulary):
    def of(count):
        def dataset(split, shuffle_files):
            return tf.data.Dataset.from_tensors({"inputs": "a", "targets": "b"})

        counts = count and {"train": count}
        return Part(seqio.FunctionDataSource(dataset, ["train"], counts))

    def opened(*counts):
        source = JoinedSource([of(count) for count in counts])
        assert source.num_input_examples("train") == (
            None if None in counts else sum(counts)
        )
        task = add_supervised_task("joined", [], byte_vocabulary)
        seqio.TaskRegistry.remove("joined")
        return open_split(task.replace(source=source), "train")

    assert opened(15_000, 15_000) is None
    assert opened(15_000, None).num_examples == 2


def test_errors_are_raised_as_they_are(byte_vocabulary, own_cache):
    empty = add_text_task("empty", [""], byte_vocabulary)
    with pytest.raises(CorpusError, match="'empty' has no text in split 'train'"):
        open_split(empty, "train")
    with pytest.raises(UnknownNameError, match="did you mean validation"):
        open_split(empty, "validatoin")
    assert list((own_cache / "tasks" / "empty").iterdir()) == []


def test_builders_at_once_end_well(byte_vocabulary, own_cache):
    barrier = threading.Barrier(4)
    opened: list[np.ndarray] = []
    task = add_text_task("shared", random_documents(1, 4000), byte_vocabulary)

    def build():
        barrier.wait()
        opened.append(open_split(task, "train").all_tokens())

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4 and len({tokens.tobytes() for tokens in opened}) == 1
    (path,) = manifests(own_cache)
    assert [path.name for path in path.parent.parent.iterdir()] == [path.parent.name]


def test_what_killed_builders_left_is_removed_after_a_day(byte_vocabulary, own_cache):
    task = add_text_task("tidy", ["some text"], byte_vocabulary)
    folder = own_cache / "tasks" / "tidy"
    old, new = folder / "building-old", folder / "building-new"
    for left in (old, new):
        left.mkdir(parents=True)
    os.utime(old, (1, 1))
    open_split(task, "train")
    assert not old.exists() and new.exists()


def test_long_building_is_told_now_and_then(byte_vocabulary, monkeypatch, capsys):
    monkeypatch.setattr(building, "_PROGRESS", building._Progress())
    manifest = open_split(
        add_text_task("told", ["12345"], byte_vocabulary), "train"
    ).manifest
    for _ in range(4):
        building._PROGRESS.add(manifest, 6.0)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith("token cache: 3 splits of tasks, 15 tokens, 12 s (kept")


_MODULE = """
import time
import seqio
from fake_tasks import TEXT_STEPS, features
from mtmoe.data.sources.text import TextSource

def documents(split):
    for number in range(40):
        if SLOW:
            time.sleep(0.25)
        yield f"document number {number}. " * 100

SLOW = False
SOURCE = TextSource(documents, ["train"], fingerprint=lambda: "v1")
TASK = seqio.TaskRegistry.add(
    "killed",
    source=SOURCE,
    preprocessors=list(TEXT_STEPS),
    output_features=features(seqio.ByteVocabulary(extra_ids=100)),
)
"""


def write_slowly(folder: str, root: str) -> None:
    sys.path.insert(0, folder)
    import killed_tasks

    killed_tasks.SLOW = True
    print("ready", flush=True)
    run_job(shard_jobs(killed_tasks.TASK, "train", root)[0])


def open_when_told(folder: str) -> None:
    sys.path.insert(0, folder)
    import killed_tasks

    print("ready", flush=True)
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    print(int(open_split(killed_tasks.TASK, "train").all_tokens().sum()))


@pytest.mark.slow
def test_a_killed_writer_and_processes_that_build_at_once(tmp_path, monkeypatch):
    (tmp_path / "killed_tasks.py").write_text(textwrap.dedent(_MODULE), "utf-8")
    root, here = tmp_path / "root", str(tmp_path)
    writer = ForkedProcess(write_slowly, (here, str(root)), tmp_path)
    builders = [ForkedProcess(open_when_told, (here,), tmp_path) for _ in range(2)]
    for child in (writer, *builders):
        assert child.lines(1) == ["ready"]
    (tmp_path / "go").touch()
    time.sleep(1.0)
    writer.kill()
    assert writer.wait() == -signal.SIGKILL
    sums = {child.communicate(timeout=120)[0] for child in builders}
    assert len(sums) == 1 and int(sums.pop().split()[-1]) > 0

    monkeypatch.syspath_prepend(str(tmp_path))
    import killed_tasks

    def write(folder):
        jobs = shard_jobs(killed_tasks.TASK, "train", folder)
        directory = Path(jobs[0].directory)
        there = (
            [path.name for path in directory.glob("*")] if directory.exists() else []
        )
        run_job(jobs[0])
        finish_split(jobs)
        return there, {path.name: path.read_bytes() for path in directory.iterdir()}

    there, resumed = write(root)
    assert MANIFEST_NAME not in there and not any("facts" in name for name in there)
    _, whole = write(tmp_path / "whole")
    assert {name: resumed[name] for name in whole} == whole


def test_tokens_of_a_version_that_took_text_for_sentinels(
    small_vocabulary, own_cache, monkeypatch
):
    texts = ["und <extra_id_0> frei"] * 3
    file = small_vocabulary.sentencepiece_model_file
    theirs = seqio.SentencePieceVocabulary(file, extra_ids=100)
    with monkeypatch.context() as patch:
        patch.setattr(encoding, "num_sentinels", lambda vocabulary: 0)
        open_split(add_text_task("spelled", texts, theirs), "train")
    seqio.TaskRegistry.remove("spelled")
    (directory,) = own_cache.glob("tasks/spelled/train-*")
    task = add_text_task("spelled", texts, small_vocabulary)
    with pytest.raises(ManifestError, match=f"{directory}.*remove that folder"):
        open_split(task, "train")
