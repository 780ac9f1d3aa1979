"""What a fingerprint sees of a task's source."""

from __future__ import annotations

import os
from types import SimpleNamespace

import gin
import pytest
import seqio
import tensorflow as tf
from fingerprinted import digest, other, plain, task_of

from mtmoe.data.sources.joined import JoinedSource, Part
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.records import RecordSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.token_cache.fingerprints.split import split_fingerprint
from mtmoe.errors import CorpusError


def test_text_and_examples_that_python_holds_are_named_by_their_hash():
    def text(*documents):
        return digest(source=TextSource(lambda split: documents, ["train"]))

    assert text("ab", "c") == text("ab", "c")
    assert len({text("ab", "c"), text("a", "bc"), text("abc"), text()}) == 4

    def pairs(*examples):
        return digest(source=PairSource(lambda split: examples, ["train"]))

    one = {"inputs": "a", "targets": "b"}
    assert pairs(one) == pairs(dict(reversed(one.items())))
    assert len({pairs(), pairs(one), pairs(one, one), pairs(one | {"id": "c"})}) == 4


def test_files_are_named_by_path_size_and_time(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n", encoding="utf-8")
    os.utime(path, (1, 1))
    pattern = {"train": str(tmp_path / "*.txt")}
    first = digest(source=seqio.TextLineDataSource(pattern))
    assert first == digest(source=seqio.TextLineDataSource(pattern))
    assert first != digest(source=seqio.TextLineDataSource(pattern, 1)), "a header"
    os.utime(path, (1, 2))
    changed = digest(source=seqio.TextLineDataSource(pattern))
    path.write_text("three\n", encoding="utf-8")
    os.utime(path, (1, 2))
    larger = digest(source=seqio.TextLineDataSource(pattern))
    for number in range(30):
        (tmp_path / f"{number}.txt").write_text("x", encoding="utf-8")
    every = {"train": str(tmp_path / "*")}  # SeqIO lists a pattern once a process
    more = split_fingerprint(task_of(source=seqio.TextLineDataSource(every)), "train")
    assert more.facts["source"]["files"].startswith("31 files, ")
    assert len({first, changed, larger, more.digest}) == 4
    described = {"a": tf.io.FixedLenFeature([], tf.int64)}
    records = [
        digest(source=seqio.TFExampleDataSource(pattern, described)),
        digest(
            source=seqio.TFExampleDataSource(
                pattern, described | {"b": tf.io.VarLenFeature(tf.int64)}
            )
        ),
        digest(source=seqio.FileDataSource(plain, pattern)),
        digest(source=seqio.FileDataSource(other, pattern)),
    ]
    assert len(set(records)) == 4
    with pytest.raises(CorpusError, match="no file .*absent"):
        digest(source=seqio.TextLineDataSource({"train": str(tmp_path / "absent*")}))


def test_records_are_named_by_their_files_and_what_is_made_of_them(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("MTMOE_DATA", str(tmp_path))
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "b"}\n', encoding="utf-8")
    os.utime(path, (1, 1))
    made = [
        digest(source=RecordSource({"train": "a.jsonl"}, f)) for f in (plain, other)
    ]
    assert made[0] != made[1]
    assert made[0] == digest(source=RecordSource({"train": "*.jsonl"}, plain))
    os.utime(path, (1, 3))
    assert made[0] != digest(source=RecordSource({"train": "a.jsonl"}, plain))


def test_web_text_is_named_by_its_files_and_its_cleaning(tmp_path, monkeypatch):
    monkeypatch.setenv("MTMOE_WEB_TEXT", str(tmp_path))
    for name in ("sw.jsonl", "fr.jsonl"):
        (tmp_path / name).write_text('{"text": "habari"}\n', encoding="utf-8")
        os.utime(tmp_path / name, (1, 1))
    first = digest(source=WebTextSource("sw"))
    assert first == digest(source=WebTextSource("sw"))
    os.utime(tmp_path / "fr.jsonl", (1, 2))
    assert first == digest(source=WebTextSource("sw")), "another language's file"
    gin.parse_config("web_text_cleaning.mc4_filter = @Mc4Filter()")
    cleaned = digest(source=WebTextSource("sw"))
    gin.parse_config("Mc4Filter.min_paragraphs = 1")
    less = digest(source=WebTextSource("sw"))
    os.utime(tmp_path / "sw.jsonl", (1, 2))
    assert len({first, cleaned, less, digest(source=WebTextSource("sw"))}) == 4


def test_tfds_is_named_by_builder_version_and_split(monkeypatch):
    def tfds(name, **arguments):
        return digest(source=seqio.TfdsDataSource(name, **arguments))

    splits = {"train": "train"}
    digests = {
        tfds("glue/cola:2.0.0", splits=splits),
        tfds("glue/cola:2.0.1", splits=splits),
        tfds("glue/sst2:2.0.0", splits=splits),
        tfds("glue/cola:2.0.0", splits={"train": "train[:90%]"}),
        tfds("glue/cola:2.0.0", splits=splits, tfds_builder_kwargs={"a": 1}),
    }
    assert len(digests) == 5
    assert tfds("glue/cola:2.0.0", splits=["train"]) in digests
    known = SimpleNamespace(info=SimpleNamespace(full_name="glue/cola:2.0.1"))
    monkeypatch.setattr(
        seqio.utils.LazyTfdsLoader, "_get_builder", lambda self, split: known
    )
    assert tfds("glue/cola:2.*.*", splits=splits) == tfds(
        "glue/cola:2.0.1", splits=splits
    )


def test_other_sources_are_named_by_their_parts_and_functions():
    def function(of):
        def dataset(split, shuffle_files, seed=None):
            return of

        return seqio.FunctionDataSource(dataset, ["train"])

    def joined(*parts):
        return JoinedSource([Part(source, steps) for source, steps in parts])

    class Own(seqio.FunctionDataSource):
        pass

    named = PairSource(list, ["train"], fingerprint=lambda: "v1")
    sources = [
        function([("a", "b")]),
        function([("a", "c")]),
        Own(function(1)._dataset_fn, ["train"]),
        joined((named, ())),
        joined((named, (plain,))),
        joined((named, ()), (function(1), ())),
        joined((named, ()), (PairSource(list, ["test"]), ())),
    ]
    digests = [digest(source=source) for source in sources]
    assert digests[-1] == digests[3], "a part without the split plays no part"
    assert len(set(digests)) == len(sources) - 1
