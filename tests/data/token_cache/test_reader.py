from __future__ import annotations

import concurrent.futures
import functools
import itertools
import shutil

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from cached_splits import (
    damage_page,
    random_documents,
    write_example_split,
    write_text_split,
)

from mtmoe.data.token_cache.bad_records import BadRecords
from mtmoe.data.token_cache.files.pages import PAGE_EXAMPLES, PAGE_TOKENS
from mtmoe.data.token_cache.reader import CachedSplit, open_cached_split
from mtmoe.errors import CorpusError, DamagedDataError, ManifestError

_SHARDS = st.lists(
    st.lists(st.one_of(st.integers(0, 50), st.integers(0, 9000)), max_size=12),
    min_size=1,
    max_size=4,
).filter(lambda shards: sum(map(sum, shards)) > 0)


def _joined(arrays) -> list[int]:
    return np.concatenate([np.zeros(0, int), *map(np.asarray, arrays)]).tolist()


def _rows(rows) -> list[list[int]]:
    assert rows.tokens.dtype == np.int32
    assert rows.bounds.dtype == np.int64
    assert rows.bounds[-1] == len(rows.tokens)
    return [
        rows.tokens[start:end].tolist()
        for start, end in itertools.pairwise(rows.bounds)
    ]


def _check_examples(found, wanted) -> None:
    rows_F, bad = found
    assert bad.tolist() == [False] * len(wanted)
    for feature, rows in enumerate(rows_F):
        assert _rows(rows) == [example[feature].tolist() for example in wanted]


@hypothesis.given(_SHARDS, st.sampled_from([300, 32_128, 250_112]), st.data())
@hypothesis.settings(max_examples=35)
def test_any_ranges_of_any_shards_are_slices_of_the_stream(
    tmp_path_factory, shards, vocab_size, data
):
    documents = [
        random_documents(number, sizes, vocab_size)
        for number, sizes in enumerate(shards)
    ]
    directory = write_text_split(tmp_path_factory.mktemp("text"), documents, vocab_size)
    split = open_cached_split(directory)
    stream = _joined(itertools.chain.from_iterable(documents))
    assert split.num_tokens == len(stream)
    assert split.num_examples == sum(size > 0 for sizes in shards for size in sizes)

    position = st.integers(0, len(stream))
    ranges = data.draw(st.lists(st.tuples(position, position).map(sorted), max_size=20))
    starts = [start for start, _ in ranges]
    rows, bad = split.token_ranges(starts, [end - start for start, end in ranges])
    assert _rows(rows) == [stream[start:end] for start, end in ranges]
    assert bad.tolist() == [False] * len(ranges)

    assert split.all_tokens().tolist() == stream
    found = [document.tolist() for document in split.documents()]
    assert found == [d.tolist() for shard in documents for d in shard if len(d)]


@hypothesis.given(
    st.integers(1, 3).flatmap(
        lambda features: st.lists(
            st.lists(
                st.lists(st.integers(0, 30), min_size=features, max_size=features),
                max_size=40,
            ),
            min_size=1,
            max_size=3,
        ).filter(lambda shards: np.sum([np.sum(s) for s in shards]) > 0)
    ),
    st.sampled_from([300, 250_112]),
    st.data(),
)
@hypothesis.settings(max_examples=35)
def test_any_examples_come_back(tmp_path_factory, shards, vocab_size, data):
    generator = np.random.default_rng(5)
    examples = [
        [[generator.integers(0, vocab_size, size) for size in row] for row in shard]
        for shard in shards
    ]
    features = ("inputs", "targets", "choices")[: len(next(filter(None, shards))[0])]
    directory = write_example_split(
        tmp_path_factory.mktemp("examples"), examples, features, vocab_size
    )
    split = open_cached_split(directory)
    joined = list(itertools.chain.from_iterable(examples))
    sizes = list(itertools.chain.from_iterable(shards))
    assert split.num_examples == len(joined)
    assert split.num_tokens == np.sum(sizes)
    assert split.all_sizes().tolist() == sizes

    number = st.integers(0, len(joined) - 1)
    indices = np.array(data.draw(st.lists(number, max_size=30)), np.int64)
    found = split.sizes(indices)
    assert found.dtype == np.int32
    assert found.shape == (len(indices), len(features))
    assert found.tolist() == [sizes[index] for index in indices]
    _check_examples(split.examples(indices), [joined[index] for index in indices])
    _check_examples(split.all_examples(), joined)
    last = split.all_tokens(features[-1]).tolist()
    assert last == _joined(example[-1] for example in joined)


