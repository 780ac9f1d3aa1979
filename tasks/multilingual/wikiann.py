"""WikiANN (Pan et al. 2017, splits of Rahimi et al. 2019): entities, as mT5 has it.

    wikiann.train.<code>     40 languages
    wikiann.eval.<code>      their validation and test splits
    wikiann.zeroshot         train.en, and every eval
    wikiann.multilingual     every train and every eval

Inputs are "tag: " and the tokens, targets the entities in order "PER: ... $$ LOC: ...";
"none" if there are none, where upstream has an empty target. Importing reads no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import seqio
import tensorflow as tf

from mtmoe.data.metrics.spans import DELIMITER, NO_SPANS, span_f1
from mtmoe.data.tasks.card import TaskCard
from mtmoe.languages import language
from mtmoe.tasks.multilingual.mt5_names import register_mt5_mixture, register_mt5_task

LANGUAGES = tuple(
    (
        "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms "
        "my nl pt ru sw ta te th tl tr ur vi yo zh"
    ).split()
)
"""WikiANN's own codes of XTREME's languages; mC4 writes `he` and `tl` otherwise."""


def entities(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Makes inputs and targets of WikiANN's `tokens` and `spans` ("PER: a name")."""

    def tagged(x: Any) -> dict[str, tf.Tensor]:
        spans = tf.strings.reduce_join(x["spans"], separator=DELIMITER)
        return {
            "inputs": tf.strings.join(
                ["tag: ", tf.strings.reduce_join(x["tokens"], separator=" ")]
            ),
            "targets": tf.where(tf.size(x["spans"]) > 0, spans, NO_SPANS),
        }

    return dataset.map(tagged, num_parallel_calls=tf.data.AUTOTUNE)


def _register(kind: str, code: str, splits: Sequence[str]) -> str:
    mc4_code = language(code).code
    return register_mt5_task(
        f"wikiann.{kind}.{mc4_code}",
        f"mt5_ner_{kind}.{code}",
        seqio.TfdsDataSource(f"wikiann/{code}:1.0.0", splits=splits),
        TaskCard(
            family="tagging",
            language=mc4_code,
            metrics=("span_f1",),
            origin=f"TFDS wikiann/{code}:1.0.0",
            licence="CC BY-SA 3.0 (text of Wikipedia)",
            labels="gold",
            verified="mocked",
            note="Entities are taken from Wikipedia's links, not marked by annotators.",
        ),
        preprocessors=[entities],
        metrics=[span_f1],
    )


_TRAIN = {code: _register("train", code, ("train",)) for code in LANGUAGES}
_EVALUATION = [_register("eval", code, ("validation", "test")) for code in LANGUAGES]
register_mt5_mixture(
    "wikiann.zeroshot", "mt5_ner_zeroshot", [_TRAIN["en"], *_EVALUATION]
)
register_mt5_mixture(
    "wikiann.multilingual", "mt5_ner_multilingual", [*_TRAIN.values(), *_EVALUATION]
)
