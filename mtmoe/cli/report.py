r"""Writes a model folder's report: one page that opens offline, and its numbers.

    mtmoe report --model_dir=runs/quickstart --output_dir=runs/quickstart/report
    mtmoe report --model_dir=runs/quickstart --output_dir=my_texts_report \
        --evaluation=text_dir/my_texts

Writes report.html, report.md, per_language.csv and summary.json (docs/outputs.md), from
the latest evaluated checkpoint; run `mtmoe evaluate` first. --evaluation chooses one of
another text, mixture or split, by its folder below evaluation/step_N.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mtmoe.errors import MtmoeError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of `mtmoe report`."""
    flags.DEFINE_string("model_dir", None, "a trained and evaluated model folder")
    flags.DEFINE_string("output_dir", None, "where to write; made when absent")
    flags.DEFINE_string(
        "evaluation", "", "text_dir/NAME, mixture/NAME or split/NAME, if not the main"
    )


def run(argv: list[str]) -> int:
    """Writes the report and prints where it is.

    Raises:
      CheckpointError: the model folder lacks something; the message says how to get it.
    """
    if len(argv) > 1 or not FLAGS.model_dir or not FLAGS.output_dir:
        raise MtmoeError("usage: mtmoe report --model_dir=DIR --output_dir=DIR")
    from mtmoe.report.write import write_report

    model_dir, output_dir = Path(FLAGS.model_dir), Path(FLAGS.output_dir)
    print(write_report(model_dir, output_dir, FLAGS.evaluation))
    return 0
