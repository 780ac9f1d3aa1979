"""Trains a model, or goes on where the model folder left off.

    mtmoe train --gin_file=runs/quickstart.gin --model_dir=runs/quickstart

Ctrl-C finishes the step, saves and stops; the same command goes on from there and ends
with the same weights as a run that was never stopped. The model folder then holds
config.gin, metrics.jsonl, provenance.json, events.* for TensorBoard, and checkpoints/.
Exit status: 0 trained, 130 stopped by Ctrl-C, 143 by SIGTERM, 2 a mistake of yours.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from absl import flags

from mtmoe.cli.runtime import prepare_runtime
from mtmoe.cli.shared_flags import define_config_flags
from mtmoe.errors import MtmoeError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of `mtmoe train`."""
    define_config_flags()
    flags.DEFINE_string("model_dir", None, "where the run is written")


def run(argv: list[str]) -> int:
    """Trains; returns the exit status.

    Raises:
      MtmoeError: anything that is the user's to mend.
    """
    if len(argv) > 1 or not FLAGS.gin_file or not FLAGS.model_dir:
        raise MtmoeError(
            "usage: mtmoe train --gin_file=F --model_dir=DIR [--gin_param=k=v ...]"
        )
    prepare_runtime()
    from mtmoe.config.compare import check_same_run
    from mtmoe.config.load import load_config
    from mtmoe.config.unused import check_all_used
    from mtmoe.evaluate.gaps import evaluation_gaps
    from mtmoe.evaluate.run import EvaluationSettings
    from mtmoe.train.loop import train
    from mtmoe.train.settings import CHANGEABLE, configured_run

    config = load_config(FLAGS.gin_file, FLAGS.gin_param, roots=["train"])
    check_same_run(Path(FLAGS.model_dir), config, CHANGEABLE)
    run = configured_run()

    def check_built() -> None:
        check_all_used(config)
        for gap in evaluation_gaps(run.mixture, EvaluationSettings().split):
            print(gap, file=sys.stderr)

    result = train(
        FLAGS.model_dir,
        run,
        config_text=config.text,
        command=_command_line(),
        check_built=check_built,
    )
    return result.exit_status


def _command_line() -> str:
    """Returns the command that started this run, as one would type it."""
    words = ["mtmoe", "train"]
    words += [f"--gin_file={name}" for name in FLAGS.gin_file]
    words += [f"--gin_param={binding}" for binding in FLAGS.gin_param]
    words += [f"--model_dir={FLAGS.model_dir}"]
    return shlex.join(words)
