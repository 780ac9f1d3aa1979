import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtmoe.errors import ConfigError, LayoutError
from mtmoe.model.moe.capacity import Capacity, check_groups_split, examples_per_group


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


def test_layout_that_cuts_a_group_is_refused():
    check_groups_split(4, 2, "encoder.1.moe")
    with pytest.raises(LayoutError, match=r"encoder\.1\.moe.*2 parts.*1 routing group"):
        check_groups_split(1, 2, "encoder.1.moe")
