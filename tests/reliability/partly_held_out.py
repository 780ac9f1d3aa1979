"""Tasks of which some cannot be scored: no split, no text, no known language."""

from __future__ import annotations

import random

import seqio

from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.text import TextSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_text_task

WORDS = "maji chakula mji watu nyumba barabara shule mwalimu mtoto kitabu".split()


def documents(split: str) -> list[str]:
    words = random.Random(split)
    return [" ".join(words.choices(WORDS, k=30)) for _ in range(20)]


def nothing_held_out(split: str) -> list[str]:
    return documents(split) if split == "train" else []


def too_little_held_out(split: str) -> list[str]:
    return documents(split) if split == "train" else [""]


def _add(name, language, docs=documents, splits=("train", "validation")):
    return register_text_task(
        name,
        TextSource(docs, splits=splits, language=language),
        SpanCorruption(),
        TaskCard(family="pretraining", language=language, labels="self"),
    )


seqio.MixtureRegistry.add(
    "partly.all",
    [
        (_add("partly.sw", "sw"), 1),
        (_add("partly.train_only", "ig", splits=("train",)), 1),
        (_add("partly.empty", "yo", nothing_held_out), 1),
        (_add("partly.blank", "ha", too_little_held_out), 1),
        (_add("partly.no_language", ""), 1),
    ],
)
seqio.MixtureRegistry.add(
    "partly.with_hr", [("partly.sw", 1), (_add("partly.hr", "hr"), 1)]
)
