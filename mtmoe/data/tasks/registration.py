"""Registers tasks with SeqIO: the steps all of ours have in common, in one place.

    register_text_task    plain text and an objective (span corruption, prefix LM, LM)
    register_task         inputs and targets, by a source or by preprocessors

Registering reads no file. What is registered is a SeqIO task like any other.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import seqio

from mtmoe.data.ground.user_code import function_name
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.tasks.card import DescribedTask, TaskCard
from mtmoe.data.tasks.found import CALLS_REGISTERING
from mtmoe.data.vocabulary.configured import configured_vocabulary
from mtmoe.errors import ConfigError

Step = Callable[..., Any]

# The two steps by which any task of text becomes raw tokens under `targets`.
_TEXT_STEPS: tuple[Step, ...] = (
    functools.partial(
        seqio.preprocessors.rekey, key_map={"inputs": None, "targets": "text"}
    ),
    seqio.preprocessors.tokenize,
)


def register_text_task(
    name: str,
    source: seqio.DataSource,
    objective: TokenObjective,
    card: TaskCard,
) -> str:
    """Registers a self-supervised task over plain text, and returns its name.

    The source gives examples with the feature `text`; the objective makes inputs and
    targets of their tokens.
    """
    return _register(
        name,
        source,
        (
            *_TEXT_STEPS,
            seqio.CacheDatasetPlaceholder(),
            objective,
            seqio.preprocessors.append_eos,
        ),
        card,
    )


def register_task(
    name: str,
    source: seqio.DataSource,
    card: TaskCard,
    *,
    preprocessors: Sequence[Step] = (),
    postprocess: Callable[..., Any] | None = None,
    metrics: Sequence[Step] = (),
) -> str:
    """Registers a supervised task, and returns its name.

    Tokenising and EOS are added: inputs and targets are trimmed to the lengths in use,
    EOS included.

    Args:
      name: the task's name.
      source: gives examples; with the text features `inputs` and `targets` if there
        are no preprocessors (a `PairSource`, for one).
      card: what is known about the task.
      preprocessors: functions of a `tf.data.Dataset`, the last of which gives the text
        features `inputs` and `targets`; t5's are such.
      postprocess: makes of decoded text what the metrics compare, as SeqIO calls it:
        `postprocess(text, example=..., is_target=...)`; the text itself if None.
      metrics: functions of (targets, predictions) that give a dict of floats.

    Raises:
      ConfigError: the card names metrics and there are none, or something that should
        be called is no function.
    """
    _check_functions(name, card, preprocessors, postprocess, metrics)
    return _register(
        name,
        source,
        (
            *preprocessors,
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            seqio.preprocessors.append_eos_after_trim,
        ),
        card,
        postprocess,
        metrics,
    )


def register_alias(alias: str, name: str) -> str:
    """Makes a task or mixture known under a second name, and returns that name."""
    registry = (
        seqio.TaskRegistry
        if name in seqio.TaskRegistry.names()
        else seqio.MixtureRegistry
    )
    registry.add_provider(alias, registry.get(name))
    return alias


def registration_place() -> seqio.dataset_providers.SourceInfo:
    """Returns file and line of the statement that is registering.

    It is at the level of a module, or in a function that `found.py` calls.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "<module>":
        caller = frame.f_back
        if caller is not None:
            name = (caller.f_globals.get("__name__"), caller.f_code.co_name)
            if name in CALLS_REGISTERING:
                break
        frame = caller
    if frame is None:
        return seqio.dataset_providers.SourceInfo()
    return seqio.dataset_providers.SourceInfo(frame.f_code.co_filename, frame.f_lineno)


def _check_functions(
    name: str,
    card: TaskCard,
    preprocessors: Sequence[Step],
    postprocess: Callable[..., Any] | None,
    metrics: Sequence[Step],
) -> None:
    """Compares the functions of a task with what they should be, and with its card."""
    for what, functions in (("preprocessors", preprocessors), ("metrics", metrics)):
        if callable(functions) or isinstance(functions, str):
            raise ConfigError(
                f"task {name!r}: {what} is {function_name(functions)}; a list of "
                f"functions is wanted: [{function_name(functions).partition(' ')[0]}]"
            )
        for function in functions:
            if not callable(function):
                raise ConfigError(
                    f"task {name!r}: {what} has {function!r}, which is no function"
                )
    if postprocess is not None and not callable(postprocess):
        raise ConfigError(f"task {name!r}: postprocess is {postprocess!r}, no function")
    if card.metrics and not metrics:
        raise ConfigError(
            f"task {name!r}: its card names the metrics {', '.join(card.metrics)}, but "
            "it has no metric functions"
        )


def _register(
    name: str,
    source: seqio.DataSource,
    steps: tuple[Step, ...],
    card: TaskCard,
    postprocess: Callable[..., Any] | None = None,
    metrics: Sequence[Step] = (),
) -> str:
    feature = seqio.Feature(vocabulary=configured_vocabulary(), add_eos=True)
    seqio.TaskRegistry.add(
        name,
        source=source,
        preprocessors=list(steps),
        output_features={"inputs": feature, "targets": feature},
        postprocess_fn=postprocess,
        metric_fns=list(metrics),
        task_cls=DescribedTask,
        source_info=registration_place(),
        card=card,
    )
    return name
