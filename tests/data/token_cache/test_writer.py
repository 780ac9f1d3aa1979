"""Jobs write what SeqIO's own steps give, once, and resume where they were stopped."""

from __future__ import annotations

import dataclasses
import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import seqio
import tensorflow as tf
import tensorflow_datasets as tfds
from fake_tasks import TEXT_STEPS, add_supervised_task, add_text_task, features
from sample_sentences import SENTENCES

from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.token_cache.files.integrity import verify_files
from mtmoe.data.token_cache.reader import open_cached_split
from mtmoe.data.token_cache.writer import finish_split, run_job, shard_jobs
from mtmoe.errors import ConfigError, CorpusError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

DOCUMENTS = [*SENTENCES, "  two  spaces ", "tab\there", "emoji 🙂 and Ωmega", "ﬁ ½"]
EXAMPLES = [
    {"inputs": "Kiswahili kwa Kiingereza: watu wote", "targets": "all people"},
    {"inputs": "中文:", "targets": "人人生而自由,在尊严和权利上一律平等。"},
    {"inputs": "", "targets": "b"},
]


def write(task, root, split="train"):
    jobs = shard_jobs(task, split, root)
    for job in jobs:
        run_job(job)
    finish_split(jobs)
    assert verify_files(jobs[0].directory) == []
    return open_cached_split(jobs[0].directory)


def seqio_rows(task, split="train"):
    """What SeqIO's own pipeline gives before the cache placeholder."""
    dataset = task.preprocess_precache(task.source.get_dataset(split, shuffle=False))
    return list(dataset.as_numpy_iterator())


def assert_examples_equal(cached, rows):
    read, bad = cached.all_examples()
    assert not bad.any() and cached.num_examples == len(rows)
    for feature, tokens in zip(cached.manifest.features, read, strict=True):
        for number, row in enumerate(rows):
            start, end = tokens.bounds[number : number + 2]
            np.testing.assert_array_equal(tokens.tokens[start:end], row[feature])


@pytest.mark.parametrize("kind", ["byte_vocabulary", "small_vocabulary"])
def test_text_is_what_seqio_gives(kind, request, tmp_path):
    task = add_text_task("text", DOCUMENTS, request.getfixturevalue(kind))
    cached = write(task, tmp_path)
    expected = [row["targets"] for row in seqio_rows(task)]
    np.testing.assert_array_equal(cached.all_tokens(), np.concatenate(expected))
    for document, row in zip(cached.documents(), expected, strict=True):
        np.testing.assert_array_equal(document, row)
    manifest = cached.manifest
    assert (manifest.kind, manifest.features) == ("text", ("targets",))
    assert manifest.facts["kind"] == "text" and manifest.versions["seqio"]


@pytest.mark.parametrize("kind", ["byte_vocabulary", "small_vocabulary"])
def test_pairs_encoded_directly_are_what_seqio_gives(kind, request, tmp_path):
    feature = seqio.Feature(request.getfixturevalue(kind), add_eos=True)
    register_task(
        "pairs", PairSource(lambda split: EXAMPLES, ["train"]), TaskCard("translation")
    )
    task = get_task("pairs").replace(
        output_features={"inputs": feature, "targets": feature}
    )
    seqio.TaskRegistry.remove("pairs")
    seqio.TaskRegistry.add_provider("pairs", task)
    assert_examples_equal(write(task, tmp_path), seqio_rows(task))


def test_steps_of_any_kind_go_through_seqio(byte_vocabulary, tmp_path):
    @seqio.map_over_dataset
    def upper(row):
        return {"targets": tf.strings.upper(row["text"]), "inputs": ""}

    steps = [upper, *TEXT_STEPS[1:]]
    task = add_text_task("upper", ["abc", "d"], byte_vocabulary, steps)
    assert byte_vocabulary.decode(write(task, tmp_path).all_tokens()) == "ABCD"

    task = add_supervised_task("pairs", [("a", "bc"), ("", "d")], byte_vocabulary)
    cached = write(task, tmp_path)
    assert cached.all_sizes().tolist() == [[1, 2], [0, 1]]
    assert_examples_equal(cached, seqio_rows(task))


