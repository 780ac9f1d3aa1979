from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cached_splits import (
    damage_page,
    flip_byte,
    page_place,
    random_documents,
    write_example_split,
    write_text_split,
)

from mtmoe.data.token_cache.files.integrity import verify_files
from mtmoe.data.token_cache.files.manifest import MANIFEST_NAME
from mtmoe.data.token_cache.files.shard_file import file_crc32


@pytest.fixture
def text(tmp_path) -> str:
    return write_text_split(
        tmp_path, [random_documents(1, [3000, 2000]), [], [[1, 2], [3]]]
    )


@pytest.fixture
def examples(tmp_path) -> str:
    return write_example_split(tmp_path, [[[[1] * size, [9]] for size in range(40)]])


def _change_shard(directory: str, **changes: int) -> None:
    path = Path(directory, MANIFEST_NAME)
    manifest = json.loads(path.read_text())
    manifest["shards"][0].update(changes)
    shards = manifest["shards"]
    for total, of in (("tokens", sum), ("examples", sum), ("largest_token", max)):
        manifest[total] = of(shard[total] or 0 for shard in shards)
    path.write_text(json.dumps(manifest))


def test_sound_files_have_no_problems(text, examples):
    assert verify_files(text) == []
    assert verify_files(examples) == []


def test_a_damaged_page_is_named_with_its_offset(text):
    path, offset = damage_page(text, shard=0, page=1)
    file_problem, page_problem = verify_files(text)
    assert f"{path}: its CRC-32 is" in file_problem
    assert f"{path} at byte {offset}: page 1: its checksum" in page_problem


def test_every_damaged_page_is_listed(examples):
    for page in range(3):
        damage_page(examples, shard=0, page=page)
    problems = verify_files(examples)
    assert [f"page {page}" in problems[1 + page] for page in range(3)] == [True] * 3


def test_any_damaged_byte_is_found(text):
    path, _ = page_place(text, 0, 0)
    for offset in (0, 30, 70, 5000, 100_000, os.path.getsize(path) - 1):
        flip_byte(path, offset)
        assert any(path in problem for problem in verify_files(text))
        flip_byte(path, offset)
    assert verify_files(text) == []


def test_a_damaged_header_does_not_hide_damaged_pages(text):
    path, offset = damage_page(text, shard=0, page=1)
    flip_byte(path, 64 + 8)
    problems = verify_files(text)
    assert len(problems) == 3
    assert f"{path} at byte {offset}: page 1" in problems[2]


def test_a_damaged_index_is_found(text):
    path = os.path.join(text, "index-00000-of-00003.bin")
    flip_byte(path, 0)
    assert verify_files(text) == [
        f"{path} is damaged: its checksum (CRC-32) is not the manifest's"
    ]


def test_an_index_of_other_places_is_found(text):
    path = os.path.join(text, "index-00000-of-00003.bin")
    flip_byte(path, 0)
    _change_shard(text, index_crc32=file_crc32(path))
    problems = verify_files(text)
    assert "its records are not where its index says" in problems[0]
    assert "page 0" in problems[1]


@pytest.mark.parametrize(
    "changes", [{"largest_token": 32_000}, {"examples": 9}, {"tokens": 5001}]
)
def test_counts_that_are_wrong_are_found(text, changes):
    _change_shard(text, **changes)
    problems = verify_files(text)
    assert len(problems) == 1
    assert "tokens-00000-of-00003.array_record" in problems[0]


def test_a_token_outside_the_vocabulary_is_found(text):
    path = Path(text, MANIFEST_NAME)
    manifest = json.loads(path.read_text())
    manifest["vocab_size"] = 500
    manifest["largest_token"] = 499
    manifest["shards"][0]["largest_token"] = 499
    path.write_text(json.dumps(manifest))
    (problem,) = verify_files(text)
    assert "is outside the vocabulary of 500 tokens" in problem


def test_a_missing_file_is_the_problem(text):
    name = os.path.join(text, "tokens-00002-of-00003.array_record")
    os.unlink(name)
    (problem,) = verify_files(text)
    assert f"{name} is missing" in problem


def test_without_a_manifest_there_is_nothing_to_verify(tmp_path):
    with pytest.raises(FileNotFoundError):
        verify_files(str(tmp_path))
