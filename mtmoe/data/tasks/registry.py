"""Task modules by name, and look-up of what they registered."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import gin
import seqio

from mtmoe.data.ground.user_code import described, raised_at
from mtmoe.data.tasks.found import register_found
from mtmoe.errors import ConfigError, MtmoeError, UnknownNameError

EMBEDDED_TASK_MODULES = ("mtmoe.tasks.embedded.span_corruption",)

BUILT_IN_TASK_MODULES = (
    "mtmoe.tasks.pretraining.c4",
    "mtmoe.tasks.pretraining.mc4",
    "mtmoe.tasks.pretraining.web",
    "mtmoe.tasks.exmix.mixtures",
    "mtmoe.tasks.multilingual.choices",
    "mtmoe.tasks.multilingual.classification",
    "mtmoe.tasks.multilingual.flores",
    "mtmoe.tasks.multilingual.mgsm",
    "mtmoe.tasks.multilingual.mlqa",
    "mtmoe.tasks.multilingual.mt5_english",
    "mtmoe.tasks.multilingual.pawsx",
    "mtmoe.tasks.multilingual.summarization",
    "mtmoe.tasks.multilingual.tagging",
    "mtmoe.tasks.multilingual.translation",
    "mtmoe.tasks.multilingual.tydiqa",
    "mtmoe.tasks.multilingual.wiki40b",
    "mtmoe.tasks.multilingual.wikiann",
    "mtmoe.tasks.multilingual.xnli",
    "mtmoe.tasks.multilingual.xquad",
    "mtmoe.tasks.embedded.multitask",
    "mtmoe.tasks.embedded.prefix_lm",
)
"""Every module of tasks that comes with mtmoe, in an order in which they import.

`exmix.mixtures` and `embedded.multitask` import the modules whose tasks they mix.
"""

_imported: list[str] = []  # task modules, in the order they were asked for


@gin.configurable
def register(task_modules: Sequence[str] = EMBEDDED_TASK_MODULES) -> None:
    """Imports the modules that register tasks and mixtures with SeqIO, by dotted name.

    Modules of the current directory are found too, after the installed ones. A module
    that was imported before is not imported again.

    Raises:
      ConfigError: a module that does not exist or cannot be imported, or no sequence of
        names.
    """
    if isinstance(task_modules, str):
        raise ConfigError(
            f"register.task_modules is the string {task_modules!r}; "
            f"a list is needed: [{task_modules!r}]"
        )
    here = str(Path.cwd())
    if not {"", here} & set(sys.path):
        sys.path.append(here)
    importlib.invalidate_caches()
    for name in task_modules:
        _import_task_module(name)
        if name not in _imported:
            _imported.append(name)


def task_modules_imported() -> tuple[str, ...]:
    """Returns the modules that `register` has imported, in order."""
    return tuple(_imported)


def module_folders() -> list[str]:
    """Returns the folders in which imported task modules lie that are not installed."""
    folders: dict[str, None] = {}
    for name in _imported:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is None or name.partition(".")[0] == "mtmoe":
            continue
        levels = name.count(".") + (1 if Path(file).name == "__init__.py" else 0)
        folder = Path(file).resolve().parents[levels]
        if not {"site-packages", "dist-packages"} & set(folder.parts):
            folders[str(folder)] = None
    return list(folders)


def get_mixture_or_task(name: str) -> seqio.Mixture | seqio.Task:
    """Returns what is registered under a name, a mixture before a task.

    Raises:
      UnknownNameError: nothing is; the message has the nearest names.
      CorpusError: it is web text, and no folder of it is given or can be used.
    """
    register_found(name)
    if name in seqio.MixtureRegistry.names():
        return seqio.MixtureRegistry.get(name)
    if name in seqio.TaskRegistry.names():
        return seqio.TaskRegistry.get(name)
    valid = [*seqio.MixtureRegistry.names(), *seqio.TaskRegistry.names()]
    raise UnknownNameError("task or mixture", name, valid)


def get_task(name: str) -> seqio.Task:
    """Returns the task registered under a name.

    Raises:
      UnknownNameError: there is none; the message has the nearest names.
      CorpusError: it is web text, and no folder of it is given or can be used.
    """
    register_found(name)
    if name not in seqio.TaskRegistry.names():
        raise UnknownNameError("task", name, seqio.TaskRegistry.names())
    return seqio.TaskRegistry.get(name)


def tasks_of(name: str) -> tuple[seqio.Task, ...]:
    """Returns the tasks of a mixture, or the one task of that name.

    Raises:
      UnknownNameError: nothing is registered under `name`.
    """
    provider = get_mixture_or_task(name)
    if isinstance(provider, seqio.Task):
        return (provider,)
    return tuple(provider.tasks)


def _import_task_module(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise _cannot_import(name, error) from error
        raise ConfigError(
            f"task module {name!r} (register.task_modules) does not exist: "
            f"no module {error.name!r} is installed or in {Path.cwd()}"
        ) from error
    except Exception as error:  # a module of the user's may raise anything
        raise _cannot_import(name, error) from error


def _cannot_import(name: str, error: Exception) -> ConfigError:
    what = described(error)
    if isinstance(error, MtmoeError):  # says itself what is wrong, but not where
        place = raised_at(error)
        what = f"{error} ({place})" if place else str(error)
    return ConfigError(f"task module {name!r} cannot be imported: {what}")
