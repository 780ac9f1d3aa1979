"""Coreference rows: which name a pronoun stands for."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import seqio
import tensorflow as tf
from t5.data import postprocessors as t5_postprocessors
from t5.data import preprocessors as t5_preprocessors
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.alignment import check_aligned
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.text_steps import Features, labelled, per_example

NEITHER = "neither"
"""The target where the pronoun means none of the two names."""

_TO_THE_END = 2**31 - 1


@per_example
def _marked_pronoun(example: Features) -> dict[str, tf.Tensor]:
    text, pronoun = example["Text"], example["Pronoun"]
    start = example["Pronoun-offset"]
    end = start + tf.strings.length(pronoun, unit="UTF8_CHAR")
    marked = tf.strings.join(
        [
            tf.strings.substr(text, 0, start, unit="UTF8_CHAR"),
            "*",
            pronoun,
            "*",
            tf.strings.substr(text, end, _TO_THE_END, unit="UTF8_CHAR"),
        ]
    )
    neither_or_b = tf.where(example["B-coref"], example["B"], NEITHER)
    return {
        "inputs": labelled(
            "gap", {"A": example["A"], "B": example["B"], "text": marked}
        ),
        "targets": tf.where(example["A-coref"], example["A"], neither_or_b),
    }


def gap_f1(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Returns `f1` of the names found, over all examples (Webster et al. 2018).

    Each example asks of two names whether the pronoun means them; one that is neither
    counts only where a name is given for it.
    """
    check_aligned(targets, predictions)
    given = sum(text != NEITHER for text in (*targets, *predictions))
    hits = sum(
        target == prediction != NEITHER
        for target, prediction in zip(targets, predictions, strict=True)
    )
    return {"f1": 200.0 * hits / given if given else 100.0}


register_row(
    "gap",
    seqio.TfdsDataSource("gap:0.1.1", splits=("train", "validation", "test")),
    family="other",
    origin="TFDS gap 0.1.1",
    licence="Apache 2.0; text CC BY-SA 3.0",
    preprocessors=(_marked_pronoun,),
    metrics=(gap_f1,),
    metric_names=("f1",),
)
register_row(
    "dpr",
    seqio.TfdsDataSource("definite_pronoun_resolution:1.1.0", splits=("train", "test")),
    family="other",
    origin="TFDS definite_pronoun_resolution 1.1.0",
    licence="unknown",
    preprocessors=(
        functools.partial(
            t5_preprocessors.definite_pronoun_resolution_simple, label="dpr:"
        ),
    ),
    postprocess=t5_postprocessors.lower_text,
    metrics=(t5_metrics.accuracy,),
    metric_names=("accuracy",),
    note="t5's text, with a label of its own.",
)
