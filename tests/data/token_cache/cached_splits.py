"""Writes small caches, and damages them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtmoe.data.token_cache.files.manifest import (
    SplitManifest,
    load_manifest,
    split_directory,
    write_manifest,
)
from mtmoe.data.token_cache.files.shard_facts import ShardFacts
from mtmoe.data.token_cache.files.shard_file import (
    ShardContent,
    read_index,
    write_example_shard,
    write_text_shard,
)

FINGERPRINT = "0123456789abcdef" * 2
Documents = Sequence[npt.ArrayLike]
Examples = Sequence[Sequence[npt.ArrayLike]]


def shard_content(
    directory: str, shard: int = 0, num_shards: int = 1, vocab_size: int = 32_128
) -> ShardContent:
    origin = "task 'some', split 'train'"
    return ShardContent(directory, shard, num_shards, vocab_size, origin)


def manifest_of(
    shards: Sequence[ShardFacts],
    kind: str,
    features: tuple[str, ...],
    vocab_size: int = 32_128,
) -> SplitManifest:
    return SplitManifest(
        task="some",
        split="train",
        kind=kind,
        features=features,
        vocab_size=vocab_size,
        fingerprint=FINGERPRINT,
        facts={"source": "hand-written", "steps": ["tokenize", 1, None]},
        versions={"mtmoe": "0"},
        shards=tuple(shards),
    )


def write_text_split(
    root: object, shards: Sequence[Documents], vocab_size: int = 32_128
) -> str:
    """Writes a text, the documents of each shard given; returns its directory."""
    directory = split_directory(str(root), "some", "train", FINGERPRINT)
    facts = [
        write_text_shard(
            shard_content(directory, number, len(shards), vocab_size), documents
        )
        for number, documents in enumerate(shards)
    ]
    write_manifest(directory, manifest_of(facts, "text", ("targets",), vocab_size))
    return directory


def write_example_split(
    root: object,
    shards: Sequence[Examples],
    features: tuple[str, ...] = ("inputs", "targets"),
    vocab_size: int = 32_128,
) -> str:
    """Writes examples, those of each shard given; returns their directory."""
    directory = split_directory(str(root), "some", "train", FINGERPRINT)
    facts = [
        write_example_shard(
            shard_content(directory, number, len(shards), vocab_size),
            examples,
            len(features),
        )
        for number, examples in enumerate(shards)
    ]
    write_manifest(directory, manifest_of(facts, "examples", features, vocab_size))
    return directory


def random_documents(
    seed: int, sizes: Sequence[int], vocab_size: int = 32_128
) -> list[npt.NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, vocab_size, size) for size in sizes]


def page_place(directory: str, shard: int, page: int) -> tuple[str, int]:
    """Returns the file of a page and the byte where it begins."""
    manifest = load_manifest(directory)
    facts = manifest.shards[shard]
    num_features = 0 if manifest.kind == "text" else len(manifest.features)
    index = read_index(directory, facts, num_features)
    return os.path.join(directory, facts.name), int(index.places.offsets[page])


def flip_byte(path: str, offset: int) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 255]))


def damage_page(directory: str, shard: int, page: int) -> tuple[str, int]:
    """Flips a byte of a page; returns its file and the byte where it begins."""
    path, offset = page_place(directory, shard, page)
    flip_byte(path, offset + 13)
    return path, offset
