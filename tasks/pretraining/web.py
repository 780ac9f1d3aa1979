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

from mtmoe.data.mixing.mixtures import register_mixture
from mtmoe.data.mixing.policies import Temperature
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.sources.web.folder import (
    WebTextFolder,
    open_folder,
    web_text_directory,
    web_text_part,
)
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.found import register_when_asked
from mtmoe.data.tasks.registration import register_text_task
from mtmoe.errors import CorpusError
from mtmoe.tasks.pretraining.mc4 import OBJECTIVES

PREFIX = "web"

_of_folder: list[WebTextFolder] = []  # the one that tasks are registered for
_names: list[str] = []  # of what is registered


def register_folder(name: str) -> None:
    """Registers the tasks and mixtures of the user's folder, in place of another's.

    Args:
      name: what is asked for; "" for whatever there is.

    Raises:
      CorpusError: no folder is given, or its layout is not known.
    """
    registered = {*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()}
    if name in registered.difference(_names):  # a mixture of the user's own
        return
    if not web_text_directory():
        _forget()
        if not name:
            return
    folder = open_folder(web_text_directory(), part=web_text_part())
    if _of_folder == [folder] and registered.issuperset(_names):
        return
    _forget()
    _of_folder.append(folder)
    sources = {
        code: WebTextSource(code)
        for code, files in folder.files.items()
        if "train" in files
    }
    if not sources:
        raise CorpusError(f"{folder.directory}: {folder.title} has no training text")
    for ending, objective in OBJECTIVES.items():
        _register(folder, ending, objective, sources)


def _forget() -> None:
    for registry in (seqio.TaskRegistry, seqio.MixtureRegistry):
        for name in registry.names() & set(_names):
            registry.remove(name)
    _of_folder.clear()
    _names.clear()


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
