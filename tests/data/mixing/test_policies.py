"""Policies against published rates, and their schedules against their own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mtmoe.data.mixing.policies import ExamplesProportional, Temperature, UniMax
from mtmoe.data.schedule.fixed_rates import Schedule
from mtmoe.data.sources.web.mc4_statistics import MC4_STATISTICS
from mtmoe.errors import ConfigError

PAGES = {code: row.train_pages for code, row in MC4_STATISTICS.items()}
CHARACTERS = {code: row.characters for code, row in MC4_STATISTICS.items()}
SIZES = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4),
    st.floats(1.0, 1e9),
    min_size=1,
    max_size=30,
)


def percents(rates: dict[str, float]) -> dict[str, float]:
    total = sum(rates.values())
    return {name: 100 * rate / total for name, rate in rates.items()}


def published(field: str) -> dict[str, float]:
    return {code: getattr(row, field) for code, row in MC4_STATISTICS.items()}


@pytest.mark.parametrize(
    ("policy", "sizes", "field", "points"),
    [
        (Temperature(1 / 3.3), PAGES, "mt5_percent", 0.01),
        (Temperature(0.3, "characters"), CHARACTERS, "temperature_percent", 0.02),
        (UniMax(4_660e9), CHARACTERS, "unimax_percent", 0.02),
        (UniMax(584e9), CHARACTERS, "unimax_eighth_percent", 0.02),
    ],
)
def test_published_rates_of_all_languages(policy, sizes, field, points):
    assert len(sizes) == 107
    assert percents(policy.rates(sizes)) == pytest.approx(published(field), abs=points)


@pytest.mark.parametrize(
    "policy",
    [
        ExamplesProportional(),
        ExamplesProportional(maximum=3e5),
        Temperature(0.0),
        Temperature(0.3),
        Temperature(0.7),
        UniMax(2e6, max_epochs=1),
        UniMax(2e6, max_epochs=4),
    ],
    ids=str,
)
def test_100_000_scheduled_examples_fit_the_rates(policy):
    sizes = {f"task_{i}": 150.0 * 2.1**i for i in range(14)}
    rates = policy.rates(sizes)
    tasks, _ = Schedule(rates, seed=1).rows(0, 100_000)
    expected = np.array(list(rates.values()))
    expected *= 100_000 / expected.sum()
    observed = np.bincount(tasks, minlength=len(sizes))
    assert expected.min() > 0.5
    assert stats.chisquare(observed, expected).pvalue > 0.01


def test_the_cap_holds_large_tasks_back():
    sizes = {"a": 10.0, "b": 300.0, "c": 1e6}
    assert ExamplesProportional(300.0).rates(sizes) == {"a": 10, "b": 300, "c": 300}
    assert ExamplesProportional().rates(sizes) == sizes


@given(sizes=SIZES, max_epochs=st.floats(0.1, 10), part=st.floats(0.001, 1))
def test_unimax_spends_the_budget_evenly_within_the_cap(sizes, max_epochs, part):
    budget = part * max_epochs * sum(sizes.values())
    rates = UniMax(budget, max_epochs).rates(sizes)
    assert list(rates) == list(sizes)
    assert sum(rates.values()) == pytest.approx(budget)
    epochs = {name: rates[name] / sizes[name] for name in sizes}
    assert max(epochs.values()) <= max_epochs * (1 + 1e-9)
    capped = {n for n in sizes if epochs[n] > max_epochs * (1 - 1e-9)}
    even = [rates[name] for name in sizes if name not in capped]
    if even:
        assert max(even) == pytest.approx(min(even))
        assert all(rates[name] <= min(even) * (1 + 1e-9) for name in capped)


def test_a_budget_that_no_division_can_spend_is_an_error():
    sizes = {"a": 10.0, "b": 30.0}
    assert UniMax(80.0, 2.0).rates(sizes) == {"a": 20.0, "b": 60.0}
    with pytest.raises(ConfigError, match="budget is 81 characters, but 2 passes"):
        UniMax(81.0, 2.0).rates(sizes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Temperature(1.5), "alpha is 1.5; it must be a number from 0 to 1"),
        (lambda: Temperature(unit="tokns"), "'tokns'.*did you mean tokens"),
        (lambda: ExamplesProportional(0), "maximum is 0"),
        (lambda: ExamplesProportional(unit="pages"), "allowed: examples, characters"),
        (UniMax, "budget is 0; it must be given, in characters"),
        (lambda: UniMax(1e9, 0), "max_epochs is 0"),
    ],
)
def test_numbers_out_of_range_are_errors(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
