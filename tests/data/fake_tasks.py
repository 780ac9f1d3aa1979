"""Tasks for the data tests, made of given documents or given examples."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import seqio
import tensorflow as tf

from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.text import TextSource

REKEY_TEXT = functools.partial(
    seqio.preprocessors.rekey, key_map={"inputs": None, "targets": "text"}
)
TEXT_STEPS = (
    REKEY_TEXT,
    seqio.preprocessors.tokenize,
    seqio.CacheDatasetPlaceholder(),
    SpanCorruption(),
    seqio.preprocessors.append_eos,
)


def features(vocabulary: seqio.Vocabulary) -> dict[str, seqio.Feature]:
    feature = seqio.Feature(vocabulary=vocabulary, add_eos=True)
    return {"inputs": feature, "targets": feature}


def random_documents(seed: int, characters: int) -> list[str]:
    """Documents of lower-case words, a few hundred characters each."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz     "))
    text = "".join(np.random.default_rng(seed).choice(letters, characters))
    return [text[i : i + 300] for i in range(0, characters, 300)]


def add_text_task(
    name: str,
    documents: Sequence[str],
    vocabulary: seqio.Vocabulary,
    steps: Sequence = TEXT_STEPS,
    language: str = "",
) -> seqio.Task:
    """Registers a task at token level; validation is the last document."""
    splits = {"train": list(documents), "validation": list(documents[-1:])}
    return seqio.TaskRegistry.add(
        name,
        source=TextSource(splits.__getitem__, splits=splits, language=language),
        preprocessors=list(steps),
        output_features=features(vocabulary),
        metric_fns=[],
    )


def add_supervised_task(
    name: str, pairs: Sequence[tuple[str, str]], vocabulary: seqio.Vocabulary
) -> seqio.Task:
    """Registers a task of (inputs, targets) texts."""

    def dataset(split: str, shuffle_files: bool, seed: int | None = None):
        del split, shuffle_files, seed
        inputs, targets = zip(*pairs, strict=True) if pairs else ((), ())
        return tf.data.Dataset.from_tensor_slices(
            {
                "inputs": tf.constant(inputs, tf.string, shape=[len(pairs)]),
                "targets": tf.constant(targets, tf.string, shape=[len(pairs)]),
            }
        )

    return seqio.TaskRegistry.add(
        name,
        source=seqio.FunctionDataSource(dataset, splits=["train"]),
        preprocessors=[
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            seqio.preprocessors.append_eos_after_trim,
        ],
        output_features=features(vocabulary),
        metric_fns=[],
    )
