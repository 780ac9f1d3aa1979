"""XNLI (Conneau et al. 2018): natural language inference in 15 languages, as in mT5.

    xnli.train                       English MultiNLI
    xnli.dev_test.<code>             XNLI, translated by people
    xnli.dev_test.all_langs          the same, all languages as one task
    xnli.translate_train.<code>      MultiNLI, translated by machine (XTREME)
    xnli.zeroshot                    train, and every dev_test
    xnli.translate_train             the same and every translate_train

Inputs are "xnli: premise: ... hypothesis: ...", targets "0" (entailment), "1" (neutral)
or "2" (contradiction). Importing reads no file.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import seqio
import tensorflow as tf
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.tasks.card import TaskCard
from mtmoe.tasks.multilingual.mt5_names import register_mt5_mixture, register_mt5_task

LANGUAGES = tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split())
"""XNLI's codes, which are mC4's too."""

_MULTI_NLI = "multi_nli:1.1.0"
_XNLI = "xnli:1.1.0"
_XTREME = "xtreme_xnli:1.1.0"
_MULTI_NLI_LICENCE = "OANC, CC BY and CC BY-SA by genre (MultiNLI)"


def english_pairs(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Makes inputs and targets of MultiNLI's `premise`, `hypothesis` and `label`."""
    return dataset.map(english_pair, num_parallel_calls=tf.data.AUTOTUNE)


def english_pair(x: Any) -> dict[str, tf.Tensor]:
    """Returns the text of one example of MultiNLI."""
    return {
        "inputs": _inputs(x["premise"], x["hypothesis"]),
        "targets": tf.strings.as_string(x["label"]),
    }


def pairs_in(dataset: tf.data.Dataset, languages: Sequence[str]) -> tf.data.Dataset:
    """Makes inputs and targets of XNLI's parallel examples.

    An example becomes one for each hypothesis in one of the languages, and these follow
    each other. (Upstream reads the data set once for each language, so that the first
    examples of many languages are all in one.)

    Args:
      dataset: examples with `premise` by language, `hypothesis` with the parallel lists
        `language` and `translation`, and `label`.
      languages: codes of those to take; premise and hypothesis are in the same.
    """
    pairs = functools.partial(parallel_pairs, languages=languages)
    return dataset.map(pairs, num_parallel_calls=tf.data.AUTOTUNE).unbatch()


def parallel_pairs(x: Any, languages: Sequence[str]) -> dict[str, tf.Tensor]:
    """Returns the texts of one parallel example, a vector of as many as there are."""
    spoken, hypotheses = x["hypothesis"]["language"], x["hypothesis"]["translation"]
    inputs = tf.concat(
        [
            _inputs(x["premise"][code], tf.boolean_mask(hypotheses, spoken == code))
            for code in languages
        ],
        axis=0,
    )
    targets = tf.fill([tf.size(inputs)], tf.strings.as_string(x["label"]))
    return {"inputs": inputs, "targets": targets}


def _inputs(premise: tf.Tensor, hypothesis: tf.Tensor) -> tf.Tensor:
    return tf.strings.join(["xnli: premise: ", premise, " hypothesis: ", hypothesis])


def _register(
    name: str,
    tfds_name: str,
    splits: Sequence[str],
    preprocessor: Any,
    card_language: str,
    licence: str,
    train_examples: int | None = None,
    note: str = "",
) -> str:
    return register_mt5_task(
        f"xnli.{name}",
        f"mt5_xnli_{name}",
        seqio.TfdsDataSource(tfds_name, splits=splits),
        TaskCard(
            family="nli",
            language=card_language,
            metrics=("accuracy",),
            origin=f"TFDS {tfds_name}",
            licence=licence,
            labels="gold",
            train_examples=train_examples,
            verified="mocked",
            note=note,
        ),
        preprocessors=[preprocessor],
        metrics=[t5_metrics.accuracy],
    )


def _dev_test(part: str, languages: Sequence[str], card_language: str) -> str:
    return _register(
        f"dev_test.{part}",
        _XNLI,
        ("validation", "test"),
        functools.partial(pairs_in, languages=languages),
        card_language,
        "CC BY-NC 4.0",
    )


def _translate_train(code: str) -> str:
    return _register(
        f"translate_train.{code}",
        _XTREME,
        ("train",),
        functools.partial(pairs_in, languages=(code,)),
        code,
        _MULTI_NLI_LICENCE,
        train_examples=392570,
        note="Translated by machine from English; labels are those of the original.",
    )


_TRAIN = _register(
    "train", _MULTI_NLI, ("train",), english_pairs, "en", _MULTI_NLI_LICENCE, 392702
)
_ZEROSHOT = [
    _TRAIN,
    _dev_test("all_langs", LANGUAGES, ""),
    *(_dev_test(code, (code,), code) for code in LANGUAGES),
]
register_mt5_mixture("xnli.zeroshot", "mt5_xnli_zeroshot", _ZEROSHOT)
register_mt5_mixture(
    "xnli.translate_train",
    "mt5_xnli_translate_train",
    [*_ZEROSHOT, *(_translate_train(code) for code in LANGUAGES if code != "en")],
)
