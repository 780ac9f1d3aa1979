"""mC4: one task a language and objective, over whatever web text the user has.

    mc4.<code>              span corruption, 107 tasks, splits `train` and `validation`
    mc4.<code>.prefix_lm    prefix language modelling
    mc4.<code>.lm           language modelling
    mc4, mc4.prefix_lm, mc4.lm    all of them, rate ~ pages^0.3

A code has `_` for `-`, as in mT5's own names: `mc4.ru_Latn`. The text is in the folder
`$MTMOE_WEB_TEXT`, in any of the layouts of docs/web_text.md. Mixing goes by the pages
and characters published for mC4, not by what the folder holds.
"""

from __future__ import annotations

from mtmoe.data.mixing.mixtures import register_mixture
from mtmoe.data.mixing.policies import Temperature
from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.objectives.prefix_lm import PrefixLM
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.web.mc4_statistics import MC4_STATISTICS, Mc4Statistics
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_text_task

OBJECTIVES: dict[str, TokenObjective] = {
    "": SpanCorruption(),
    ".prefix_lm": PrefixLM(),
    ".lm": LanguageModel(),
}
"""What is made of the text, by the ending of the task's name."""

_SOURCES = {code: WebTextSource(code) for code in MC4_STATISTICS}


def _card(statistics: Mc4Statistics) -> TaskCard:
    return TaskCard(
        family="pretraining",
        language=statistics.code,
        origin="web text in $MTMOE_WEB_TEXT (docs/web_text.md)",
        licence="that of the corpus; mC4, MADLAD-400 and FineWeb2: ODC-By",
        labels="self",
        train_examples=statistics.train_pages,
        train_characters=statistics.characters,
        verified="layout",
        note="counts are mC4's: pages of version 3.0.1, characters of 3.1.0",
    )


def _register(ending: str, objective: TokenObjective) -> str:
    names = [
        register_text_task(
            f"mc4.{code.replace('-', '_')}{ending}",
            _SOURCES[code],
            objective,
            _card(statistics),
        )
        for code, statistics in MC4_STATISTICS.items()
    ]
    return register_mixture(f"mc4{ending}", names, Temperature)


MIXTURES = tuple(_register(*item) for item in OBJECTIVES.items())
