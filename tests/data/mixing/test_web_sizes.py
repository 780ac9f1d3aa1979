"""How much web text there is: counts, and estimates that come near them."""

from __future__ import annotations

import functools
import gzip
import itertools
import json
import random

import pyarrow
import pyarrow.parquet
import pytest
import seqio
import zstandard

from mtmoe.data.mixing import web_sizes
from mtmoe.data.mixing.web_sizes import web_text_size
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.errors import CorpusError

VOCABULARY = seqio.ByteVocabulary()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MTMOE_WEB_TEXT", str(tmp_path / "web"))
    web_sizes._KNOWN.clear()


LETTERS = "abcdefghijklmnopqrstuvwxyzéčнаука "
POOL = "".join(random.Random(0).choices(LETTERS, k=2_000_000))


def pages(count: int) -> list[str]:
    draw = random.Random(count)
    ends = [0]
    while len(ends) <= count:
        ends.append(ends[-1] + draw.randint(9, 1500))
    return [POOL[start:end] for start, end in itertools.pairwise(ends)]


def write(path, texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        table = pyarrow.table({"text": texts})
        pyarrow.parquet.write_table(table, path, row_group_size=500)
        return
    lines = [json.dumps({"text": text}) for text in texts]
    content = "\n".join(texts if ".txt" in path.name else lines).encode("utf-8")
    pack = {
        ".gz": functools.partial(gzip.compress, compresslevel=1),
        ".zst": zstandard.compress,
    }.get(path.suffix, bytes)
    path.write_bytes(pack(content))


def test_a_small_folder_is_counted_and_the_count_kept(tmp_path, monkeypatch):
    texts = pages(300)
    write(tmp_path / "web/sw.jsonl", texts)
    write(tmp_path / "web/sw-validation.jsonl", ["moja"])
    size = web_text_size(WebTextSource("sw"), VOCABULARY)
    num_bytes = sum(len(text.encode()) for text in texts)
    assert size == (
        web_sizes.WebTextSize(300, sum(map(len, texts)), num_bytes, num_bytes, True)
    )
    web_sizes._KNOWN.clear()
    monkeypatch.setattr(web_sizes, "_counted", None)
    assert web_text_size(WebTextSource("sw"), VOCABULARY) == size, "from disk"


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.txt", "a.txt.gz", "a.parquet"]
)
def test_a_large_folder_is_estimated_near_its_counts(tmp_path, monkeypatch, name):
    monkeypatch.setattr(web_sizes, "COUNTED_FOLDER", 0)
    monkeypatch.setattr(web_sizes, "COUNTED_LANGUAGE", 0)
    texts = [pages(2000 + 100 * number) for number in range(6)]
    for number, of_file in enumerate(texts):
        write(tmp_path / f"web/sw/{number}{name}", of_file)
    every = "".join(map("".join, texts))
    size = web_text_size(WebTextSource("sw"), VOCABULARY)
    assert not size.is_counted
    assert size.pages == pytest.approx(sum(map(len, texts)), rel=0.1)
    assert size.characters == pytest.approx(len(every), rel=0.1)
    assert size.bytes == pytest.approx(len(every.encode()), rel=0.1)
    assert size.tokens == pytest.approx(size.bytes, rel=0.02)


def test_other_files_have_another_size(tmp_path):
    write(tmp_path / "web/sw.txt", pages(50))
    first = web_text_size(WebTextSource("sw"), VOCABULARY)
    write(tmp_path / "web/sw.txt", pages(90))
    assert web_text_size(WebTextSource("sw"), VOCABULARY).pages > first.pages


def test_files_without_text_are_no_estimate(tmp_path, monkeypatch):
    write(tmp_path / "web/sw.txt", [" "] * 9)
    monkeypatch.setattr(web_sizes, "COUNTED_FOLDER", 0)
    monkeypatch.setattr(web_sizes, "COUNTED_LANGUAGE", 0)
    with pytest.raises(CorpusError, match="none of 1 files of 'sw' .* has text"):
        web_text_size(WebTextSource("sw"), VOCABULARY)
