"""One label out of a few, in many languages: AfriXNLI and toxic comments.

    afrixnli.<code>               18 languages, from files
    wikipedia_toxicity.<code>      6 languages, from TFDS

AfriXNLI has the text and the labels of mT5's XNLI tasks, so that a model trained on
those can be tested on these.
"""

from __future__ import annotations

from typing import Any

import seqio
import tensorflow as tf
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.classification import f1_of
from mtmoe.data.sources.files import Record
from mtmoe.data.sources.pairs import TextExample
from mtmoe.data.sources.records import RecordSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.tasks.multilingual.suites import (
    WHERE_CHECKED,
    Variant,
    how_to_get,
    number_field,
    text_field,
    variants,
)

NLI_CLASSES = ("entailment", "neutral", "contradiction")
"""What the class ids 0, 1 and 2 of AfriXNLI mean."""

AFRIXNLI = variants(
    "amh eng ewe fra hau ibo kin lin lug orm sna sot swa twi wol xho yor zul"
)
"""Languages of AfriXNLI."""

# Kaggle's competition had other languages in its validation data than in its test data.
TOXICITY = {
    "es": ("validation", "test"),
    "fr": ("test",),
    "it": ("validation", "test"),
    "pt": ("test",),
    "ru": ("test",),
    "tr": ("validation", "test"),
}
"""Splits of the toxic comments by language."""


def nli_example(record: Record) -> TextExample:
    """Returns the text of mT5's XNLI tasks for a record.

    Args:
      record: has `premise`, `hypothesis` and the class id `label`.

    Raises:
      ValueError: a field does not hold what it should.
    """
    label = number_field(record, "label")
    if not 0 <= label < len(NLI_CLASSES):
        raise ValueError(f"field 'label' is {label}; allowed: 0, 1, 2")
    premise, hypothesis = (text_field(record, f) for f in ("premise", "hypothesis"))
    return {
        "inputs": f"xnli: premise: {premise} hypothesis: {hypothesis}",
        "targets": str(label),
    }


def toxicity_text(dataset: tf.data.Dataset, language: str) -> tf.data.Dataset:
    """Makes inputs and targets of the comments in one language.

    Args:
      dataset: examples with `text`, `language` and `toxicity` from 0 to 1.
      language: which comments to keep.
    """

    def labelled(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        toxic = example["toxicity"] >= 0.5
        return {
            "inputs": tf.strings.join(["toxicity: ", example["text"]]),
            "targets": tf.where(toxic, "toxic", "not toxic"),
        }

    return dataset.filter(lambda example: example["language"] == language).map(
        labelled, num_parallel_calls=tf.data.AUTOTUNE
    )


class _OfLanguage:
    """`toxicity_text` of one language, as a SeqIO preprocessor."""

    def __init__(self, language: str):
        self._language = language

    def __call__(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        return toxicity_text(dataset, self._language)


def _stripped(text: str, **_: Any) -> str:
    return text.strip()


def _register_afrixnli(variant: Variant) -> str:
    return register_task(
        f"afrixnli.{variant.name}",
        RecordSource(
            {
                "validation": f"afrixnli/data/{variant.own}/dev.tsv",
                "test": f"afrixnli/data/{variant.own}/test.tsv",
            },
            nli_example,
            how_to_get(
                "afrixnli",
                "masakhane/afrixnli",
                f"data/{variant.own}/dev.tsv and test.tsv",
                "premise, hypothesis, label (0, 1 or 2)",
            ),
            quoted=True,
        ),
        TaskCard(
            family="nli",
            language=variant.language,
            metrics=("accuracy",),
            origin=f"hub masakhane/afrixnli, {variant.own}",
            licence="Apache-2.0",
            labels="gold",
            verified="layout",
            note=f"Adelani et al. 2024; translated from XNLI. {WHERE_CHECKED}",
        ),
        postprocess=_stripped,
        metrics=[t5_metrics.accuracy],
    )


def _register_toxicity(language: str) -> str:
    return register_task(
        f"wikipedia_toxicity.{language}",
        seqio.TfdsDataSource(
            tfds_name="wikipedia_toxicity_subtypes/Multilingual:0.3.1",
            splits={split: split for split in TOXICITY[language]},
        ),
        TaskCard(
            family="classification",
            language=language,
            metrics=("accuracy", "f1_toxic"),
            origin="TFDS wikipedia_toxicity_subtypes/Multilingual 0.3.1",
            licence="CC0",
            labels="gold",
            verified="mocked",
            note="No training data. The competition's measure, the area under the ROC "
            "curve, needs a score for each comment; a text has only its label.",
        ),
        preprocessors=[_OfLanguage(language)],
        postprocess=_stripped,
        metrics=[t5_metrics.accuracy, f1_of("toxic")],
    )


for _variant in AFRIXNLI:
    _register_afrixnli(_variant)
for _language in TOXICITY:
    _register_toxicity(_language)
