"""XQuAD (Artetxe et al. 2020): SQuAD in 11 languages, as mT5 has it.

    xquad.train                      English SQuAD 1.1, with its validation split
    xquad.translate_train.<code>     the same, translated by machine (XTREME)
    xquad.test.<code>                XQuAD, translated by people
    xquad.test.all_langs             the same, all languages as one task
    xquad.zeroshot                   train, and every test
    xquad.translate_train            the same and every translate_train

Importing reads no file.
"""

from __future__ import annotations

import seqio

from mtmoe.data.sources.joined import JoinedSource, Part
from mtmoe.tasks.multilingual.extractive_qa import MACHINE, register_qa_task
from mtmoe.tasks.multilingual.mt5_names import register_mt5_mixture

# Training examples of the translations, by the catalogue of TensorFlow Datasets: a
# question is left out where the answer was not found again.
_TRANSLATED = {
    "ar": 86787,
    "de": 82603,
    "el": 79946,
    "es": 87488,
    "hi": 85804,
    "ru": 84869,
    "th": 85846,
    "tr": 86511,
    "vi": 87187,
    "zh": 85700,
}

LANGUAGES = (*_TRANSLATED, "en")
"""XQuAD's codes, which are mC4's too."""

_LICENCE = "CC BY-SA 4.0"


def _test_source(code: str) -> seqio.TfdsDataSource:
    return seqio.TfdsDataSource(f"xquad/{code}:3.0.0", splits=("test",))


def _test(code: str) -> str:
    return register_qa_task(
        f"xquad.test.{code}",
        f"mt5_xquad_test.{code}",
        _test_source(code),
        origin=f"TFDS xquad/{code}:3.0.0",
        language=code,
        licence=_LICENCE,
    )


def _translate_train(code: str) -> str:
    splits = {"train": "translate-train", "validation": "translate-dev"}
    return register_qa_task(
        f"xquad.translate_train.{code}",
        f"mt5_xquad_translate_train_dev.{code}",
        seqio.TfdsDataSource(f"xquad/{code}:3.0.0", splits=splits),
        origin=f"TFDS xquad/{code}:3.0.0",
        language=code,
        licence=_LICENCE,
        train_examples=_TRANSLATED[code],
        note=MACHINE,
    )


TRAIN = register_qa_task(
    "xquad.train",
    "mt5_squad_train_dev",
    seqio.TfdsDataSource("squad/v1.1:3.0.0", splits=("train", "validation")),
    origin="TFDS squad/v1.1:3.0.0",
    language="en",
    licence=_LICENCE,
    train_examples=87599,
)
"""The English training task, MLQA's too."""

TRANSLATE_TRAIN = {code: _translate_train(code) for code in _TRANSLATED}
"""Training tasks in other languages by code, MLQA's too."""

_ALL_LANGUAGES = register_qa_task(
    "xquad.test.all_langs",
    "mt5_xquad_test.all_langs",
    JoinedSource([Part(_test_source(code)) for code in LANGUAGES]),
    origin="TFDS xquad/*:3.0.0",
    language="",
    licence=_LICENCE,
)
_ZEROSHOT = [TRAIN, *map(_test, LANGUAGES), _ALL_LANGUAGES]
register_mt5_mixture("xquad.zeroshot", "mt5_xquad_zeroshot", _ZEROSHOT)
register_mt5_mixture(
    "xquad.translate_train",
    "mt5_xquad_translate_train",
    [*_ZEROSHOT, *TRANSLATE_TRAIN.values()],
)
