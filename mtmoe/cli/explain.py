"""Prints every binding in force: where it was set, what it overrode, what it means.

    mtmoe explain --gin_file=runs/quickstart.gin --gin_param='train.steps=100'
    mtmoe explain --model_dir=runs/quickstart

With --model_dir it is the config that the folder's model was trained with. Mistakes in
the config are listed at the end, as `mtmoe check` lists them.
Exit status: 0 no mistakes, 2 mistakes.
"""

from __future__ import annotations

from absl import flags

from mtmoe.cli.shared_flags import define_config_flags
from mtmoe.errors import ConfigError, MtmoeError
from mtmoe.startup.importing import import_tensorflow

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of `mtmoe explain`."""
    define_config_flags()
    flags.DEFINE_string("model_dir", None, "a model folder, whose config comes first")


def run(argv: list[str]) -> int:
    """Explains the config.

    Raises:
      ConfigError: it has mistakes; what is right is explained first.
    """
    if len(argv) > 1 or not (FLAGS.gin_file or FLAGS.model_dir):
        raise MtmoeError(
            "usage: mtmoe explain --gin_file=F [--gin_param=k=v ...], or "
            "mtmoe explain --model_dir=DIR"
        )
    import_tensorflow()
    from mtmoe.config.explain import explanation
    from mtmoe.config.load import read_config
    from mtmoe.train.check import check_draft

    draft = read_config(FLAGS.gin_file, FLAGS.gin_param, FLAGS.model_dir, ["train"])
    try:
        switched_off = check_draft(draft).switched_off
    except ConfigError:
        print(explanation(draft.statements))
        raise
    print(explanation(draft.statements, switched_off))
    return 0
