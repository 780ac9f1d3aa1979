"""MLQA (Lewis et al. 2020): question answering in 7 languages, as mT5 has it.

    mlqa.dev_test.<code>     question and passage in the same language
    mlqa.zeroshot            English SQuAD (`xquad.train`), and every dev_test
    mlqa.translate_train     the same and `xquad.translate_train` in MLQA's languages

Answers are compared by MLQA's own rules for each language. Importing reads no file.
"""

from __future__ import annotations

import seqio

from mtmoe.data.metrics.qa import mlqa
from mtmoe.tasks.multilingual.extractive_qa import register_qa_task
from mtmoe.tasks.multilingual.mt5_names import register_mt5_mixture
from mtmoe.tasks.multilingual.xquad import TRAIN, TRANSLATE_TRAIN

LANGUAGES = tuple("ar de en es hi vi zh".split())
"""MLQA's codes, which are mC4's too."""


def _dev_test(code: str) -> str:
    return register_qa_task(
        f"mlqa.dev_test.{code}",
        f"mt5_mlqa_dev_test.{code}",
        seqio.TfdsDataSource(f"mlqa/{code}:1.0.0", splits=("validation", "test")),
        origin=f"TFDS mlqa/{code}:1.0.0",
        language=code,
        licence="CC BY-SA 3.0",
        metric=mlqa(code),
        note="The pairs of two languages that MLQA has too are not in TFDS.",
    )


_ZEROSHOT = [TRAIN, *map(_dev_test, LANGUAGES)]
register_mt5_mixture("mlqa.zeroshot", "mt5_mlqa_zeroshot", _ZEROSHOT)
register_mt5_mixture(
    "mlqa.translate_train",
    "mt5_mlqa_translate_train",
    [*_ZEROSHOT, *(TRANSLATE_TRAIN[code] for code in LANGUAGES if code != "en")],
)