def test_random_steps_give_the_same_every_time(byte_vocabulary, tmp_path):
    @seqio.map_over_dataset(num_seeds=1)
    def noisy(row, seed):
        noise = tf.random.stateless_uniform([], seed, 0, 10**6, tf.int32)
        return {**row, "targets": tf.strings.as_string(noise)}

    steps = [noisy, seqio.preprocessors.tokenize, seqio.CacheDatasetPlaceholder()]
    task = add_supervised_task("noisy", [("a", "b")] * 4, byte_vocabulary)
    seqio.TaskRegistry.remove("noisy")
    task = task.replace(preprocessors=steps)
    seqio.TaskRegistry.add_provider("noisy", task)
    first, again = (write(task, tmp_path / name) for name in "ab")
    tokens = first.all_tokens()
    np.testing.assert_array_equal(tokens, again.all_tokens())
    read, _ = first.all_examples()
    targets = np.split(read[1].tokens, read[1].bounds[1:-1])
    assert len({tuple(tokens) for tokens in targets}) == 4


def test_each_file_of_a_source_is_a_shard(byte_vocabulary, tmp_path):
    for number, lines in enumerate(["one\ntwo\n", "three\n"]):
        (tmp_path / f"{number}.txt").write_text(lines, encoding="utf-8")

    task = seqio.TaskRegistry.add(
        "lines",
        source=seqio.TextLineDataSource({"train": str(tmp_path / "*.txt")}),
        preprocessors=[_to_text, *TEXT_STEPS[1:]],
        output_features=features(byte_vocabulary),
    )
    assert len(shard_jobs(task, "train", tmp_path)) == 2
    cached = write(task, tmp_path / "cache")
    assert [shard.examples for shard in cached.manifest.shards] == [2, 1]
    assert byte_vocabulary.decode(cached.all_tokens()) == "onetwothree"


def test_each_file_of_a_prepared_data_set_is_a_shard(byte_vocabulary, tmp_path):
    text = tfds.features.Text
    features_of_it = tfds.features.FeaturesDict({"inputs": text(), "targets": text()})
    folder = tmp_path / "data" / "little" / "1.0.0"
    folder.mkdir(parents=True)
    texts = [["a", "bc"], ["def"]]
    for number, some in enumerate(texts):
        name = f"little-train.tfrecord-{number:05d}-of-00002"
        with tf.io.TFRecordWriter(str(folder / name)) as file:
            for word in some:
                row = {"inputs": word, "targets": word[::-1]}
                file.write(features_of_it.serialize_example(row))
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features_of_it,
        split_infos=[
            tfds.core.SplitInfo(
                name="train",
                shard_lengths=[2, 1],
                num_bytes=9,
                filename_template=tfds.core.ShardedFileTemplate(
                    data_dir=folder, dataset_name="little", filetype_suffix="tfrecord"
                ),
            )
        ],
    )
    source = seqio.TfdsDataSource(
        "little:1.0.0", tfds_data_dir=str(tmp_path / "data"), splits=["train"]
    )
    pairs = add_supervised_task("little", [("a", "b")], byte_vocabulary)
    task = pairs.replace(source=source)
    seqio.TaskRegistry.remove("little")
    seqio.TaskRegistry.add_provider("little", task)
    cached = write(task, tmp_path / "cache")
    assert [shard.examples for shard in cached.manifest.shards] == [2, 1]
    assert byte_vocabulary.decode(cached.all_tokens("inputs")) == "abcdef"
    assert byte_vocabulary.decode(cached.all_tokens("targets")) == "acbfed"


@seqio.map_over_dataset
def _to_text(line):
    return {"inputs": "", "targets": line}


