"""Slices of variables: written in any grid, read in any other, holes refused."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import thread_processes as threads
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtmoe.checkpoint import shards, store
from mtmoe.checkpoint.manifest import MANIFEST_NAME, Manifest, file_sha256, signed_json
from mtmoe.checkpoint.pieces import Box, Piece, check_cover
from mtmoe.errors import CheckpointError, UnknownNameError

DTYPES = [np.float32, np.int32, np.float64, np.uint8, np.bool_, ml_dtypes.bfloat16]
SETTINGS = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def cuts(size: int) -> st.SearchStrategy[list[int]]:
    """Where a dimension is cut: 0, some places, its size."""
    inner = st.sets(st.integers(0, size), max_size=3)
    return inner.map(lambda places: sorted({0, size, *places}))


@st.composite
def grids(draw: st.DrawFn, shape: tuple[int, ...]) -> list[Box]:
    """Boxes that fill a shape."""
    edges = [draw(cuts(size)) for size in shape]
    sides = [list(itertools.pairwise(edge)) or [(0, 0)] for edge in edges]
    return [
        Box(tuple(b for b, _ in cell), tuple(e - b for b, e in cell))
        for cell in itertools.product(*sides)
    ]


@st.composite
def variables(draw: st.DrawFn) -> tuple[np.ndarray, list[Box], list[Box]]:
    """A value, the grid it is written in, the grid it is read in."""
    shape = tuple(draw(st.lists(st.integers(0, 9), max_size=3)))
    seed, dtype = draw(st.integers(0, 99)), draw(st.sampled_from(DTYPES))
    value = np.random.default_rng(seed).integers(0, 200, size=shape).astype(dtype)
    return value, draw(grids(shape)), draw(grids(shape))


def pieces_of(name: str, value: np.ndarray, boxes: list[Box]) -> list[Piece]:
    outer = Box((0,) * value.ndim, value.shape)
    return [Piece(name, value.shape, b.begin, value[b.within(outer)]) for b in boxes]


@SETTINGS
@given(
    written=st.lists(variables(), min_size=1, max_size=3),
    count=st.integers(1, 3),
    block=st.sampled_from([1, 8, 64, 1 << 20]),
    data=st.data(),
)
def test_what_is_written_in_one_grid_is_read_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written, count, block, data
) -> None:
    monkeypatch.setattr(shards, "BLOCK_BYTES", block)
    pieces = [
        piece
        for number, (value, boxes, _) in enumerate(written)
        for piece in pieces_of(f"v/{number}", value, boxes)
    ]
    owner = [data.draw(st.integers(0, count - 1)) for _ in pieces]

    def save(process: threads.ThreadProcess) -> Path:
        own = [p for p, o in zip(pieces, owner, strict=True) if o == process.index]
        return store.save(tmp_path, 1, own, {"a": 1}, process)

    assert threads.run(count, save) == [tmp_path / "step_1"] * count
    reader = store.open(tmp_path, 1)
    for number, (value, _, boxes) in enumerate(written):
        name, outer = f"v/{number}", Box((0,) * value.ndim, value.shape)
        assert reader.variables[name] == (value.shape, value.dtype.name)
        for box in boxes:
            read = reader.read(name, box.begin, box.size)
            assert read.dtype == value.dtype
            assert read.tobytes() == value[box.within(outer)].tobytes()
        assert store.load(tmp_path, 1).values[name].tobytes() == value.tobytes()


def matrix() -> np.ndarray:
    return np.arange(24, dtype=np.float32).reshape(4, 6)


def test_a_slice_has_its_place_in_its_name(tmp_path: Path) -> None:
    boxes = [Box((0, 0), (4, 4)), Box((0, 4), (4, 2))]
    store.save(tmp_path, 1, pieces_of("w", matrix(), boxes), {})
    read = safetensors.numpy.load_file(
        tmp_path / "step_1" / "shard_00000-of-00001.safetensors"
    )
    assert read.keys() == {"w[0:4, 0:4]", "w[0:4, 4:6]"}
    np.testing.assert_array_equal(read["w[0:4, 4:6]"], matrix()[:, 4:])


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([Box((0, 0), (2, 6))], r"w\[2:4, 0:6\] is in no piece"),
        ([Box((0, 0), (3, 6)), Box((2, 0), (2, 6))], r"w\[2:3, 0:6\] is in 2 pieces"),
        ([Box((0, 0), (4, 6)), Box((0, 0), (4, 6))], r"w\[0:4, 0:6\] is in 2 pieces"),
        # As many elements as the whole has, and still a hole.
        ([Box((0, 0), (3, 6)), Box((1, 0), (1, 6))], r"w\[1:2, 0:6\] is in 2 pieces"),
        ([Box((1, 0), (4, 6))], r"w\[1:5, 0:6\] is outside of its shape \[4, 6\]"),
        ([Box((0, 0, 0), (4, 6, 1))], "w.* is outside of its shape"),
    ],
)
def test_a_hole_and_an_overlap_are_named(boxes: list[Box], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        check_cover([("w", (4, 6), "float32", box) for box in boxes], "here")


@SETTINGS
@given(data=st.data())
def test_any_grid_less_one_piece_is_refused(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    boxes = [box for box in data.draw(grids(shape)) if box.elements]
    entries = [("w", shape, "float32", box) for box in boxes]
    assert check_cover(entries, "here") == {"w": (shape, "float32")}
    lost = data.draw(st.integers(0, len(boxes) - 1))
    with pytest.raises(CheckpointError, match="in 2 pieces"):
        check_cover([*entries, entries[lost]], "here")
    if len(boxes) > 1:
        with pytest.raises(CheckpointError, match="in no piece"):
            check_cover(entries[:lost] + entries[lost + 1 :], "here")


def test_pieces_must_agree_on_the_whole() -> None:
    whole = Box((0,), (2,))
    with pytest.raises(CheckpointError, match=r"w is float32\[3\] in .*float32\[2\]"):
        check_cover(
            [("w", (2,), "float32", whole), ("w", (3,), "float32", whole)], "here"
        )


def test_a_checkpoint_that_lost_a_process_is_not_saved(tmp_path: Path) -> None:
    """Both hold four experts of eight, and both write the same four."""
    experts = np.arange(80, dtype=np.float32).reshape(8, 10)

    def save(process: threads.ThreadProcess) -> None:
        piece = Piece("experts", (8, 10), (0, 0), experts[:4])
        store.save(tmp_path, 1, [piece], {}, process)

    errors = threads.run(2, save)
    assert all(isinstance(error, CheckpointError) for error in errors)
    assert all("experts[0:4, 0:10] is in 2 pieces" in str(e) for e in errors)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_lost_a_shard_is_not_opened(tmp_path: Path) -> None:
    """Even if the manifest agrees that the shard was never there."""
    half = [[Box((0, 0), (2, 6))], [Box((2, 0), (2, 6))]]
    threads.run(
        2,
        lambda p: store.save(
            tmp_path, 1, pieces_of("w", matrix(), half[p.index]), {}, p
        ),
    )
    folder = tmp_path / "step_1"
    index = json.loads((folder / "shard_00000-of-00002.json").read_text())
    del index["sha256"]
    (folder / "shard_00000-of-00001.json").write_text(
        signed_json({**index, "processes": 1})
    )
    path = folder / "shard_00000-of-00001.json"
    entry = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    forged = dataclasses.replace(Manifest.read(folder), files={path.name: entry})
    (folder / MANIFEST_NAME).write_text(forged.to_json())
    for read in (store.open, store.verify, store.load):
        with pytest.raises(CheckpointError, match=r"w\[2:4, 0:6\] is in no piece"):
            read(tmp_path, 1)


def test_only_the_blocks_of_a_slice_are_read_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "BLOCK_BYTES", 48)  # two rows of six floats
    store.save(tmp_path, 1, {"w": matrix()}, {})
    path = tmp_path / "step_1" / "shard_00000-of-00001.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    reader = store.open(tmp_path, 1)
    np.testing.assert_array_equal(reader.read("w", (0, 1), (2, 3)), matrix()[:2, 1:4])
    with pytest.raises(CheckpointError, match=r"damaged in w\[0:4, 0:6\], at byte"):
        reader.read("w", (1, 0), (2, 6))


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    store.save(tmp_path, 1, {"w": matrix(), "count": np.array([3], np.int32)}, {"s": 1})
    files = sorted((tmp_path / "step_1").iterdir())
    assert len(files) == 3
    for path in files:
        content = path.read_bytes()
        for place in range(len(content)):
            flipped = bytearray(content)
            flipped[place] ^= 1 << place % 8
            path.write_bytes(flipped)
            with pytest.raises(CheckpointError):
                store.verify(tmp_path, 1)
        path.write_bytes(content)
    store.verify(tmp_path, 1)


def test_wrong_names_and_places(tmp_path: Path) -> None:
    store.save(tmp_path, 1, {"decoder/wi": matrix()}, {})
    reader = store.open(tmp_path, 1)
    with pytest.raises(UnknownNameError, match="did you mean decoder/wi"):
        reader.read("decoder/w1")
    for begin, size in (((0, 0), (5, 6)), ((-1, 0), (2, 6)), ((0,), (4,))):
        with pytest.raises(ValueError):
            reader.read("decoder/wi", begin, size)


def test_a_type_that_cannot_be_stored_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="variable w is of type complex64"):
        store.save(tmp_path, 1, {"w": np.ones(2, np.complex64)}, {})
