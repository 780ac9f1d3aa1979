"""Web text in the languages that the user's folder has, a thousand or three.

    web.<code>              span corruption, a task a language of the folder
    web.<code>.prefix_lm    prefix language modelling
    web.<code>.lm           language modelling
    web, web.prefix_lm, web.lm    all of them, rate ~ pages^0.3

A code is that of `mtmoe.languages`, with `_` for `-`: `web.hr`, `web.sr_Latn`. The text
is in the folder `$MTMOE_WEB_TEXT`, in any of the layouts of docs/web_text.md. Which
tasks there are is found out when one is asked for. Mixing goes by the pages that the
folder has, counted or estimated, not by what was published.
"""

from __future__ import annotations

import seqio

from mtmoe.data.found_tasks import register_when_asked
from mtmoe.data.mixing.mixtures import register_mixture
from mtmoe.data.mixing.policies import Temperature
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.registration import register_text_task
from mtmoe.data.sources.web.folder import (
    WebTextFolder,
    open_folder,
    web_text_directory,
    web_text_part,
)
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.task_card import TaskCard
from mtmoe.tasks.pretraining.mc4 import OBJECTIVES

PREFIX = "web"

_of_folder: list[WebTextFolder] = []  # the one that tasks are registered for
_names: list[str] = []  # of what is registered


def register_folder() -> None:
    """Registers the tasks and mixtures of the user's folder, in place of another's.

    Raises:
      CorpusError: no folder is given, or its layout is not known.
    """
    folder = open_folder(web_text_directory(), part=web_text_part())
    registered = {*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()}
    if _of_folder == [folder] and registered.issuperset(_names):
        return
    for name in registered.intersection(_names):
        for registry in (seqio.TaskRegistry, seqio.MixtureRegistry):
            if name in registry.names():
                registry.remove(name)
    _of_folder[:], _names[:] = [folder], []
    sources = {code: WebTextSource(code) for code in folder.files}
    for ending, objective in OBJECTIVES.items():
        _register(folder, ending, objective, sources)


def _register(
    folder: WebTextFolder,
    ending: str,
    objective: TokenObjective,
    sources: dict[str, WebTextSource],
) -> None:
    tasks = [
        register_text_task(
            f"{PREFIX}.{code.replace('-', '_')}{ending}",
            source,
            objective,
            TaskCard(
                family="pretraining",
                language=code,
                origin=f"{folder.title} in $MTMOE_WEB_TEXT (docs/web_text.md)",
                licence="that of the corpus",
                labels="self",
            ),
        )
        for code, source in sources.items()
    ]
    _names.extend([*tasks, register_mixture(f"{PREFIX}{ending}", tasks, Temperature)])


register_when_asked(PREFIX, register_folder)
