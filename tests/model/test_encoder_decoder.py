import dataclasses

import numpy as np
import pytest
from oracles.encoder_decoder_numpy import NumpyModel
from oracles.model_runner import random_batch, run, segmented, tiny_model, tiny_moe

from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.model.features import import_features, import_segmented_features
from mtmoe.model.forward import score
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.moe.routers.expert_choice import ExpertChoiceRouter
from mtmoe.model.moe.routers.switch import SwitchRouter
from mtmoe.model.parts import expert_layer_names, expert_layers

# Both layers sparse: as small as a model with everything in it gets.
SMALL = {"num_encoder_layers": 1, "num_decoder_layers": 1, "expert_layer_every": 1}


def logits_of(model):
    def build(context, features):
        return {
            "logits": score(context, model, *import_features(context, features)).logits
        }

    return build


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"moe": None, "activation": "geglu", "tied_embeddings": False},
        SMALL | {"moe": tiny_moe(evaluation_factor=0.5, minimum=1)},
    ],
    ids=["sparse", "dense_geglu_untied", "every_layer_with_drops"],
)
def test_forward_pass_agrees_with_numpy(fields):
    model = tiny_model(**fields)
    batch = random_batch()
    result = run(logits_of(model), batch)
    expected = NumpyModel(model, result.variables).logits(
        **{
            "inputs_BL": batch["inputs"],
            "targets_BT": batch["targets"],
        }
    )
    for logits, targets, wanted in zip(
        result.outputs["logits"], batch["targets"], expected, strict=True
    ):
        np.testing.assert_allclose(logits[targets != 0], wanted, atol=1e-4, rtol=1e-4)


def test_padding_has_no_effect_on_the_tokens():
    model = tiny_model(**SMALL, moe=tiny_moe(evaluation_factor=None))
    batch = random_batch()
    base = run(logits_of(model), batch)
    longer = {
        "inputs": np.pad(batch["inputs"], [(0, 2), (0, 5)]),
        "targets": np.pad(batch["targets"], [(0, 2), (0, 3)]),
    }
    padded = run(logits_of(model), longer, base.variables).outputs["logits"]
    tokens = batch["targets"] != 0
    np.testing.assert_allclose(
        padded[:4, :6][tokens], base.outputs["logits"][tokens], atol=1e-5
    )
    assert np.all(np.isfinite(padded))


def test_decoder_does_not_look_ahead():
    model = tiny_model(**SMALL, moe=tiny_moe(evaluation_factor=None))
    batch = random_batch()
    base = run(logits_of(model), batch)
    changed = {k: v.copy() for k, v in batch.items()}
    changed["targets"][0, 3] = 1 + changed["targets"][0, 3] % 30
    other = run(logits_of(model), changed, base.variables).outputs["logits"]
    np.testing.assert_allclose(other[0, :4], base.outputs["logits"][0, :4], atol=1e-5)
    assert np.abs(other[0, 4:] - base.outputs["logits"][0, 4:]).max() > 1e-3


def segmented_logits_of(model, packed):
    def build(context, features):
        tokens = import_segmented_features(context, features, packed, 0)
        output = score(context, model, *tokens)
        outputs = {"logits": output.logits}
        if output.routing:
            outputs["dropped"] = mtf.stack(
                [layer.dropped_counts for layer in output.routing], "layers"
            )
        return outputs

    return build


def place(examples, num_rows, lengths):
    """Lays examples, (row, inputs, targets) each, out in rows, side by side."""
    arrays = {
        key: np.zeros([num_rows, lengths[name]], np.int32)
        for name in lengths
        for key in (name, f"{name}_segments")
    }
    places = []
    for row, *parts in examples:
        segment = max(arrays[f"{name}_segments"][row].max() for name in lengths) + 1
        slices = {}
        for name, ids in zip(lengths, parts, strict=True):
            begin = np.count_nonzero(arrays[f"{name}_segments"][row])
            slices[name] = slice(begin, begin + len(ids))
            arrays[name][row, slices[name]] = ids
            arrays[f"{name}_segments"][row, slices[name]] = segment
        places.append((row, slices["targets"]))
    return arrays, places


EXAMPLES = [  # row, inputs, targets; token 0 is text, one example has no inputs
    (0, [5, 0, 9, 3, 1], [4, 0, 1]),
    (0, [7, 1], [0, 8, 2, 1]),
    (0, [0, 6, 1], [1]),
    (1, [], [12, 13, 1]),
    (1, [14, 15, 16, 17, 18, 19, 1], [20, 0, 0, 21, 1]),
    (2, [22, 23, 24, 0], [25, 26, 0]),
]
LENGTHS = {"inputs": 12, "targets": 9}


