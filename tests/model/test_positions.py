import numpy as np
import pytest
from oracles.encoder_decoder_numpy import relative_bucket
from oracles.model_runner import run

from mtmoe.mesh.compat import mtf
from mtmoe.model.positions import RelativePositionBias, relative_position_bucket


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
