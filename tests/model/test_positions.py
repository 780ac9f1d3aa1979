import numpy as np
import pytest
import tensorflow as tf
from oracles.encoder_decoder_numpy import relative_bucket
from oracles.model_runner import run

from mtmoe.mesh.compat import mtf
from mtmoe.model.features import Tokens
from mtmoe.model.positions.places import token_places
from mtmoe.model.positions.relative import (
    RelativePositionBias,
    relative_position_bucket,
)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (16, 40)])
def test_buckets_agree_with_the_definition(bidirectional, buckets, distance):
    relative = np.arange(-600, 601)
    expected = [relative_bucket(r, bidirectional, buckets, distance) for r in relative]
    got = relative_position_bucket(relative, bidirectional, buckets, distance)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_agree_with_mesh_tensorflow(bidirectional):
    from oracles.mtf_transformer import transformer_layers

    relative = np.arange(-300, 301).astype(np.int32)
    # Theirs takes the logarithm of 0, too; the result is not used there.
    result = run(
        lambda context, features: {
            "bucket": transformer_layers._relative_position_bucket(
                context.import_tensor(
                    features["r"], mtf.Shape([mtf.Dimension("r", 601)])
                ),
                bidirectional=bidirectional,
            )
        },
        {"r": relative},
    )
    np.testing.assert_array_equal(
        relative_position_bucket(relative, bidirectional), result.outputs["bucket"]
    )


def test_bias_is_the_table_row_of_the_distance():
    layer = RelativePositionBias(num_heads=3, bidirectional=True)
    result = run(
        lambda context, features: {"bias": layer(context, mtf.Dimension("length", 20))},
        {"unused": np.zeros(1, np.float32)},
    )
    table = result.variables["relative_position_bias"]
    assert table.shape == (32, 3)
    for query in range(20):
        for key in range(20):
            row = table[relative_bucket(key - query, True, 32, 128)]
            np.testing.assert_array_equal(result.outputs["bias"][:, query, key], row)


def test_bias_does_not_change_where_the_row_is_shifted():
    """The same distances give the same numbers, and one query's row is the table's."""
    layer = RelativePositionBias(num_heads=3, bidirectional=False)
    length = mtf.Dimension("length", 12)

    def build(context, features):
        position = context.import_tensor(features["position"], mtf.Shape([]))
        return {
            "bias": layer(context, length),
            "row": layer.at(context, length, position),
        }

    outputs = run(build, {"position": np.array(7, np.int32)}).outputs
    bias = outputs["bias"]
    for shift in (1, 5):
        np.testing.assert_array_equal(
            bias[:, shift:, shift:], bias[:, :-shift, :-shift]
        )
    np.testing.assert_array_equal(outputs["row"], bias[:, 7:8])


def test_places_begin_anew_in_every_row_and_segment():
    """And padding in front is not counted."""
    rows = np.array([[0, 0, 5, 6, 7, 8], [5, 6, 7, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    segments = np.array([[1, 1, 2, 3, 3, 3], [1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]])
    shape = mtf.Shape([mtf.Dimension("batch", 3), mtf.Dimension("length", 6)])

    def build(context, features):
        ids, numbers = (context.import_tensor(features[k], shape) for k in "rs")
        rows = Tokens(ids, mtf.cast(mtf.not_equal(ids, 0), tf.float32))
        packed = Tokens(ids, mtf.cast(mtf.not_equal(numbers, 0), tf.float32), numbers)
        return {"rows": token_places(rows), "packed": token_places(packed)}

    outputs = run(
        build, {"r": rows.astype(np.int32), "s": segments.astype(np.int32)}
    ).outputs
    np.testing.assert_array_equal(outputs["rows"][0], [0, 0, 0, 1, 2, 3])
    np.testing.assert_array_equal(outputs["rows"][1, :3], [0, 1, 2])
    np.testing.assert_array_equal(
        outputs["packed"][:2], [[0, 1, 0, 0, 1, 2], [0, 1, 2, 3, 0, 1]]
    )
