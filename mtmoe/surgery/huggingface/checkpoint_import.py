"""A Hugging Face checkpoint becomes one of ours."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mtmoe.checkpoint import store
from mtmoe.data.vocabulary.configured import ExtraIds
from mtmoe.data.vocabulary.sentence_pieces import load_vocabulary
from mtmoe.errors import CheckpointError
from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.ranges import check_number
from mtmoe.surgery.huggingface.config import family_of, model_of
from mtmoe.surgery.huggingface.files import (
    CONFIG,
    new_folder,
    read_json,
    read_tensors,
)
from mtmoe.surgery.huggingface.model_gin import gin_text
from mtmoe.surgery.huggingface.names import table
from mtmoe.surgery.huggingface.special_ids import check_generation_config, eos_id_of
from mtmoe.surgery.huggingface.token_tables import read_token_tables
from mtmoe.surgery.huggingface.tokenizer import MODEL_FILE, extra_ids_of

MODEL_GIN = "model.gin"
VOCABULARY_GIN = "vocabulary.gin"

# In old T5 files, and read by nothing: cross-attention has no position bias.
_UNUSED = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"


@dataclasses.dataclass(frozen=True)
class Imported:
    """What was imported.

    Attributes:
      model_type: Hugging Face's name of the kind of model.
      model: the model.
      parameters: its number of parameters.
      notes: what differs from the original.
    """

    model_type: str
    model: EncoderDecoder
    parameters: int
    notes: tuple[str, ...]


def import_checkpoint(input_dir: Path, output_dir: Path) -> Imported:
    """Writes `model.gin` and `checkpoints/step_0` from a Hugging Face folder.

    Where the folder has a `spiece.model`, that and a `vocabulary.gin` are written too.

    Args:
      input_dir: config.json and safetensors.
      output_dir: a new folder.

    Raises:
      MtmoeError: the folder cannot be read, or holds what our model cannot be; nothing
        has been written then.
    """
    config = read_json(input_dir / CONFIG)
    family = family_of(config)
    eos_id = eos_id_of(config)
    check_generation_config(input_dir, eos_id)
    tensors = read_tensors(input_dir)
    notes = []
    if tensors.pop(_UNUSED, None) is not None:
        notes.append(f"{_UNUSED} is left out, as transformers does: no layer reads it")
    tied, note = read_token_tables(config, tensors)
    if note is not None:
        notes.append(note)
    model = model_of(config, tensors, tied)
    values = {row.ours: row.take(tensors) for row in table(model, family.feed_forward)}
    if tensors:
        raise CheckpointError(
            f"{input_dir} has {len(tensors)} tensors that no variable of the model is "
            f"made of: {', '.join(sorted(tensors)[:5])}"
        )
    source = f"Imported from a Hugging Face checkpoint of type {family.model_type}."
    has_vocabulary = (input_dir / MODEL_FILE).is_file()
    extra_ids = _checked_vocabulary(input_dir, model, eos_id) if has_vocabulary else 0
    with new_folder(output_dir) as folder:
        text = gin_text(model, source)
        (folder / MODEL_GIN).write_text(text, encoding="utf-8")
        if has_vocabulary:
            _write_vocabulary(input_dir, folder, output_dir, extra_ids)
        imported = {"model_type": family.model_type, "eos_token_id": eos_id}
        metadata = {"imported": imported}
        store.save(folder / "checkpoints", 0, values, metadata)
    parameters = sum(value.size for value in values.values())
    return Imported(family.model_type, model, parameters, tuple(notes))


def _checked_vocabulary(input_dir: Path, model: EncoderDecoder, eos_id: int) -> int:
    """Returns the sentinels to add to the SentencePiece model, after a look at it.

    Raises:
      CheckpointError: its end token is not that of config.json, or it has more tokens
        than the model.
      ConfigError: it cannot be used.
    """
    path = input_dir / MODEL_FILE
    settings = input_dir / "tokenizer_config.json"
    default = read_json(settings).get("extra_ids", 100) if settings.is_file() else 100
    check_number("tokenizer_config.json: extra_ids", default, ExtraIds)
    extra_ids = extra_ids_of(path, default)
    vocabulary = load_vocabulary(str(path), extra_ids)
    if vocabulary.eos_id != eos_id:
        raise CheckpointError(
            f"{input_dir / CONFIG}: eos_token_id is {eos_id}; the end token of {path} "
            f"is {vocabulary.eos_id}"
        )
    if vocabulary.vocab_size > model.vocab_size:
        raise CheckpointError(
            f"{path} has {vocabulary.vocab_size} tokens with {extra_ids} sentinels; "
            f"vocab_size of {input_dir / CONFIG} is {model.vocab_size}"
        )
    return extra_ids


def _write_vocabulary(
    input_dir: Path, folder: Path, output_dir: Path, extra_ids: int
) -> None:
    """Writes the SentencePiece model and the bindings that choose it.

    Args:
      input_dir: where the model is.
      folder: where it is written.
      output_dir: what `folder` will be called.
      extra_ids: number of sentinels to add.
    """
    (folder / MODEL_FILE).write_bytes((input_dir / MODEL_FILE).read_bytes())
    path = (output_dir / MODEL_FILE).resolve()
    (folder / VOCABULARY_GIN).write_text(
        "# The vocabulary of the imported checkpoint.\n"
        "import mtmoe.data.vocabulary.configured\n\n"
        "configured_vocabulary.factory = @sentencepiece_vocabulary\n"
        f"sentencepiece_vocabulary.path = {str(path)!r}\n"
        f"sentencepiece_vocabulary.extra_ids = {extra_ids}\n",
        encoding="utf-8",
    )
