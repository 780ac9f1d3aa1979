"""Rows on whether, or how far, two sentences or two uses of a word mean the same.

GLUE's and SuperGLUE's read as t5 registers them.
"""

from __future__ import annotations

from t5.data import postprocessors as t5_postprocessors
from t5.data import preprocessors as t5_preprocessors
from t5.evaluation import metrics as t5_metrics

from mtmoe.tasks.exmix.forms import (
    ALL_SPLITS,
    F1_AND_ACCURACY,
    Labelled,
    register_labelled,
    tfds_source,
)
from mtmoe.tasks.exmix.rows import register_row

FAMILY = "paraphrase"

_HIDDEN = "Answers of the test split are hidden"

_TASKS = (
    Labelled(
        "glue_mrpc",
        "glue/mrpc:2.0.0",
        ("not_equivalent", "equivalent"),
        "unknown",
        scores=F1_AND_ACCURACY,
        prompt="mrpc",
        id_key="idx",
    ),
    Labelled(
        "glue_qqp",
        "glue/qqp:2.0.0",
        ("not_duplicate", "duplicate"),
        "Quora's terms (non-commercial)",
        scores=F1_AND_ACCURACY,
        prompt="qqp",
        id_key="idx",
        note=f"{_HIDDEN}: `<unk>`. The count is that of version 1.0.0.",
    ),
    Labelled(
        "paws_wiki",
        "paws_wiki/labeled_final_raw:1.1.0",
        ("different_meaning", "paraphrase"),
        "free for any purpose (Google)",
        scores=F1_AND_ACCURACY,
        prompt="paws",
    ),
)

for _task in _TASKS:
    register_labelled(_task, FAMILY)

register_labelled(
    Labelled(
        "super_glue_wic",
        "super_glue/wic:1.0.2",
        ("False", "True"),
        "CC BY-NC 4.0",
        fields=("sentence1", "sentence2", "word"),
        prompt="wic",
        id_key="idx",
        note=f"{_HIDDEN}: `<unk>`.",
    ),
    "other",
)

register_row(
    "glue_stsb",
    tfds_source("glue/stsb:2.0.0", ALL_SPLITS),
    family=FAMILY,
    origin="TFDS glue/stsb 2.0.0",
    licence="mixed, mostly CC BY-SA",
    metrics=(t5_metrics.pearson_corrcoef, t5_metrics.spearman_corrcoef),
    metric_names=("pearson_corrcoef", "spearman_corrcoef"),
    preprocessors=(t5_preprocessors.stsb,),
    postprocess=t5_postprocessors.string_to_float,
    note=f"A number from 0.0 to 5.0 in steps of 0.2. {_HIDDEN}: `-1.0`.",
)
