"""Natural language inference rows.

GLUE's and SuperGLUE's read as t5 registers them. ANLI's three rounds are one task, as
the row counts them. e-SNLI asks for an explanation too, in WT5's form.

aNLI (`rainbow_anli`) is not in TFDS: the user brings
`$MTMOE_DATA/exmix/rainbow_anli/{train,validation}.jsonl` with `observation_1`,
`observation_2`, `hypothesis_1`, `hypothesis_2` and `label` (1 or 2).
"""

from __future__ import annotations

import functools

import tensorflow as tf
from t5.data import preprocessors as t5_preprocessors
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.sources.files import Record
from mtmoe.data.sources.joined import JoinedSource, Part
from mtmoe.data.sources.pairs import TextExample
from mtmoe.tasks.exmix.forms import (
    ACCURACY,
    ALL_SPLITS,
    Labelled,
    Scores,
    Tensors,
    choice_example,
    class_id,
    explained_label,
    explained_text,
    explanation_bleu,
    join,
    kept,
    label_accuracy,
    letter_id,
    mapped,
    register_labelled,
    tfds_origin,
    tfds_source,
)
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.user_files import user_files

FAMILY = "nli"

_THREE = ("entailment", "neutral", "contradiction")
_TWO = ("entailment", "not_entailment")
_HIDDEN = "Answers of the test split are hidden: `<unk>`."
_MNLI_SPLITS = {
    "train": "train",
    "validation": "validation_matched",
    "validation_mismatched": "validation_mismatched",
    "test": "test_matched",
    "test_mismatched": "test_mismatched",
}
# Training examples of each round.
_ANLI_ROUNDS = {"anli/r1:0.1.0": 16946, "anli/r2:0.1.0": 45460, "anli/r3:0.1.0": 100459}

_TASKS = (
    Labelled(
        "glue_mnli",
        "glue/mnli:2.0.0",
        _THREE,
        "OANC and others, all of them open",
        splits=_MNLI_SPLITS,
        prompt="mnli",
        id_key="idx",
        note=f"`validation` is the matched one. {_HIDDEN}",
    ),
    Labelled(
        "glue_qnli",
        "glue/qnli:2.0.0",
        _TWO,
        "CC BY-SA 4.0",
        prompt="qnli",
        id_key="idx",
        note=_HIDDEN,
    ),
    Labelled(
        "glue_rte",
        "glue/rte:2.0.0",
        _TWO,
        "unknown",
        prompt="rte",
        id_key="idx",
        note=_HIDDEN,
    ),
    Labelled(
        "super_glue_rte",
        "super_glue/rte:1.0.2",
        _TWO,
        "unknown",
        prompt="rte",
        id_key="idx",
        note=_HIDDEN,
    ),
    Labelled(
        "super_glue_cb",
        "super_glue/cb:1.0.2",
        ("entailment", "contradiction", "neutral"),
        "unknown",
        scores=Scores(
            (t5_metrics.mean_multiclass_f1(num_classes=3), t5_metrics.accuracy),
            ("mean_3class_f1", "accuracy"),
        ),
        prompt="cb",
        id_key="idx",
        note=_HIDDEN,
    ),
    Labelled(
        "snli",
        "snli:1.1.0",
        _THREE,
        "CC BY-SA 4.0",
        before=(kept(lambda example: example["label"] >= 0),),
        note="Pairs whose raters did not agree have no label and are left out.",
    ),
    Labelled("scitail", "sci_tail:1.0.0", ("entails", "neutral"), "unknown"),
    Labelled(
        "docnli",
        "doc_nli:1.0.0",
        ("not_entailment", "entailment"),
        "unknown",
        scores=Scores((t5_metrics.f1_score_with_invalid,), ("f1",)),
        note="F1 of entailment. The premise, a document, comes last and is cut.",
    ),
)

for _task in _TASKS:
    register_labelled(_task, FAMILY)


register_row(
    "anli",
    JoinedSource(
        [
            Part(tfds_source(builder, ALL_SPLITS), weight=examples)
            for builder, examples in _ANLI_ROUNDS.items()
        ]
    ),
    family=FAMILY,
    origin=tfds_origin(*_ANLI_ROUNDS),
    licence="CC BY-NC 4.0",
    metrics=ACCURACY.functions,
    metric_names=ACCURACY.names,
    preprocessors=(
        functools.partial(
            t5_preprocessors.glue,
            benchmark_name="anli",
            label_names=list(_THREE),
            feature_names=("hypothesis", "context"),
            id_key="uid",
        ),
    ),
    postprocess=class_id(_THREE),
    note="The three rounds together; their scores are usually given one by one.",
)


def _explained(example: Tensors) -> Tensors:
    """The first explanation is the target; validation and test have three."""
    label = tf.gather(_THREE, example["label"])
    written = tf.stack([example[f"explanation_{number}"] for number in (1, 2, 3)])
    written = tf.boolean_mask(written, tf.strings.length(written) > 0)
    return {
        "inputs": join(
            "explain nli hypothesis:",
            example["hypothesis"],
            "premise:",
            example["premise"],
        ),
        "targets": explained_text(label, written[:1]),
        "explanations": written,
    }


register_row(
    "esnli",
    tfds_source("esnli:0.1.0", ALL_SPLITS),
    family=FAMILY,
    origin="TFDS esnli 0.1.0",
    licence="unknown (SNLI's texts: CC BY-SA 4.0)",
    metrics=(label_accuracy, explanation_bleu),
    metric_names=("accuracy", "bleu"),
    preprocessors=(mapped(_explained),),
    postprocess=explained_label,
)


def _abduction(record: Record) -> TextExample:
    return choice_example(
        f"rainbow_anli beginning: {record['observation_1']}",
        f"end: {record['observation_2']}",
        (record["hypothesis_1"], record["hypothesis_2"]),
        int(record["label"]) - 1,
    )


_ART = (
    "aNLI (Bhagavatula et al. 2020): `observation_1`, `observation_2`, "
    "`hypothesis_1`, `hypothesis_2`, `label` (1 or 2)"
)

register_row(
    "rainbow_anli",
    user_files("rainbow_anli", _abduction, _ART),
    family=FAMILY,
    origin="JSONL of aNLI (ART)",
    licence="unknown",
    metrics=ACCURACY.functions,
    metric_names=ACCURACY.names,
    postprocess=letter_id,
    verified="layout",
)
