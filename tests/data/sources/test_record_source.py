"""A user's files as a SeqIO source."""

from __future__ import annotations

import json

import gin
import pytest

from mtmoe.data.sources.records import RecordSource
from mtmoe.errors import ConfigError, CorpusError


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
    assert source.splits == {"train": "train"} or "train" in source.splits
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
    with pytest.raises(CorpusError, match=r"a\.jsonl:2: KeyError: 'text' .*; .* 'txt'"):
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


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"text": "y", "label": None}, '"targets" is null'),
        ({"text": "y", "label": 2}, '"targets" is the number 2'),
        ({"text": "y", "label": True}, '"targets" is the truth value true'),
        ({"text": "y", "label": {"a": 1}}, '"targets" is an object'),
        ({"text": "y", "label": ["no"]}, '"targets" is a list, in the examples before'),
        (
            {"text": "y", "label": [["no"]]},
            '"targets" is a list whose item 1 is a list',
        ),
        ({"text": "y", "label": "\ud83d"}, '"targets" has half a surrogate pair'),
        ({"text": "y", "label": 7.5}, '"targets" is the number 7.5'),
    ],
)
def test_a_value_that_is_no_text_is_named_with_file_and_line(folder, record, words):
    write(folder / "a.jsonl", {"text": "x", "label": "yes"}, record)
    source = RecordSource({"train": "a.jsonl"}, example)
    with pytest.raises(CorpusError) as caught:
        source.examples("train")
    assert f"{folder}/a.jsonl:2: {words}" in str(caught.value)


def test_whatever_make_examples_raises_or_gives(folder):
    write(folder / "a.jsonl", {"text": None, "label": "yes"})
    for make, words in (
        (
            lambda r: {"inputs": r["text"].strip()},
            r"1: AttributeError: .*py:\d+\); .*'te",
        ),
        (lambda r: "habari", r"1: made into 'habari', which is no example"),
        (lambda r: [("a", "b")], r"1: the example is a list; a dict"),
        (lambda r: 5, r"1: made into 5, which"),
    ):
        with pytest.raises(CorpusError, match=rf"a\.jsonl:{words}"):
            RecordSource({"train": "a.jsonl"}, make).examples("train")


def test_bad_records_up_to_a_quota_are_left_out_counted_and_told(folder, capsys):
    good, bad = {"text": "x", "label": "yes"}, {"text": "x", "label": None}
    write(folder / "a.jsonl", good, bad, good, bad, good)
    with open(folder / "a.jsonl", "a", encoding="utf-8") as file:
        file.write("[" * 100_000 + "\n")
    source = RecordSource({"train": "a.jsonl"}, example)
    with pytest.raises(CorpusError, match=r"a\.jsonl:2: .*\(the first of 3 that are"):
        source.examples("train")
    gin.parse_config("bad_examples.quota = 2")
    with pytest.raises(CorpusError, match="bad_examples.quota allows 2"):
        source.examples("train")
    gin.parse_config("bad_examples.quota = 3")
    assert len(source.examples("train")) == 3
    assert source.num_left_out("train") == 3
    assert source.place("train", 1) == f"{folder}/a.jsonl:3"
    [line] = capsys.readouterr().err.splitlines()
    assert "3 bad examples are left out: " in line
    assert "a.jsonl:6: not JSON: nested too deeply" in line


@pytest.mark.parametrize("quota", ["-1", "0.5", "True", "None"])
def test_a_quota_that_is_no_number_of_examples(folder, quota):
    write(folder / "a.jsonl", {"text": "x", "label": "yes"})
    gin.parse_config(f"bad_examples.quota = {quota}")
    with pytest.raises(ConfigError, match="whole number from 0"):
        RecordSource({"train": "a.jsonl"}, example).examples("train")
