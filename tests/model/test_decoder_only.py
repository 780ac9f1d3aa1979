"""A decoder alone: what it sees, and what it does not."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from oracles.model_runner import run, tiny_decoder, tiny_moe

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.model.features import Tokens
from mtmoe.model.forward import score

L = 8
MODEL = tiny_decoder(
    positions="sinusoidal",
    normalization="layer_norm",
    moe=tiny_moe(evaluation_factor=None),
)


def build(model, packed=False):
    """Logits of rows; with a prefix too."""

    def outputs(context, features):
        shape = mtf.Shape(
            [
                mtf.Dimension("batch", features["ids"].shape[0]),
                mtf.Dimension("length", features["ids"].shape[1]),
            ]
        )
        ids, segments = (
            context.import_tensor(features[name], shape) for name in ("ids", "segments")
        )
        prefix = context.import_tensor(features["prefix"], shape)
        nonpadding = mtf.cast(mtf.not_equal(segments, 0), tf.float32)
        tokens = Tokens(ids, nonpadding, segments if packed else None)
        with_prefix = dataclasses.replace(tokens, prefix=prefix)
        return {
            "language_model": score(context, model, None, tokens).logits,
            "prefix": score(context, model, None, with_prefix).logits,
        }

    return outputs


def rows_of(*examples):
    """Lays examples (ids, prefix length) side by side in one row."""
    row = {
        "ids": np.zeros([1, L], np.int32),
        "segments": np.zeros([1, L], np.int32),
        "prefix": np.zeros([1, L], np.float32),
    }
    places, begin = [], 0
    for number, (ids, prefix) in enumerate(examples):
        place = slice(begin, begin + len(ids))
        row["ids"][0, place] = ids
        row["segments"][0, place] = number + 1
        row["prefix"][0, begin : begin + prefix] = 1
        places.append(place)
        begin = place.stop
    return row, places


def stacked(rows):
    return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}


def test_what_a_change_reaches():
    """Later tokens never reach earlier logits; those of a prefix reach all of it."""
    prefix, ids = 4, np.array([5, 9, 3, 7, 8, 2, 6, 4])
    rows = [rows_of((ids, prefix))[0]]
    for place in range(L):
        changed = ids.copy()
        changed[place] += 10
        rows.append(rows_of((changed, prefix))[0])
    outputs = run(build(MODEL), stacked(rows)).outputs
    for name, logits in outputs.items():
        reached = np.abs(logits[1:] - logits[:1]).max(-1) > 1e-5
        for place in range(L):
            # The last token of all is read by nothing.
            first = place + 1
            if name == "prefix" and place < prefix:
                first = 0
            wanted = [i >= first for i in range(L)]
            if name == "prefix" and place < prefix:
                wanted[0:1] = [True]
            np.testing.assert_array_equal(reached[place], wanted, err_msg=name)


def test_a_packed_segment_scores_as_alone_in_a_row():
    examples = [([5, 9, 3], 2), ([7, 8, 2, 6], 1)]
    packed, places = rows_of(*examples)
    alone = [rows_of(example)[0] for example in examples]
    first = run(build(MODEL, packed=False), stacked(alone))
    both = run(build(MODEL, packed=True), packed, first.variables)
    for name, logits in both.outputs.items():
        for number, place in enumerate(places):
            wanted = first.outputs[name][number, : place.stop - place.start]
            np.testing.assert_allclose(logits[0, place], wanted, atol=1e-5)


def test_a_prefix_that_is_read_as_all_else_changes_nothing():
    model = dataclasses.replace(MODEL, bidirectional_prefix=False)
    row, _ = rows_of(([5, 9, 3, 7], 3))
    outputs = run(build(model), row).outputs
    np.testing.assert_array_equal(outputs["prefix"], outputs["language_model"])


def test_mistakes_are_refused():
    row, _ = rows_of(([5, 9, 3], 0))
    short = dataclasses.replace(MODEL, positions="learned", max_positions=L - 1)
    with pytest.raises(ConfigError, match=f"{L} places"):
        run(build(short), row)

    def with_inputs(context, features):
        shape = mtf.Shape([mtf.Dimension("batch", 1), mtf.Dimension("length", L)])
        ids = context.import_tensor(features["ids"], shape)
        tokens = Tokens(ids, mtf.cast(ids, tf.float32))
        return {"logits": score(context, MODEL, tokens, tokens).logits}

    with pytest.raises(ValueError, match="no inputs"):
        run(with_inputs, {"ids": row["ids"]})
