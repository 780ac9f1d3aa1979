"""Tagging rows: named entities as text, `PER: Ada Lovelace $$ LOC: London`."""

from __future__ import annotations

import functools

import seqio
import tensorflow as tf

from mtmoe.data.metrics.spans import DELIMITER, NO_SPANS, span_f1
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.text_steps import Features, drop_blank, per_example

# Of TFDS's tags O, B-PER, I-PER, B-ORG ...: tag t is of type (t + 1) // 2, 0 for none.
_TYPES = ("", "PER", "ORG", "LOC", "MISC")


@per_example
def _entities(example: Features) -> dict[str, tf.Tensor]:
    """Writes tagged spans as text.

    A span begins at a B tag, and where an I tag follows another type or none.
    """
    tags = tf.cast(example["ner"], tf.int32)
    kind = (tags + 1) // 2
    before = tf.concat([[0], kind[:-1]], axis=0)
    inside = kind > 0
    begins = inside & ((tags % 2 == 1) | (kind != before))
    span_of_token = tf.cumsum(tf.cast(begins, tf.int32)) - 1
    texts = tf.strings.unsorted_segment_join(
        tf.boolean_mask(example["tokens"], inside),
        tf.boolean_mask(span_of_token, inside),
        tf.reduce_sum(tf.cast(begins, tf.int32)),
        separator=" ",
    )
    names = tf.gather(_TYPES, tf.boolean_mask(kind, begins))
    spans = tf.strings.reduce_join(
        tf.strings.join([names, texts], separator=": "), separator=DELIMITER
    )
    words = tf.strings.reduce_join(example["tokens"], separator=" ")
    return {
        "inputs": tf.strings.join(["conll2003 sentence: ", words]),
        "targets": tf.where(tf.reduce_any(begins), spans, NO_SPANS),
    }


register_row(
    "conll2003_ner",
    seqio.TfdsDataSource(
        "conll2003/conll2003:1.0.0",
        splits={"train": "train", "validation": "dev", "test": "test"},
    ),
    family="tagging",
    origin="TFDS conll2003/conll2003 1.0.0",
    licence="research only (Reuters corpus)",
    # The builder ends a file with a sentence of no tokens.
    preprocessors=(functools.partial(drop_blank, keys=("tokens",)), _entities),
    metrics=(span_f1,),
    metric_names=("span_f1",),
)
