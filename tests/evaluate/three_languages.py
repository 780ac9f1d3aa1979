"""Registers a mixture of three small tasks for the evaluation tests."""

from __future__ import annotations

import functools

import numpy as np
import seqio

from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.text import TextSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_text_task

WORDS = {
    "de": "alle menschen sind frei und gleich an würde und rechten geboren".split(),
    "sw": "watu wote wamezaliwa huru hadhi na haki zao ni sawa".split(),
    "iw": "כל בני אדם נולדו בני חורין ושווים בערכם ובזכויותיהם".split(),
}
SIZES = {"train": 1500, "validation": 400}


def documents(code: str, split: str) -> list[str]:
    generator = np.random.default_rng([len(code), ord(code[0]), len(split)])
    return [" ".join(generator.choice(WORDS[code], SIZES[split]))]


def add(code: str) -> str:
    return register_text_task(
        f"three.{code}",
        TextSource(functools.partial(documents, code), language=code),
        SpanCorruption(),
        TaskCard(family="pretraining", language=code),
    )


seqio.MixtureRegistry.add("three", [(add(code), 1.0) for code in WORDS])
