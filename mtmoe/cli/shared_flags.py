"""Flags that several commands have in common, and what they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from mtmoe.errors import MtmoeError, UnknownNameError

if TYPE_CHECKING:
    from mtmoe.config.load import Config

FLAGS = flags.FLAGS


def chosen_action(
    argv: list[str], actions: Sequence[str], usage: str
) -> tuple[str, list[str]]:
    """Returns the action that a command was given, and the names behind it.

    Raises:
      MtmoeError: there is none.
      UnknownNameError: it is none of the command's.
    """
    action, *names = argv[1:] or [""]
    if not action:
        raise MtmoeError(usage)
    if action not in actions:
        raise UnknownNameError(f"action of mtmoe {argv[0]}", action, actions)
    return action, names


def define_config_flags() -> None:
    """Defines --gin_file and --gin_param."""
    flags.DEFINE_multi_string(
        "gin_file", [], "gin file, in this folder or of mtmoe; may be repeated"
    )
    flags.DEFINE_multi_string(
        "gin_param", [], "one binding, e.g. 'train.steps=100'; may be repeated"
    )


def define_task_flags() -> None:
    """Defines the flags of a command about registered tasks."""
    define_config_flags()
    flags.DEFINE_multi_string(
        "task_module", [], "dotted name of a module of yours; may be repeated"
    )


def register_tasks() -> Config | None:
    """Registers the built-in tasks, those of --task_module and those of the config.

    Returns:
      The config; None if there is neither --gin_file nor --gin_param.

    Raises:
      ConfigError: a gin file, a binding or a module cannot be used.
    """
    from mtmoe.config.load import load_config
    from mtmoe.data.tasks.registry import BUILT_IN_TASK_MODULES, register

    config = None
    if FLAGS.gin_file or FLAGS.gin_param:
        config = load_config(FLAGS.gin_file, FLAGS.gin_param)
    register((*BUILT_IN_TASK_MODULES, *FLAGS.task_module))
    register()  # and the modules that the configuration names
    return config
