"""A user's files as a SeqIO source."""

from __future__ import annotations

import json

import pytest

from mtmoe.data.sources.records import RecordSource
from mtmoe.errors import CorpusError


def example(record):
    if record["label"] == "skip":
        return None
    pair = {"inputs": f"label: {record['text']}", "targets": record["label"]}
    return [pair, pair] if record["label"] == "twice" else pair


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MTMOE_DATA", str(tmp_path))
    return tmp_path


def write(path, *records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")


def test_none_one_or_several_examples_of_a_record(folder):
    write(
        folder / "a.0.jsonl",
        {"text": "x", "label": "yes"},
        {"text": "y", "label": "skip"},
    )
    write(folder / "a.1.jsonl", {"text": "z", "label": "twice"})
    source = RecordSource({"train": "a.*.jsonl"}, example)
    assert list(source.splits) == ["train"]
    assert [e["targets"] for e in source.examples("train")] == ["yes", "twice", "twice"]
    assert source.num_input_examples("train") == 3
    rows = list(source.get_dataset("train", shuffle=False).as_numpy_iterator())
    assert rows[0] == {"inputs": b"label: x", "targets": b"yes"}
    shuffled = source.get_dataset("train", shuffle=True, seed=3).as_numpy_iterator()
    assert sorted(r["inputs"] for r in shuffled) == sorted(r["inputs"] for r in rows)


def test_lists_of_strings_reach_the_data_set(folder):
    write(folder / "a.jsonl", {"a": ["x", "y"]}, {"a": []})
    source = RecordSource(
        {"train": "a.jsonl"},
        lambda record: {"inputs": "q", "targets": "t", "answers": record["a"]},
    )
    rows = list(source.get_dataset("train", shuffle=False).as_numpy_iterator())
    assert [list(row["answers"]) for row in rows] == [[b"x", b"y"], []]


def test_a_missing_field_is_named_with_file_and_line(folder):
    write(
        folder / "a.jsonl", {"text": "x", "label": "yes"}, {"txt": "x", "label": "no"}
    )
    source = RecordSource({"train": "a.jsonl"}, example)
    with pytest.raises(CorpusError, match=r"a\.jsonl:2: unknown field 'text'; .* txt"):
        source.examples("train")


def test_a_missing_file_says_where_it_is_looked_for_and_how_to_get_it(folder):
    source = RecordSource({"train": "a.jsonl"}, example, "ask the authors")
    with pytest.raises(CorpusError, match="MTMOE_DATA.*ask the authors") as caught:
        source.examples("train")
    assert str(folder / "a.jsonl") in str(caught.value)


def test_a_file_without_examples(folder):
    write(folder / "a.jsonl", {"text": "x", "label": "skip"})
    with pytest.raises(CorpusError, match="has no examples"):
        RecordSource({"train": "a.jsonl"}, example).examples("train")
