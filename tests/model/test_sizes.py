import pytest

from mtmoe.model.decoder_only import DecoderOnly
from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.model.moe.capacity import Capacity
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.moe.routers.base import BaseRouter
from mtmoe.model.moe.routers.hash import HashRouter
from mtmoe.model.moe.routers.random import RandomRouter
from mtmoe.model.moe.routers.top_2 import Top2Router
from mtmoe.model.moe.routers.top_k import TopKRouter
from mtmoe.model.shapes import build_graph
from mtmoe.model.sizes import activated_parameters, count_parameters, forward_flops


def base(num_experts=0, activation="relu", d_ff=3072, **fields):
    return EncoderDecoder(
        vocab_size=32128,
        d_model=768,
        d_ff=d_ff,
        num_heads=12,
        d_kv=64,
        num_encoder_layers=12,
        num_decoder_layers=12,
        activation=activation,
        moe=MixtureOfExperts(num_experts) if num_experts else None,
        **fields,
    )


@pytest.mark.parametrize(
    ("num_experts", "published"),
    [
        (0, 222.9e6),
        (2, 279.5e6),
        (4, 392.8e6),
        (8, 619.3e6),
        (16, 1.072e9),
        (32, 1.978e9),
        (64, 3.791e9),
        (128, 7.415e9),
        (256, 14.664e9),
    ],
)
def test_published_parameter_counts_of_t5_and_switch_base(num_experts, published):
    """Fedus et al. 2022, tables 7 to 9; the two forms of the network count the same."""
    relu = count_parameters(base(num_experts)).total
    last_digit = 1e6 if published > 1e9 else 1e5
    assert relu == pytest.approx(published, abs=last_digit)
    geglu = count_parameters(base(num_experts, "geglu", 2048)).total
    assert geglu == relu


def test_untied_logits_add_one_table():
    tied, untied = (
        count_parameters(base(tied_embeddings=tied)).total for tied in (True, False)
    )
    assert untied - tied == 32128 * 768


def test_published_flops_of_t5_and_switch_base():
    """Table 9: 124 G per sequence of 512 inputs and 114 targets, sparse or not."""
    for num_experts in (0, 128):
        flops = forward_flops(base(num_experts), 512, 114)
        assert flops.published == pytest.approx(124.1e9, rel=1e-3)
        assert flops.total > flops.published


def test_every_product_of_a_small_model_is_counted():
    model = EncoderDecoder(
        vocab_size=7,
        d_model=2,
        d_ff=3,
        num_heads=2,
        d_kv=5,
        num_encoder_layers=2,
        num_decoder_layers=1,
        moe=MixtureOfExperts(4),
    )
    flops = forward_flops(model, input_length=11, target_length=13)
    projection = 2 * 2 * 10  # one token through one of q, k, v, o
    assert flops.projections == projection * (11 * (2 * 4 + 2) + 13 * (4 + 2))
    assert flops.feed_forward == 2 * 2 * 2 * 3 * (2 * 11 + 13)
    assert flops.attention == 2 * 2 * 10 * (2 * 11 * 11 + 13 * 13 + 13 * 11)
    assert flops.routers == 2 * 2 * 4 * 11  # encoder layer 1 only
    assert flops.logits == 2 * 2 * 7 * 13


ONE_PER_TOKEN = MixtureOfExperts(4, capacity=Capacity(evaluation_factor=1, minimum=1))
TWO_PER_TOKEN = MixtureOfExperts(
    4,
    Top2Router(),
    Capacity(evaluation_factor=2, minimum=1),
    shared_d_ff=12,
)


@pytest.mark.parametrize(
    "fields",
    [
        {"moe": ONE_PER_TOKEN, "expert_layer_every": 0},
        {"moe": ONE_PER_TOKEN, "positions": "sinusoidal"},
        {
            "moe": TWO_PER_TOKEN,
            "use_bias": True,
            "activation": "geglu",
            "expert_activation": "gelu",
            "expert_d_ff": 24,
            "positions": "learned",
            "max_positions": 64,
        },
        {
            "moe": ONE_PER_TOKEN,
            "attention_moe": ONE_PER_TOKEN,
            "positions": "relative_bias_per_layer",
            "normalization": "layer_norm",
            "dense_after_experts": True,
            "use_bias": True,
            "tied_embeddings": False,
        },
    ],
)
def test_formula_counts_what_the_graph_holds(fields):
    """Parameters of any options, and products where the experts' slots are all full."""
    widths = {"vocab_size": 31, "d_model": 16, "d_ff": 32, "num_heads": 4, "d_kv": 8}
    both = EncoderDecoder(
        **widths, **fields, num_encoder_layers=4, num_decoder_layers=2
    )
    graph = build_graph(both, batch_size=4, input_length=8, target_length=16)
    assert graph.num_parameters == count_parameters(both).total
    assert graph.flops == 4 * forward_flops(both, 8, 16).total
    alone = DecoderOnly(**widths, **fields, num_layers=2)
    graph = build_graph(alone, batch_size=4, target_length=16)
    assert graph.num_parameters == count_parameters(alone).total
    assert graph.flops == 4 * forward_flops(alone, 0, 16).total


@pytest.mark.parametrize(
    "router",
    [HashRouter(31), RandomRouter(), BaseRouter(), TopKRouter(k=2, learned_noise=True)],
    ids=lambda router: type(router).__name__,
)
def test_every_kind_of_router_is_counted(router):
    widths = {"vocab_size": 31, "d_model": 16, "d_ff": 32, "num_heads": 4, "d_kv": 8}
    moe = MixtureOfExperts(4, router)
    model = DecoderOnly(**widths, moe=moe, num_layers=2)
    assert build_graph(model).num_parameters == count_parameters(model).total


def test_activated_are_all_but_the_experts_a_token_does_not_ask():
    widths = {"vocab_size": 31, "d_model": 16, "d_ff": 32, "num_heads": 4, "d_kv": 8}
    model = DecoderOnly(**widths, moe=TWO_PER_TOKEN, num_layers=2)
    idle = (4 - 2) * 2 * 16 * 32
    assert count_parameters(model).total - activated_parameters(model) == idle
