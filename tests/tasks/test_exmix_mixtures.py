"""The list of rows, and the mixtures over them."""

from __future__ import annotations

from pathlib import Path

import gin
import pytest
import seqio

from mtmoe.data.mixing.rates import task_rates
from mtmoe.data.tasks.card import FAMILIES, task_card
from mtmoe.data.tasks.registry import get_mixture_or_task
from mtmoe.errors import ConfigError
from mtmoe.tasks.exmix import mixtures
from mtmoe.tasks.exmix.rows import ASSUMED_TRAIN_EXAMPLES, CERTAINTY, COUNTED_BY, ROWS

NUMBERED = [row for row in ROWS.values() if row.certainty != "extra"]
EXTRA = [row for row in ROWS.values() if row.certainty == "extra"]


def shares(name: str) -> dict[str, float]:
    rates = task_rates(get_mixture_or_task(name))
    total = sum(rates.values())
    return {task: rate / total for task, rate in rates.items()}


def count(row) -> int:
    return row.train_examples or ASSUMED_TRAIN_EXAMPLES[row.name]


def expected(rows, cap: float) -> dict[str, float]:
    total = sum(min(count(row), cap) for row in rows)
    return {row.task_name: min(count(row), cap) / total for row in rows}


def test_there_are_107_rows_and_42_more():
    assert [row.number for row in NUMBERED] == [str(n) for n in range(1, 108)]
    assert [row.number for row in EXTRA] == [f"x{n}" for n in range(1, 43)]
    assert len(ROWS) == 149
    for name, row in ROWS.items():
        assert name == row.name and row.dataset
        assert row.certainty in CERTAINTY and row.counted_by in COUNTED_BY
        assert (row.train_examples is None) or row.train_examples > 0


def test_every_row_is_registered_once_with_what_is_known_of_it():
    registered = {
        name
        for name in seqio.TaskRegistry.names()
        if name.startswith(("exmix.", "extra."))
    }
    assert registered == {row.task_name for row in ROWS.values()}
    folder = Path(mixtures.__file__).parent
    files = {str(folder / f"{name}.py") for name in mixtures.FAMILY_MODULES}
    places = {}
    for row in ROWS.values():
        task = seqio.TaskRegistry.get(row.task_name)
        card = task_card(task)
        places[row.task_name] = task.source_info.file_path
        assert card.family in FAMILIES and card.certainty == CERTAINTY[row.certainty]
        assert card.metrics and task.metric_fns and card.origin and card.licence
        assert "train" in task.splits
    assert set(places.values()) == files


def test_sizes_that_nobody_knows_are_assumed_in_plain_sight():
    unknown = {row.name for row in NUMBERED if not row.train_examples}
    assert unknown == set(ASSUMED_TRAIN_EXAMPLES)
    for name, size in ASSUMED_TRAIN_EXAMPLES.items():
        card = task_card(seqio.TaskRegistry.get(f"exmix.{name}"))
        assert card.train_examples == size
        assert f"unknown; mixtures assume {size:,}." in card.note
    others = [row for row in EXTRA if not row.train_examples]
    assert others
    for row in others:
        assert task_card(seqio.TaskRegistry.get(row.task_name)).train_examples is None


@pytest.mark.parametrize("cap", [None, 1_000, 1e9])
def test_rates_are_examples_up_to_k(cap):
    if cap is not None:
        gin.bind_parameter("exmix_policy.maximum", cap)
    got = shares("exmix")
    assert got == pytest.approx(expected(NUMBERED, cap or 3e5), rel=1e-12)
    assert len(got) == 107


def test_families_divide_the_107():
    families = [name for name in seqio.MixtureRegistry.names() if name[:6] == "exmix."]
    members = [
        task.name for name in families for task in get_mixture_or_task(name).tasks
    ]
    assert sorted(members) == sorted(row.task_name for row in NUMBERED)
    for name in families:
        family = name.removeprefix("exmix.")
        rows = [
            row
            for row in NUMBERED
            if task_card(seqio.TaskRegistry.get(row.task_name)).family == family
        ]
        assert shares(name) == pytest.approx(expected(rows, 3e5), rel=1e-12)


@pytest.mark.parametrize("ratio", [None, 0.5, 5])
def test_c4_gives_its_part_of_ext5(ratio):
    if ratio is not None:
        gin.bind_parameter("ext5_c4_rate.ratio", ratio)
    part = (ratio or 2) / ((ratio or 2) + 1)
    got = shares("ext5")
    assert got.pop("c4.en") == pytest.approx(part, rel=1e-12)
    inside = {name: share * (1 - part) for name, share in shares("exmix").items()}
    assert got == pytest.approx(inside, rel=1e-9)


def test_both_numbers_are_marked_as_uncertain():
    assert (mixtures.RATE_CAP, mixtures.C4_RATIO) == (3e5, 2.0)
    for function in (mixtures.exmix_policy, mixtures.ext5_c4_rate):
        assert "uncertain" in " ".join(function.__doc__.split())


def test_a_negative_ratio_is_refused():
    gin.bind_parameter("ext5_c4_rate.ratio", -1)
    with pytest.raises(ConfigError, match="ratio is -1"):
        shares("ext5")
