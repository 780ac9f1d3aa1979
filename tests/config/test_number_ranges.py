"""Every number that gin can set has a range, and the range is enforced."""

import importlib
import typing

import gin
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.config.registry import Configurable, import_rooms
from mtmoe.errors import RangeError
from mtmoe.ranges import range_of, ranged_parameters

# Numbers without a range, with the reason. Whoever adds a parameter gives it a range.
WITHOUT_RANGE: dict[str, str] = {}

MODEL = {"vocab_size": 64, "d_model": 8, "d_ff": 16, "num_heads": 2, "d_kv": 4}
STEP = {"step": tf.constant(0)}
REQUIRED = {
    "DecoderOnly": MODEL | {"num_layers": 1},
    "EncoderDecoder": MODEL | {"num_encoder_layers": 1, "num_decoder_layers": 1},
    "HashRouter": {"vocab_size": 8},
    "MixtureOfExperts": {"num_experts": 4},
    "constant_learning_rate": STEP,
    "cosine_decay": STEP | {"base_learning_rate": 0.1, "total_steps": 5},
    "ext5_c4_rate": {"task": None},
    "inverse_square_root": STEP,
    "linear_decay": STEP | {"base_learning_rate": 0.1, "total_steps": 5},
    "linear_warmup_and_cooldown": STEP | {"total_steps": 5},
    "train": {
        "mixture": "m",
        "model": None,
        "optimizer": None,
        "schedule": None,
        "batch_size": 2,
        "lengths": {"inputs": 8, "targets": 8},
        "steps": 1,
    },
}


def _configurables() -> list[Configurable]:
    import_rooms()
    importlib.import_module("mtmoe.tasks.exmix.mixtures")
    registry = gin.config._REGISTRY
    ours = [
        Configurable(registry.minimal_selector(name), entry.wrapped)
        for name, entry in registry.items()
        if (entry.wrapped.__module__ or "").startswith("mtmoe.")
    ]
    return sorted(ours, key=lambda one: one.selector)


def _settable(one: Configurable) -> set[str]:
    denied = gin.config._REGISTRY.get_match(one.selector).denylist or ()
    return set(one.parameters) - set(denied)


def _is_number(annotation) -> bool:
    parts = typing.get_args(annotation)
    return annotation in (int, float) or any(map(_is_number, parts))


CONFIGURABLES = _configurables()
RANGED = [
    (one.selector, name, annotation)
    for one in CONFIGURABLES
    for name, annotation in sorted(ranged_parameters(one.function).items())
    if name in _settable(one) and typing.get_origin(annotation) is not dict
]


def test_every_number_has_a_range():
    lacking = []
    for one in CONFIGURABLES:
        target = one.function
        ranged = ranged_parameters(target)
        hints = typing.get_type_hints(target)
        if isinstance(target, type) and not hasattr(target, "__dataclass_fields__"):
            hints = typing.get_type_hints(target.__init__)
        for name in sorted(_settable(one)):
            numeric = _is_number(hints.get(name))
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


@st.composite
def _outside(draw) -> tuple[str, str, object]:
    """A parameter, and a value that is none of its numbers."""
    selector, name, annotation = draw(st.sampled_from(RANGED))
    allowed = range_of(annotation)
    kinds = [
        st.sampled_from([float("nan"), float("inf"), float("-inf"), True, False, "1"]),
        st.floats(max_value=float(allowed.low), allow_infinity=False),
        st.floats(min_value=float(allowed.high), allow_infinity=False),
        st.integers(max_value=-1),
        st.integers(min_value=2**63),
    ]
    if allowed.whole:
        kinds.append(st.floats(0, 100))
    return selector, name, draw(st.one_of(kinds).filter(lambda x: x not in allowed))


@settings(max_examples=400)
@given(_outside())
def test_a_number_outside_its_range_is_refused_by_name(case):
    selector, name, value = case
    with gin.unlock_config():
        gin.bind_parameter(f"{selector}.{name}", value)
    try:
        required = {k: v for k, v in REQUIRED.get(selector, {}).items() if k != name}
        with pytest.raises(RangeError) as caught:
            gin.get_configurable(selector)(**required)
    finally:
        gin.clear_config()
    assert caught.value.name == f"{selector}.{name}"
    assert str(caught.value).startswith(f"{selector}.{name} is {value!r}; it must be ")


@pytest.mark.parametrize(
    ("selector", "name", "value"),
    [(s, n, v) for s, n, a in RANGED for v in (float("nan"), float("inf"), -1)],
)
def test_none_takes_nan_infinity_or_a_negative_number(selector, name, value):
    required = {k: v for k, v in REQUIRED.get(selector, {}).items() if k != name}
    with pytest.raises(RangeError, match=f"{selector}.{name} is {value}"):
        gin.get_configurable(selector)(**required, **{name: value})


@pytest.mark.parametrize("length", [0, -1, 1.5, float("nan"), True])
def test_lengths_are_counts(length):
    lengths = {"inputs": 8, "targets": length}
    with pytest.raises(
        RangeError, match="train.lengths is {.*}; it must be of a whole"
    ):
        gin.get_configurable("train")(**(REQUIRED["train"] | {"lengths": lengths}))