def _text(tmp_path) -> tuple[str, list[int]]:
    """A text of two shards, each of three pages."""
    shards = [random_documents(7, [3000, 2500]), random_documents(8, [100, 5000])]
    return write_text_split(tmp_path, shards), _joined(itertools.chain(*shards))


def test_token_0_is_a_token_like_any_other(tmp_path):
    directory = write_text_split(tmp_path, [[[5, 0, 0, 6], [0], [7]]])
    split = open_cached_split(directory)
    assert split.manifest.smallest_token == 0
    rows, _ = split.token_ranges([1, 3], [2, 3])
    assert _rows(rows) == [[0, 0], [6, 0, 7]]
    assert [d.tolist() for d in split.documents()] == [[5, 0, 0, 6], [0], [7]]


def test_a_damaged_page_loses_its_rows_alone(tmp_path):
    directory, stream = _text(tmp_path)
    path, offset = damage_page(directory, shard=1, page=1)
    first = 5500 + PAGE_TOKENS
    bad_records = BadRecords(quota=1)
    split = open_cached_split(directory, bad_records)
    starts = [0, first - 10, first - 10, first + 5, first + 2048, 5490, first]
    sizes = [568, 10, 11, 1, 568, 30, 0]
    rows, bad = split.token_ranges(starts, sizes)
    assert bad.tolist() == [False, False, True, True, False, False, False]
    assert _rows(rows) == [
        [] if is_bad else stream[start : start + size]
        for start, size, is_bad in zip(starts, sizes, bad, strict=True)
    ]
    assert bad_records.counts == {"some": 1}
    split.token_ranges(starts, sizes)
    assert bad_records.counts == {"some": 1}
    assert split.all_tokens().tolist() == stream[:first] + stream[first + 2048 :]

    damage_page(directory, shard=0, page=0)
    with pytest.raises(DamagedDataError) as caught:
        split.token_ranges([0], [1])
    for part in ("task 'some' has 2 damaged records", "tokens-00000-of-00002"):
        assert part in str(caught.value)
    assert path.endswith("tokens-00001-of-00002.array_record")
    assert offset > 0


def test_documents_in_a_damaged_page_are_left_out(tmp_path):
    shard = random_documents(3, [2000, 40, 100, 1500, 3000, 10, 2500])
    directory = write_text_split(tmp_path, [shard, [[1, 2]]])
    damage_page(directory, shard=0, page=1)  # tokens 2048 to 4096
    split = open_cached_split(directory, BadRecords(quota=1))
    # The third begins before that page, the fifth ends behind it.
    wanted = [*shard[:2], *shard[5:], np.array([1, 2])]
    assert [d.tolist() for d in split.documents()] == [d.tolist() for d in wanted]


def test_a_damaged_page_of_examples(tmp_path):
    generator = np.random.default_rng(0)
    examples = [
        [generator.integers(0, 99, 5), generator.integers(0, 99, index % 4)]
        for index in range(3 * PAGE_EXAMPLES)
    ]
    directory = write_example_split(tmp_path, [examples])
    path, offset = damage_page(directory, shard=0, page=1)
    bad_records = BadRecords(quota=1)
    split = open_cached_split(directory, bad_records)
    indices = [40, 16, 3, 31, 3, 32, 15]
    (inputs, targets), bad = split.examples(indices)
    assert bad.tolist() == [False, True, False, True, False, False, False]
    for feature, rows in enumerate((inputs, targets)):
        assert _rows(rows) == [
            [] if 16 <= index < 32 else examples[index][feature].tolist()
            for index in indices
        ]
    (inputs, _), bad = split.all_examples()
    assert np.flatnonzero(bad).tolist() == list(range(16, 32))
    assert len(inputs) == 48
    assert bad_records.state() == {
        "some": [f"{'/'.join(path.split('/')[-2:])}:{offset}"]
    }
    # Sizes come from the index, which is sound.
    assert split.sizes([16]).tolist() == [[5, 0]]


def test_without_a_quota_the_first_damaged_record_is_an_error(tmp_path):
    directory, _ = _text(tmp_path)
    path, offset = damage_page(directory, shard=0, page=2)
    with pytest.raises(DamagedDataError) as caught:
        open_cached_split(directory).token_ranges([5000], [1])
    assert f"{path} at byte {offset}: page 2: its checksum" in str(caught.value)


