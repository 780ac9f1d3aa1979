"""Checks that every embedded task is held to, in pure Python."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import seqio

from mtmoe.data.metrics.scale import perfect_score
from mtmoe.data.sources.embedded.cleaning import comparable
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.embedded.registration import (
    FEWEST_TRAINING_ROWS,
    EmbeddedKind,
)
from mtmoe.data.tasks.embedded.rows import MOST_ROWS, embedded_source
from mtmoe.data.tasks.embedded.splits import SPLITS, held_out_guard, task_split
from mtmoe.errors import CorpusError
from mtmoe.languages import MC4_LANGUAGES

Examples = dict[str, list[dict[str, str]]]


def task_of(kind: EmbeddedKind, language: str) -> seqio.Task:
    """The registered task of a kind and language."""
    return seqio.TaskRegistry.get(f"embedded.{kind.name}.{language}".rstrip("."))


def problems_of(kind: EmbeddedKind, language: str) -> Iterator[str]:
    """What is wrong with a task, in words."""
    task = task_of(kind, language)
    examples = {split: task.source.examples(split) for split in SPLITS}
    yield from _splits(kind, language, examples)
    yield from _texts(examples)
    yield from _scores(task, examples["validation"])
    card = task_card(task)
    if (card.language, card.labels, card.metrics) != (
        language,
        kind.labels,
        kind.measured_by(language)[1],
    ):
        yield f"card {card}"


def missing_languages(kind: EmbeddedKind) -> list[str]:
    """The languages that have the rows and are not listed."""
    return [
        code
        for code in MC4_LANGUAGES
        if code not in kind.languages and _has_rows(kind, code)
    ]


def _has_rows(kind: EmbeddedKind, language: str) -> bool:
    rows = embedded_source(kind.name, kind.rows, language, kind.is_prose)
    try:
        sizes = [len(rows.examples(split)) for split in SPLITS]
    except CorpusError:
        return False
    return sizes[0] >= FEWEST_TRAINING_ROWS and min(sizes) > 0


def _splits(kind: EmbeddedKind, language: str, examples: Examples) -> Iterator[str]:
    for split, most in MOST_ROWS.items():
        fewest = FEWEST_TRAINING_ROWS if split == "train" else 1
        if not fewest <= len(examples[split]) <= most:
            yield f"{len(examples[split])} rows in {split}"
    splits_of_inputs = defaultdict(set)
    for key, example in kind.rows(language):
        splits_of_inputs[example["inputs"]].add(task_split(key))
    seen: set[str] = set()
    for split in SPLITS:
        inputs = [example["inputs"] for example in examples[split]]
        if len(set(inputs)) < len(inputs):
            yield f"the same inputs twice in {split}"
        if any(split not in splits_of_inputs[text] for text in inputs):
            yield f"rows of other keys in {split}"
        compared = set(map(comparable, inputs))
        if not seen.isdisjoint(compared):
            yield f"inputs of {split} are in an earlier split"
        seen |= compared


def _texts(examples: Examples) -> Iterator[str]:
    for split in SPLITS:
        for example in examples[split]:
            if not example["inputs"].strip() or not example["targets"].strip():
                yield f"empty text in {split}: {example}"
    guard = held_out_guard()
    for example in examples["train"]:
        if guard.leaks(example["inputs"]) or guard.leaks(example["targets"]):
            yield f"held-out prose in train: {example}"


def _scores(task: seqio.Task, examples: list[dict[str, str]]) -> Iterator[str]:
    targets = [
        task.postprocess_fn(row["targets"], example=row, is_target=True)
        for row in examples
    ]
    predictions = [
        task.postprocess_fn(row["targets"], example=row, is_target=False)
        for row in examples
    ]
    found = {}
    for metric in task.metric_fns:
        found.update(metric(targets, predictions))
    if tuple(found) != task_card(task).metrics:
        yield f"metrics {tuple(found)}, the card says {task_card(task).metrics}"
    for name, value in found.items():
        if not math.isclose(value, perfect_score(name), abs_tol=1e-3):
            yield f"{name} is {value} for perfect predictions"