def test_each_file_of_web_text_is_a_shard_unless_it_is_filtered(
    byte_vocabulary, tmp_path, monkeypatch
):
    monkeypatch.setenv("MTMOE_WEB_TEXT", str(tmp_path / "web"))
    folder = tmp_path / "web" / "multilingual"
    folder.mkdir(parents=True)
    texts = ["habari ya leo", "watu wote", "na siku njema"]
    for number, some in enumerate((texts[:2], [], texts[2:])):
        lines = "".join(
            json.dumps({"text": text, "url": f"https://a.org/{text}"}) + "\n"
            for text in some
        )
        for split in ("", "-validation"):
            name = f"c4-sw{split}.tfrecord-{number:05d}-of-00003.json.gz"
            (folder / name).write_bytes(gzip.compress(lines.encode()))
    source = WebTextSource("sw")
    seqio.TaskRegistry.add(
        "web",
        source=source,
        preprocessors=list(TEXT_STEPS),
        output_features=features(byte_vocabulary),
    )
    task = get_task("web")
    cached = write(task, tmp_path / "cache")
    assert [shard.examples for shard in cached.manifest.shards] == [2, 0, 1]
    assert byte_vocabulary.decode(cached.all_tokens()) == "".join(texts)
    assert source.num_parts("train") == 3
    monkeypatch.setattr(source, "_clean", object())
    assert source.num_parts("train") == 1


def test_padding_is_left_out_of_text_and_kept_in_examples(
    byte_vocabulary, tmp_path, monkeypatch
):
    monkeypatch.setattr(type(byte_vocabulary), "encode", lambda self, s: [5, 0, 6, 0])
    text = add_text_task("zeros", ["x"], byte_vocabulary)
    assert write(text, tmp_path).all_tokens().tolist() == [5, 6]
    register_task(
        "pairs", PairSource(lambda split: EXAMPLES[:1], ["train"]), TaskCard("other")
    )
    pairs = get_task("pairs").replace(output_features=features(byte_vocabulary))
    seqio.TaskRegistry.remove("pairs")
    seqio.TaskRegistry.add_provider("pairs", pairs)
    assert write(pairs, tmp_path).all_tokens().tolist() == [5, 0, 6, 0]


class _Stop(BaseException):
    """What a signal does to a process, near enough."""


