"""Lookup and label loss: against numpy, Mesh TensorFlow, and on every layout."""

import numpy as np
import pytest
import tensorflow as tf
from oracles.lookup import embedding_gradient, label_cross_entropy
from oracles.mesh_runner import run_mesh, with_gradients

from mtmoe.errors import LayoutError
from mtmoe.mesh import lookup
from mtmoe.mesh.compat import mtf

BATCH = mtf.Dimension("batch", 4)
LENGTH = mtf.Dimension("length", 6)
VOCAB = mtf.Dimension("vocab", 40)
D_MODEL = mtf.Dimension("d_model", 8)
IDS = mtf.Shape([BATCH, LENGTH])

LAYOUTS = [
    ("", ""),
    ("data:2", "batch:data"),
    ("model:2", "vocab:model"),
    ("model:4", "vocab:model"),
    ("model:2", "d_model:model"),
    ("data:2;model:2", "batch:data;vocab:model"),
    ("model:2;data:2", "batch:data;vocab:model"),
    ("data:2;model:2", "batch:data;d_model:model"),
]


@pytest.fixture(name="arrays")
def _arrays():
    rng = np.random.default_rng(0)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    return {
        "table": normal(40, 8),
        # Few distinct ids, so that rows are used more than once; the ends included.
        "ids": rng.choice([0, 3, 19, 20, 39], size=(4, 6)).astype(np.int32),
        "grad_rows": normal(4, 6, 8),
        "logits": 4 * normal(4, 6, 40),
        "grad_loss": normal(4, 6),
    }


def embed(lookup_fn):
    def build(context, features):
        table = context.import_tensor(features["table"], [VOCAB, D_MODEL])
        ids = context.import_tensor(features["ids"], IDS)
        weight = context.import_tensor(features["grad_rows"], IDS + D_MODEL)
        outputs = {"rows": lookup_fn(table, ids)}
        return with_gradients(outputs, {"rows": weight}, {"table": table})

    return build


def score(loss_fn):
    def build(context, features):
        logits = context.import_tensor(features["logits"], IDS + VOCAB)
        labels = context.import_tensor(features["ids"], IDS)
        weight = context.import_tensor(features["grad_loss"], IDS)
        outputs = {"loss": loss_fn(logits, labels)}
        return with_gradients(outputs, {"loss": weight}, {"logits": logits})

    return build


def only(arrays, *names):
    return {name: arrays[name] for name in names}


