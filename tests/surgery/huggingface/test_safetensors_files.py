import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mtmoe.errors import CheckpointError
from mtmoe.surgery.huggingface.files import (
    new_folder,
    read_json,
    read_tensors,
    write_tensors,
)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_every_float_type_is_read_as_float32(tmp_path, dtype):
    tensor = torch.randn(3, 5).to(getattr(torch, dtype))
    save_file({"a": tensor}, tmp_path / "model.safetensors")
    read = read_tensors(tmp_path)["a"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, tensor.float().numpy())


def test_other_types_are_refused(tmp_path):
    tensors = {"a": torch.ones(2), "counts": torch.ones(2, dtype=torch.int32)}
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="counts is of type I32"):
        read_tensors(tmp_path)


def write_shards(folder, weight_map):
    save_file({"a": torch.zeros(2), "b": torch.ones(2)}, folder / "one.safetensors")
    save_file({"c": torch.full((2,), 2.0)}, folder / "two.safetensors")
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


WHOLE = {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}


def test_shards_are_read_as_one(tmp_path):
    write_shards(tmp_path, WHOLE)
    tensors = read_tensors(tmp_path)
    assert {name: tensor[0] for name, tensor in tensors.items()} == {
        "a": 0.0,
        "b": 1.0,
        "c": 2.0,
    }


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        (WHOLE | {"d": "two.safetensors"}, "do not hold: .'d'"),
        ({"a": "one.safetensors", "c": "two.safetensors"}, "holds b, which .* no file"),
        (WHOLE | {"c": "../two.safetensors"}, "not a file name"),
        (WHOLE | {"c": "three.safetensors"}, r"three\.safetensors cannot be read"),
        ({}, "has no weight_map"),
    ],
)
def test_an_index_that_does_not_fit_its_shards_is_an_error(
    tmp_path, weight_map, message
):
    write_shards(tmp_path, weight_map)
    with pytest.raises(CheckpointError, match=message):
        read_tensors(tmp_path)


def test_pickles_are_not_read(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(
        CheckpointError, match=r"pytorch_model\.bin, a pickle.*not read"
    ):
        read_tensors(tmp_path)


def test_an_empty_folder_says_what_is_wanted(tmp_path):
    with pytest.raises(CheckpointError, match=r"neither model\.safetensors nor"):
        read_tensors(tmp_path)
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        read_json(tmp_path / "config.json")


def test_a_damaged_file_is_an_error(tmp_path):
    write_tensors(tmp_path, {"a": np.ones([4, 4], np.float32)})
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        read_tensors(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="must hold a JSON object"):
        read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_json(tmp_path / "config.json")


def test_a_file_that_cannot_be_written_leaves_no_folder(tmp_path):
    with pytest.raises(CheckpointError, match="new could not be written"):
        with new_folder(tmp_path / "new") as folder:
            write_tensors(folder / "nowhere", {"a": np.ones([4, 4], np.float32)})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_there_in_full_or_not_at_all(tmp_path):
    path = tmp_path / "new"
    with pytest.raises(RuntimeError), new_folder(path) as folder:
        (folder / "half").write_text("written")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "new.tmp").mkdir()  # of a process that was killed
    (tmp_path / "new.tmp" / "old").write_text("")
    with new_folder(path) as folder:
        (folder / "whole").write_text("written")
    assert [entry.name for entry in path.iterdir()] == ["whole"]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(CheckpointError, match="exists and is not empty"):
        with new_folder(path):
            raise AssertionError
    assert (path / "whole").read_text() == "written"
    with pytest.raises(CheckpointError, match="could not be written"):
        with new_folder(path / "whole" / "below"):
            raise AssertionError
