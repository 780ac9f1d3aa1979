import dataclasses

import gin
import pytest
from oracles.model_runner import tiny_model, tiny_moe
from oracles.transformers_models import CASES, SIZES
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from mtmoe.config.load import load_config
from mtmoe.errors import CheckpointError, ConfigError, UnknownNameError
from mtmoe.model.moe.routers.top_k import TopKRouter
from mtmoe.model.parts import expert_layer_names
from mtmoe.model.shapes import build_graph
from mtmoe.surgery.huggingface.config import (
    FAMILIES,
    config_of,
    family_of,
    logits_are_scaled,
    model_of,
)
from mtmoe.surgery.huggingface.model_gin import gin_text
from mtmoe.surgery.huggingface.names import table

T5, MT5, SWITCH = FAMILIES.values()


def dense_config(**fields):
    return SIZES | {"model_type": "t5", "feed_forward_proj": "relu"} | fields


def switch_config(**fields):
    config = SIZES | {"model_type": "switch_transformers", "num_experts": 3}
    return config | {"dense_act_fn": "relu"} | fields


def routers(encoder, decoder):
    layers = [("encoder", i) for i in encoder] + [("decoder", i) for i in decoder]
    return [f"{s}.block.{i}.layer.1.mlp.router.classifier.weight" for s, i in layers]


def their_tensors(config):
    """Names and shapes in a model that transformers makes of a config, not stored."""
    import torch

    with torch.device("meta"):
        model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(**config))
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "model",
    [
        tiny_model(moe=None, num_decoder_layers=3, d_kv=4),
        tiny_model(moe=None, activation="swiglu", tied_embeddings=False),
        tiny_model(moe=None, activation="gelu_exact"),
        tiny_model(
            num_encoder_layers=5,
            num_decoder_layers=4,
            activation="gelu",
            expert_activation="gelu",
        ),
        tiny_model(expert_layer_every=1, relative_position_buckets=16),
        tiny_model(num_encoder_layers=1, dropout_rate=0.1, expert_d_ff=32),
        tiny_model(expert_layer_every=0),
    ],
    ids=["dense", "gated", "gelu", "sparse", "every_layer", "one_layer", "not_sparse"],
)
def test_model_has_the_tensors_and_fields_of_its_config(model):
    """Our table names every tensor of theirs and every variable of ours, in shape."""
    family = SWITCH if expert_layer_names(model) else T5
    config = config_of(model, family)
    rows = table(model, family.feed_forward)
    variables = build_graph(model).variables
    assert {row.ours: row.shape for row in rows} == {
        name: tuple(shape.to_integer_list) for name, shape in variables.items()
    }
    theirs = {name: row.their_shape for row in rows for name in row.theirs}
    wanted = their_tensors(config)
    tables = {name for name in wanted if "embed_tokens" in name or "lm_head" in name}
    assert theirs.keys() - tables == wanted.keys() - tables
    assert all(wanted[name] == shape for name, shape in theirs.items())

    again = model_of(config, theirs, model.tied_embeddings)
    assert expert_layer_names(again) == expert_layer_names(model)
    assert build_graph(again).variables == variables
    assert (again.activation, again.dropout_rate) == (
        model.activation,
        model.dropout_rate,
    )


def test_gin_text_makes_the_model(tmp_path):
    config = switch_config(router_z_loss_coef=0.002, dropout_rate=0.2)
    model = model_of(config, routers([1], [1]), tied=True)
    path = tmp_path / "model.gin"
    path.write_text(gin_text(model, "first line"))
    load_config([str(path)])
    assert gin.get_configurable("EncoderDecoder")() == model
    assert path.read_text().startswith("# first line\n")
    assert model.moe.router.z_loss_weight == 0.002
    assert model.moe.dropout_rate == model.dropout_rate == 0.2


@pytest.mark.parametrize(
    ("encoder", "decoder", "every"),
    [([1], [1], 2), ([0, 1], [0, 1], 1)],
)
def test_sparse_layers_give_the_spacing(encoder, decoder, every):
    model = model_of(switch_config(), routers(encoder, decoder), tied=True)
    assert model.expert_layer_every == every


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dense_config(layer_norm_epsilon=1e-5), "layer_norm_epsilon is 1e-05"),
        (dense_config(pad_token_id=3), "pad_token_id is 3"),
        (dense_config(decoder_start_token_id=2), "decoder_start_token_id is 2"),
        (
            dense_config(d_ff=None),
            "config.json: d_ff is None; it must be a whole number",
        ),
        (
            dense_config(relative_attention_max_distance=9),
            "config.json: EncoderDecoder.relative_position_max_distance is 9; it must",
        ),
        (switch_config(router_bias=True), "router_bias is True"),
    ],
)
def test_what_ours_cannot_be_is_refused(config, message):
    with pytest.raises((CheckpointError, ConfigError), match=message):
        model_of(config, [], tied=True)


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match=r"'bert'.*config\.json"):
        family_of({"model_type": "bert"})
    with pytest.raises(UnknownNameError, match=r"'gated-relu'.*feed_forward_proj"):
        model_of(dense_config(feed_forward_proj="gated-relu"), [], tied=True)
    with pytest.raises(UnknownNameError, match=r"'gated-gelu'.*dense_act_fn"):
        model_of(switch_config(dense_act_fn="gated-gelu"), [], tied=True)


def test_other_spacings_are_refused_both_ways():
    with pytest.raises(CheckpointError, match=r"sparse layers are .*encoder', 1"):
        model_of(switch_config(num_layers=4), routers([1], [3]), tied=True)
    with pytest.raises(ConfigError, match=r"layers \[2\] of the encoder sparse"):
        config_of(tiny_model(num_encoder_layers=3, expert_layer_every=3), SWITCH)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"normalization": "layer_norm"}, "normalization is 'layer_norm'"),
        ({"positions": "relative_bias_per_layer"}, "positions"),
        ({"use_bias": True}, "use_bias"),
        ({"scale_attention": True}, "scale_attention"),
        ({"expert_d_ff": 8}, "expert_d_ff is 8"),
        ({"expert_activation": "gelu"}, "expert_activation"),
        ({"dense_after_experts": True}, "dense_after_experts"),
        ({"attention_moe": tiny_moe()}, "attention_moe"),
        (
            {"moe": dataclasses.replace(tiny_moe(), shared_d_ff=8)},
            "MixtureOfExperts.shared_d_ff is 8",
        ),
        ({"moe": tiny_moe(router=TopKRouter(k=2))}, "SwitchRouter"),
        ({"activation": "geglu"}, "activation of SwitchTransformers.* 'geglu'"),
    ],
)
def test_what_transformers_cannot_be_is_not_exported(fields, field):
    with pytest.raises((ConfigError, UnknownNameError), match=field):
        config_of(tiny_model(**fields), SWITCH)


@pytest.mark.parametrize("name", CASES)
def test_scaling_of_logits_is_read_from_saved_configs(name, tmp_path):
    case = CASES[name]
    config = case.model().config
    expected = {
        "T5": lambda: config.scale_decoder_outputs,
        "MT5": lambda: False,
        "SwitchTransformers": lambda: config.tie_word_embeddings,
    }[case.name]()
    assert logits_are_scaled(config.to_dict()) == expected
    # As older releases wrote it.
    old = {"model_type": "t5", "tie_word_embeddings": False}
    assert not logits_are_scaled(old)
    assert logits_are_scaled({"model_type": "t5"})
