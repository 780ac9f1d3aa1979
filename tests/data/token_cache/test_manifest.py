from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
from cached_splits import (
    FINGERPRINT,
    manifest_of,
    shard_content,
    write_example_split,
    write_text_split,
)

from mtmoe.data.token_cache.files.manifest import (
    MANIFEST_NAME,
    SplitManifest,
    load_manifest,
    split_directory,
    write_manifest,
)
from mtmoe.data.token_cache.files.shard_facts import ShardFacts
from mtmoe.data.token_cache.files.shard_file import (
    write_example_shard,
    write_text_shard,
)
from mtmoe.errors import ManifestError


@pytest.fixture
def directory(tmp_path) -> str:
    return write_text_split(tmp_path, [[[1, 2, 3], [4, 0]], [], [[31_000]]])


def _change(directory: str, change) -> None:
    path = Path(directory, MANIFEST_NAME)
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_manifest_comes_back(directory):
    manifest = load_manifest(directory)
    assert manifest == SplitManifest.from_json(manifest.to_json())
    assert (manifest.task, manifest.split, manifest.kind) == ("some", "train", "text")
    assert (manifest.num_examples, manifest.num_tokens) == (3, 6)
    assert (manifest.smallest_token, manifest.largest_token) == (0, 31_000)
    assert [shard.pages for shard in manifest.shards] == [1, 0, 1]
    assert manifest.token_width == 2
    files = [name for name in os.listdir(directory) if name != MANIFEST_NAME]
    assert len(files) == 6
    sizes = [os.path.getsize(os.path.join(directory, name)) for name in files]
    assert manifest.num_bytes == sum(sizes)


def test_the_directory_names_the_content(tmp_path):
    assert split_directory(tmp_path, "a.b:c-d", "train", FINGERPRINT) == (
        f"{tmp_path}/a.b:c-d/train-0123456789abcdef"
    )
    assert split_directory("gs://bucket/tokens/", "a", "test", FINGERPRINT) == (
        "gs://bucket/tokens/a/test-0123456789abcdef"
    )


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "/a", "a\\b", "a\0b"])
def test_names_that_would_leave_the_root(name):
    with pytest.raises(ManifestError, match="cannot be kept under its name"):
        split_directory("/root", name, "train", FINGERPRINT)
    with pytest.raises(ManifestError, match="cannot be kept under its name"):
        split_directory("/root", "task", name, FINGERPRINT)


@pytest.mark.parametrize("fingerprint", ["", "0123", "../../../../../../x", "G" * 16])
def test_fingerprints_that_are_none(fingerprint):
    with pytest.raises(ManifestError, match="16 or more hexadecimal digits"):
        split_directory("/root", "task", "train", fingerprint)


def test_without_a_manifest_there_is_no_cache(directory):
    os.unlink(os.path.join(directory, MANIFEST_NAME))
    with pytest.raises(FileNotFoundError):
        load_manifest(directory)
    with pytest.raises(FileNotFoundError):
        load_manifest(os.path.join(directory, "absent"))


@pytest.mark.parametrize(
    "name", ["tokens-00000-of-00003.array_record", "index-00002-of-00003.bin"]
)
def test_a_missing_or_wrongly_sized_file(directory, name):
    path = os.path.join(directory, name)
    manifest = load_manifest(directory)
    with open(path, "ab") as file:
        file.write(b"!")
    size = os.path.getsize(path)
    with pytest.raises(ManifestError, match=f"{path} has {size} bytes; the manifest"):
        load_manifest(directory)
    os.unlink(path)
    with pytest.raises(ManifestError, match=f"{path} is missing"):
        load_manifest(directory)
    with pytest.raises(ManifestError, match=f"{path} is missing"):
        write_manifest(directory, manifest)


