"""Weights that are no numbers are named, with how many there are."""

import numpy as np
import pytest

from mtmoe.checkpoint import store
from mtmoe.checkpoint.finite import check_finite
from mtmoe.errors import CheckpointError


def weights(**bad):
    values = {"count": np.array([1]), "encoder/wi": np.ones((2, 3), np.float32)}
    return values | {name: np.array(value, np.float32) for name, value in bad.items()}


def test_numbers_pass():
    check_finite(weights(w=[1e38, -1e-45, 0.0]), "here")


def test_a_tensor_is_named_with_its_count():
    bad = {"decoder/wo": [np.inf, 1.0, np.nan, -np.inf], "scale": [np.nan]}
    with pytest.raises(CheckpointError) as caught:
        check_finite(weights(**bad), "file.safetensors")
    text = str(caught.value)
    assert "file.safetensors: tensor decoder/wo: 3 of 4 values are not finite" in text
    assert "(2 infinite, 1 NaN)" in text
    assert "tensor scale: 1 of 1 values are not finite (1 NaN)" in text


def test_a_checkpoint_with_such_weights_is_not_loaded(tmp_path):
    store.save(tmp_path, 3, weights(), {})
    store.save(tmp_path, 4, weights(w=[np.inf]), {})
    assert store.load(tmp_path, 3).step == 3
    with pytest.raises(CheckpointError, match="step_4: tensor w: 1 of 1 values"):
        store.load(tmp_path, 4)
