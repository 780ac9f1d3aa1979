import numpy as np
import pytest
from oracles.model_runner import tiny_model, tiny_moe

from mtmoe.errors import CheckpointError
from mtmoe.surgery.huggingface.names import table

SQUARE = {"d_model": 16, "d_ff": 16, "num_heads": 4, "d_kv": 4}


def rows_of(**fields):
    fields = {"moe": tiny_moe(num_experts=3)} | fields
    return {
        row.ours: row
        for row in table(tiny_model(**SQUARE, **fields), feed_forward="mlp")
    }


def random_tensors(rows, seed=0):
    generator = np.random.default_rng(seed)
    return {
        name: generator.standard_normal(row.their_shape).astype(np.float32)
        for row in rows.values()
        for name in row.theirs
    }


def test_square_experts_are_transposed_once_and_stay_apart():
    """What their linear layers make of x is x times our matrix."""
    rows = rows_of()
    tensors = random_tensors(rows)
    x = np.random.default_rng(1).standard_normal(16)
    for projection in ("wi", "wo"):
        row = rows[f"encoder/layer_001/moe/experts/{projection}"]
        ours = row.take(dict(tensors))
        assert ours.shape == (3, 16, 16)
        for expert in range(3):
            theirs = tensors[
                f"encoder.block.1.layer.1.mlp.experts.expert_{expert}.{projection}"
                ".weight"
            ]
            np.testing.assert_allclose(x @ ours[expert], theirs @ x, atol=1e-5)
            assert np.abs(theirs @ x - theirs.T @ x).max() > 1


def test_heads_and_projections_of_square_attention():
    rows = rows_of()
    tensors = random_tensors(rows)
    x = np.random.default_rng(1).standard_normal(16)
    for name in ("q", "k", "v"):
        ours = rows[f"decoder/layer_000/cross_attention/{name}"].take(dict(tensors))
        theirs = tensors[f"decoder.block.0.layer.1.EncDecAttention.{name}.weight"]
        np.testing.assert_allclose(
            np.einsum("m,mhd->hd", x, ours), (theirs @ x).reshape(4, 4), atol=1e-5
        )
    ours = rows["encoder/layer_000/self_attention/o"].take(dict(tensors))
    theirs = tensors["encoder.block.0.layer.0.SelfAttention.o.weight"]
    np.testing.assert_allclose(
        np.einsum("hd,hdm->m", x.reshape(4, 4), ours), theirs @ x, atol=1e-5
    )


@pytest.mark.parametrize(
    "fields",
    [{}, {"moe": None, "activation": "geglu", "tied_embeddings": False}],
    ids=["sparse", "dense"],
)
def test_there_and_back_is_the_identity(fields):
    rows = rows_of(**fields)
    tensors = random_tensors(rows)
    left = dict(tensors)
    back = {}
    for row in rows.values():
        back.update(row.give(row.take(left)))
    assert not left
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)
        assert back[name].flags.c_contiguous


def test_no_tensor_serves_two_variables():
    names = [name for row in rows_of().values() for name in row.theirs]
    assert len(names) == len(set(names))


def test_missing_and_misshapen_tensors_are_named():
    row = rows_of()["encoder/layer_001/moe/experts/wo"]
    tensors = random_tensors({row.ours: row})
    name = row.theirs[2]
    with pytest.raises(CheckpointError, match=r"experts\.expert_2\.wo\.weight is miss"):
        row.take({key: value for key, value in tensors.items() if key != name})
    tensors[name] = tensors[name][:8]
    with pytest.raises(CheckpointError, match=r"expert_2.*shape \(8, 16\).*\(16, 16\)"):
        row.take(tensors)
    with pytest.raises(CheckpointError, match=r"experts/wo has shape \(3, 16, 8\)"):
        list(row.give(np.zeros([3, 16, 8], np.float32)))
