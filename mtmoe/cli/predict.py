"""Fills the blanks of your sentences, one sentence a line.

    echo 'Alle Menschen sind <extra_id_0> und gleich <extra_id_1>.' > blanks.txt
    mtmoe predict --model_dir=runs/quickstart --input_file=blanks.txt \
        --output_file=filled.txt

Blanks are numbered 0, 1, 2 ... in the order of the sentence, as in training. The output
has the sentences filled, line for line; what was put in each blank is printed.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mtmoe.cli.quiet import import_tensorflow
from mtmoe.errors import MtmoeError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of `mtmoe predict`."""
    flags.DEFINE_string("model_dir", None, "a trained model folder")
    flags.DEFINE_string("input_file", None, "sentences with <extra_id_N> blanks")
    flags.DEFINE_string("output_file", None, "where to write them filled")
    flags.DEFINE_string("checkpoint", "latest", "latest, best, or a step")


def run(argv: list[str]) -> int:
    """Fills the blanks.

    Raises:
      MtmoeError: a line cannot be filled; it is named.
      CheckpointError: the model folder cannot be used.
    """
    given = FLAGS.model_dir and FLAGS.input_file and FLAGS.output_file
    if len(argv) > 1 or not given:
        raise MtmoeError(
            "usage: mtmoe predict --model_dir=DIR --input_file=F --output_file=F"
        )
    if FLAGS.checkpoint == "all":
        raise MtmoeError(
            "--checkpoint=all is for evaluate; give latest, best or a step"
        )
    import_tensorflow()
    from mtmoe.evaluate.predictions import predict

    filled = predict(
        Path(FLAGS.model_dir),
        Path(FLAGS.input_file),
        Path(FLAGS.output_file),
        FLAGS.checkpoint,
    )
    for line in filled:
        print(f"{line.line}: {line.text}")
        for number, span in line.spans.items():
            shown = "(left out by the model)" if span is None else repr(span)
            print(f"    <extra_id_{number}> {shown}")
    print(FLAGS.output_file)
    return 0
