"""Texts that are equal for equal behaviour only."""

import dataclasses
import functools
import importlib.util
import itertools
import sys

import gin
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.engine.kept.fingerprint import NoFingerprintError, describe
from mtmoe.mesh.compat import mtf
from mtmoe.model.decoder_only import DecoderOnly
from mtmoe.model.decoding.generate import generation_builder
from mtmoe.model.decoding.strategies import Greedy
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.train.optimizers.adafactor import Adafactor
from mtmoe.train.optimizers.adamw import AdamW
from mtmoe.train.schedules import constant_learning_rate, inverse_square_root
from mtmoe.train.step import StepMemory, train_step_builder

_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, min_value=-2, max_value=2)
    | st.text(max_size=3),
    lambda inner: (
        st.tuples(inner, inner)
        | st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(_PLAIN, _PLAIN)
def test_plain_values_differ_as_their_texts_do(one, other):
    # repr tells 1 from True and 0.0 from -0.0, which == does not.
    assert (describe(one) == describe(other)) == (repr(one) == repr(other))


def _model(**fields):
    sizes = dict(d_ff=8, num_heads=2, d_kv=4, num_layers=2, moe=MixtureOfExperts(2))
    return DecoderOnly(**({"vocab_size": 16, "d_model": 8} | sizes | fields))


def _step(model=None, optimizer=None, schedule=inverse_square_root, **arguments):
    return train_step_builder(
        model or _model(),
        optimizer or Adafactor(),
        schedule,
        **({"num_languages": 3} | arguments),
    )


def test_a_step_has_one_text_however_often_it_is_made():
    assert describe(_step()) == describe(_step())
    greedy = [generation_builder(_model(), Greedy(), 4, 1) for _ in range(2)]
    assert describe(greedy[0]) == describe(greedy[1])


def _changed(value):
    """Another value of the same kind, or None."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2
    if isinstance(value, tuple):
        return (*value, "more")
    return None


@pytest.mark.parametrize("settings_class", [Adafactor, AdamW, StepMemory])
def test_every_field_of_the_settings_is_in_the_text(settings_class):
    whole = settings_class()
    argument = "memory" if settings_class is StepMemory else "optimizer"
    texts = {describe(_step(**{argument: whole}))}
    tried = 0
    for field in dataclasses.fields(whole):
        value = _changed(getattr(whole, field.name))
        if value is None:
            continue
        changed = dataclasses.replace(whole)
        object.__setattr__(changed, field.name, value)  # whatever the ranges
        texts.add(describe(_step(**{argument: changed})))
        tried += 1
    assert tried >= 2 and len(texts) == tried + 1


def test_everything_that_a_builder_is_given_is_in_the_text():
    texts = [
        describe(build)
        for build in (
            _step(),
            _step(_model(vocab_size=17)),
            _step(_model(moe=MixtureOfExperts(4))),
            _step(optimizer=AdamW()),
            _step(schedule=constant_learning_rate),
            _step(schedule=lambda step: tf.constant(1.0)),
            _step(schedule=lambda step: tf.constant(2.0)),
            _step(schedule=functools.partial(constant_learning_rate, learning_rate=1)),
            _step(num_languages=4),
            _step(packed=True),
            _step(logit_z_loss=0.0),
            generation_builder(_model(), Greedy(), 4, 1),
            generation_builder(_model(), Greedy(), 5, 1),
        )
    ]
    assert len(set(texts)) == len(texts)


def test_a_scope_of_gins_is_in_the_text():
    @gin.configurable("scoped_schedule_holder", module="tests")
    def holder(schedule=None):
        return schedule

    texts = set()
    for scope in ("", "one/", "two/"):
        with gin.unlock_config():
            gin.parse_config(
                f"tests.scoped_schedule_holder.schedule = @{scope}inverse_square_root"
            )
        texts.add(describe(_step(schedule=holder())))
    gin.clear_config()
    assert len(texts) == 3


_MODULE = """
import dataclasses
from mtmoe.mesh.initializers import Initializer
RATE = {rate}
class Base:
    def scale(self):
        return {scale}
@dataclasses.dataclass(frozen=True)
class Mine(Base):
    size: int = {size}
    def __call__(self, x):
        return helper(x) * self.size
def helper(x):
    return x + RATE
def made(power):
    class Inner:
        def apply(self, x):
            return x ** power
    return Inner()
inner = made({power})
"""
_numbers = itertools.count()


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Makes a user's module, which other tests do not see."""
    return functools.partial(_user_module, monkeypatch, tmp_path)


def _user_module(monkeypatch, folder, **values):
    name = f"users_module_{next(_numbers)}"
    path = folder / f"{name}.py"
    given_values = {"rate": 1, "scale": 2, "size": 3, "power": 4} | values
    path.write_text(_MODULE.format(**given_values))
    spec = importlib.util.spec_from_file_location("users_module", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "users_module", module)
    spec.loader.exec_module(module)
    return module


def test_what_a_users_code_uses_is_in_the_text(user_module):
    def texts(**values):
        module = user_module(**values)
        return describe([module.Mine(), module.helper, module.inner])

    assert texts() == texts()
    changed = [texts(**{name: 9}) for name in ("rate", "scale", "size", "power")]
    assert len({texts(), *changed}) == 5


def test_a_value_set_after_import_is_in_the_text(user_module):
    module = user_module()
    before = describe(module.helper)
    module.RATE = 7
    assert describe(module.helper) != before


def test_arrays_dtypes_and_dimensions():
    values = [
        np.arange(3),
        np.arange(3.0),
        np.arange(4),
        np.float32(1),
        tf.float32,
        tf.bfloat16,
        tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([3], tf.int32),
        mtf.Dimension("a", 2),
        mtf.Shape([mtf.Dimension("a", 2)]),
        tf.nn.relu,
        tf.nn.gelu,
    ]
    assert len({describe(value) for value in values}) == len(values)


def test_what_cannot_be_told_is_refused():
    generator = (i for i in range(3))
    with pytest.raises(NoFingerprintError, match="of the class builtins.generator"):
        describe(_step(schedule=lambda step: next(generator)))
    with pytest.raises(NoFingerprintError, match="EagerTensor"):
        describe({"x": tf.constant(1)})