def test_pages_of_another_cache_are_damaged(tmp_path):
    """Sound files in the wrong place: sizes that the index does not have."""
    one = write_example_split(tmp_path / "one", [[[[1, 2, 3], [4]]]])
    other = write_example_split(tmp_path / "other", [[[[1, 2], [3, 4]]]])
    name = "tokens-00000-of-00001.array_record"
    shutil.copy(f"{other}/{name}", f"{one}/{name}")
    with pytest.raises(DamagedDataError, match="not the sizes of the index"):
        open_cached_split(one).examples([0])
    one = write_text_split(tmp_path / "one text", [[[1, 2, 3]]])
    other = write_text_split(tmp_path / "other text", [[[1, 2], [3], [4]]])
    for file in (name, "index-00000-of-00001.bin"):
        shutil.copy(f"{other}/{file}", f"{one}/{file}")
    split = open_cached_split(one)
    with pytest.raises(ManifestError, match=r"index-00000-of-00001\.bin is damaged"):
        split.token_ranges([0], [1])


def test_pages_of_another_length_are_damaged(tmp_path):
    one = write_text_split(tmp_path / "one", [[[1, 2], [9]]])
    other = write_text_split(tmp_path / "other", [[[1, 2, 3, 4]]])  # as many bytes
    name = "tokens-00000-of-00001.array_record"
    shutil.copy(f"{other}/{name}", f"{one}/{name}")
    with pytest.raises(DamagedDataError, match="page 0: 4 tokens, not 3"):
        open_cached_split(one).token_ranges([0], [3])


def test_a_file_that_goes_away_after_opening(tmp_path):
    directory, _ = _text(tmp_path)
    split, later = open_cached_split(directory), open_cached_split(directory)
    split.token_ranges([0], [1])
    shutil.rmtree(directory)
    split.token_ranges([0], [1])
    with pytest.raises(ManifestError, match="index-00000-of-00002.bin cannot be read"):
        later.token_ranges([0], [1])
    with pytest.raises(FileNotFoundError):
        open_cached_split(directory)


def test_a_file_that_cannot_be_opened_is_not_skipped_as_damaged(tmp_path):
    directory, _ = _text(tmp_path)
    split = open_cached_split(directory, BadRecords(quota=99))
    name = split.manifest.shards[0].name
    shutil.move(f"{directory}/{name}", f"{directory}/moved")
    with pytest.raises(CorpusError, match=f"cannot read .*{name}"):
        split.token_ranges([0], [1])


@pytest.mark.parametrize(
    ("starts", "sizes"), [([-1], [1]), ([0], [10_601]), ([10_600], [1]), ([5], [-1])]
)
def test_ranges_outside_the_text(tmp_path, starts, sizes):
    directory, stream = _text(tmp_path)
    assert len(stream) == 10_600
    with pytest.raises(ValueError, match="are not among the 10600 of task 'some'"):
        open_cached_split(directory).token_ranges(starts, sizes)


def test_examples_that_are_not_there_and_the_wrong_kind(tmp_path):
    split = open_cached_split(write_example_split(tmp_path, [[[[1], [2]]]]))
    for read in (split.sizes, split.examples):
        for index in (-1, 1):
            with pytest.raises(ValueError, match="is not among the 1 of task 'some'"):
                read([index])
    for read in (lambda: split.token_ranges([0], [1]), lambda: list(split.documents())):
        with pytest.raises(ValueError, match="holds examples, not text"):
            read()
    with pytest.raises(ValueError, match="'words' is none of inputs, targets"):
        split.all_tokens("words")
    text = open_cached_split(write_text_split(tmp_path / "text", [[[1]]]))
    for read in (lambda: text.sizes([0]), lambda: text.examples([0]), text.all_sizes):
        with pytest.raises(ValueError, match="holds text, not examples"):
            read()


def test_many_threads_read_one_split(tmp_path):
    directory, stream = _text(tmp_path)

    def read(split: CachedSplit, start: int) -> bool:
        rows, _ = split.token_ranges([start], [568])
        return rows.tokens.tolist() == stream[start : start + 568]

    for _ in range(10):
        split = open_cached_split(directory)
        starts = np.random.default_rng(0).integers(0, len(stream) - 568, 64).tolist()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert all(pool.map(functools.partial(read, split), starts))
