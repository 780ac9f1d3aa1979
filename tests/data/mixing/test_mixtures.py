"""Mixtures by policy and by hand, in each other, and the gin scope of each."""

from __future__ import annotations

import functools

import gin
import pytest
import seqio
from fake_tasks import add_supervised_task, add_text_task

from mtmoe.data.mixing import encoding
from mtmoe.data.mixing.mixtures import (
    mixture_scope,
    register_mixture,
    register_weighted_mixture,
)
from mtmoe.data.mixing.policies import ExamplesProportional, Temperature, UniMax
from mtmoe.data.mixing.rates import flatten, mean_rates, task_rates
from mtmoe.data.mixing.sizes import task_size
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_alias, register_task
from mtmoe.data.tasks.registry import get_mixture_or_task
from mtmoe.errors import ConfigError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

BY_CHARACTERS = functools.partial(Temperature, unit="characters")


@pytest.fixture
def texts(byte_vocabulary, clean_registry):
    """Texts of 1,000, 16,000 and 256,000 characters."""
    names = ["t.one", "t.two", "t.three"]
    for power, name in enumerate(names):
        add_text_task(name, ["x" * 500] * (2 * 16**power), byte_vocabulary)
    return names


def _rates(name: str) -> dict[str, float]:
    return task_rates(get_mixture_or_task(name))


def test_a_policy_gives_seqio_its_rates(texts):
    assert register_mixture("m", texts, BY_CHARACTERS) == "m"
    mixture = seqio.get_mixture_or_task("m")
    rates = {task.name: mixture.get_rate(task) for task in mixture.tasks}
    assert rates == _rates("m") == mean_rates("m", 10)
    assert rates["t.two"] / rates["t.one"] == pytest.approx(16**0.3)


def test_every_unit_counts_what_it_says(texts, byte_vocabulary):
    task = seqio.TaskRegistry.get("t.one")
    assert task_size(task, "examples") == 2
    assert task_size(task, "characters") == task_size(task, "tokens") == 1000
    examples = [{"inputs": "abcd", "targets": "e"}, {"inputs": "ab", "targets": ""}]
    register_task("p", PairSource(lambda split: examples), TaskCard("other"))
    pairs = seqio.TaskRegistry.get("p")
    assert task_size(pairs, "examples") == 2 and task_size(pairs, "characters") == 7
    with pytest.raises(ConfigError, match="no count of training tokens"):
        task_size(pairs, "tokens")


def test_what_a_card_states_is_taken_before_the_data():
    def unread(split):
        raise AssertionError("the data was read")

    card = TaskCard("other", train_examples=12, train_characters=345)
    register_task("stated", PairSource(unread), card)
    task = seqio.TaskRegistry.get("stated")
    assert task_size(task, "examples") == 12 and task_size(task, "characters") == 345


@pytest.fixture
def unmeasured():
    """No encoding measured before counts, and none measured here counts later."""
    for cached in (encoding._encoding, encoding._measure):
        cached.cache_clear()
    yield
    for cached in (encoding._encoding, encoding._measure):
        cached.cache_clear()


@pytest.mark.usefixtures("unmeasured")
def test_tokens_of_stated_characters_follow_the_language(monkeypatch):
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )

    class Corpus:
        languages = ("ru", "uk")

        def documents(self, code, split):
            return ("кот " * 100,) if code == "ru" else ("кіт",)

    monkeypatch.setattr("mtmoe.data.mixing.encoding.load_corpus", Corpus)
    for code, name in (("ru", "r"), ("bg", "b"), ("hi", "h"), ("", "none")):
        card = TaskCard("other", language=code, train_characters=7000)
        register_task(name, PairSource(lambda split: []), card)
    sizes = functools.partial(task_size, unit="tokens")
    assert sizes(seqio.TaskRegistry.get("r")) == pytest.approx(7000 / 4 * 7)
    between = sizes(seqio.TaskRegistry.get("b"))  # no Bulgarian: all of Cyrillic
    assert 7000 / 4 * 7 < between < 14000
    with pytest.raises(ConfigError, match="no text in 'hi' or in its script Deva"):
        sizes(seqio.TaskRegistry.get("h"))
    with pytest.raises(ConfigError, match="no count of training tokens"):
        sizes(seqio.TaskRegistry.get("none"))


