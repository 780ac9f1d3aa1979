"""PAWS-X (Yang et al. 2019): paraphrase identification in 7 languages, as mT5 has it.

    pawsx.train                             English PAWS
    pawsx.dev_test.<code>                   PAWS-X, translated by people
    pawsx.dev_test.all_langs                the same, all languages as one task
    pawsx.translate_train.<code>            PAWS, translated by machine (XTREME)
    pawsx.translate_train_original.<code>   PAWS, translated by machine (PAWS-X's own),
                                            and the English original
    pawsx.zeroshot                          train, and every dev_test
    pawsx.translate_train                   the same and every translate_train
    pawsx.translate_train_original          every translate_train_original and dev_test

Upstream registers `mt5_pawsx_translate_train_original` with the tasks of
`mt5_pawsx_translate_train` by mistake; here both names mean the original translations.
Importing reads no file.
"""

from __future__ import annotations

import functools

import seqio
from t5.data import postprocessors as t5_postprocessors
from t5.data import preprocessors as t5_preprocessors
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.sources.joined import JoinedSource, Part
from mtmoe.data.tasks.card import TaskCard
from mtmoe.tasks.multilingual.mt5_names import register_mt5_mixture, register_mt5_task

LANGUAGES = tuple("de en es fr ja ko zh".split())
"""PAWS-X's codes, which are mC4's too."""

_LABELS = ["different_meaning", "paraphrase"]
_TRAIN_EXAMPLES = 49401
# How many of them XTREME's translations have, by the catalogue of TensorFlow Datasets.
_XTREME_EXAMPLES = {
    "de": 49340,
    "es": 49244,
    "fr": 49208,
    "ja": 49086,
    "ko": 49298,
    "zh": 49149,
}

_MACHINE = "Translated by machine from English; labels are those of the original."


def _people(code: str, *splits: str) -> seqio.TfdsDataSource:
    return seqio.TfdsDataSource(f"paws_x_wiki/{code}:1.0.0", splits=splits)


def _register(
    name: str,
    upstream: str,
    source: seqio.DataSource,
    origin: str,
    code: str,
    train_examples: int | None = None,
    note: str = "",
) -> str:
    return register_mt5_task(
        f"pawsx.{name}",
        f"mt5_{upstream}",
        source,
        TaskCard(
            family="paraphrase",
            language=code,
            metrics=("accuracy",),
            origin=f"TFDS {origin}:1.0.0",
            licence="free for any purpose, acknowledgement asked (PAWS, PAWS-X)",
            labels="gold",
            train_examples=train_examples,
            verified="mocked",
            note=note,
        ),
        preprocessors=[
            functools.partial(
                t5_preprocessors.glue,
                benchmark_name="paws",
                label_names=_LABELS,
                feature_names=["sentence1", "sentence2"],
                id_key=None,
            )
        ],
        postprocess=functools.partial(
            t5_postprocessors.string_label_to_class_id, label_classes=_LABELS
        ),
        metrics=[t5_metrics.accuracy],
    )


def _dev_test(code: str) -> str:
    return _register(
        f"dev_test.{code}",
        f"pawsx_dev_test.{code}",
        _people(code, "validation", "test"),
        f"paws_x_wiki/{code}",
        code,
    )


def _all_languages() -> str:
    parts = [Part(_people(code, "validation", "test")) for code in LANGUAGES]
    return _register(
        "dev_test.all_langs",
        "pawsx_dev_test.all_langs",
        JoinedSource(parts),
        "paws_x_wiki/*",
        "",
    )


def _translate_train(code: str) -> str:
    return _register(
        f"translate_train.{code}",
        f"pawsx_translate_train.{code}",
        seqio.TfdsDataSource(f"xtreme_pawsx/{code}:1.0.0", splits=("train",)),
        f"xtreme_pawsx/{code}",
        code,
        _XTREME_EXAMPLES[code],
        _MACHINE,
    )


def _translate_train_original(code: str) -> str:
    return _register(
        f"translate_train_original.{code}",
        f"pawsx_translate_train_original.{code}",
        _people(code, "train"),
        f"paws_x_wiki/{code}",
        code,
        _TRAIN_EXAMPLES,
        "" if code == "en" else _MACHINE,
    )


_TRAIN = _register(
    "train", "paws", _people("en", "train"), "paws_x_wiki/en", "en", _TRAIN_EXAMPLES
)
_EVALUATION = [*map(_dev_test, LANGUAGES), _all_languages()]
register_mt5_mixture("pawsx.zeroshot", "mt5_pawsx_zeroshot", [_TRAIN, *_EVALUATION])
register_mt5_mixture(
    "pawsx.translate_train",
    "mt5_pawsx_translate_train",
    [_TRAIN, *map(_translate_train, _XTREME_EXAMPLES), *_EVALUATION],
)
register_mt5_mixture(
    "pawsx.translate_train_original",
    "mt5_pawsx_translate_train_original",
    [*map(_translate_train_original, LANGUAGES), *_EVALUATION],
)
