"""Writes a trained model as a folder that `from_pretrained` of transformers loads.

    mtmoe export --model_dir=runs/quickstart --output_dir=quickstart-hf

The output has config.json, generation_config.json, model.safetensors and, if the run's
vocabulary is a SentencePiece model, the tokenizer. A model with experts is written as
Switch Transformers, one without as T5. docs/huggingface.md says what differs there.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mtmoe.errors import MtmoeError
from mtmoe.startup.importing import import_tensorflow

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of `mtmoe export`."""
    flags.DEFINE_string("model_dir", None, "a trained model folder, or an imported one")
    flags.DEFINE_string("output_dir", None, "a new folder")
    flags.DEFINE_string("checkpoint", "latest", "latest, best, or a step")
    flags.DEFINE_string(
        "model_type", None, "t5, mt5 or switch_transformers; by default the model's"
    )


def run(argv: list[str]) -> int:
    """Exports; returns the exit status.

    Raises:
      MtmoeError: anything that is the user's to mend.
    """
    if len(argv) > 1 or not FLAGS.model_dir or not FLAGS.output_dir:
        raise MtmoeError("usage: mtmoe export --model_dir=DIR --output_dir=HF")
    if FLAGS.checkpoint == "all":
        raise MtmoeError(
            "--checkpoint=all is for evaluate; give latest, best or a step"
        )
    import_tensorflow()
    from mtmoe.surgery.huggingface.checkpoint_export import export_checkpoint

    exported = export_checkpoint(
        Path(FLAGS.model_dir),
        Path(FLAGS.output_dir),
        FLAGS.checkpoint,
        FLAGS.model_type,
    )
    print(
        f"step {exported.step:,}, {exported.parameters:,} parameters; load it with "
        f"transformers.{exported.architecture}.from_pretrained"
    )
    if exported.no_tokenizer is not None:
        print(f"note: no tokenizer, {exported.no_tokenizer}")
    print(FLAGS.output_dir)
    return 0