def test_each_mixture_has_a_gin_scope_of_its_own(texts):
    register_mixture("my.first-one", texts, BY_CHARACTERS)
    register_mixture("second", texts, BY_CHARACTERS)
    assert mixture_scope("my.first-one") == "my_first_one"
    assert mixture_scope("3rd") == "_3rd"
    gin.parse_config("Temperature.alpha = 1.0\nmy_first_one/Temperature.alpha = 0.0")
    assert set(_rates("my.first-one").values()) == {1.0}
    assert _rates("second")["t.one"] == 1000.0
    with gin.unlock_config():
        gin.bind_parameter("my_first_one/Temperature.alpha", 0.5)
    with gin.config_scope("elsewhere"):
        assert _rates("my.first-one")["t.one"] == pytest.approx(1000**0.5)


def test_gin_can_put_another_policy_in_a_mixtures_place(texts):
    register_mixture("my.mix", texts, BY_CHARACTERS)
    register_mixture("other", texts, BY_CHARACTERS)
    gin.parse_config(
        "my_mix/mixing_policy.policy = @UniMax\n"
        "UniMax.budget = 100_000\n"
        "my_mix/UniMax.max_epochs = 10"
    )
    rates = _rates("my.mix")
    assert rates == {
        "t.one": 10_000.0,
        "t.two": 45_000.0,
        "t.three": 45_000.0,
    }
    assert _rates("other")["t.one"] == pytest.approx(1000**0.3)


def test_rates_follow_the_data_and_all_sizes_are_read_once(texts, byte_vocabulary):
    policy = functools.partial(UniMax, 100_000, 1.0)
    register_mixture("m", texts, policy)
    assert _rates("m")["t.three"] == 100_000 - 17_000
    seqio.TaskRegistry.remove("t.one")
    sizes = []

    def documents(split):
        sizes.append(split)
        return ["x" * 3000]

    task = seqio.MixtureRegistry.get("m").tasks[0]
    assert task.name == "t.one"
    task.source.documents = documents
    seqio.TaskRegistry.add_provider("t.one", task)
    assert _rates("m")["t.three"] == 100_000 - 19_000
    assert len(sizes) == 2


def test_flatten_resolves_levels(texts):
    register_mixture("by_size", texts[:2], functools.partial(ExamplesProportional))
    register_weighted_mixture("inner", {"by_size": 2.0})
    register_weighted_mixture("outer", {"inner": 9.0, texts[2]: lambda task: 1.0})
    flat = flatten("outer")
    assert sum(member.share for member in flat) == pytest.approx(1.0)
    ways = {(member.task, member.path): member.share for member in flat}
    assert ways[texts[2], ("outer",)] == pytest.approx(0.1)
    by_size = ways["t.one", ("outer", "inner", "by_size")]
    assert by_size == pytest.approx(0.9 / (1 + 16))
    assert len(ways) == 3
    assert [member.task for member in flat] == sorted(member.task for member in flat)
    shares = {name: rate / 10 for name, rate in _rates("outer").items()}
    mixture = seqio.get_mixture_or_task("outer")
    for task in mixture.tasks:
        share = mixture.get_rate(task) / mixture.total_rate
        assert shares[task.name] == pytest.approx(share)
    assert flatten("t.one") == (("t.one", 1.0, ()),)


