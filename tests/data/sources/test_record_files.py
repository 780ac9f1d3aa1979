"""Records of every container, and what becomes of those that cannot be read."""

from __future__ import annotations

import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf
import zstandard

from mtmoe.data.sources.files import BadRecord, container, read_records
from mtmoe.errors import CorpusError

RECORDS = [{"text": "Habari ya dunia", "n": "1"}, {"text": "你好,世界", "n": "2"}]


def write(path, records=RECORDS) -> str:
    kind = path.name.split(".")[1]
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path)
        return str(path)
    if kind in ("csv", "tsv"):
        mark = "," if kind == "csv" else "\t"
        rows = [list(records[0]), *(list(r.values()) for r in records)]
        lines = "".join(mark.join(f'"{c}"' for c in row) + "\r\n" for row in rows)
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


def test_a_row_of_other_width(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,2\n3\n"x\ny",4\n', "utf-8")
    bad: list[BadRecord] = []
    records = list(read_records(str(path), bad.append))
    assert records == [(2, {"a": "1", "b": "2"}), (5, {"a": "x\ny", "b": "4"})]
    assert str(bad[0]).endswith("a.csv:3: 1 cells under 2 headings")


def test_an_open_quote_ends_the_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('a,b\n"x"y,2\n', "utf-8")
    bad: list[BadRecord] = []
    assert list(read_records(str(path), bad.append)) == []
    assert bad[0].ends_file


@pytest.mark.parametrize("name", ["a.xml", "a", "a.gz", "a.parquet.gz.bak"])
def test_an_unknown_kind_of_file(name):
    with pytest.raises(CorpusError, match="allowed: .jsonl"):
        container(name)


def test_a_missing_file(tmp_path):
    with pytest.raises(CorpusError, match="does not exist"):
        list(read_records(str(tmp_path / "no.jsonl")))
