"""Records of every container, and what becomes of those that cannot be read."""

from __future__ import annotations

import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf
import zstandard

from mtmoe.data.sources.files import (
    BadRecord,
    MissingFieldError,
    container,
    read_records,
)
from mtmoe.errors import CorpusError

RECORDS = [{"text": "Habari ya dunia", "n": "1"}, {"text": "你好,世界", "n": "2"}]


def write(path, records=RECORDS) -> str:
    kind = path.name.split(".")[1]
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path)
        return str(path)
    if kind in ("csv", "tsv"):
        mark, quote = (",", '"') if kind == "csv" else ("\t", "")
        rows = [list(records[0]), *(list(r.values()) for r in records)]
        cells = [[f"{quote}{cell}{quote}" for cell in row] for row in rows]
        lines = "".join(mark.join(row) + "\r\n" for row in cells)
    content = lines.encode("utf-8")
    if path.suffix == ".gz":
        content = gzip.compress(content)
    if path.suffix == ".zst":
        half = len(content) // 2
        compress = zstandard.ZstdCompressor().compress
        content = compress(content[:half]) + compress(content[half:])  # two frames
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    "name",
    ["a.jsonl", "a.json.gz", "a.ndjson.zst", "a.csv", "a.tsv.gz", "a.parquet"],
)
def test_every_container_gives_the_same_records(tmp_path, name):
    path = write(tmp_path / name)
    assert [record for _, record in read_records(path)] == RECORDS
    first = {"csv": 2, "tsv": 2}.get(container(path), 1)
    assert [number for number, _ in read_records(path)] == [first, first + 1]


def test_text_lines_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "sw.txt"
    path.write_bytes("\ufeffmoja\n\nmbili\n".encode())
    assert list(read_records(str(path))) == [
        (1, {"text": "moja"}),
        (3, {"text": "mbili"}),
    ]


def test_another_file_system():
    with tf.io.gfile.GFile("ram://records/a.jsonl", "w") as stream:
        stream.write(json.dumps(RECORDS[0]) + "\n")
    assert list(read_records("ram://records/a.jsonl")) == [(1, RECORDS[0])]


def test_bad_lines_are_named_and_the_next_ones_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": \n"text"\n{"n": "\xff"}\n{"n": 5}\n')
    bad: list[BadRecord] = []
    assert [r for _, r in read_records(str(path), bad.append)] == [{"n": 1}, {"n": 5}]
    assert [record.line for record in bad] == [2, 3, 4]
    assert "not JSON" in bad[0].reason
    assert bad[1].reason == "not a JSON object"
    assert "0xff at offset 7" in str(bad[2])
    with pytest.raises(CorpusError, match=r"a\.jsonl:2: not JSON"):
        list(read_records(str(path)))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_a_cut_file_gives_what_is_whole_and_says_the_rest_is_lost(tmp_path, name):
    records = [{"n": str(i), "text": f"{i * 7919 % 1009:x}" * 20} for i in range(3000)]
    path = write(tmp_path / name, records)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    bad: list[BadRecord] = []
    read = [record for _, record in read_records(path, bad.append)]
    assert read == records[: len(read)]
    assert bad[-1].ends_file
    assert "damaged" in bad[-1].reason


@pytest.mark.parametrize("name", ["a.xml", "a", "a.gz", "a.parquet.gz.bak"])
def test_an_unknown_kind_of_file(name):
    with pytest.raises(CorpusError, match="allowed: .jsonl"):
        container(name)


def test_a_missing_file(tmp_path):
    with pytest.raises(CorpusError, match="does not exist"):
        list(read_records(str(tmp_path / "no.jsonl")))


def test_a_field_that_is_not_there_is_named_with_the_nearest(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Inputs,targets\na,b\n", "utf-8")
    ((_, record),) = read_records(str(path))
    assert record.get("inputs") is None and dict(record) == record
    with pytest.raises(MissingFieldError, match="field 'inputs'; did you mean Inputs"):
        record["inputs"]
    with pytest.raises(KeyError):
        record["inputs"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('[\n  {"a": 1},\n  {"a": 2}\n]\n', "a JSON array"),
        ('\n [{"a": 1}, {"a": 2}]', "a JSON array"),
        ('{\n  "a": 1\n}\n', "a JSON object over several lines"),
    ],
)
def test_one_json_document_is_no_json_lines(tmp_path, content, what):
    path = tmp_path / "array.json"
    path.write_text(content, "utf-8")
    line = 1 + len(content) - len(content.lstrip("\n"))
    expected = rf"array\.json:{line}: {what}; .* jq -c .* array\.json > array\.jsonl"
    with pytest.raises(CorpusError, match=expected):
        list(read_records(str(path), [].append))


def test_json_nested_too_deeply_is_one_bad_record(tmp_path):
    path = tmp_path / "a.jsonl"
    deep = "[" * 100_000 + "]" * 100_000
    path.write_text(f'{{"n": 1}}\n{{"x": {deep}}}\n{{"n": 3}}\n', "utf-8")
    bad: list[BadRecord] = []
    assert [r for _, r in read_records(str(path), bad.append)] == [{"n": 1}, {"n": 3}]
    assert [(record.line, "deep" in record.reason) for record in bad] == [(2, True)]
