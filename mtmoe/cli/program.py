"""Exports the training step of a config, to be run by JAX alone.

    mtmoe program export --gin_file=runs/quickstart.gin --output_dir=step
    python step/run_program.py step --profile    # there: NumPy and JAX, nothing else

The folder has the step as portable StableHLO, what goes in and out, how to draw the
variables from the seed, the first batches, and the losses of those steps, which are run
here. Its script checks the losses on whatever device it finds, and prints the speed;
docs/profiling.md says how to read it. The program is for the layout of the config:
export once for each.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mtmoe.cli.number_flags import define_number
from mtmoe.cli.runtime import prepare_runtime
from mtmoe.cli.shared_flags import chosen_action, define_config_flags
from mtmoe.errors import MtmoeError
from mtmoe.ranges import Count

FLAGS = flags.FLAGS
ACTIONS = ("export",)


def define_flags() -> None:
    """Defines the flags of `mtmoe program`."""
    define_config_flags()
    flags.DEFINE_string("output_dir", None, "a new folder")
    define_number("num_batches", 3, "first batches of the run to write", Count)
    flags.DEFINE_string(
        "hardware", None, "the TPU slice it is for, e.g. v5e:2x2; checks the layout"
    )
    flags.DEFINE_boolean(
        "random_tokens", False, "rows of random tokens instead of the run's text"
    )
    flags.DEFINE_boolean(
        "losses",
        True,
        "run the steps here for the losses to expect; --nolosses where the model does "
        "not fit into this machine",
    )


def run(argv: list[str]) -> int:
    """Runs one of the actions.

    Raises:
      MtmoeError: anything that is the user's to mend.
    """
    usage = (
        "usage: mtmoe program export --gin_file=F --output_dir=DIR "
        "[--gin_param=k=v ...]"
    )
    _, names = chosen_action(argv, ACTIONS, usage)
    if names or not FLAGS.gin_file or not FLAGS.output_dir:
        raise MtmoeError(usage)
    prepare_runtime()
    from mtmoe.engine.export import check_is_new
    from mtmoe.train.check import check_run
    from mtmoe.train.program_export import ProgramExport, export_program

    folder = Path(FLAGS.output_dir)
    check_is_new(folder)
    checked = check_run(FLAGS.gin_file, FLAGS.gin_param)
    exported = export_program(
        folder,
        checked.run,
        ProgramExport(
            FLAGS.num_batches, FLAGS.random_tokens, FLAGS.losses, FLAGS.hardware
        ),
    )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    losses = " ".join(f"{loss:.6f}" for loss in exported.losses) or "not computed"
    print(
        f"{exported.parameters:,} parameters, {exported.devices} device"
        f"{'s' if exported.devices > 1 else ''}, {size / 1e6:.1f} MB; losses: {losses}"
    )
    print(f"python {folder / 'run_program.py'} {folder} --profile")
    return 0
