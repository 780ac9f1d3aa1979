"""The oracle is the library's own reader."""

from __future__ import annotations

import concurrent.futures
import os
import random
import resource
import subprocess
import sys
import textwrap

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from array_record.python import array_record_module

from mtmoe.data.token_cache.files.record_file import (
    RecordFile,
    find_records,
    write_records,
)
from mtmoe.errors import CorpusError, DamagedRecordError, MtmoeError

_BLOCK = 1 << 16

# Sizes that meet the ends of blocks, of varints, and everything between.
_SIZES = st.one_of(
    st.integers(0, 300),
    st.integers(4000, 4200),
    st.integers(_BLOCK - 200, _BLOCK + 200),
    st.integers(0, 300_000),
)


def _records(sizes: list[int], seed: int) -> list[bytes]:
    generator = random.Random(seed)
    return [generator.randbytes(size) for size in sizes]


def _library_records(path: str) -> list[bytes]:
    reader = array_record_module.ArrayRecordReader(
        path, "readahead_buffer_size:0,max_parallelism:0"
    )
    try:
        return reader.read_all()
    finally:
        reader.close()


def _read_all(path: str, places) -> list[bytes]:
    file = RecordFile(path, *places)
    return [bytes(file.read(record)) for record in range(len(file))]


@hypothesis.given(st.lists(_SIZES, max_size=30), st.integers(0, 99))
@hypothesis.settings(max_examples=60)
def test_any_records_are_read_as_the_library_reads_them(tmp_path_factory, sizes, seed):
    path = str(tmp_path_factory.mktemp("records") / "any.array_record")
    records = _records(sizes, seed)
    places = write_records(path, records)
    assert places.sizes.tolist() == sizes
    assert _library_records(path) == records
    assert _read_all(path, places) == records


def test_every_alignment_at_the_end_of_a_block(tmp_path):
    path = str(tmp_path / "aligned.array_record")
    for size in range(_BLOCK - 210, _BLOCK - 90):
        # The second record's header, then its content, slides over the block's end.
        records = [b"a" * size, b"bcd", b"", b"e" * (_BLOCK + 5), b"f"]
        assert _read_all(path, write_records(path, records)) == records
    assert _library_records(path) == records


def test_many_records_in_random_order(tmp_path):
    path = str(tmp_path / "many.array_record")
    records = _records([4110] * 3000, seed=1)
    file = RecordFile(path, *write_records(path, iter(records)))
    order = random.Random(2).choices(range(3000), k=4000)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(file.read, order))
    assert all(bytes(a) == records[b] for a, b in zip(found, order, strict=True))


def test_the_same_records_make_the_same_file(tmp_path):
    records = _records([10, 100_000, 0, 5], seed=3)
    for name in "ab":
        write_records(tmp_path / name, records)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_record_inside_a_block_is_not_copied(tmp_path):
    path = tmp_path / "one"
    file = RecordFile(path, *write_records(path, [b"x" * 1000]))
    assert isinstance(file.read(0), memoryview)


def test_no_more_threads(tmp_path):
    before = len(os.listdir("/proc/self/task"))
    path = tmp_path / "threads"
    places = write_records(path, [b"x" * 5000] * 100)
    _read_all(str(path), places)
    assert len(os.listdir("/proc/self/task")) == before


def test_an_error_of_the_source_is_not_taken_for_one_of_the_file(tmp_path):
    def records():
        yield b"one"
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_records(tmp_path / "broken", records())


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(
        MtmoeError, match=r"cannot write .*/absent/file: .*No such file"
    ):
        write_records(tmp_path / "absent" / "file", [b"x"])
    with pytest.raises(MtmoeError, match="cannot write /dev/full: .*No space left"):
        write_records("/dev/full", [b"x" * 100_000] * 50)


def test_a_library_that_joins_records_is_refused(tmp_path, monkeypatch):
    writer = array_record_module.ArrayRecordWriter
    monkeypatch.setattr(
        array_record_module,
        "ArrayRecordWriter",
        lambda path, options: writer(path, "group_size:4,uncompressed"),
    )
    with pytest.raises(DamagedRecordError, match="does not hold one record"):
        write_records(tmp_path / "joined", [b"a", b"b"])
    monkeypatch.setattr(
        array_record_module,
        "ArrayRecordWriter",
        lambda path, options: writer(path, "group_size:1,zstd"),
    )
    with pytest.raises(DamagedRecordError, match="a compressed chunk"):
        write_records(tmp_path / "compressed", [b"a" * 1000])


