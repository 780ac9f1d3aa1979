"""Builds what a config describes and lists every mistake with its file and line.

    mtmoe check --gin_file=runs/quickstart.gin --gin_param='train.steps=100'

Does what `mtmoe train` does before its first step, but for opening data: it ends with
the same verdict. Modules that the gin files import are imported: a gin file is code.
Exit status: 0 no mistakes, 2 mistakes.
"""

from __future__ import annotations

from absl import flags

from mtmoe.cli.shared_flags import define_config_flags
from mtmoe.errors import MtmoeError
from mtmoe.startup.importing import import_tensorflow

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of `mtmoe check`."""
    define_config_flags()


def run(argv: list[str]) -> int:
    """Checks the config.

    Raises:
      ConfigError: it has mistakes; the message lists them.
    """
    if len(argv) > 1 or not FLAGS.gin_file:
        raise MtmoeError("usage: mtmoe check --gin_file=F [--gin_param=k=v ...]")
    import_tensorflow()
    from mtmoe.train.check import check_run

    checked = check_run(FLAGS.gin_file, FLAGS.gin_param)
    for notice in checked.notices:
        print(notice)
    print(f"{len(checked.config.bindings)} bindings, no mistakes")
    print(f"fingerprint {checked.config.fingerprint}")
    return 0
