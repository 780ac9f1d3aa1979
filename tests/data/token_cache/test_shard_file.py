from __future__ import annotations

import os
import stat

import numpy as np
import pytest
from array_record.python import array_record_module
from cached_splits import flip_byte, shard_content

from mtmoe.data.token_cache.files.pages import decode_text_page
from mtmoe.data.token_cache.files.shard_file import (
    file_crc32,
    read_index,
    shard_names,
    write_example_shard,
    write_text_shard,
)
from mtmoe.errors import CorpusError, ManifestError, MtmoeError


def test_the_facts_are_those_of_the_files(tmp_path):
    folder = str(tmp_path / "new" / "folder")
    documents = [[5, 6], [], [7] * 3000, [3]]
    facts = write_text_shard(shard_content(folder, 1, 4), documents)
    assert (facts.name, facts.index_name) == shard_names(1, 4)
    assert sorted(os.listdir(folder)) == sorted(shard_names(1, 4))
    path = os.path.join(folder, facts.name)
    assert facts.bytes == os.path.getsize(path)
    assert facts.crc32 == file_crc32(path)
    assert facts.index_bytes == 2 * 12
    assert facts.index_crc32 == file_crc32(os.path.join(folder, facts.index_name))
    assert (facts.pages, facts.examples, facts.tokens) == (2, 3, 3003)
    assert (facts.smallest_token, facts.largest_token) == (3, 7)


def test_the_librarys_reader_opens_a_shard(tmp_path):
    facts = write_text_shard(shard_content(str(tmp_path)), [[5, 6], [7] * 3000])
    reader = array_record_module.ArrayRecordReader(str(tmp_path / facts.name))
    pages = [decode_text_page(page, 2) for page in reader.read_all()]
    reader.close()
    tokens = np.concatenate([page.tokens for page in pages])
    assert tokens.tolist() == [5, 6, *[7] * 3000]


def test_a_shard_of_examples_keeps_their_sizes(tmp_path):
    examples = [[[1] * index, [2]] for index in range(40)]
    facts = write_example_shard(shard_content(str(tmp_path)), examples, 2)
    assert (facts.pages, facts.examples, facts.tokens) == (3, 40, 780 + 40)
    index = read_index(str(tmp_path), facts, 2)
    assert index.example_sizes.tolist() == [[size, 1] for size in range(40)]
    assert len(index.places.offsets) == len(index.places.sizes) == 3


def test_the_same_tokens_make_the_same_files(tmp_path):
    facts = [
        write_text_shard(shard_content(str(tmp_path / name)), iter([[1, 2], [3]]))
        for name in "ab"
    ]
    assert facts[0] == facts[1]


def test_a_shard_without_tokens(tmp_path):
    facts = write_text_shard(shard_content(str(tmp_path)), [[]])
    assert (facts.pages, facts.tokens, facts.smallest_token) == (0, 0, None)
    facts = write_example_shard(shard_content(str(tmp_path)), [[[], []]], 2)
    assert (facts.pages, facts.examples, facts.tokens) == (1, 1, 0)
    assert read_index(str(tmp_path), facts, 2).example_sizes.tolist() == [[0, 0]]


@pytest.mark.parametrize("token", [-1, 300, 65_536, 70_000])
def test_a_token_outside_the_vocabulary_leaves_nothing(tmp_path, token):
    content = shard_content(str(tmp_path), vocab_size=300)
    reason = (
        f"task 'some', split 'train': token {token} is outside the vocabulary of 300"
    )
    with pytest.raises(CorpusError, match=reason):
        write_text_shard(content, [[1, 299], [token]])
    with pytest.raises(CorpusError, match=reason):
        write_example_shard(content, [[[1], [token]]], 2)
    assert os.listdir(tmp_path) == []


def test_what_is_killed_or_fails_leaves_the_old_files(tmp_path):
    facts = write_text_shard(shard_content(str(tmp_path)), [[1, 2]])

    def documents():
        yield [3] * 500_000
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_text_shard(shard_content(str(tmp_path)), documents())
    assert sorted(os.listdir(tmp_path)) == sorted(shard_names(0, 1))
    assert file_crc32(tmp_path / facts.name) == facts.crc32


def test_others_may_read_what_one_user_wrote(tmp_path):
    facts = write_text_shard(shard_content(str(tmp_path)), [[1, 2]])
    for name in (facts.name, facts.index_name):
        assert (tmp_path / name).stat().st_mode & stat.S_IRUSR
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_damaged_index(tmp_path):
    facts = write_text_shard(shard_content(str(tmp_path)), [[1, 2]])
    flip_byte(str(tmp_path / facts.index_name), 3)
    with pytest.raises(ManifestError, match=f"{facts.index_name} is damaged"):
        read_index(str(tmp_path), facts, 0)
    os.unlink(tmp_path / facts.index_name)
    with pytest.raises(ManifestError, match=f"{facts.index_name} cannot be read"):
        read_index(str(tmp_path), facts, 0)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MtmoeError, match="cannot make the folder .*/file/below"):
        write_text_shard(shard_content(str(tmp_path / "file" / "below")), [[1]])
