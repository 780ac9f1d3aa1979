r"""Turns a Hugging Face checkpoint of T5, mT5 or Switch Transformers into one of ours.

    mtmoe import --input_dir=switch-base-8 --output_dir=imported
    mtmoe train --gin_file=my_run.gin --gin_file=imported/model.gin \
        --gin_param='train.initial_checkpoint = "imported"' --model_dir=runs/tuned

The input is a folder with config.json and safetensors; pickles (*.bin) are not read.
The output has model.gin (the model's bindings), checkpoints/step_0 and, if there is a
spiece.model, vocabulary.gin. docs/huggingface.md says what is not carried over.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mtmoe.errors import MtmoeError
from mtmoe.startup.importing import import_tensorflow

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of `mtmoe import`."""
    flags.DEFINE_string("input_dir", None, "a folder as `save_pretrained` writes it")
    flags.DEFINE_string("output_dir", None, "a new folder")


def run(argv: list[str]) -> int:
    """Imports; returns the exit status.

    Raises:
      MtmoeError: anything that is the user's to mend.
    """
    if len(argv) > 1 or not FLAGS.input_dir or not FLAGS.output_dir:
        raise MtmoeError("usage: mtmoe import --input_dir=HF --output_dir=DIR")
    import_tensorflow()
    from mtmoe.surgery.huggingface.checkpoint_import import import_checkpoint

    output_dir = Path(FLAGS.output_dir)
    imported = import_checkpoint(Path(FLAGS.input_dir), output_dir)
    print(f"{imported.model_type}, {imported.parameters:,} parameters")
    for note in imported.notes:
        print(f"note: {note}")
    for path in sorted(output_dir.iterdir()):
        print(path)
    return 0