@pytest.mark.parametrize(
    "fields",
    [
        {"moe": None},
        SMALL | {"moe": tiny_moe(evaluation_factor=8.0)},
    ],
    ids=["dense", "every_layer_sparse"],
)
def test_a_packed_segment_scores_as_alone_in_a_row(fields):
    model = tiny_model(**fields)
    packed, packed_places = place(EXAMPLES, 4, LENGTHS)  # the last row is empty
    alone, places = place(
        [(row, *parts) for row, (_, *parts) in enumerate(EXAMPLES)], 6, LENGTHS
    )
    first = run(segmented_logits_of(model, packed=False), alone)
    one = first.outputs["logits"]
    got = run(segmented_logits_of(model, packed=True), packed, first.variables)
    both = got.outputs["logits"]
    for (row, tokens), (packed_row, packed_tokens) in zip(
        places, packed_places, strict=True
    ):
        np.testing.assert_allclose(
            both[packed_row, packed_tokens], one[row, tokens], rtol=1e-5, atol=1e-5
        )
    assert np.all(np.isfinite(both))
    if model.moe is not None:
        assert got.outputs["dropped"].sum() == first.outputs["dropped"].sum() == 0.0
    # Without the masks the neighbours are seen, so the comparison can fail.
    careless = run(segmented_logits_of(model, packed=False), packed, first.variables)
    row, tokens = packed_places[1]
    difference = careless.outputs["logits"][row, tokens] - both[row, tokens]
    assert np.abs(difference).max() > 1e-2


def test_segments_of_one_example_a_row_are_the_padding_mask():
    model, batch = tiny_model(**SMALL), random_batch()
    plain = run(logits_of(model), batch)
    arrays = segmented(batch)
    arrays = {name: x for name, x in arrays.items() if "language" not in name}
    for packed in (False, True):
        build = segmented_logits_of(model, packed)
        again = run(build, arrays, plain.variables).outputs["logits"]
        tokens = batch["targets"] != 0
        np.testing.assert_allclose(
            again[tokens], plain.outputs["logits"][tokens], rtol=1e-5, atol=1e-5
        )


def test_statistics_name_the_switch_layers_in_order():
    model = tiny_model(num_encoder_layers=4)
    names = []

    def build(context, features):
        output = score(context, model, *import_features(context, features))
        names.extend(layer.name for layer in output.routing)
        return {
            "counts": mtf.stack([x.expert_counts for x in output.routing], "layers")
        }

    batch = random_batch()
    counts = run(build, batch).outputs["counts"]
    assert tuple(names) == expert_layer_names(model)
    assert names == ["encoder.1.moe", "encoder.3.moe", "decoder.1.moe"]
    inputs, targets = ((batch[k] != 0).sum(1) for k in ("inputs", "targets"))
    np.testing.assert_array_equal(counts.sum(-1), [inputs, inputs, targets])


def test_dropout_acts_in_training_only():
    model = tiny_model(**SMALL, moe=None, dropout_rate=0.2)
    batch = random_batch()
    quiet = run(logits_of(model), batch)
    without = dataclasses.replace(model, dropout_rate=0.0)
    plain = run(logits_of(without), batch, quiet.variables)
    noisy = run(logits_of(model), batch, quiet.variables, training=True)
    np.testing.assert_array_equal(quiet.outputs["logits"], plain.outputs["logits"])
    assert np.abs(noisy.outputs["logits"] - quiet.outputs["logits"]).max() > 0.1


def test_initial_scale_is_sqrt_of_s_over_fan_in():
    model = tiny_model(
        d_model=64, d_ff=128, d_kv=16, moe=tiny_moe(8), initialization_scale=0.1
    )
    variables = run(logits_of(model), random_batch()).variables
    cut = 0.8796  # standard deviation of a unit normal cut at two
    for name, fan_in in {
        "encoder/layer_000/self_attention/q": 64 * 16,
        "encoder/layer_000/self_attention/k": 64,
        "encoder/layer_000/self_attention/o": 4 * 16,
        "decoder/layer_001/moe/experts/wi": 64,
        "decoder/layer_001/moe/experts/wo": 128,
        "encoder/layer_000/feed_forward/wo": 128,
    }.items():
        sigma = np.sqrt(0.1 / fan_in)
        value = variables[name]
        assert abs(value.std() / (cut * sigma) - 1) < 0.06, name
        assert np.abs(value).max() <= 2 * sigma * 1.0001, name
    assert abs(variables["embedding"].std() / cut - 1) < 0.06


def test_each_stack_has_its_own_experts():
    """Experts that look at later tokens fit the encoder, and no decoder."""
    choosing = MixtureOfExperts(4, ExpertChoiceRouter())
    model = tiny_model(**SMALL, encoder_moe=choosing)
    assert np.isfinite(run(logits_of(model), random_batch()).outputs["logits"]).all()
    routers = [layer.config.router for _, layer in expert_layers(model)]
    assert [type(router) for router in routers] == [ExpertChoiceRouter, SwitchRouter]
    alone = tiny_model(**SMALL, moe=None, encoder_moe=choosing)
    assert expert_layer_names(alone) == ("encoder.0.moe",)
    for field in ("moe", "decoder_moe"):
        with pytest.raises(ConfigError, match="must be causal"):
            tiny_model(**SMALL | {"moe": None, field: choosing})
    with pytest.raises(ConfigError, match="EncoderDecoder.encoder_moe must have the"):
        tiny_model(**SMALL, encoder_moe=tiny_moe(8))


def test_negative_spacing_is_refused():
    with pytest.raises(ConfigError, match="expert_layer_every"):
        tiny_model(expert_layer_every=-1)
