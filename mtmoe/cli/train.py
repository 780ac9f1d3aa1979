"""Trains a model, or goes on where the model folder left off.

    mtmoe train --gin_file=runs/quickstart.gin --model_dir=runs/quickstart

Ctrl-C finishes the step, saves and stops; the same command goes on from there and ends
with the same weights as a run that was never stopped. The model folder then holds
config.gin, metrics.jsonl, provenance.json, events.* for TensorBoard, and checkpoints/.
The config is checked first, as `mtmoe check` does it. --profile=10:12 writes a trace of
these steps into MODEL_DIR/profile (docs/profiling.md).

Started as several processes (MTMOE_COORDINATOR=host:port, MTMOE_NUM_PROCESSES,
MTMOE_PROCESS_ID, or Slurm, Open MPI, a TPU slice), each trains its part of the layout;
docs/training.md.

Exit status: 0 trained, 130 stopped by Ctrl-C, 143 by SIGTERM, 2 a mistake of yours, 74
the machine failed (a full disk): the same command goes on once there is room, 75
another process of the run ended: start all again.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from absl import flags

from mtmoe.cli.runtime import prepare_runtime
from mtmoe.cli.shared_flags import define_config_flags
from mtmoe.engine.processes.current import start_processes
from mtmoe.errors import MtmoeError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of `mtmoe train`."""
    define_config_flags()
    flags.DEFINE_string("model_dir", None, "where the run is written")
    flags.DEFINE_string(
        "profile", None, "FIRST:LAST, steps to write a trace of, e.g. 10:12"
    )


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
    start_processes()
    from mtmoe.config.compare import check_same_run
    from mtmoe.engine.profile import ProfiledSteps
    from mtmoe.train.check import check_run
    from mtmoe.train.loop import train
    from mtmoe.train.settings import CHANGEABLE

    profiled = ProfiledSteps.parse(FLAGS.profile) if FLAGS.profile else None
    checked = check_run(FLAGS.gin_file, FLAGS.gin_param)
    check_same_run(Path(FLAGS.model_dir), checked.config, CHANGEABLE)
    result = train(
        FLAGS.model_dir,
        checked.run,
        config_text=checked.config.text,
        command=_command_line(),
        notices=checked.notices,
        profiled=profiled,
    )
    return result.exit_status


def _command_line() -> str:
    """Returns the command that started this run, as one would type it."""
    words = ["mtmoe", "train"]
    words += [f"--gin_file={name}" for name in FLAGS.gin_file]
    words += [f"--gin_param={binding}" for binding in FLAGS.gin_param]
    words += [f"--model_dir={FLAGS.model_dir}"]
    words += [f"--profile={FLAGS.profile}"] if FLAGS.profile else []
    return shlex.join(words)
