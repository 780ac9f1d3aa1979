"""Computes what a mixture will feed a model, before an hour is spent on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import seqio

from mtmoe.data.mixing.mixtures import PolicyRate
from mtmoe.data.mixing.plan_rows import MixturePlan, PlanRow, PlanStage
from mtmoe.data.mixing.rates import FlatMember, flatten
from mtmoe.data.mixing.stages import Stage, stages_of
from mtmoe.data.mixing.task_facts import TaskFacts, task_facts
from mtmoe.data.rows.cached import Lengths, check_lengths
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.registry import get_mixture_or_task, get_task
from mtmoe.errors import ConfigError
from mtmoe.languages import SEVERAL_LANGUAGES
from mtmoe.ranges import Count, Positive, check_number

_SHOWN = 8  # members of a mixture, when its weights are told

NO_LANGUAGE = SEVERAL_LANGUAGES.code
"""Name of the row of tasks that name no language of their own."""


def mixture_plan(
    name: str,
    lengths: Lengths,
    tokens: float | None = None,
    batch_size: int | None = None,
    steps: int | None = None,
    max_epochs: float = 4.0,
) -> MixturePlan:
    """Computes the plan of a mixture.

    Args:
      name: a registered mixture or task.
      lengths: `inputs` and `targets` lengths of a batch.
      tokens: the budget: tokens of inputs and targets, without padding.
      batch_size: examples in a step; needed by `steps` and by staged mixtures.
      steps: the budget in steps instead.
      max_epochs: passes above which data counts as repeated too often.

    Raises:
      UnknownNameError: nothing is registered under `name`.
      ConfigError: not one budget, or rates or lengths that cannot be used.
      CorpusError: text at hand cannot be read.
    """
    lengths = check_lengths(lengths)
    stages = stages_of(name)
    _check_budget(name, tokens, batch_size, steps, len(stages))
    check_number("max_epochs", max_epochs, Positive)
    ways = [flatten(stage.mixture) for stage in stages]
    facts = {
        task: task_facts(get_task(task), lengths)
        for task in sorted({way.task for stage_ways in ways for way in stage_ways})
    }
    examples_S = _stage_examples(
        stages, [_mean_length(w, facts) for w in ways], tokens, batch_size, steps
    )
    seen = dict.fromkeys(facts, 0.0)
    paths: dict[str, dict[str, None]] = {task: {} for task in facts}
    for stage_ways, examples in zip(ways, examples_S, strict=True):
        for way in stage_ways:
            seen[way.task] += examples * way.share
            paths[way.task]["/".join(way.path)] = None
    rows = _task_rows(seen, facts, {task: tuple(way) for task, way in paths.items()})
    return MixturePlan(
        mixture=get_mixture_or_task(name).name,
        policies=_policies(ways, stages),
        lengths=lengths,
        max_epochs=max_epochs,
        stages=tuple(
            PlanStage(
                *stage,
                steps=examples / batch_size if batch_size else None,
                tokens=examples * _mean_length(stage_ways, facts),
            )
            for stage, stage_ways, examples in zip(
                stages, ways, examples_S, strict=True
            )
        ),
        tasks=rows,
        languages=_language_rows(rows),
        total=_together("total", rows),
        absent={task: fact.absent for task, fact in facts.items() if fact.absent},
    )


def _check_budget(
    name: str,
    tokens: float | None,
    batch_size: int | None,
    steps: int | None,
    num_stages: int,
) -> None:
    if (tokens is None) == (steps is None):
        raise ConfigError("a plan needs a budget: tokens, or steps, and not both")
    check_number("the budget in tokens", tokens, Positive | None)
    check_number("the budget in steps", steps, Count | None)
    check_number("batch_size", batch_size, Count | None)
    if batch_size is None and (steps is not None or num_stages > 1):
        why = "a budget in steps" if steps is not None else f"{name!r} is staged, and"
        raise ConfigError(
            f"{why} needs the batch size: --batch_size=N, or a --gin_file that sets "
            "train.batch_size"
        )


def _mean_length(ways: Sequence[FlatMember], facts: Mapping[str, TaskFacts]) -> float:
    return sum(way.share * facts[way.task].tokens_per_example for way in ways)


def _stage_examples(
    stages: Sequence[Stage],
    mean_lengths: Sequence[float],
    tokens: float | None,
    batch_size: int | None,
    steps: int | None,
) -> list[float]:
    """Returns the examples each stage gives until the budget is spent."""
    per_step = batch_size or 1
    tokens_left = math.inf if tokens is None else float(tokens)
    end = math.inf if steps is None else float(steps)
    ends = [*(stage.start_step for stage in stages[1:]), math.inf]
    examples_S = []
    for stage, stage_end, length in zip(stages, ends, mean_lengths, strict=True):
        longest = max(min(stage_end, end) - stage.start_step, 0.0) * per_step
        examples = min(longest, tokens_left / length)
        tokens_left = max(tokens_left - examples * length, 0.0)
        examples_S.append(examples)
    return examples_S


def _task_rows(
    seen: Mapping[str, float],
    facts: Mapping[str, TaskFacts],
    paths: Mapping[str, tuple[str, ...]],
) -> tuple[PlanRow, ...]:
    all_examples = sum(seen.values())
    all_tokens = sum(seen[task] * facts[task].tokens_per_example for task in seen)
    rows = []
    for task, examples in seen.items():
        fact, card = facts[task], task_card(get_task(task))
        tokens = examples * fact.tokens_per_example
        size = fact.epoch_examples
        rows.append(
            PlanRow(
                name=task,
                language=card.language,
                family=card.family,
                paths=paths[task],
                num_tasks=1,
                share_of_examples=examples / all_examples,
                share_of_tokens=tokens / all_tokens,
                examples=examples,
                tokens=tokens,
                tokens_per_example=fact.tokens_per_example,
                epoch_examples=size,
                epochs=examples / size if size else None,
                bytes_per_token=fact.bytes_per_token,
                bases=fact.bases,
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.tokens, row.name)))


def _language_rows(rows: Sequence[PlanRow]) -> tuple[PlanRow, ...]:
    by_language: dict[str, list[PlanRow]] = {}
    for row in rows:
        by_language.setdefault(row.language or NO_LANGUAGE, []).append(row)
    together = [_together(code, members) for code, members in by_language.items()]
    return tuple(sorted(together, key=lambda row: (-row.tokens, row.name)))


def _together(name: str, rows: Sequence[PlanRow]) -> PlanRow:
    """Adds rows up; epochs are tokens seen over tokens of one pass of them all."""
    tokens, examples = sum(r.tokens for r in rows), sum(r.examples for r in rows)
    passes = [
        row.epoch_examples * row.tokens_per_example
        for row in rows
        if row.epoch_examples is not None
    ]
    sizes = [
        row.bytes_per_token * row.tokens
        for row in rows
        if row.bytes_per_token is not None
    ]
    complete = len(passes) == len(rows)
    return PlanRow(
        name=name,
        language=rows[0].language if len({r.language for r in rows}) == 1 else "",
        family=rows[0].family if len({r.family for r in rows}) == 1 else "",
        paths=(),
        num_tasks=len(rows),
        share_of_examples=sum(r.share_of_examples for r in rows),
        share_of_tokens=sum(r.share_of_tokens for r in rows),
        examples=examples,
        tokens=tokens,
        tokens_per_example=tokens / examples if examples else 0.0,
        epoch_examples=sum(r.epoch_examples or 0.0 for r in rows) if complete else None,
        epochs=tokens / sum(passes) if complete else None,
        bytes_per_token=sum(sizes) / tokens
        if tokens and len(sizes) == len(rows)
        else None,
        bases={key: _weakest([r.bases[key] for r in rows]) for key in rows[0].bases},
    )


_WEAKEST_FIRST = (
    "unknown",
    "family",
    "script",
    "language",
    "card",
    "estimated",
    "sampled",
    "measured",
    "filled",
)


def _weakest(bases: Sequence[str]) -> str:
    return min(bases, key=_WEAKEST_FIRST.index)


def _policies(
    ways: Sequence[Sequence[FlatMember]], stages: Sequence[Stage]
) -> dict[str, str]:
    """Returns how each mixture on the way weighs its members, in words."""
    names = dict.fromkeys(
        name for stage_ways in ways for way in stage_ways for name in way.path
    )
    return {name: _policy(get_mixture_or_task(name)) for name in names}


def _policy(mixture: seqio.Mixture) -> str:
    given = mixture.rate_per_task_name
    for rate in given.values():
        if isinstance(rate, PolicyRate):  # one for all members
            return str(rate.policy)
    weights = {
        name: float(rate(get_task(name)) if callable(rate) else rate)
        for name, rate in given.items()
    }
    shown = ", ".join(f"{name} {weights[name]:g}" for name in list(weights)[:_SHOWN])
    more = len(weights) - _SHOWN
    return f"weights {shown}" + (f" and {more} more" if more > 0 else "")
