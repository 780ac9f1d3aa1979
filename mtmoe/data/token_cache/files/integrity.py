"""Reads every byte of a cached split and says what is wrong with it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mtmoe.data.token_cache.files.manifest import SplitManifest, load_manifest
from mtmoe.data.token_cache.files.record_file import find_records
from mtmoe.data.token_cache.files.shard_facts import ShardFacts
from mtmoe.data.token_cache.files.shard_file import file_crc32
from mtmoe.data.token_cache.files.shard_reader import ShardReader
from mtmoe.data.token_cache.files.storage import Location, fetch_file, is_remote, join
from mtmoe.errors import DamagedRecordError, ManifestError


def verify_files(directory: Location) -> list[str]:
    """Returns the problems of a cached split, none if it is sound.

    Checks the files' checksums, the records and their checksums, the index, the counts,
    and that all tokens are inside the vocabulary. A remote split is fetched shard after
    shard into a temporary folder.

    Raises:
      FileNotFoundError: the directory holds no manifest.
    """
    try:
        manifest = load_manifest(directory)
    except ManifestError as error:
        return [str(error)]
    problems = []
    for shard in manifest.shards:
        with _local_folder(directory, shard) as folder:
            problems += [
                problem.replace(folder, os.fspath(directory))
                for problem in _shard_problems(folder, manifest, shard)
            ]
    return problems


def _shard_problems(
    folder: str, manifest: SplitManifest, facts: ShardFacts
) -> list[str]:
    path = join(folder, facts.name)
    problems = []
    checksum = file_crc32(path)
    if checksum != facts.crc32:
        problems.append(
            f"{path}: its CRC-32 is {checksum:08x}; the manifest says {facts.crc32:08x}"
        )
    shard = ShardReader(folder, manifest, facts)
    try:
        noted = shard.index.places
    except ManifestError as error:
        return [*problems, str(error)]
    try:
        places = find_records(path)
    except DamagedRecordError as error:
        problems.append(str(error))
    else:
        if not (
            np.array_equal(places.offsets, noted.offsets)
            and np.array_equal(places.sizes, noted.sizes)
        ):
            problems.append(f"{path}: its records are not where its index says")
    return problems + _page_problems(path, shard, manifest)


def _page_problems(path: str, shard: ShardReader, manifest: SplitManifest) -> list[str]:
    problems = []
    examples, tokens = 0, 0
    extremes: list[int] = []
    for number in range(shard.facts.pages):
        try:
            page_tokens, page_examples = _read_page(shard, number, manifest)
        except DamagedRecordError as error:
            problems.append(str(error))
            continue
        examples += page_examples
        tokens += len(page_tokens)
        if len(page_tokens):
            found = [*extremes, int(page_tokens.min()), int(page_tokens.max())]
            extremes = [min(found), max(found)]
    if extremes and extremes[1] >= manifest.vocab_size:
        problems.append(
            f"{path}: token {extremes[1]} is outside the vocabulary of "
            f"{manifest.vocab_size} tokens"
        )
    facts = shard.facts
    noted = (facts.examples, facts.tokens, facts.smallest_token, facts.largest_token)
    found_here = (examples, tokens, *(extremes or (None, None)))
    if not problems and found_here != noted:
        problems.append(
            f"{path}: examples, tokens, smallest and largest token are {found_here}; "
            f"the manifest says {noted}"
        )
    return problems


def _read_page(
    shard: ShardReader, number: int, manifest: SplitManifest
) -> tuple[npt.NDArray[Any], int]:
    """Returns a page's tokens, and how many examples (documents) begin in it."""
    if manifest.kind == "text":
        page = shard.text_page(number)
        return page.tokens, len(page.starts)
    examples = shard.example_page(number)
    return examples.tokens, (len(examples.bounds) - 1) // len(manifest.features)


@contextlib.contextmanager
def _local_folder(directory: Location, shard: ShardFacts) -> Iterator[str]:
    """Gives a local folder with a shard's files: their own, or one with copies."""
    if not is_remote(directory):
        yield os.fspath(directory)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in (shard.name, shard.index_name):
            fetch_file(join(directory, name), join(folder, name))
        yield folder
