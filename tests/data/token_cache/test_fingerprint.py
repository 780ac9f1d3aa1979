"""A fingerprint changes if, and only if, the tokens of a split may."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import operator
import os
import re
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gin
import numpy as np
import pytest
import seqio
import tensorflow as tf
from fake_tasks import TEXT_STEPS, features
from fingerprinted import BYTES, digest, other, plain, task_of
from oracles.forked_commands import ForkedProcess

from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.token_cache.fingerprints import module_code
from mtmoe.data.token_cache.fingerprints.split import explain, split_fingerprint
from mtmoe.errors import ConfigError, UnnamedContentError


def text_digest(objective: Any) -> str:
    task = seqio.Task(
        "text",
        source=TextSource(list, ["train"], fingerprint=lambda: "v1"),
        preprocessors=[*TEXT_STEPS[:3], objective, seqio.preprocessors.append_eos],
        output_features=features(BYTES),
    )
    return split_fingerprint(task, "train").digest


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of a user's, imports it anew, and returns it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str, name: str = "user_steps") -> Any:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        stamp = next(times)
        os.utime(path, ns=(stamp, stamp))
        importlib.invalidate_caches()
        for known in [known for known in sys.modules if known.startswith("user_")]:
            del sys.modules[known]
        return None if "." in name else importlib.import_module(name)

    times = iter(range(10**18, 10**18 + 10**12, 10**9))
    yield write
    for known in [known for known in sys.modules if known.startswith("user_")]:
        del sys.modules[known]
    module_code._place.cache_clear()


def over(value: Any) -> Any:
    def step(dataset):
        return dataset, value

    return step


@dataclasses.dataclass
class Step:
    size: int
    sequence_length: Any = None

    def __call__(self, dataset):
        return dataset


class Caller:
    def __init__(self, word: str, itself: bool = False):
        self.word = word
        self.me = self if itself else None

    def __call__(self, dataset):
        return dataset

    def method(self, dataset):
        return dataset


DIFFERENT = (
    plain,
    other,
    functools.partial(plain, size=1),
    functools.partial(plain, size=2),
    functools.partial(plain, size="2"),
    functools.partial(plain, size=2.0),
    functools.partial(plain, 2),
    functools.partial(plain, word=b"2"),
    functools.partial(plain, word=None),
    functools.partial(plain, word={"a": 1, "b": [2, (3,)]}),
    functools.partial(plain, word={"a": 1, "b": [2, (4,)]}),
    functools.partial(plain, word={"a", "b"}),
    functools.partial(plain, word=frozenset()),
    functools.partial(plain, word=Path("a/b")),
    functools.partial(plain, word=re.compile("a")),
    functools.partial(plain, word=re.compile("a", re.IGNORECASE)),
    functools.partial(plain, word=tf.string),
    functools.partial(plain, word=tf.TensorShape([1, None])),
    functools.partial(plain, word=tf.constant("abc")),
    functools.partial(plain, word=tf.constant([1, 2, 3])),
    functools.partial(plain, word=np.array([1, 2], np.int32)),
    functools.partial(plain, word=np.array([1, 3], np.int32)),
    functools.partial(plain, word=np.array(["a", None], object)),
    functools.partial(plain, word=np.float32(1)),
    functools.partial(plain, word=tf.io.FixedLenFeature([], tf.int64)),
    functools.partial(plain, word=tf.io.FixedLenFeature([2], tf.int64)),
    functools.partial(plain, word=operator.itemgetter("a")),
    functools.partial(plain, word=operator.itemgetter("b")),
    functools.partial(plain, word=len),
    functools.partial(plain, word=re),
    functools.partial(plain, word=Caller),
    functools.partial(plain, word="x" * 1000),
    functools.partial(plain, word="y" * 1000),
    functools.partial(plain, word=seqio.ByteVocabulary(7)),
    functools.partial(plain, word=seqio.PassThroughVocabulary(7)),
    functools.partial(plain, word=SimpleNamespace(a=1)),
    functools.partial(plain, word=functools.lru_cache(other)),
    over(1),
    over(2),
    over(plain),
    over([plain, other]),
    lambda dataset: dataset,
    (lambda dataset: dataset),
    Step(1),
    Step(2),
    Caller("a"),
    Caller("b"),
    Caller("a", itself=True),
    Caller("a").method,
    seqio.map_over_dataset(plain),
    seqio.map_over_dataset(plain, num_seeds=1),
    seqio.map_over_dataset(plain, num_seeds=2),
)


def test_different_steps_have_different_names():
    digests = [digest(step) for step in DIFFERENT]
    assert len(set(digests)) == len(DIFFERENT)
    assert digests == [digest(step) for step in DIFFERENT]
    assert digest(plain, other) != digest(other, plain)


@pytest.mark.parametrize(
    ("one", "equal"),
    [
        (functools.partial(plain, word={"a", "b"}), {"b", "a"}),
        (functools.partial(plain, word={"a": 1, "b": 2}), {"b": 2, "a": 1}),
    ],
)
def test_the_order_of_sets_and_keys_plays_no_part(one, equal):
    assert digest(one) == digest(functools.partial(plain, word=equal))


def test_what_seqio_sets_and_what_comes_after_the_cache_plays_no_part():
    assert digest(Step(1)) == digest(Step(1, sequence_length={"inputs": 9}))
    assert text_digest(SpanCorruption()) == text_digest(SpanCorruption(0.5))
    gin.bind_parameter("SpanCorruption.noise_density", 0.3)
    assert text_digest(SpanCorruption()) == text_digest(SpanCorruption(0.5))
    behind = task_of(plain)
    behind = behind.replace(
        preprocessors=[*behind.preprocessors, seqio.preprocessors.append_eos]
    )
    assert split_fingerprint(behind, "train").digest == digest(plain)


def test_vocabulary_features_split_and_source_play_their_part():
    digests = {
        digest(),
        digest(vocabulary=seqio.ByteVocabulary(extra_ids=7)),
        digest(vocabulary=seqio.PassThroughVocabulary(9)),
        digest(vocabulary=seqio.PassThroughVocabulary(10)),
        digest(inputs=seqio.Feature(BYTES, add_eos=False)),
        digest(split="test"),
        digest(source=PairSource(list, ["train"], fingerprint=lambda: "v2")),
        digest(source=TextSource(list, ["train"], fingerprint=lambda: "v1")),
        text_digest(SpanCorruption()),
    }
    assert len(digests) == 9


def test_a_configured_vocabulary_is_named_by_what_is_configured():
    from mtmoe.data.vocabulary.configured import configured_vocabulary

    gin.parse_config("configured_vocabulary.factory = @byte_vocabulary")
    first = digest(vocabulary=configured_vocabulary())
    assert first == digest(), "the same vocabulary, given by hand"
    gin.parse_config("byte_vocabulary.extra_ids = 7")
    assert digest(vocabulary=configured_vocabulary()) != first


def test_code_of_a_user_s_module_and_of_what_it_uses_is_named_by_its_text(module):
    module("WORD = 'a'\n", "user_tool")
    text = "def step(dataset):\n    from user_tool import WORD\n    return dataset\n"
    first = digest(module(text).step)
    assert first == digest(module(text).step)
    module("WORD = 'b'\n", "user_tool")
    through = digest(module(text).step)
    unused = digest(module(text + "# a comment\n").step)
    assert len({first, through, unused}) == 3
    facts = split_fingerprint(task_of(module(text).step), "train").facts
    assert set(facts["code"]) == {"seqio", "user_steps", "user_tool"}
    assert facts["code"]["seqio"] == f"version {seqio.__version__}"


def test_packages_are_followed_by_relative_imports_and_t5_by_its_version(module):
    module("", "user_package.__init__")
    module(
        "from . import deep\nfrom .deep import thing as other\n", "user_package.tool"
    )
    module("import json\nimport numpy\nthing = 1\n", "user_package.deep")
    text = """
        import t5.data.preprocessors
        import user_package.tool

        def step(dataset):
            return dataset
    """
    first = split_fingerprint(task_of(module(text).step), "train")
    assert set(first.facts["code"]) == {
        *("seqio", "t5", "user_steps", "user_package"),
        *("user_package.tool", "user_package.deep"),
    }
    module("import json\nthing = 2\n", "user_package.deep")
    second = split_fingerprint(task_of(module(text).step), "train")
    said = explain(first.facts, second.facts)
    assert said == "the code of user_package.deep has changed"


def test_mtmoe_s_own_steps_are_named_by_their_modules(module):
    from mtmoe.tasks.exmix import text_steps
    from mtmoe.tasks.multilingual import translation

    facts = split_fingerprint(task_of(text_steps.drop_blank), "train").facts
    assert "mtmoe.tasks.exmix.text_steps" in facts["code"]
    assert not any(name.startswith("mtmoe.data") for name in facts["code"])
    facts = split_fingerprint(task_of(translation.translated), "train").facts
    assert "mtmoe.tasks.multilingual.translation" in facts["code"]
    text = "import mtmoe.data.ground.keys\ndef step(dataset):\n    return dataset\n"
    facts = split_fingerprint(task_of(module(text).step), "train").facts
    assert set(facts["code"]) == {"seqio", "user_steps"}


def test_gin_bindings_of_steps_and_of_what_they_use_count(module):
    text = """
        import gin

        @gin.configurable
        def user_step(dataset, size=1, inner=None):
            return dataset

        @gin.configurable
        def user_inner(width=1):
            return width

        @gin.configurable
        class UserStep:
            def __init__(self, size=1):
                self.size = size

            def __call__(self, dataset):
                return dataset

        def unbound(dataset):
            return dataset
    """
    with gin.unlock_config():
        gin.clear_config()
    gin.enter_interactive_mode()
    try:
        user = module(text)
    finally:
        gin.exit_interactive_mode()
    seen = [digest(user.user_step)]
    for binding in (
        "user_step.size = 2",
        "user_step.size = [2, {'a': 'b'}]",
        "user_step.inner = @user_inner",
        "user_step.inner = @user_inner()",
        "user_step.inner = @scope/user_inner()",
        "scope/user_inner.width = 3",
        "user_step.inner = %MACRO\nMACRO = 4",
        "MACRO = 5",
        "MACRO = @user_inner",
        "UserStep.size = 9",
    ):
        gin.parse_config(binding)
        seen.append(digest(user.user_step))
    assert len(set(seen)) == len(seen)
    before = digest(user.user_step)
    gin.parse_config("SpanCorruption.noise_density = 0.4")
    assert digest(user.user_step) == before
    assert digest(user.unbound) != digest(plain)
    assert digest(user.UserStep(1)) != digest(user.UserStep(2))


def test_a_binding_of_t5_counts_for_what_uses_t5(module):
    text = "import t5.data.preprocessors\ndef step(dataset):\n    return dataset\n"
    step = module(text).step
    without = module("def step(dataset):\n    return dataset\n", "user_tool").step
    before = digest(step), digest(without)
    gin.bind_parameter("random_spans_helper.inputs_length", 7)
    assert digest(step) != before[0]
    assert digest(without) == before[1]


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (over(threading.Lock()), r"closed-over 'value' of .*over.*a _thread.lock"),
        (over(x for x in ()), "a builtins.generator"),
        (functools.partial(plain, word=object()), "argument 'word' of step 1.*object"),
        (eval("lambda dataset: dataset", {"__name__": "nowhere"}), "'nowhere', which"),
        (eval("lambda dataset: dataset", {}), "is in no file"),
    ],
)
def test_what_cannot_be_named_is_an_error_that_says_how(step, problem):
    with pytest.raises(UnnamedContentError, match=problem) as caught:
        digest(step)
    assert "fingerprint() -> str" in str(caught.value) or "module" in str(caught.value)
    assert isinstance(caught.value, ConfigError)


def test_anything_may_name_itself():
    def step(dataset):
        return lock

    lock = threading.Lock()
    with pytest.raises(UnnamedContentError):
        digest(step)
    step.fingerprint = lambda: "one"
    first = digest(step)
    step.fingerprint = lambda: "two"
    second = digest(step)
    caller = Caller("a")
    caller.lock = lock
    caller.fingerprint = lambda: "one"
    assert len({first, second, digest(caller)}) == 3


def test_differences_are_told_in_words():
    def facts(*steps, **arguments):
        return split_fingerprint(task_of(*steps, **arguments), "train").facts

    now = facts()
    assert json.loads(json.dumps(now)) == now, "plain JSON"
    assert explain(now, now) == "nothing differs"
    said = explain(facts(vocabulary=seqio.ByteVocabulary(7)), now)
    assert re.fullmatch(
        r"the vocabulary is another one: was ByteVocabulary of 266 tokens, \w+, is "
        r"ByteVocabulary of 359 tokens, \w+",
        said,
    )
    said = explain(facts(inputs=seqio.Feature(BYTES, add_eos=False)), now)
    assert said == "add_eos of 'inputs' was False, is True"
    assert explain(
        {**now, "features": {"targets": now["features"]["targets"]}}, now
    ) == ("the features were targets, are inputs, targets")
    said = explain(facts(source=PairSource(list, ["train"], lambda: "v0")), now)
    assert '"fingerprint": "v0"' in said and '"fingerprint": "v1"' in said
    assert "the steps were [" in explain(facts(plain), now)
    assert explain({**now, "code": {"seqio": "version 0"}}, now) == (
        f"seqio was version 0, is version {seqio.__version__}"
    )
    assert explain({**now, "gin": {"a.b": 1}}, now) == (
        "gin binding a.b is no longer used"
    )
    assert explain({**now, "gin": {"a.b": 1}}, {**now, "gin": {"a.b": 2}}) == (
        "gin binding a.b was 1, is 2"
    )
    assert explain(now, {**now, "code": {**now["code"], "m": "sha256 1"}}) == "m is new"
    assert explain({**now, "data path": 0}, now) == "the data path was 0, is 1"
    assert explain({}, now) != "nothing differs"


def print_names() -> None:
    print(hash("a text"), *map(digest, DIFFERENT))


@pytest.mark.slow
def test_names_are_equal_in_every_process(tmp_path):
    output, errors = ForkedProcess(print_names, (), tmp_path).communicate()
    hashed, *names = output.split()
    assert names == [digest(step) for step in DIFFERENT], errors
    assert int(hashed) != hash("a text"), "the seeds of the hashes are to differ"
