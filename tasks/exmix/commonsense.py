r"""Commonsense rows: choices that need everyday or school knowledge.

COPA and WSC read as t5 registers them; the others are of the multiple choice form of
`forms`, the letter being the target. UnifiedQA's builders give ready text, in which
the two characters `\n` part question, choices and passage; it is kept as published,
with the row's name before it.

`super_glue_wsc_dpr` is t5's version of the Winograd task: a pronoun is marked, what it
refers to is the target. It trains on the right referents of WSC.fixed and on DPR.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from t5.data import postprocessors as t5_postprocessors
from t5.data import preprocessors as t5_preprocessors

from mtmoe.data.sources.joined import JoinedSource, Part
from mtmoe.tasks.exmix.forms import (
    ACCURACY,
    ALL_SPLITS,
    Asked,
    Labelled,
    Step,
    Tensors,
    choice_text,
    join,
    letter_id,
    mapped,
    register_asked,
    register_labelled,
    tfds_origin,
    tfds_source,
)
from mtmoe.tasks.exmix.rows import register_row

FAMILY = "commonsense"

register_labelled(
    Labelled(
        "super_glue_copa",
        "super_glue/copa:1.0.2",
        ("choice1", "choice2"),
        "BSD 2-Clause",
        prompt="copa",
        id_key="idx",
        note="Answers of the test split are hidden: `<unk>`.",
    ),
    FAMILY,
)


def _index_of(value: Any, among: Any) -> tf.Tensor:
    """Returns where a value is in a vector."""
    return tf.argmax(tf.cast(tf.equal(among, value), tf.int32))


def _features(example: Tensors, *names: str) -> tf.Tensor:
    return tf.stack([example[name] for name in names])


def _cosmos_qa(example: Tensors) -> Tensors:
    return choice_text(
        "cosmos_qa",
        join("question:", example["question"]),
        _features(example, "answer0", "answer1", "answer2", "answer3"),
        example["label"],
        join("context:", example["context"]),
    )


def _hellaswag(example: Tensors) -> Tensors:
    return choice_text(
        "hellaswag",
        join("activity:", example["activity_label"], "context:", example["context"]),
        example["endings"],
        example["label"],
    )


def _piqa(example: Tensors) -> Tensors:
    return choice_text(
        "piqa",
        join("goal:", example["goal"]),
        _features(example, "sol1", "sol2"),
        example["label"],
    )


def _winogrande(example: Tensors) -> Tensors:
    return choice_text(
        "winogrande",
        join("sentence:", example["sentence"]),
        _features(example, "option1", "option2"),
        example["label"],
    )


def _openbookqa(example: Tensors) -> Tensors:
    question = example["question"]
    return choice_text(
        "openbookqa",
        join("question:", question["stem"]),
        _features(question, "choice_A", "choice_B", "choice_C", "choice_D"),
        example["answerKey"],
    )


def _lettered(prompt: str) -> Step:
    """Choices with a label each: ARC's three to five, QASC's eight."""

    def form(example: Tensors) -> Tensors:
        choices = example["choices"]
        return choice_text(
            prompt,
            join("question:", example["question"]),
            choices["text"],
            _index_of(example["answerKey"], choices["label"]),
        )

    return mapped(form)


def _cos_e(example: Tensors) -> Tensors:
    return choice_text(
        "commonsense_qa",
        join("question:", example["question"]),
        example["choices"],
        _index_of(example["answer"], example["choices"]),
    )


_CHOICES = (
    Asked(
        "rainbow_cosmosqa",
        "cosmos_qa:1.0.0",
        (mapped(_cosmos_qa),),
        "CC BY 4.0",
    ),
    Asked("rainbow_hellaswag", "hellaswag:1.1.0", (mapped(_hellaswag),), "MIT"),
    Asked("rainbow_piqa", "piqa:1.0.0", (mapped(_piqa),), "AFL 3.0"),
    Asked(
        "rainbow_winogrande",
        "winogrande:1.2.0",
        (mapped(_winogrande),),
        "CC BY",
        splits={"train": "train_xl", "validation": "validation"},
        note="Trains on the largest of the five training sets.",
    ),
    Asked(
        "openbookqa",
        "openbookqa:0.1.0",
        (mapped(_openbookqa),),
        "unknown",
        splits=ALL_SPLITS,
        note="Without the book's fact.",
    ),
    Asked(
        "arc_challenge",
        "ai2_arc/ARC-Challenge:1.0.0",
        (_lettered("arc"),),
        "CC BY-SA 4.0",
        splits=ALL_SPLITS,
    ),
    Asked(
        "arc_easy",
        "ai2_arc/ARC-Easy:1.0.0",
        (_lettered("arc"),),
        "CC BY-SA 4.0",
        splits=ALL_SPLITS,
    ),
    Asked(
        "qasc",
        "qasc:0.1.0",
        (_lettered("qasc"),),
        "CC BY 4.0",
        note="Without the two facts.",
    ),
    Asked(
        "cos_e",
        "cos_e:0.0.1",
        (mapped(_cos_e),),
        "BSD 3-Clause",
        note="CommonsenseQA's questions of CoS-E, without the explanations.",
    ),
)

for _task in _CHOICES:
    register_asked(_task, FAMILY, letter_id)


def unified_qa(prompt: str) -> Callable[[tf.data.Dataset], tf.data.Dataset]:
    """Returns a step: UnifiedQA's text behind a name."""

    def form(example: Tensors) -> Tensors:
        return {
            "inputs": join(prompt, example["input"]),
            "targets": join(example["output"]),
        }

    return mapped(form)


