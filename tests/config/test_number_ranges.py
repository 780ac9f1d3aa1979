"""Every number that gin can set has a range, and the range is enforced."""

import typing

import pytest
from ranged_parameters import CONFIGURABLES, RANGED, is_number, make, settable, short

from mtmoe.errors import RangeError
from mtmoe.ranges import range_of, ranged_parameters

# Numbers without a range, with the reason. Whoever adds a parameter gives it a range.
WITHOUT_RANGE = {
    "mtmoe.engine.compile.options.Engine.xla_options": "XLA's own, which XLA checks",
}


def test_every_number_has_a_range():
    lacking = []
    for one in CONFIGURABLES:
        target = one.function
        ranged = ranged_parameters(target)
        hints = typing.get_type_hints(target)
        if isinstance(target, type) and not hasattr(target, "__dataclass_fields__"):
            hints = typing.get_type_hints(target.__init__)
        for name in sorted(settable(one)):
            numeric = is_number(hints.get(name))
            if numeric and name not in ranged:
                lacking.append(f"{one.selector}.{name}")
    assert sorted(WITHOUT_RANGE) == lacking
    assert len(RANGED) > 80


def test_defaults_are_in_range():
    for one in CONFIGURABLES:
        for name, annotation in ranged_parameters(one.function).items():
            default = one.parameters[name].default
            if name not in one.required and isinstance(default, int | float):
                assert default in range_of(annotation), f"{one.selector}.{name}"


@pytest.mark.parametrize(
    ("selector", "name", "value"),
    [(s, n, v) for s, n, a in RANGED for v in (float("nan"), float("inf"), -1)],
)
def test_none_takes_nan_infinity_or_a_negative_number(selector, name, value):
    with pytest.raises(RangeError, match=f"{short(selector)}.{name} is {value}"):
        make(selector, **{name: value})


@pytest.mark.parametrize("length", [0, -1, 1.5, float("nan"), True])
def test_lengths_are_counts(length):
    lengths = {"inputs": 8, "targets": length}
    with pytest.raises(
        RangeError, match="train.lengths is {.*}; it must be for each key a whole"
    ):
        make("mtmoe.train.settings.train", lengths=lengths)
