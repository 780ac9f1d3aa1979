"""`mtmoe cache --prescheduled`: the finished batches of a run, in files."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from typing import TextIO

from absl import flags

from mtmoe.errors import MtmoeError
from mtmoe.progress import Progress
from mtmoe.report.wording import compact

FLAGS = flags.FLAGS


def write_batches(stderr: TextIO) -> int:
    """Writes the batches of the configured run; returns the exit status.

    Raises:
      MtmoeError: a flag, the configuration or the data cannot be used.
    """
    from mtmoe.config.load import load_config
    from mtmoe.data.prescheduled import write_prescheduled
    from mtmoe.data.registry import register
    from mtmoe.train.settings import configured_run

    if not FLAGS.gin_file:
        raise MtmoeError("--prescheduled needs the --gin_file of a run")
    load_config(FLAGS.gin_file, FLAGS.gin_param, roots=["train"])
    register(FLAGS.task_module)
    register()
    run = configured_run()
    first_step = FLAGS.first_step or 0
    steps = run.steps - first_step if FLAGS.num_steps is None else FLAGS.num_steps
    batches = run.batches()
    progress = Progress("steps", max(steps, 1), stderr)
    started = time.monotonic()
    manifest = write_prescheduled(
        batches,
        first_step,
        steps,
        FLAGS.output_dir,
        FLAGS.num_files or _most_files(run.batch_size),
        origin={
            "mixture": run.mixture,
            "seed": run.seed,
            "lengths": run.lengths,
            "packing": dataclasses.asdict(run.packing) if run.packing else None,
            "data": _data_fingerprint(run.mixture),
        },
        on_steps=progress.show,
    )
    progress.erase_line()
    size = sum(file.bytes for part in manifest.sets for file in part.files)
    print(
        f"steps {first_step:,} to {manifest.end_step - 1:,}, {run.batch_size} rows in "
        f"{manifest.num_files} files each; {compact(size)} bytes, "
        f"{time.monotonic() - started:.0f} s, in {FLAGS.output_dir}"
    )
    return 0


def verify_batches() -> int:
    """Reads all files of --output_dir; returns the exit status.

    Raises:
      MtmoeError: one is missing or damaged.
    """
    from mtmoe.data.prescheduled import verify_prescheduled

    manifest = verify_prescheduled(FLAGS.output_dir)
    files = sum(len(part.files) for part in manifest.sets)
    print(
        f"{FLAGS.output_dir} is sound: steps {manifest.first_step:,} to "
        f"{manifest.end_step - 1:,}, {files:,} files"
    )
    return 0


def _most_files(batch_size: int) -> int:
    """Returns the largest number up to 8 that divides a batch."""
    return max(number for number in range(1, 9) if batch_size % number == 0)


def _data_fingerprint(mixture: str) -> str:
    """Returns a SHA-256 of the training data of a mixture, streamed tasks by name."""
    from mtmoe.data.registry import tasks_of
    from mtmoe.data.task_form import STREAM, task_form
    from mtmoe.data.token_cache.fingerprint import split_fingerprint

    digest = hashlib.sha256()
    for task in sorted(tasks_of(mixture), key=lambda task: task.name):
        is_stream = task_form(task).kind == STREAM
        content = "" if is_stream else split_fingerprint(task, "train").digest
        digest.update(f"{task.name} {content}\n".encode())
    return digest.hexdigest()
