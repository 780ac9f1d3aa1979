import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from mtmoe.errors import ConfigError
from mtmoe.model.moe.capacity import (
    Capacity,
    check_groups_within,
    examples_for_few_drops,
    examples_per_group,
    expected_drops,
)
from mtmoe.model.moe.mixture import MixtureOfExperts, capacity_notices
from mtmoe.model.moe.routers.top_2 import Top2Router


@pytest.mark.parametrize(
    ("group_size", "num_experts", "factor", "expected"),
    [
        (4096, 16, 1.25, 320),
        (1024, 128, 1.25, 10),
        (100, 10, 1.1, 11),  # 1.1 in binary is a hair above 11/10
        (1000, 16, 1.0, 63),  # rounded up, where Mesh TensorFlow gives 62
        (64, 64, 1.0, 4),  # the minimum
        (2, 64, 1.0, 2),  # never more than the group
    ],
)
def test_slots(group_size, num_experts, factor, expected):
    capacity = Capacity(train_factor=factor, evaluation_factor=factor)
    assert capacity.slots(group_size, num_experts, training=True) == expected
    assert capacity.slots(group_size, num_experts, training=False) == expected


def test_training_and_evaluation_differ_and_none_is_unlimited():
    capacity = Capacity(train_factor=1.0, evaluation_factor=None)
    assert capacity.slots(256, 8, training=True) == 32
    assert capacity.slots(256, 8, training=False) == 256


@given(
    st.integers(1, 10_000),
    st.integers(1, 300),
    st.sampled_from([0.5, 1.0, 1.1, 1.25, 2.0, 3.3]),
)
def test_slots_are_enough_for_an_even_load_at_the_factor(size, experts, factor):
    slots = Capacity(train_factor=factor).slots(size, experts, training=True)
    assert 1 <= slots <= size
    assert slots == size or slots * experts >= math.floor(size * factor)
    assert slots <= max(4, size * factor / experts + 1)


@pytest.mark.parametrize(
    "fields", [{"train_factor": 0.0}, {"evaluation_factor": -1.0}, {"minimum": 0}]
)
def test_bad_fields_are_refused(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Capacity(**fields)


@given(st.integers(1, 64), st.integers(1, 600), st.integers(1, 5000))
def test_groups_are_whole_examples(batch, length, group_size):
    count = examples_per_group(batch, length, group_size)
    assert batch % count == 0
    assert count == 1 or count * length <= group_size
    larger = [n for n in range(count + 1, batch + 1) if batch % n == 0]
    assert all(n * length > group_size for n in larger)


@pytest.mark.parametrize(
    ("tokens_an_expert", "factor", "percent"),
    # Simulated once elsewhere.
    [
        (4, 1.0, 19.4),
        (4, 1.25, 10.2),
        (4, 2.0, 0.9),
        (8, 1.25, 5.2),
        (16, 1.25, 2.2),
        (32, 1.0, 6.9),
        (32, 1.25, 0.7),
        (64, 1.25, 0.1),
        (128, 1.0, 3.4),
    ],
)
def test_expected_drops_of_a_uniform_router(tokens_an_expert, factor, percent):
    group_size = tokens_an_expert * 64
    slots = int(tokens_an_expert * factor)
    drops = expected_drops(group_size, 64, 1, slots)
    assert abs(100 * drops - percent) < 0.11


@given(st.integers(1, 400), st.integers(1, 40), st.integers(1, 4), st.integers(1, 400))
def test_expected_drops_are_those_of_a_binomial_load(size, experts, choices, slots):
    choices = min(choices, experts)
    load = binom(size, choices / experts)
    excess = sum((n - slots) * load.pmf(n) for n in range(slots + 1, size + 1))
    expected = excess / (size * choices / experts)
    drops = expected_drops(size, experts, choices, slots)
    assert drops == pytest.approx(expected, abs=1e-9)


def test_a_chosen_group_is_as_large_as_it_need_be():
    # 16 experts, 1.25: 512 tokens drop 0.7 %, 256 drop 2.2 %.
    assert examples_for_few_drops(16, 256, 16, 1, 1.25) == 2
    assert examples_for_few_drops(16, 64, 16, 1, 1.25) == 8
    assert examples_for_few_drops(6, 128, 16, 1, 1.25) == 6  # 4 do not divide 6
    assert examples_for_few_drops(4, 64, 128, 1, 1.25) == 4  # none is large enough
    assert examples_for_few_drops(8, 512, 1, 1, 1.0) == 1
    # Two experts a token at factor 2 drop as one at factor 1; at 1.25 three eighths
    # are lost whatever the group, and little more is in these.
    assert examples_for_few_drops(64, 256, 16, 2, 2.5) <= 4
    assert examples_for_few_drops(64, 256, 16, 2, 1.25) <= 8


def test_group_size_is_stated_or_chosen():
    stated = MixtureOfExperts(16, group_size=1024)
    assert stated.examples_per_group(16, 256, 1024) == 4
    chosen = MixtureOfExperts(16)
    # By gather a large group costs nothing: 4,096 positions, or what few drops ask for,
    # within an eighth of the batch.
    assert chosen.examples_per_group(16, 256, 1024) == 2
    assert chosen.examples_per_group(64, 256, 1024) == 8
    assert chosen.examples_per_group(256, 256, 1024) == 16
    assert MixtureOfExperts(512).examples_per_group(1024, 256, 1024) == 64
    # One-hot products: at most a quarter of d_ff, or one example.
    by_einsum = MixtureOfExperts(16, dispatch="einsum")
    assert by_einsum.examples_per_group(16, 256, 1024) == 1
    assert by_einsum.examples_per_group(128, 32, 1024) == 8
    assert by_einsum.examples_per_group(16, 256, 1 << 20) == 2
    assert chosen.dispatch_method == "gather"
    assert by_einsum.dispatch_method == "einsum"


@given(
    st.integers(1, 200),
    st.integers(1, 300),
    st.integers(1, 64),
    st.sampled_from(["gather", "einsum"]),
)
def test_chosen_groups_lie_within_all_parts_a_batch_may_be_cut_into(
    rows, length, experts, method
):
    moe = MixtureOfExperts(experts, dispatch=method)
    together = moe.examples_per_group(rows, length, 512)
    for parts in (1, 2, 4, 8):
        if rows % parts == 0:
            check_groups_within(rows // parts, together, length, "encoder")


def test_microbatches_that_cut_a_group_are_told_the_largest_that_fits():
    message = (
        "encoder: a routing group has 4 rows of 128 positions, and a microbatch has 6"
    )
    with pytest.raises(ConfigError, match=f"{message}.*group_size to 768 at most"):
        check_groups_within(6, 4, 128, "encoder")


def test_a_minimum_that_costs_says_what_it_amounts_to():
    config = MixtureOfExperts(256, capacity=Capacity(1.25, 2.0, minimum=4))
    (training, evaluation) = capacity_notices(config, 256, "encoder")
    assert "encoder" in training and "4 slots" in training
    assert "train_factor = 1.25 asks for 2" in training
    assert "a factor of 4" in training
    assert "evaluation_factor = 2 asks for 2" in evaluation
    assert capacity_notices(config, 4096, "encoder") == []
    unlimited = MixtureOfExperts(256, capacity=Capacity(4.0, None, minimum=4))
    assert capacity_notices(unlimited, 256, "encoder") == []
    two = MixtureOfExperts(64, Top2Router(), Capacity(2.0, None, minimum=4))
    assert "a factor of 4" in capacity_notices(two, 64, "decoder")[0]
