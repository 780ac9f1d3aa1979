"""Rows are laid out as SeqIO's packer and its feature converters lay them out."""

from __future__ import annotations

import numpy as np
import pytest
import seqio
import tensorflow as tf

from mtmoe.data.batches.batch import Batch
from mtmoe.data.batches.layout import lay_out
from mtmoe.data.batches.mixture_rows import Group
from mtmoe.data.ground.token_rows import join_rows
from mtmoe.data.rows.recipes import Examples

VOCABULARY = seqio.ByteVocabulary(extra_ids=100)
LENGTHS = {"inputs": 14, "targets": 9}
EXAMPLES = [
    ([5, 6, 7, 1], [8, 9, 1]),
    ([10, 11, 12, 13, 14, 1], [15, 1]),
    ([16, 1], [17, 18, 1]),
    ([19] * 13 + [1], [20] * 8 + [1]),
    ([21, 22, 1], [1]),
]
ROWS, SEGMENTS = [0, 0, 0, 1, 2], [1, 2, 3, 1, 1]


def _groups(examples, bad=()):
    """The examples in two groups, the later ones first."""
    places = [np.arange(2, len(examples)), np.arange(2)]
    return [
        Group(
            part,
            Examples(
                join_rows(examples[i][0] for i in part),
                join_rows(examples[i][1] for i in part),
                np.isin(part, bad),
            ),
        )
        for part in places
    ]


def _dataset(examples):
    return tf.data.Dataset.from_generator(
        lambda: ({"inputs": i, "targets": t} for i, t in examples),
        output_signature=dict.fromkeys(LENGTHS, tf.TensorSpec([None], tf.int32)),
    )


def _pairs(examples, rows, segments, num_rows, lengths=LENGTHS):
    features = lay_out(
        _groups(examples), np.array(rows), np.array(segments), num_rows, lengths
    )
    return Batch(features, np.zeros((num_rows, 3), np.int32), bad_rows={})


def _joined(examples, rows, segments, num_rows, length):
    return _pairs(examples, rows, segments, num_rows, {"targets": length})


def test_packed_pairs_lie_as_seqio_packs_them():
    batch = _pairs(EXAMPLES, ROWS, SEGMENTS, 3)
    packed = seqio.trim_and_pack_dataset(_dataset(EXAMPLES), LENGTHS)
    rows = list(packed.as_numpy_iterator())
    assert len(rows) == 3
    for name in ("inputs", "targets"):
        for key, array in {
            name: batch.features[name],
            f"{name}_segment_ids": batch.features[f"{name}_segments"],
            f"{name}_positions": batch.positions(name),
        }.items():
            expected = np.stack([row[key] for row in rows])
            np.testing.assert_array_equal(array, expected, err_msg=key)


def test_a_decoder_s_rows_lie_as_seqio_s_prefix_converter_lays_them():
    converter = seqio.PrefixLMFeatureConverter(pack=False)
    rows = list(converter(_dataset(EXAMPLES), LENGTHS).as_numpy_iterator())
    batch = _joined(EXAMPLES, range(5), [1] * 5, 5, 23)
    expected = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    for name, key in (
        ("targets", "decoder_target_tokens"),
        ("targets_loss_weights", "decoder_loss_weights"),
    ):
        np.testing.assert_array_equal(batch.features[name], expected[key])
    # SeqIO marks where inputs are fed, which is a place behind where they are targets.
    fed = expected["decoder_causal_attention"]
    prefix = np.pad(fed, ((0, 0), (0, 1)))[:, 1:]
    np.testing.assert_array_equal(batch.features["targets_prefix"], prefix)


@pytest.mark.slow
def test_a_decoder_s_packed_rows_lie_as_seqio_s_prefix_converter_packs_them():
    packing = seqio.PrefixLMFeatureConverter(pack=True)
    short = [EXAMPLES[i] for i in (0, 1, 4)]
    packed = list(packing(_dataset(short), LENGTHS).as_numpy_iterator())
    batch = _joined(short, [0, 0, 0], [1, 2, 3], 1, 23)
    assert len(packed) == 1
    for array, key in (
        (batch.features["targets"], "decoder_target_tokens"),
        (batch.features["targets_segments"], "decoder_segment_ids"),
        (batch.positions("targets"), "decoder_positions"),
        (batch.features["targets_loss_weights"], "decoder_loss_weights"),
    ):
        np.testing.assert_array_equal(array[0], packed[0][key], err_msg=key)


def test_a_language_model_s_rows_lie_as_seqio_s_converter_lays_them():
    texts = [([], [5, 6, 7, 1]), ([], [8, 1]), ([], [9, 10, 1])]
    dataset = _dataset(texts).map(lambda row: {"targets": row["targets"]})
    rows = seqio.LMFeatureConverter(pack=False)(dataset, {"targets": 9})
    expected = list(rows.as_numpy_iterator())
    batch = _joined(texts, [0, 1, 2], [1, 1, 1], 3, 9)
    for array, key in (
        (batch.features["targets"], "decoder_target_tokens"),
        (batch.features["targets_loss_weights"], "decoder_loss_weights"),
    ):
        np.testing.assert_array_equal(array, np.stack([row[key] for row in expected]))
    assert not batch.features["targets_prefix"].any()


def test_token_0_inside_a_text_is_no_padding():
    batch = _pairs([([0, 5, 0], [0]), ([0], [6, 0])], [0, 0], [1, 2], 1)
    assert batch.features["inputs_segments"][0].tolist() == [1, 1, 1, 2] + [0] * 10
    assert batch.features["targets_segments"][0].tolist() == [1, 2, 2] + [0] * 6
    assert batch.padding_fraction == pytest.approx(1 - 7 / 23)


def test_an_empty_example_leaves_its_segment_out_and_the_rest_in_place():
    batch = _pairs([([5], [6]), ([], []), ([7, 8], [9])], [0, 0, 0], [1, 2, 3], 1)
    assert batch.features["inputs"][0, :4].tolist() == [5, 7, 8, 0]
    assert batch.features["inputs_segments"][0, :4].tolist() == [1, 3, 3, 0]
    assert batch.positions("inputs")[0, :4].tolist() == [0, 0, 1, 0]


def test_tokens_that_do_not_fit_are_an_error_not_another_row_s_tokens():
    with pytest.raises(ValueError, match="15 tokens in a row of 14"):
        _pairs([([3] * 14, [1]), ([3], [1]), ([3], [1])], [0, 0, 1], [1, 2, 1], 2)


def test_positions_and_tasks_of_segments():
    segments = np.array([[1, 1, 1, 2, 2, 0, 0], [2, 2, 5, 5, 5, 5, 0], [0] * 7])
    tasks = np.array([[4, 9, -1, -1, -1], [6, 7, 8, 9, 3], [-1] * 5])
    batch = Batch({"targets_segments": segments}, tasks, bad_rows={})
    assert batch.positions("targets").tolist() == [
        [0, 1, 2, 0, 1, 0, 0],
        [0, 1, 0, 1, 2, 3, 0],
        [0] * 7,
    ]
    assert batch.tasks("targets").tolist() == [
        [4, 4, 4, 9, 9, -1, -1],
        [7, 7, 3, 3, 3, 3, -1],
        [-1] * 7,
    ]
