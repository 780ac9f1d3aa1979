"""Finished batches in files: the same batches, and no other file is ever read."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data import prescheduled
from mtmoe.data.batch import Batch, DecoderBatch
from mtmoe.data.prescheduled import (
    open_prescheduled,
    prescheduled_dataset,
    record_features,
    verify_prescheduled,
    write_prescheduled,
)
from mtmoe.data.prescheduled_manifest import MANIFEST_NAME
from mtmoe.errors import ConfigError, ManifestError

STEPS_PER_SET = 4
ORIGIN = {"mixture": "mix", "seed": 1}


@pytest.fixture(autouse=True)
def small_sets(monkeypatch):
    monkeypatch.setattr(prescheduled, "STEPS_PER_SET", STEPS_PER_SET)


class NumberedBatches:
    """Batches of random tokens, each a function of (seed, step)."""

    task_names = ("a", "b")
    shares = {"a": 0.75, "b": 0.25}
    languages = ("de", "sw")
    task_language = np.array([1, 0], np.int32)

    def __init__(self, seed=0, rows=8, fail_at=None):
        self._seed, self._rows, self._fail_at = seed, rows, fail_at
        self.built = []

    def batch(self, step):
        random = np.random.default_rng((self._seed, step))
        segments = np.repeat([[1, 1, 2, 0]], self._rows, axis=0).astype(np.int32)
        return Batch(
            inputs=random.integers(-(2**31), 2**31, (self._rows, 4), np.int32),
            targets=random.integers(0, 300, (self._rows, 2), np.int32),
            inputs_segments=segments,
            targets_segments=segments[:, 1:3].copy(),
            segment_task=random.integers(0, 2, (self._rows, 2), np.int32),
            bad_rows={"b": 1} if step % 2 else {},
        )

    def iterate(self, start_step=0):
        step = start_step
        while step != self._fail_at:
            self.built.append(step)
            yield self.batch(step)
            step += 1
        raise KeyboardInterrupt


class DecoderBatches(NumberedBatches):
    """The same for a decoder alone."""

    def batch(self, step):
        random = np.random.default_rng(step)
        tokens = random.integers(0, 300, (self._rows, 6), np.int32)
        return DecoderBatch(
            tokens=tokens,
            segments=(tokens > 100).astype(np.int32),
            segment_task=np.ones((self._rows, 1), np.int32),
            prefix=(tokens > 200).astype(np.int32),
            loss_weights=random.random((self._rows, 6), np.float32),
            bad_rows={},
        )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Steps 3 to 12 of `NumberedBatches` in sets of 4, 4 and 2 steps, 4 files each."""
    folder = tmp_path_factory.mktemp("prescheduled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prescheduled, "STEPS_PER_SET", STEPS_PER_SET)
        write_prescheduled(NumberedBatches(), 3, 10, folder, 4, ORIGIN)
    return folder


@pytest.fixture
def own(written, tmp_path):
    """A copy of those files, to be damaged."""
    return Path(shutil.copytree(written, tmp_path / "copy"))


def manifest_of(folder):
    return json.loads((folder / MANIFEST_NAME).read_text())


def files_of(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@settings(max_examples=12)
@given(num_hosts=st.sampled_from([1, 2, 4]), start=st.integers(3, 12))
def test_hosts_read_their_rows_of_every_step(written, num_hosts, start):
    batches = NumberedBatches()
    rows = 8 // num_hosts
    for host in range(num_hosts):
        dataset = prescheduled_dataset(written, 8, start, host, num_hosts)
        read = list(dataset.as_numpy_iterator())
        assert len(read) == 13 - start
        for step, features in enumerate(read, start=start):
            expected = record_features(batches.batch(step))
            assert list(features) == list(expected)
            for name, values in expected.items():
                own_rows = values[host * rows : (host + 1) * rows]
                np.testing.assert_array_equal(features[name], own_rows)
                assert features[name].dtype == own_rows.dtype


def test_shapes_are_known_before_reading(written):
    spec = prescheduled_dataset(written, 8, 3, 0, 2).element_spec
    assert spec["inputs"] == tf.TensorSpec([4, 4], tf.int32)
    assert spec["targets_task"] == tf.TensorSpec([4, 2], tf.int32)


def test_reading_traces_no_python(written):
    """Every operation of the graph, its functions included, runs without Python."""

    def operations(dataset):
        serialized = tf.raw_ops.DatasetToGraphV2(
            input_dataset=dataset._variant_tensor,
            external_state_policy=0,
            strip_device_assignment=True,
        )
        graph = tf.compat.v1.GraphDef.FromString(serialized.numpy())
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        return {node.op for node in nodes}

    found = operations(prescheduled_dataset(written, 8, 5, 0, 2))
    assert "TFRecordDatasetV2" in found or "TFRecordDataset" in found
    assert "DecodeRaw" in found
    assert not {op for op in found if "PyFunc" in op or "Generator" in op}
    spec = tf.TensorSpec([], tf.int32)
    python = tf.data.Dataset.from_generator(lambda: iter([1]), output_signature=spec)
    assert {op for op in operations(python) if "PyFunc" in op}  # the check can fail


def test_a_decoders_batches_keep_their_weights(tmp_path):
    batches = DecoderBatches()
    write_prescheduled(batches, 0, 2, tmp_path, 2)
    read = list(prescheduled_dataset(tmp_path, 8, 1, 1, 2))
    [features] = read
    expected = record_features(batches.batch(1))
    assert set(features) == {
        "tokens",
        "segments",
        "prefix",
        "loss_weights",
        "token_task",
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(features[name], values[4:])
    assert features["loss_weights"].dtype == tf.float32


def test_manifest_says_what_is_there(written):
    manifest = open_prescheduled(written)
    assert [(f.name, f.length) for f in manifest.features] == [
        ("inputs", 4),
        ("targets", 2),
        ("inputs_segments", 4),
        ("targets_segments", 2),
        ("inputs_task", 4),
        ("targets_task", 2),
    ]
    assert [(p.first_step, p.steps) for p in manifest.sets] == [(3, 4), (7, 4), (11, 2)]
    assert [p.bad_rows for p in manifest.sets] == [{"b": 2}, {"b": 2}, {"b": 1}]
    assert manifest.task_language == (1, 0) and manifest.shares["a"] == 0.75
    size = 16 + 4 * manifest.values_per_record  # TFRecord puts 16 bytes around each
    for part in manifest.sets:
        for file in part.files:
            assert (
                file.bytes
                == part.steps * 2 * size
                == ((written / file.name).stat().st_size)
            )
    assert verify_prescheduled(written) == manifest


def test_an_interrupted_folder_is_refused_and_goes_on(written, tmp_path):
    interrupted = NumberedBatches(fail_at=9)
    done = []
    with pytest.raises(KeyboardInterrupt):
        write_prescheduled(interrupted, 3, 10, tmp_path, 4, ORIGIN, done.append)
    assert done == [0, 1, 2, 3, 4, 5, 6]
    with pytest.raises(ManifestError, match="holds 4 of 10 steps"):
        prescheduled_dataset(tmp_path, 8, 3, 0, 1)
    assert list(tmp_path.rglob("*.tmp"))
    first_set = files_of(tmp_path / "steps-000000003")
    times = {path: path.stat().st_mtime_ns for path in first_set}
    going_on = NumberedBatches()
    write_prescheduled(going_on, 3, 10, tmp_path, 4, ORIGIN, done.append)
    assert done[7:] == [4, 5, 6, 7, 8, 9, 10]
    assert min(going_on.built) == 7
    assert {path: path.stat().st_mtime_ns for path in first_set} == times
    assert list(files_of(tmp_path).values()) == list(files_of(written).values())


def test_steps_can_be_added(written, tmp_path):
    write_prescheduled(NumberedBatches(), 3, 5, tmp_path, 4, ORIGIN)
    write_prescheduled(NumberedBatches(), 3, 10, tmp_path, 4, ORIGIN)
    assert list(files_of(tmp_path).values()) == list(files_of(written).values())
    with pytest.raises(ConfigError, match="holds, or will hold, 10 steps and 5"):
        write_prescheduled(NumberedBatches(), 3, 5, tmp_path, 4, ORIGIN)


@pytest.mark.parametrize(
    ("batches", "first_step", "num_files", "origin", "named"),
    [
        (NumberedBatches(seed=5), 3, 4, ORIGIN, "first_batch_crc32"),
        (NumberedBatches(), 4, 4, ORIGIN, "first_step"),
        (NumberedBatches(), 3, 2, ORIGIN, "num_files"),
        (NumberedBatches(), 3, 4, {**ORIGIN, "seed": 2}, "origin"),
        (NumberedBatches(rows=4), 3, 4, ORIGIN, "batch_size"),
    ],
)
def test_other_batches_do_not_go_into_the_folder(
    own, batches, first_step, num_files, origin, named
):
    before = files_of(own)
    with pytest.raises(ConfigError, match=f"another {named}"):
        write_prescheduled(batches, first_step, 10, own, num_files, origin)
    assert files_of(own) == before


def test_a_missing_file_is_refused(own):
    path = own / "steps-000000007" / "rows-00002-of-00004.tfrecord"
    path.unlink()
    with pytest.raises(ManifestError, match=f"{path} is missing"):
        prescheduled_dataset(own, 8, 3, 0, 1)
    with pytest.raises(ManifestError, match="is missing"):
        verify_prescheduled(own)
    with pytest.raises(ManifestError, match="is missing"):
        write_prescheduled(NumberedBatches(), 3, 10, own, 4, ORIGIN)
    # Nobody needs it who begins behind it, or reads other files.
    assert len(list(prescheduled_dataset(own, 8, 11, 0, 1))) == 2
    assert len(list(prescheduled_dataset(own, 8, 3, 0, 2))) == 10


def test_a_file_cut_short_is_refused(own):
    path = own / "steps-000000003" / "rows-00000-of-00004.tfrecord"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ManifestError, match=f"{path} has .* bytes, the manifest says"):
        prescheduled_dataset(own, 8, 3, 0, 1)


def test_a_foreign_file_of_the_same_size_is_refused(own):
    path = own / "steps-000000003" / "rows-00000-of-00004.tfrecord"
    path.write_bytes((own / "steps-000000007" / path.name).read_bytes())
    with pytest.raises(ManifestError, match=f"{path} is not the file"):
        prescheduled_dataset(own, 8, 3, 0, 1)


def test_verifying_reads_all_of_a_file(own, monkeypatch):
    """A flipped bit behind the part that is looked at when opening."""
    from mtmoe.data import prescheduled_manifest

    monkeypatch.setattr(prescheduled_manifest, "_HEAD_BYTES", 32)
    path = own / "heads"
    write_prescheduled(NumberedBatches(), 0, 2, path, 1)
    [file] = path.rglob("*.tfrecord")
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    open_prescheduled(path)
    with pytest.raises(ManifestError, match=f"{file} is damaged"):
        verify_prescheduled(path)
    with pytest.raises(tf.errors.DataLossError):
        list(prescheduled_dataset(path, 8, 0, 0, 1))


def test_a_folder_without_a_sound_manifest_is_refused(own, tmp_path):
    with pytest.raises(ManifestError, match="no pre-scheduled batches"):
        prescheduled_dataset(tmp_path / "nothing", 8, 3, 0, 1)
    facts = manifest_of(own)
    for broken in ("{", "[]", json.dumps({**facts, "unknown": 1}), '{"format": 1}'):
        (own / MANIFEST_NAME).write_text(broken)
        with pytest.raises(ManifestError, match="is no manifest of"):
            prescheduled_dataset(own, 8, 3, 0, 1)
    (own / MANIFEST_NAME).write_text(json.dumps({**facts, "format": 2}))
    with pytest.raises(ManifestError, match="format 2; this version reads format 1"):
        prescheduled_dataset(own, 8, 3, 0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((16, 3, 0, 1), "batch_size is 16; the files hold batches of 8 rows"),
        ((8, 2, 0, 1), "start_step is 2; the files hold steps 3 to 12"),
        ((8, 13, 0, 1), "start_step is 13"),
        ((8, 3, 0, 3), "num_hosts is 3; .*: 1, 2, 4$"),
        ((8, 3, 2, 2), "host is 2; it must be one of 0 to 1"),
    ],
)
def test_numbers_that_do_not_fit_the_files(written, arguments, message):
    with pytest.raises(ConfigError, match=message):
        prescheduled_dataset(written, *arguments)


def test_numbers_that_cannot_be_written(tmp_path):
    with pytest.raises(ConfigError, match="num_files is 3; .* 8: 1, 2, 4, 8$"):
        write_prescheduled(NumberedBatches(), 0, 1, tmp_path, 3)
    with pytest.raises(ConfigError, match="first_step is -1"):
        write_prescheduled(NumberedBatches(), -1, 1, tmp_path, 1)
    assert not list(tmp_path.iterdir())


def test_features_are_those_of_the_batch():
    """A feature added to `Batch` would have to be written too."""
    batch = NumberedBatches().batch(0)
    told = {field.name for field in dataclasses.fields(batch)}
    kept = {"segment_task", "bad_rows", "counted"}
    assert told - set(record_features(batch)) == kept