def test_a_library_that_writes_other_records_is_refused(tmp_path, monkeypatch):
    writer = array_record_module.ArrayRecordWriter

    class Doubled:
        def __init__(self, path, options):
            self.writer = writer(path, options)

        def write(self, record):
            self.writer.write(record * 2)

        def close(self):
            self.writer.close()

    monkeypatch.setattr(array_record_module, "ArrayRecordWriter", Doubled)
    with pytest.raises(MtmoeError, match="does not write one record a chunk as it is"):
        write_records(tmp_path / "doubled", [b"ab"])


def test_a_file_shorter_than_its_records(tmp_path):
    path = tmp_path / "short"
    places = write_records(path, [b"x" * 50_000] * 4)
    with open(path, "r+b") as file:
        file.truncate(120_000)
    read = RecordFile(path, *places)
    assert bytes(read.read(0)) == b"x" * 50_000
    with pytest.raises(DamagedRecordError) as caught:
        read.read(3)
    assert caught.value.path == str(path)
    assert caught.value.offset == read.offset(3) == places.offsets[3]
    assert "the file ends before the record does" in caught.value.reason
    with open(path, "r+b") as file:
        file.truncate(0)
    with pytest.raises(
        DamagedRecordError, match="the file ends before the record does"
    ):
        RecordFile(path, *places).read(0)


def test_a_file_that_is_gone(tmp_path):
    places = write_records(tmp_path / "gone", [b"x"])
    (tmp_path / "gone").unlink()
    with pytest.raises(CorpusError, match="cannot read .*/gone"):
        RecordFile(tmp_path / "gone", *places).read(0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: b"", "the file is empty"),
        (lambda content: content[:100], "not a whole file"),
        (lambda content: content[:-_BLOCK], "not a whole file"),
        (
            # The last block: header, header of its chunk, then the footer's offset.
            lambda content: (
                content[: 70 - _BLOCK]
                + bytes([content[70 - _BLOCK] - 1])
                + content[71 - _BLOCK :]
            ),
            "the footer is not where the records end",
        ),
        (lambda content: bytes(len(content)), "a chunk of the unknown type 0"),
        (lambda content: content[:88] + b"?" + content[89:], "the unknown type 63"),
        (lambda content: content[:72] + b"\xff" + content[73:], "not hold one record"),
        (
            lambda content: content[:-_BLOCK] + content[:_BLOCK],
            "the last block holds no postscript",
        ),
    ],
)
def test_damaged_headers_are_found(tmp_path, change, reason):
    path = tmp_path / "damaged"
    write_records(path, [b"x" * 300] * 3)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DamagedRecordError, match=reason):
        find_records(path)


def test_any_flipped_byte_of_a_header_is_an_error_or_harmless(tmp_path):
    path = tmp_path / "flipped"
    places = write_records(path, [b"x" * 300, b"y" * 200])
    content = path.read_bytes()
    for place in [
        *range(64, 110),
        *range(len(content) - _BLOCK, len(content) - _BLOCK + 80),
    ]:
        path.write_bytes(
            content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]
        )
        try:
            found = find_records(path)
        except DamagedRecordError as error:
            assert str(path) in str(error)
        else:
            assert np.array_equal(found.offsets, places.offsets)
            assert np.array_equal(found.sizes, places.sizes)


def test_more_files_than_file_descriptors(tmp_path):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    script = textwrap.dedent(
        f"""
        import resource
        from mtmoe.data.token_cache.files.record_file import RecordFile, write_records
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, {most}))
        path = {str(tmp_path / "file")!r}
        places = write_records(path, [b"content"])
        files = [RecordFile(path, *places) for _ in range(200)]
        assert {{bytes(file.read(0)) for file in files}} == {{b"content"}}
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
        try:
            RecordFile(path, *places).read(0)
        except Exception as error:
            print(type(error).__name__, error)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert "CorpusError" in done.stdout
    assert "Too many open files" in done.stdout
