"""What a run's log says of a run that does not learn, on logs made up for it."""

import math
import re

import numpy as np
import pytest

from mtmoe.train.alarms import Alarms, RunFacts

VOCAB, EXPERTS = 16_128, 8
GUESS = math.log(VOCAB)
LAYER = {"load_max_over_mean": 1.5, "dropped_fraction": 0.05, "entropy": 1.5, "z": 9.0}


def lines(losses, every=50, rates=None, layers=None):
    for number, loss in enumerate(losses):
        line = {
            "step": (number + 1) * every,
            "loss": loss,
            "learning_rate": rates[number] if rates is not None else 0.01,
        }
        if layers is not None:
            line["layer_routing"] = layers[number]
        yield line


def said(log, **facts):
    """Returns (step, sentence) of every warning."""
    alarms = Alarms(RunFacts(**({"steps": 10**6, "vocab_size": VOCAB} | facts)))
    return [(line["step"], text) for line in log for text in alarms.note(line)]


def falling(count, start=GUESS, end=3.0, noise=0.0):
    random = np.random.default_rng(0)
    curve = end + (start - end) * np.exp(-np.arange(count) / 4)
    return [float(x) for x in curve + noise * random.standard_normal(count)]


def test_a_run_that_learns_is_left_alone():
    assert said(lines(falling(40, noise=0.05))) == []


@pytest.mark.parametrize("every", [1, 10, 50, 100, 400])
def test_a_still_loss_is_said_once(every):
    found = said(lines([GUESS] * 500, every))
    assert len(found) == 1
    step, text = found[0]
    assert step == (200 if every < 400 else 800)
    assert "has not moved: 9.688" in text and "16,128 tokens has 9.688" in text


@pytest.mark.parametrize("every", [1, 10, 100])
def test_noise_is_no_movement_and_a_slow_fall_is_one(every):
    random = np.random.default_rng(1)
    count = 600 // every
    noisy = 7.0 + 0.5 * random.standard_normal(count) / math.sqrt(every)
    assert [step for step, _ in said(lines(map(float, noisy), every))] == [200]
    slow = noisy - np.linspace(0, 2.0, count)
    assert said(lines(map(float, slow), every)) == []


def test_the_warm_up_is_waited_for():
    rates = [min(step / 20, 1.0) * 0.01 for step in range(1, 41)]
    losses = [GUESS] * 20 + falling(20)
    assert said(lines(losses, rates=rates)) == []
    found = said(lines([GUESS] * 40, rates=rates))
    assert [step for step, _ in found] == [20 * 50 + 100]


def test_a_loss_that_climbed_back_is_said():
    losses = [*falling(20), *[GUESS + 0.1] * 10, *falling(10), *[GUESS + 0.1] * 10]
    steps = [step for step, _ in said(lines(losses))]
    assert len(steps) == 2 and steps[0] > 20 * 50 and steps[1] > 40 * 50


def test_what_was_trained_before_may_stand_still_below_a_guess():
    assert said(lines([2.0] * 40), starts_trained=True) == []
    assert len(said(lines([GUESS] * 40), starts_trained=True)) == 1


def test_a_rate_of_zero_is_said_while_steps_are_left():
    log = list(lines(falling(10), rates=[0.01] * 6 + [0.0] * 4))
    [(step, text)] = said(log, steps=500)
    assert step == 350
    assert "learning rate is 0 at step 350, and 150 steps are to come" in text
    assert said(log[:7], steps=350) == []


def log_of(layers):
    return lines(falling(len(layers)), layers=[{"encoder.1.moe": x} for x in layers])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"load_max_over_mean": 7.6}, "encoder.1.moe has collapsed: 95% of its tokens"),
        ({"entropy": 0.0}, "certainty .entropy 0.0000 of 2.08"),
        ({"dropped_fraction": 0.7}, "70% of the tokens of encoder.1.moe find no room"),
    ],
)
def test_a_collapsed_router_is_named_once_and_again_when_it_comes_back(
    changed, message
):
    bad = LAYER | changed
    layers = [bad] * 2 + [LAYER] * 3 + [bad] * 9 + [LAYER] + [bad] * 4
    found = said(log_of(layers), num_experts=EXPERTS)
    assert [step for step, _ in found] == [8 * 50, 18 * 50]
    assert all(re.search(message, text) for _, text in found)


def test_steps_one_by_one_do_not_shorten_the_patience():
    layers = [{"encoder.1.moe": LAYER | {"load_max_over_mean": 8.0}}] * 150
    log = lines(falling(150), every=1, layers=layers)
    assert [step for step, _ in said(log, num_experts=EXPERTS)] == [101]


@pytest.mark.parametrize(
    ("experts", "layer"),
    [
        (EXPERTS, LAYER | {"load_max_over_mean": 6.0, "dropped_fraction": 0.4}),
        (EXPERTS, LAYER | {"entropy": 0.0, "z": 0.0}),  # HashRouter scores nothing
        (1, LAYER | {"load_max_over_mean": 1.0, "entropy": 0.0}),
    ],
)
def test_routers_that_are_well(experts, layer):
    assert said(log_of([layer] * 20), num_experts=experts) == []


def test_an_interrupted_run_says_the_same():
    bad = LAYER | {"load_max_over_mean": 8.0}
    log = list(log_of([LAYER] * 4 + [bad] * 16))
    log = [line | {"loss": GUESS} for line in log]
    facts = RunFacts(10**6, VOCAB, EXPERTS)
    whole = Alarms(facts)
    expected = [whole.note(line) for line in log]
    for stop in range(len(log)):
        resumed = Alarms(facts)
        for line in log[:stop]:
            resumed.note(line)
        assert [resumed.note(line) for line in log[stop:]] == expected[stop:]
