"""The `mtmoe` command.

Knows the subcommands by name only; a subcommand's module, and TensorFlow with it, is
imported when it is called. Such a module has

* a docstring, whose example `mtmoe COMMAND --help` shows;
* `define_flags()`, which defines its absl flags;
* `run(argv) -> int`, which gets the command's name and what is left of the command line
  behind it, and returns the exit status.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

from absl import flags

from mtmoe import __version__
from mtmoe.engine.processes.current import current
from mtmoe.errors import MtmoeError, UnknownNameError, nearest_names
from mtmoe.startup.memory import restart_with_tunables

COMMANDS = {
    "doctor": "versions, shims in force, devices, corpora found",
    "tasks": "which tasks there are, what is in them, whether they are sound",
    "mixture": "what a mixture will feed a model: shares, tokens, epochs",
    "cache": "write the tokens of a mixture to disk, or a run's finished batches",
    "explain": "every binding in force: where it was set, what it overrode",
    "check": "look for mistakes in a config, without training",
    "train": "train a model, or go on with one",
    "evaluate": "score a model in every language on held-out text",
    "predict": "fill the <extra_id_N> blanks of a text",
    "report": "write the report of a model folder",
    "checkpoints": "list, verify, compare and average checkpoints",
    "import": "make a checkpoint of a Hugging Face T5, mT5 or Switch Transformer",
    "export": "write a model folder in Hugging Face's format",
    "program": "export a training step that JAX alone can run, on any device",
}
_RUN_MODELS = ("train", "evaluate", "predict")
# `import` is no name of a module.
_MODULES = {"import": "import_model", "export": "export_model"}
USAGE_STATUS = 2
MACHINE_STATUS = os.EX_IOERR
INTERRUPTED_STATUS = 128 + signal.SIGINT
# What no other command line would change: the disk is full, broken or read-only.
_MACHINE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EROFS,
        errno.EFBIG,
        errno.ENFILE,
        errno.EMFILE,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ENODEV,
        errno.ENXIO,
        errno.ETIMEDOUT,
    }
)


def command() -> int:
    """Is the program `mtmoe`: `main`, with glibc's tunables where a model runs."""
    if sys.argv[1:] and sys.argv[1] in _RUN_MODELS:
        restart_with_tunables()
    return main()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand.

    Args:
      argv: the command line after the program's name; the process's own by default.

    Returns:
      The exit status: 0, 2 after an error of the user's, 74 (`EX_IOERR`) where the
      machine failed, 130 after Ctrl-C, or what the subcommand says. A defect of ours
      keeps its traceback, and Python's status 1.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if not arguments or arguments[0] in ("--help", "-h", "help"):
            print(_overview())
            return 0 if arguments else USAGE_STATUS
        if arguments[0] == "--version":
            print(f"mtmoe {__version__}")
            return 0
        return _run_command(arguments)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return _failed("interrupted", INTERRUPTED_STATUS)
    except BrokenPipeError:  # `mtmoe ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        current().leave(128 + signal.SIGPIPE, "nobody reads its output any more")
        return 128 + signal.SIGPIPE
    except MtmoeError as error:
        return _failed(str(error), _status(error))
    except OSError as error:
        return _failed(_in_words(error), _status(error))
    except Exception as error:
        if current().count == 1:
            raise
        current().note_failure(error)
        trace = "".join(traceback.format_exception(error))
        return _failed(f"{type(error).__name__}: {error}", 1, trace)


def _failed(reason: str, status: int, trace: str = "") -> int:
    """Says what went wrong, to the other processes of the run too."""
    current().complain(f"{reason}\n{trace}".strip())
    current().leave(status, reason)
    return status


def _status(error: BaseException) -> int:
    """Tells a mistake of the user's from a failure of the machine."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _MACHINE:
            return MACHINE_STATUS
        cause = cause.__cause__ or cause.__context__
    return USAGE_STATUS


def _in_words(error: OSError) -> str:
    """Returns what happened to which file, without the number of the error."""
    files = [str(name) for name in (error.filename, error.filename2) if name]
    reason = error.strerror or str(error) or type(error).__name__
    return f"{' -> '.join(files)}: {reason}" if files else reason


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {line}" for name, line in COMMANDS.items()]
    return (
        "Pretrain one sparse text-to-text model on many languages and tasks.\n\n"
        "usage: mtmoe COMMAND [--flag=value ...]\n\n"
        + "\n".join(lines)
        + "\n\nmtmoe COMMAND --help shows an example and the flags."
        + "\nExit status: 0 done, 2 a mistake in what was given, 74 the machine failed "
        "(a full disk),\n1 a defect of mtmoe's; what else a command says."
    )


def _run_command(arguments: list[str]) -> int:
    name = arguments[0]
    if name not in COMMANDS:
        raise UnknownNameError("command", name, COMMANDS, "mtmoe --help lists them")
    module = importlib.import_module(f"mtmoe.cli.{_MODULES.get(name, name)}")
    known = set(flags.FLAGS)
    try:
        module.define_flags()
        own = sorted(set(flags.FLAGS) - known)
        if {"--help", "-h", "-help"} & set(arguments[1:]):
            print(_help(name, module, own))
            return 0
        status = int(module.run(_parse(arguments, own)))
        current().leave(status)
        return status
    finally:
        for flag in set(flags.FLAGS) - known:
            delattr(flags.FLAGS, flag)
        flags.FLAGS.unparse_flags()


def _parse(arguments: list[str], own: Sequence[str]) -> list[str]:
    """Sets the flags; returns the command's name and what is no flag."""
    try:
        return list(flags.FLAGS(arguments))
    except flags.UnrecognizedFlagError as error:
        nearest = nearest_names(error.flagname, own)
        hint = nearest or own
        raise MtmoeError(
            f"unknown flag --{error.flagname} of mtmoe {arguments[0]}; "
            + ("did you mean " if nearest else "it has ")
            + (" or " if nearest else ", ").join(f"--{flag}" for flag in hint)
            + ("?" if nearest else "")
        ) from error
    except flags.Error as error:
        raise MtmoeError(f"{arguments[0]}: {error}") from error


def _help(name: str, module: ModuleType, own: Sequence[str]) -> str:
    lines = [f"mtmoe {name}: {COMMANDS[name]}", ""]
    lines += [(module.__doc__ or "").strip(), "", "flags:"]
    for flag_name in own:
        flag = flags.FLAGS[flag_name]
        default = "" if flag.default in (None, []) else f" (default {flag.default})"
        lines.append(f"  --{flag_name}: {flag.help}{default}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(command())
