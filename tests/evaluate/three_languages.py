"""Registers a mixture of three small tasks for the evaluation tests."""

from __future__ import annotations

import functools

import numpy as np
import seqio

from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.text import TextSource
from mtmoe.data.vocabularies import configured_vocabulary

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
    feature = seqio.Feature(vocabulary=configured_vocabulary(), add_eos=True)
    seqio.TaskRegistry.add(
        f"three.{code}",
        source=TextSource(functools.partial(documents, code), language=code),
        preprocessors=[
            functools.partial(
                seqio.preprocessors.rekey, key_map={"inputs": None, "targets": "text"}
            ),
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            SpanCorruption(),
            seqio.preprocessors.append_eos,
        ],
        output_features={"inputs": feature, "targets": feature},
        metric_fns=[],
    )
    return f"three.{code}"


seqio.MixtureRegistry.add("three", [(add(code), 1.0) for code in WORDS])