def test_a_rate_of_zero_is_left_out(texts):
    register_weighted_mixture("m", {"t.one": 0, "t.two": 2})
    assert flatten("m") == (("t.two", 1.0, ("m",)),)
    register_weighted_mixture("nothing", {"t.one": 0})
    with pytest.raises(ConfigError, match="'nothing' has no task with a positive"):
        flatten("nothing")
    register_weighted_mixture("around", {"nothing": 1, "t.two": 1})
    with pytest.raises(ConfigError, match="'nothing', in 'around', has no task"):
        flatten("around")


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_a_rate_that_is_not_positive_names_its_task(texts, rate):
    register_weighted_mixture("m", {texts[0]: 1.0, texts[1]: lambda task: rate})
    with pytest.raises(ConfigError, match=f"rate of task {texts[1]!r}"):
        _rates("m")


def test_a_task_has_one_place_in_a_mixture(texts):
    register_weighted_mixture("pair", {"t.one": 1.0, "t.two": 3.0})
    register_weighted_mixture("inner", {"pair": 2.0})
    message = "'outer' has the task 't.one' twice: in outer and in outer > inner > pair"
    with pytest.raises(ConfigError, match=message):
        register_weighted_mixture("outer", {"inner": 9.0, "t.one": 1.0})
    assert "outer" not in seqio.MixtureRegistry.names()
    # SeqIO's own registry takes it, and keeps the second rate.
    seqio.MixtureRegistry.add("direct", [("t.one", 1.0), ("t.one", 5.0)])
    plain = seqio.MixtureRegistry.add("plain", [("pair", 1.0), ("inner", 1.0)])
    for use in (flatten, lambda name: task_rates(seqio.MixtureRegistry.get(name))):
        with pytest.raises(ConfigError, match="'t.one' twice: in direct and in direct"):
            use("direct")
        with pytest.raises(ConfigError, match="in plain > pair and in plain > inner >"):
            use(plain.name)


def test_an_alias_stands_for_the_task_itself(texts):
    register_alias("upstream", "t.one")
    register_weighted_mixture("m", {"upstream": 1, "t.two": 3})
    assert _rates("m") == {"t.one": 1.0, "t.two": 3.0}
    with pytest.raises(ConfigError, match="'n' has 't.one' twice"):
        register_mixture("n", ["upstream", "t.one"], Temperature)


def test_mistakes_are_named_when_a_mixture_is_registered(texts, byte_vocabulary):
    with pytest.raises(UnknownNameError, match="'t.on'; did you mean t.one"):
        register_mixture("m", ["t.on"], Temperature)
    with pytest.raises(UnknownNameError, match="did you mean t.two"):
        register_weighted_mixture("m", {"t.twoo": 1})
    with pytest.raises(UnknownNameError, match="did you mean t.one"):
        flatten("t.oen")
    register_mixture("inner", texts, Temperature)
    with pytest.raises(ConfigError, match="member 'inner' is a mixture"):
        register_mixture("m", ["inner"], Temperature)
    with pytest.raises(ConfigError, match="'inner' is a mixture: only tasks"):
        register_weighted_mixture("m", {"inner": lambda task: 1.0})
    with pytest.raises(ConfigError, match="weight of 't.one' is -1"):
        register_weighted_mixture("m", {"t.one": -1})
    assert "m" not in seqio.MixtureRegistry.names()


def test_mistakes_in_plain_seqio_mixtures_are_named_when_rates_are_asked_for(texts):
    seqio.MixtureRegistry.add("inner", texts, default_rate=1.0)
    seqio.MixtureRegistry.add("outer", ["inner"], default_rate=lambda task: 1.0)
    with pytest.raises(ConfigError, match="'outer' gives its member 'inner' a func"):
        flatten("outer")
    seqio.MixtureRegistry.add("bad", [("t.one", float("nan")), ("t.two", 1)])
    with pytest.raises(ConfigError, match="'t.one' in 'bad' is nan"):
        task_rates(seqio.MixtureRegistry.get("bad"))


def test_a_supervised_task_without_counts_cannot_be_weighed(byte_vocabulary):
    add_supervised_task("pairs", [("a", "b")], byte_vocabulary)
    register_mixture("m", ["pairs"], BY_CHARACTERS)
    with pytest.raises(ConfigError, match="'pairs' has no count.*FunctionDataSource"):
        flatten("m")
