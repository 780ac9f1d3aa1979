"""XNLI (Conneau et al. 2018): natural language inference in 15 languages, as mT5 has it.

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

from mtmoe.data.task_card import TaskCard
from mtmoe.languages import language
from mtmoe.tasks.multilingual.mt5_names import register_mt5_mixture, register_mt5_task

LANGUAGES = tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split())
"""XNLI's own codes."""

_MULTI_NLI = "multi_nli:1.1.0"
_XNLI = "xnli:1.1.0"
_XTREME = "xtreme_xnli:1.1.0"
_MULTI_NLI_LICENCE = "OANC, CC BY and CC BY-SA by genre (MultiNLI)"


def english_pairs(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Makes inputs and targets of MultiNLI's `premise`, `hypothesis` and `label`."""
    return dataset.map(
        lambda x: _pair(x["premise"], x["hypothesis"], x["label"]),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def pairs_in(dataset: tf.data.Dataset, languages: Sequence[str]) -> tf.data.Dataset:
    """Makes inputs and targets of XNLI's parallel examples, language after language.

    Args:
      dataset: examples with `premise` by language, `hypothesis` with the parallel lists
        `language` and `translation`, and `label`.
      languages: XNLI's codes of those to take; premise and hypothesis are in the same.
    """

    def in_one(x: Any, code: str) -> tf.data.Dataset:
        hypotheses = tf.boolean_mask(
            x["hypothesis"]["translation"], x["hypothesis"]["language"] == code
        )
        return tf.data.Dataset.from_tensor_slices(hypotheses).map(
            lambda hypothesis: _pair(x["premise"][code], hypothesis, x["label"])
        )

    parts = [dataset.flat_map(functools.partial(in_one, code=c)) for c in languages]
    return functools.reduce(lambda done, part: done.concatenate(part), parts)


def _pair(premise: tf.Tensor, hypothesis: tf.Tensor, label: tf.Tensor) -> Any:
    return {
        "inputs": tf.strings.join(
            ["xnli: premise: ", premise, " hypothesis: ", hypothesis]
        ),
        "targets": tf.strings.as_string(label),
    }


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
    ours, dot, code = name.partition(".")
    return register_mt5_task(
        f"xnli.{ours}{dot}{language(code).code if code in LANGUAGES else code}",
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
        language(code).code,
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
    *(_dev_test(code, (code,), language(code).code) for code in LANGUAGES),
]
register_mt5_mixture("xnli.zeroshot", "mt5_xnli_zeroshot", _ZEROSHOT)
register_mt5_mixture(
    "xnli.translate_train",
    "mt5_xnli_translate_train",
    [*_ZEROSHOT, *(_translate_train(code) for code in LANGUAGES if code != "en")],
)