def assert_all_close(got, wanted, tolerance=1e-5):
    assert got.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(
            got[name], wanted[name], rtol=tolerance, atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize(("mesh_shape", "rules"), LAYOUTS)
def test_embedding_lookup(arrays, mesh_shape, rules):
    arrays = only(arrays, "table", "ids", "grad_rows")
    got = run_mesh(embed(lookup.embedding_lookup), arrays, mesh_shape, rules)
    np.testing.assert_array_equal(got["rows"], arrays["table"][arrays["ids"]])
    wanted = embedding_gradient(
        arrays["ids"].ravel(), arrays["grad_rows"].reshape(-1, 8), 40
    )
    np.testing.assert_allclose(got["grad_table"], wanted, rtol=1e-5, atol=1e-6)
    unused = np.setdiff1d(np.arange(40), arrays["ids"])
    assert np.all(got["grad_table"][unused] == 0.0)


@pytest.mark.parametrize(("mesh_shape", "rules"), LAYOUTS[::5])
def test_embedding_lookup_agrees_with_mtf_gather(arrays, mesh_shape, rules):
    arrays = only(arrays, "table", "ids", "grad_rows")
    got = run_mesh(embed(lookup.embedding_lookup), arrays, mesh_shape, rules)
    wanted = run_mesh(
        embed(lambda table, ids: mtf.gather(table, ids, VOCAB)),
        arrays,
        mesh_shape,
        rules,
    )
    assert_all_close(got, wanted)


def test_embedding_lookup_output_shape(arrays):
    shape = mtf.Shape([LENGTH, D_MODEL, BATCH])

    def build(context, features):
        table = context.import_tensor(features["table"], [VOCAB, D_MODEL])
        ids = context.import_tensor(features["ids"], IDS)
        rows = lookup.embedding_lookup(table, ids, output_shape=shape)
        assert rows.shape == shape
        return {"rows": rows}

    got = run_mesh(build, only(arrays, "table", "ids"))
    wanted = arrays["table"][arrays["ids"]].transpose(1, 2, 0)
    np.testing.assert_array_equal(got["rows"], wanted)


def test_bfloat16_gradient_is_added_up_in_float32():
    """1 + 4096 * 2^-9: in bfloat16 each small addend would be lost."""
    ids = np.zeros((4, 1025), np.int32)
    grad_rows = np.full((4, 1025, 8), 2.0**-9, np.float32)
    grad_rows[0, 0] = 1.0
    length = mtf.Dimension("length", 1025)

    def build(context, features):
        table = context.import_tensor(features["table"], [VOCAB, D_MODEL])
        ids = context.import_tensor(features["ids"], [BATCH, length])
        weight = context.import_tensor(features["grad_rows"], [BATCH, length, D_MODEL])
        table = mtf.cast(table, tf.bfloat16)
        rows = lookup.embedding_lookup(table, ids)
        (gradient,) = mtf.gradients(
            [rows], [table], grad_ys=[mtf.cast(weight, tf.bfloat16)]
        )
        assert rows.dtype == gradient.dtype == tf.bfloat16
        return {"gradient": mtf.cast(gradient, tf.float32)}

    table = np.zeros((40, 8), np.float32)
    got = run_mesh(build, {"table": table, "ids": ids, "grad_rows": grad_rows})
    np.testing.assert_allclose(got["gradient"][0], 9.0, rtol=2**-8)


def test_embedding_lookup_refuses_one_axis_for_vocab_and_ids(arrays):
    arrays = only(arrays, "table", "ids", "grad_rows")
    with pytest.raises(LayoutError, match="'data'.*'vocab'"):
        run_mesh(
            embed(lookup.embedding_lookup), arrays, "data:2", "batch:data;vocab:data"
        )


def test_embedding_lookup_refuses_shared_dimensions(arrays):
    def build(context, features):
        table = context.import_tensor(features["table"], [VOCAB, D_MODEL])
        ids = context.import_tensor(features["ids"], [BATCH, VOCAB])
        return {"rows": lookup.embedding_lookup(table, ids)}

    ids = np.zeros((4, 40), np.int32)
    with pytest.raises(ValueError, match="share"):
        run_mesh(build, {"table": arrays["table"], "ids": ids})


@pytest.mark.parametrize("z_loss", [0.0, 1e-2])
@pytest.mark.parametrize(
    ("mesh_shape", "rules"),
    [layout for layout in LAYOUTS if "d_model" not in layout[1]],
)
def test_label_cross_entropy(arrays, mesh_shape, rules, z_loss):
    arrays = only(arrays, "logits", "ids", "grad_loss")
    got = run_mesh(
        score(lambda x, y: lookup.label_cross_entropy(x, y, VOCAB, z_loss)),
        arrays,
        mesh_shape,
        rules,
    )
    loss, gradient = label_cross_entropy(
        arrays["logits"].reshape(-1, 40), arrays["ids"].ravel(), z_loss
    )
    gradient = gradient.reshape(4, 6, 40) * arrays["grad_loss"][..., None]
    wanted = {"loss": loss.reshape(4, 6), "grad_logits": gradient}
    assert_all_close(got, wanted)


def test_label_cross_entropy_agrees_with_mtf(arrays):
    arrays = only(arrays, "logits", "ids", "grad_loss")
    got, wanted = (
        run_mesh(
            score(lambda x, y, fn=fn: fn(x, y, VOCAB, z_loss=1e-3)),
            arrays,
        )
        for fn in (
            lookup.label_cross_entropy,
            mtf.layers.softmax_cross_entropy_with_logits,
        )
    )
    assert_all_close(got, wanted)


@pytest.mark.parametrize(
    ("mesh_shape", "rules"), [("", ""), ("model:2", "vocab:model")]
)
def test_label_cross_entropy_is_stable(arrays, mesh_shape, rules):
    """Logits of +-1e4, and one of minus infinity, give finite losses and gradients."""
    arrays = only(arrays, "logits", "ids", "grad_loss")
    arrays["logits"] = arrays["logits"] * 1e3
    arrays["logits"][:, :, 1] = -np.inf
    got = run_mesh(
        score(lambda x, y: lookup.label_cross_entropy(x, y, VOCAB)),
        arrays,
        mesh_shape,
        rules,
    )
    loss, gradient = label_cross_entropy(
        arrays["logits"].reshape(-1, 40), arrays["ids"].ravel(), 0.0
    )
    assert np.all(np.isfinite(loss)) and loss.max() > 1e3
    gradient = gradient.reshape(4, 6, 40) * arrays["grad_loss"][..., None]
    wanted = {"loss": loss.reshape(4, 6), "grad_logits": gradient}
    # float32 keeps 1e4 to about 1e-3.
    assert_all_close(got, wanted, tolerance=2e-3)


def test_label_cross_entropy_of_bfloat16_is_computed_in_float32(arrays):
    arrays = only(arrays, "logits", "ids", "grad_loss")

    def build(context, features):
        logits = context.import_tensor(features["logits"], IDS + VOCAB)
        logits = mtf.cast(logits, tf.bfloat16)
        labels = context.import_tensor(features["ids"], IDS)
        loss = lookup.label_cross_entropy(logits, labels, VOCAB)
        (gradient,) = mtf.gradients([loss], [logits])
        assert loss.dtype == tf.float32 and gradient.dtype == tf.bfloat16
        return {"loss": loss, "grad_logits": mtf.cast(gradient, tf.float32)}

    got = run_mesh(build, only(arrays, "logits", "ids"))
    rounded = tf.cast(tf.cast(arrays["logits"], tf.bfloat16), tf.float32).numpy()
    loss, gradient = label_cross_entropy(
        rounded.reshape(-1, 40), arrays["ids"].ravel(), 0.0
    )
    np.testing.assert_allclose(got["loss"].ravel(), loss, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        got["grad_logits"].reshape(-1, 40), gradient, rtol=2**-8, atol=1e-6
    )


def test_label_cross_entropy_with_dimensions_in_any_order(arrays):
    def build(context, features):
        logits = context.import_tensor(features["logits"], [LENGTH, VOCAB, BATCH])
        labels = context.import_tensor(features["ids"], IDS)
        loss = lookup.label_cross_entropy(logits, labels, VOCAB)
        (gradient,) = mtf.gradients([loss], [logits])
        assert set(loss.shape.dims) == set(IDS.dims)
        return {"loss": mtf.transpose(loss, IDS), "grad_logits": gradient}

    logits = arrays["logits"].transpose(1, 2, 0)
    got = run_mesh(build, {"logits": logits, "ids": arrays["ids"]})
    loss, gradient = label_cross_entropy(
        arrays["logits"].reshape(-1, 40), arrays["ids"].ravel(), 0.0
    )
    gradient = gradient.reshape(4, 6, 40).transpose(1, 2, 0)
    assert_all_close(got, {"loss": loss.reshape(4, 6), "grad_logits": gradient})


@pytest.mark.parametrize("part", [0, 1])
def test_each_part_of_the_loss_has_its_gradient(arrays, part):
    arrays = only(arrays, "logits", "ids", "grad_loss")
    got = run_mesh(score(lambda x, y: lookup.score_labels(x, y, VOCAB)[part]), arrays)
    loss, gradient = label_cross_entropy(
        arrays["logits"].reshape(-1, 40), arrays["ids"].ravel(), 0.0
    )
    if part == 1:  # log(Z) = loss + logits[label]
        rows, labels = np.arange(24), arrays["ids"].ravel()
        loss = loss + arrays["logits"].reshape(-1, 40)[rows, labels]
        gradient[rows, labels] += 1
    gradient = gradient.reshape(4, 6, 40) * arrays["grad_loss"][..., None]
    assert_all_close(got, {"loss": loss.reshape(4, 6), "grad_logits": gradient})


@pytest.mark.parametrize("rules", ["", "vocab:model"])
def test_label_is_largest_where_no_logit_is_larger(arrays, rules):
    logits = np.round(arrays["logits"])  # so that there are ties
    labels = np.where(arrays["ids"] % 2, logits.argmax(-1), arrays["ids"])

    def build(context, features):
        logits = context.import_tensor(features["logits"], IDS + VOCAB)
        labels = context.import_tensor(features["ids"], IDS)
        return {"is_largest": lookup.score_labels(logits, labels, VOCAB).is_largest}

    got = run_mesh(
        build,
        {"logits": logits, "ids": labels.astype(np.int32)},
        "model:2" if rules else "",
        rules,
    )
    label_logits = np.take_along_axis(logits, labels[..., None], -1)[..., 0]
    want = label_logits == logits.max(-1)
    assert 0 < want.sum() < want.size
    np.testing.assert_array_equal(got["is_largest"], want)


def test_label_cross_entropy_refuses_other_dimensions(arrays):
    def build(context, features):
        logits = context.import_tensor(features["logits"], IDS + VOCAB)
        labels = context.import_tensor(features["labels"], [BATCH])
        return {"loss": lookup.label_cross_entropy(logits, labels, VOCAB)}

    with pytest.raises(ValueError, match="labels must have the dimensions"):
        run_mesh(build, {"logits": arrays["logits"], "labels": arrays["ids"][:, 0]})


@pytest.mark.parametrize(("mesh_shape", "rules"), [("", ""), ("m:4", "vocab:m")])
def test_mtf_argmax_takes_a_split_vocabulary(arrays, mesh_shape, rules):
    """We rely on `mtf.argmax` for predictions, ties going to the lowest id."""
    logits = np.round(arrays["logits"])

    def build(context, features):
        logits = context.import_tensor(features["logits"], IDS + VOCAB)
        return {"ids": mtf.argmax(logits, VOCAB)}

    got = run_mesh(build, {"logits": logits}, mesh_shape, rules)
    np.testing.assert_array_equal(got["ids"], logits.argmax(-1))