def _set_shard(name, value):
    return lambda manifest: manifest["shards"][0].update({name: value})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.update(format=2), "format 2; this version of mtmoe reads 1"),
        (lambda m: m.pop("format"), "format None"),
        (lambda m: m.pop("split"), "missing fields split; unknown: none"),
        (lambda m: m.update(colour=1), "missing fields none; unknown: colour"),
        (lambda m: m.update(vocab_size=True), "vocab_size is True"),
        (lambda m: m.update(vocab_size="9"), "vocab_size is '9'"),
        (
            lambda m: m.update(vocab_size=9),
            "token 31000 is outside the vocabulary of 9",
        ),
        (lambda m: m.update(token_width=4), "token_width is 4, but .* is 2"),
        (lambda m: m.update(tokens=7), "tokens is 7, but what follows .* is 6"),
        (lambda m: m.update(examples=7), "examples is 7, but what follows .* is 3"),
        (lambda m: m.update(largest_token=5), "largest_token is 5, but .* is 31000"),
        (lambda m: m.update(kind="stream"), "kind 'stream' is none of text, examples"),
        (lambda m: m.update(features=["a", "b"]), "text with features"),
        (lambda m: m.update(features=[]), "text with features"),
        (lambda m: m.update(features=[7]), "text with features"),
        (lambda m: m.update(task=".."), "task '..' cannot be kept"),
        (lambda m: m.update(fingerprint="new"), "fingerprint 'new'"),
        (lambda m: m.update(shards=[]), "it holds no examples"),
        (lambda m: m.update(shards=[7]), "a shard is int, not an object"),
        (_set_shard("name", "../other"), "'../other' is not the name of a file"),
        (_set_shard("index_name", ""), "'' is not the name of a file"),
        (_set_shard("pages", -1), "impossible numbers"),
        (_set_shard("pages", 2), "2 examples and 5 tokens are 1 pages, not 2"),
        (_set_shard("bytes", 0), "impossible numbers"),
        (_set_shard("index_bytes", 99), "an index of 99 bytes"),
        (_set_shard("smallest_token", None), "5 tokens from None to 4"),
        (_set_shard("smallest_token", -4), "token -4 is outside the vocabulary"),
        (_set_shard("crc32", 1.5), "crc32 is 1.5"),
    ],
)
def test_a_manifest_that_cannot_be(directory, change, reason):
    _change(directory, change)
    with pytest.raises(ManifestError, match=reason) as caught:
        load_manifest(directory)
    assert os.path.join(directory, MANIFEST_NAME) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xff", b"null"])
def test_a_manifest_that_is_not_json(directory, content):
    Path(directory, MANIFEST_NAME).write_bytes(content)
    with pytest.raises(ManifestError, match=MANIFEST_NAME):
        load_manifest(directory)


def test_nothing_is_no_cache(tmp_path):
    folder = str(tmp_path)
    text = write_text_shard(shard_content(folder), [[], []])
    with pytest.raises(ManifestError, match="is not written: it holds no examples"):
        write_manifest(folder, manifest_of([text], "text", ("targets",)))
    empty = write_example_shard(shard_content(folder), [[[], []]], 2)
    with pytest.raises(ManifestError, match="is not written: it holds no tokens"):
        write_manifest(folder, manifest_of([empty], "examples", ("inputs", "targets")))
    assert MANIFEST_NAME not in os.listdir(folder)


def test_a_shard_of_another_kind_is_refused(tmp_path):
    directory = write_example_split(tmp_path, [[[[1], [2]]]])
    manifest = dataclasses.replace(load_manifest(directory), features=("targets",))
    with pytest.raises(ManifestError, match="an index of 20 bytes"):
        write_manifest(directory, manifest)


def test_what_is_left_out_or_empty_is_written_where_there_is_any(directory):
    facts = load_manifest(directory).shards[0]
    assert not {"left_out", "empty"} & set(facts.to_json())
    flawed = dataclasses.replace(facts, left_out=2, empty={"inputs": 3})
    assert ShardFacts.from_json(json.loads(json.dumps(flawed.to_json()))) == flawed
    with pytest.raises(ManifestError, match="impossible numbers"):
        dataclasses.replace(facts, left_out=-1).check()


def test_facts_of_a_shard_travel_as_json(directory):
    facts = load_manifest(directory).shards[0]
    assert ShardFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
    with pytest.raises(ManifestError, match="a shard: missing fields"):
        ShardFacts.from_json({})
