"""Mathematics rows: problems whose answer is a number, an expression or a choice."""

from __future__ import annotations

import functools

import seqio
import tensorflow as tf
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.qa import exact_match
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.text_steps import (
    Features,
    drop_blank,
    labelled,
    one_line,
    per_example,
    text_pair,
)

_ANSWER_MARK = "####"


@per_example
def _worked_problem(example: Features) -> dict[str, tf.Tensor]:
    # <<48/2=24>> are notes for a calculator.
    worked = tf.strings.regex_replace(example["answer"], "<<[^>]*>>", "")
    return {
        "inputs": labelled("gsm8k", {"question": example["question"]}),
        "targets": one_line(worked),
    }


def final_answer(text: str, **_: object) -> str:
    """Returns what follows the last `####`, digits not grouped; "" if nothing does."""
    return text.rpartition(_ANSWER_MARK)[2].replace(",", "").strip()


register_row(
    "math_qa",
    seqio.TfdsDataSource("math_qa:1.0.0", splits=("train", "validation", "test")),
    family="mathematics",
    origin="TFDS math_qa 1.0.0",
    licence="Apache 2.0",
    preprocessors=(
        functools.partial(drop_blank, keys=("Problem", "options", "correct")),
        functools.partial(
            text_pair,
            name="math_qa",
            parts={"question": "Problem", "options": "options"},
            targets="correct",
        ),
    ),
    metrics=(t5_metrics.accuracy,),
    metric_names=("accuracy",),
    note="The target is the option's letter.",
)
register_row(
    "gsm8k",
    seqio.TfdsDataSource("gsm8k:1.0.0", splits=("train", "test")),
    family="mathematics",
    origin="TFDS gsm8k 1.0.0",
    licence="MIT",
    preprocessors=(
        functools.partial(drop_blank, keys=("question", "short_answer")),
        _worked_problem,
    ),
    postprocess=final_answer,
    metrics=(exact_match,),
    metric_names=("exact_match",),
    note="Targets have the steps; what follows #### is compared. Later than ExMix.",
)
register_row(
    "math_algebra_linear_1d",
    seqio.TfdsDataSource(
        "math_dataset/algebra__linear_1d:1.0.0", splits=("train", "test")
    ),
    family="mathematics",
    origin="TFDS math_dataset/algebra__linear_1d 1.0.0",
    licence="Apache 2.0",
    preprocessors=(
        functools.partial(drop_blank, keys=("question", "answer")),
        functools.partial(
            text_pair,
            name="math_algebra_linear_1d",
            parts={"question": "question"},
            targets="answer",
        ),
    ),
    metrics=(exact_match,),
    metric_names=("exact_match",),
    note="One of the data set's 56 kinds of problem.",
)
