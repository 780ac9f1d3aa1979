"""English C4 (Raffel et al. 2020, section 2.2), one task an objective.

    c4.en, c4.en.prefix_lm, c4.en.lm    splits `train` and `validation`

The text is in the folder `$MTMOE_WEB_TEXT`: AllenAI's files of `en`, or `c4/en` as
TensorFlow Datasets prepares it.
"""

from __future__ import annotations

from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.objectives.prefix_lm import PrefixLM
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.web.mc4_statistics import ENGLISH_C4_PAGES
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_text_task

_SOURCE = WebTextSource("en", dataset="c4")

_CARD = TaskCard(
    family="pretraining",
    language="en",
    origin="C4 in $MTMOE_WEB_TEXT (docs/web_text.md)",
    licence="ODC-By",
    labels="self",
    train_examples=ENGLISH_C4_PAGES[0],
    verified="layout",
    note="the count of examples is that of version 3.0.1",
)

register_text_task("c4.en", _SOURCE, SpanCorruption(), _CARD)
register_text_task("c4.en.prefix_lm", _SOURCE, PrefixLM(), _CARD)
register_text_task("c4.en.lm", _SOURCE, LanguageModel(), _CARD)
