"""Wiki40B (Guo et al. 2020): Wikipedia in 41 languages, for language modelling.

    wiki40b.<code>     from TFDS; `zh` is its zh-cn, `zh_tw` its zh-tw

Articles are plain text: TFDS's markers become line breaks.
"""

from __future__ import annotations

from typing import Any

import seqio
import tensorflow as tf

from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_text_task
from mtmoe.tasks.multilingual.suites import Variant, variants

LANGUAGES = variants(
    "en ar zh-cn zh-tw nl fr de it ja ko pl pt ru es th tr bg ca cs da el et fa fi he "
    "hi hr hu id lt lv ms no ro sk sl sr sv tl uk vi"
)
"""Languages of Wiki40B."""

_VERSION = "1.3.0"
_MARKERS = r"\s*(_START_ARTICLE_|_START_SECTION_|_START_PARAGRAPH_|_NEWLINE_)\s*"


def plain_text(text: tf.Tensor) -> tf.Tensor:
    """Returns articles, string of any shape, with line breaks in place of markers."""
    return tf.strings.strip(tf.strings.regex_replace(text, _MARKERS, "\n"))


class Wiki40bSource(seqio.TfdsDataSource):  # type: ignore[misc]
    """Articles of TFDS's `wiki40b` as plain text: examples `{"text": ...}`."""

    def get_dataset(self, *args: Any, **kwargs: Any) -> tf.data.Dataset:
        """Returns a split as any SeqIO source does."""
        return (
            super()
            .get_dataset(*args, **kwargs)
            .map(
                lambda article: {"text": plain_text(article["text"])},
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        )


def _register(variant: Variant) -> str:
    return register_text_task(
        f"wiki40b.{variant.name}",
        Wiki40bSource(
            tfds_name=f"wiki40b/{variant.own}:{_VERSION}",
            splits={split: split for split in ("train", "validation", "test")},
        ),
        LanguageModel(),
        TaskCard(
            family="pretraining",
            language=variant.language,
            origin=f"TFDS wiki40b/{variant.own} {_VERSION}",
            licence="CC-BY-SA-3.0",
            labels="self",
            verified="mocked",
        ),
    )


for _variant in LANGUAGES:
    _register(_variant)