_UNIFIED = (
    Asked(
        "rainbow_socialiqa",
        "unified_qa/social_iqa:1.0.0",
        (unified_qa("social_iqa"),),
        "unknown",
    ),
    Asked(
        "uqa_commonsenseqa",
        "unified_qa/commonsenseqa:1.0.0",
        (unified_qa("commonsenseqa"),),
        "MIT",
    ),
)

for _task in _UNIFIED:
    register_asked(_task, FAMILY, t5_postprocessors.lower_text)


def _referent(example: Tensors) -> Tensors:
    """Where the marked noun is not meant, what is meant is not known: `<unk>`."""
    label = tf.cast(example["label"], tf.int64)
    targets = tf.where(label == 1, example["targets"], "<unk>")
    return {
        "inputs": example["inputs"],
        "targets": targets,
        "referent": example["targets"],
        "label": label,
    }


def _wsc(correct_only: bool) -> tuple[Step, ...]:
    def simple(dataset: tf.data.Dataset) -> tf.data.Dataset:
        return t5_preprocessors.wsc_simple(dataset, correct_referent_only=correct_only)

    return (simple, mapped(_referent))


def _always_right(example: Tensors) -> Tensors:
    return {**example, "label": tf.constant(1, tf.int64)}


def _pronoun_answer(
    text: str, example: Tensors | None = None, is_target: bool = False
) -> int:
    """Returns 1 if a text names the referent, 0 if not; the label of a target."""
    if example is None:
        raise ValueError("the referent is needed: an example")
    seen = {**example, "targets_pretokenized": example["referent"]}
    return int(t5_postprocessors.wsc_simple(text, seen, is_target))


_WSC = "super_glue/wsc.fixed:1.0.2"
_DPR = "definite_pronoun_resolution:1.1.0"

register_row(
    "super_glue_wsc_dpr",
    JoinedSource(
        [
            Part(tfds_source(_WSC, ("train",)), _wsc(correct_only=True), 259),
            Part(
                tfds_source(_DPR, ("train",)),
                (
                    t5_preprocessors.definite_pronoun_resolution_simple,
                    mapped(_always_right),
                    mapped(_referent),
                ),
                1322,
            ),
            Part(
                tfds_source(_WSC, ("validation", "test")),
                _wsc(correct_only=False),
            ),
        ]
    ),
    family="other",
    origin=tfds_origin(_WSC, _DPR),
    licence="CC BY 4.0 (WSC), unknown (DPR)",
    metrics=ACCURACY.functions,
    metric_names=ACCURACY.names,
    postprocess=_pronoun_answer,
    note="Coreference. Where the marked noun is not meant, the target is `<unk>`.",
)
