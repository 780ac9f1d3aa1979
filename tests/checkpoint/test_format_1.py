"""Checkpoints of format 1, as mtmoe 0.1 wrote them: read and verified for ever.

`data/format_1/step_3` was written by that version: TensorFlow's files and a manifest.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mtmoe.checkpoint import store
from mtmoe.errors import CheckpointError

WRITTEN = Path(__file__).parent / "data" / "format_1"
FILES = ["MANIFEST.json", "variables.data-00000-of-00001", "variables.index"]


def written() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    return {
        "encoder/layer_0/wi": generator.normal(size=(40, 8)).astype(np.float32),
        "encoder/layer_0/wi/vr": generator.normal(size=(40,)).astype(np.float32),
        "scalar": np.float32(0.25).reshape(()),
        "count": np.array([3, 4], np.int32),
    }


def test_it_is_loaded_bit_for_bit() -> None:
    assert store.latest(WRITTEN) == 3
    checkpoint = store.load(WRITTEN, 3)
    assert checkpoint.metadata == {"seed": 3, "name": "é"}
    assert checkpoint.values.keys() == written().keys()
    for name, value in written().items():
        assert checkpoint.values[name].dtype == value.dtype
        np.testing.assert_array_equal(checkpoint.values[name], value)


def test_slices_of_it_are_read() -> None:
    reader = store.open(WRITTEN, 3)
    assert reader.variables["encoder/layer_0/wi"] == ((40, 8), "float32")
    part = reader.read("encoder/layer_0/wi", (4, 2), (3, 5))
    np.testing.assert_array_equal(part, written()["encoder/layer_0/wi"][4:7, 2:7])


@pytest.mark.parametrize("name", FILES)
def test_damage_is_found(tmp_path: Path, name: str) -> None:
    shutil.copytree(WRITTEN / "step_3", tmp_path / "step_3")
    content = bytearray((tmp_path / "step_3" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "step_3" / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        store.load(tmp_path, 3)


def test_a_run_goes_on_in_the_new_format(tmp_path: Path) -> None:
    shutil.copytree(WRITTEN / "step_3", tmp_path / "step_3")
    store.save(tmp_path, 4, written(), {})
    store.save(tmp_path, 5, written(), {})
    assert store.latest(tmp_path) == 5
    assert store.prune(tmp_path, 2) == [3]