def test_a_stopped_job_leaves_nothing_and_resumes_to_the_same_bytes(
    byte_vocabulary, tmp_path
):
    parts = [["first of three. " * 400], ["second"] * 300, ["third"]]
    stop_at: list[int] = [1]

    class Source(TextSource):
        def num_parts(self, split):
            return 3

        def part(self, split, number):
            read.append(number)
            for place, text in enumerate(parts[number]):
                if number in stop_at and place == 270:
                    raise _Stop
                yield text

    read: list[int] = []
    source = Source(lambda split: sum(parts, []), ["train"], fingerprint=lambda: "v1")
    seqio.TaskRegistry.add(
        "parts",
        source=source,
        preprocessors=list(TEXT_STEPS),
        output_features=features(byte_vocabulary),
    )
    task = get_task("parts")
    jobs = shard_jobs(task, "train", tmp_path / "stopped")
    told: list[tuple[int, int]] = []
    run_job(jobs[0])
    with pytest.raises(_Stop):
        run_job(jobs[1], lambda *counts: told.append(counts))
    assert told == [(256, 256 * len("second"))]
    with pytest.raises(CorpusError, match="2 of 3 shards are not written.*: 1, 2"):
        finish_split(jobs)
    stop_at.clear()
    read.clear()
    for job in reversed(jobs):
        run_job(pickle.loads(pickle.dumps(job)))
    assert read == [2, 1], "what is done is not done again"
    finish_split(jobs)
    whole = write(task, tmp_path / "whole")
    assert _bytes(Path(jobs[0].directory)) == _bytes(Path(str(whole.directory)))
    damaged = Path(jobs[2].directory) / whole.manifest.shards[2].name
    damaged.write_bytes(damaged.read_bytes()[:-1])
    read.clear()
    for job in jobs:
        run_job(job)
    assert read == [2], "a file of another size is written again"


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_nothing_and_foreign_tokens_are_refused(byte_vocabulary, tmp_path, monkeypatch):
    empty = add_text_task("empty", [""], byte_vocabulary)
    with pytest.raises(CorpusError, match="'empty' has no text in split 'train'"):
        write(empty, tmp_path)
    none = add_supervised_task("none", [], byte_vocabulary)
    with pytest.raises(CorpusError, match="'none' has no examples in split 'train'"):
        write(none, tmp_path)
    blank = add_supervised_task("blank", [("", "")] * 2, byte_vocabulary)
    with pytest.raises(CorpusError, match="nothing but 2 empty examples"):
        write(blank, tmp_path)
    assert not list(tmp_path.rglob("MANIFEST.json"))
    with pytest.raises(UnknownNameError, match="did you mean validation"):
        shard_jobs(empty, "validatoin", tmp_path)
    task = add_text_task("foreign", ["abc"], byte_vocabulary)
    monkeypatch.setattr(type(byte_vocabulary), "encode", lambda self, s: [5, 4000])
    with pytest.raises(CorpusError, match="token 4000 is outside"):
        write(task, tmp_path)
    raw = [b"ok", b"\xff\xfe"]
    seqio.TaskRegistry.add(
        "raw",
        source=seqio.FunctionDataSource(
            lambda split, shuffle_files: tf.data.Dataset.from_tensor_slices(
                {"text": raw}
            ),
            splits=["train"],
        ),
        preprocessors=list(TEXT_STEPS),
        output_features=features(byte_vocabulary),
    )
    with pytest.raises(CorpusError, match="'raw'.*not UTF-8"):
        write(get_task("raw"), tmp_path)


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        ({"targets": tf.constant([1])}, "give no 'inputs', but 'targets'"),
        ({"inputs": "a", "targets": "b"}, "'inputs' of type"),
        ({"inputs": [[1]], "targets": [1]}, r"shape \(1, 1\); a list"),
    ],
)
def test_steps_that_give_no_tokens_are_named(byte_vocabulary, tmp_path, made, problem):
    task = add_supervised_task("odd", [("a", "b")], byte_vocabulary)
    seqio.TaskRegistry.remove("odd")

    def replaced(dataset):
        return dataset.map(lambda row: made)

    replaced.fingerprint = lambda: problem
    steps = [replaced, seqio.CacheDatasetPlaceholder()]
    seqio.TaskRegistry.add_provider("odd", task.replace(preprocessors=steps))
    (job,) = shard_jobs(get_task("odd"), "train", tmp_path)
    with pytest.raises(ConfigError, match=problem):
        run_job(job)


def test_content_that_changes_while_it_is_written_is_refused(byte_vocabulary, tmp_path):
    version = ["one"]
    source = TextSource(
        lambda split: ["text"], ["train"], fingerprint=lambda: version[0]
    )
    seqio.TaskRegistry.add(
        "changing",
        source=source,
        preprocessors=list(TEXT_STEPS),
        output_features=features(byte_vocabulary),
    )
    jobs = shard_jobs(get_task("changing"), "train", tmp_path)
    run_job(jobs[0])
    version[0] = "two"
    with pytest.raises(ConfigError, match="'changing'.*is not what it was"):
        finish_split(jobs)
    other = dataclasses.replace(jobs[0], directory=str(tmp_path / "other"))
    with pytest.raises(ConfigError, match="is not what it was"):
        run_job(other)
    assert not list(tmp_path.rglob("MANIFEST.json"))


def test_a_stream_has_no_jobs(byte_vocabulary, tmp_path):
    steps = [*TEXT_STEPS[:2], seqio.preprocessors.append_eos]
    task = add_text_task("stream", ["a"], byte_vocabulary, steps)
    with pytest.raises(ConfigError, match="cannot be cached: it has no seqio.Cache"):
        shard_jobs(task, "train", tmp_path)
