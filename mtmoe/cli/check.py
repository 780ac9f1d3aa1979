"""Reads a config and lists every mistake in it, with file, line and the nearest name.

    mtmoe check --gin_file=runs/quickstart.gin --gin_param='train.steps=100'

Prints nothing but the number of bindings and the fingerprint if all is well. Modules
that the gin files import are imported: a gin file is code.
"""

from __future__ import annotations

from absl import flags

from mtmoe.cli.quiet import import_tensorflow
from mtmoe.cli.shared_flags import define_config_flags
from mtmoe.errors import MtmoeError

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
    from mtmoe.config.load import load_config
    from mtmoe.data.registry import register
    from mtmoe.evaluate.gaps import evaluation_gaps
    from mtmoe.evaluate.run import EvaluationSettings
    from mtmoe.train.settings import configured_run

    config = load_config(FLAGS.gin_file, FLAGS.gin_param, roots=["train"])
    run = configured_run()
    register()
    for gap in evaluation_gaps(run.mixture, EvaluationSettings().split):
        print(gap)
    print(f"{len(config.bindings)} bindings, no mistakes")
    print(f"fingerprint {config.fingerprint}")
    return 0
