"""A checkpoint of ours becomes a folder that `from_pretrained` loads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import gin
import seqio

from mtmoe.checkpoint import store
from mtmoe.config.load import CONFIG_NAME, load_config
from mtmoe.data.vocabulary.configured import configured_vocabulary
from mtmoe.errors import CheckpointError, ConfigError, UnknownNameError
from mtmoe.evaluate.checkpoints import chosen_steps
from mtmoe.evaluate.trained_run import load_trained_run
from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.model.parts import expert_layer_names
from mtmoe.surgery.huggingface.checkpoint_import import MODEL_GIN, VOCABULARY_GIN
from mtmoe.surgery.huggingface.config import (
    FAMILIES,
    Family,
    config_of,
)
from mtmoe.surgery.huggingface.files import (
    CONFIG,
    check_new,
    new_folder,
    write_json,
    write_tensors,
)
from mtmoe.surgery.huggingface.names import Array, Row, table
from mtmoe.surgery.huggingface.special_ids import (
    GENERATION_CONFIG,
    generation_config,
)
from mtmoe.surgery.huggingface.token_tables import write_token_tables
from mtmoe.surgery.huggingface.tokenizer import write_tokenizer
from mtmoe.train.settings import configured_run


@dataclasses.dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
      model_type: Hugging Face's name of the kind of model.
      architecture: the class that loads it.
      step: of the checkpoint.
      parameters: number of parameters.
      no_tokenizer: why no tokenizer was written; None if one was.
    """

    model_type: str
    architecture: str
    step: int
    parameters: int
    no_tokenizer: str | None


@dataclasses.dataclass(frozen=True)
class _Source:
    """A folder to export from.

    Attributes:
      mixture: what it was trained on; empty if it was imported and not trained.
      vocabulary: what its tokens mean; None if the folder does not say.
    """

    mixture: str
    vocabulary: seqio.Vocabulary | None


def export_checkpoint(
    model_dir: Path,
    output_dir: Path,
    choice: str = "latest",
    model_type: str | None = None,
) -> Exported:
    """Writes config.json, model.safetensors and, if possible, the tokenizer.

    Args:
      model_dir: a model folder, or a folder that `import_checkpoint` wrote.
      output_dir: a new folder.
      choice: `latest`, `best` or a step.
      model_type: what it is to be for Hugging Face; by default `switch_transformers`
        for a model with experts and `t5` for one without.

    Raises:
      MtmoeError: there is no such checkpoint, or transformers has no such model, which
        is said before vocabulary and weights are read; nothing has been written then.
    """
    is_trained = (model_dir / CONFIG_NAME).is_file()
    model = _configured_model(model_dir, is_trained)
    family = _family(model, model_type)
    config = config_of(model, family)
    rows = table(model, family.feed_forward)
    check_new(output_dir)
    source = _trained(model_dir) if is_trained else _imported(model_dir)
    (step,) = chosen_steps(model_dir, choice, source.mixture)
    checkpoint = store.load(model_dir / "checkpoints", step)
    parameters = _parameters(checkpoint.values, rows, step)
    ids = generation_config(_eos_id(source, checkpoint))
    tensors: dict[str, Array] = {}
    for row in rows:
        tensors.update(row.give(parameters[row.ours]))
    write_token_tables(family, model.tied_embeddings, tensors)
    no_tokenizer: str | None = "an imported folder without vocabulary.gin names none"
    with new_folder(output_dir) as folder:
        write_json(folder / CONFIG, config | ids)
        write_json(folder / GENERATION_CONFIG, ids)
        write_tensors(folder, tensors)
        if source.vocabulary is not None:
            no_tokenizer = write_tokenizer(folder, source.vocabulary)
    count = sum(parameters[row.ours].size for row in rows)
    return Exported(family.model_type, family.architecture, step, count, no_tokenizer)


def _configured_model(model_dir: Path, is_trained: bool) -> EncoderDecoder:
    """Returns the model of a folder, from its config alone.

    Raises:
      ConfigError: transformers has no class for it, or there is no config.
    """
    if not is_trained and (model_dir / MODEL_GIN).is_file():
        load_config([str(model_dir / MODEL_GIN)])
        return gin.get_configurable("EncoderDecoder")()
    load_config(model_dir=model_dir, roots=["train"])
    model = configured_run().model
    if not isinstance(model, EncoderDecoder):
        raise ConfigError(
            f"{model_dir} holds a {type(model).__name__}, which cannot be exported: "
            "transformers has T5 and Switch Transformers, encoder-decoders both, and "
            f"no decoder alone that computes the same (train.model in "
            f"{model_dir / CONFIG_NAME})"
        )
    return model


def _trained(model_dir: Path) -> _Source:
    trained = load_trained_run(model_dir)
    return _Source(trained.settings.mixture, trained.vocabulary)


def _imported(model_dir: Path) -> _Source:
    if not (model_dir / VOCABULARY_GIN).is_file():
        return _Source("", None)
    load_config([str(model_dir / name) for name in (MODEL_GIN, VOCABULARY_GIN)])
    return _Source("", configured_vocabulary())


def _family(model: EncoderDecoder, model_type: str | None) -> Family:
    """Returns what a model is exported as.

    Raises:
      UnknownNameError: there is no such type.
      ConfigError: a sparse model is to be of a dense type, or the other way round.
    """
    sparse = bool(expert_layer_names(model))
    if model_type is None:
        return FAMILIES["switch_transformers" if sparse else "t5"]
    if model_type not in FAMILIES:
        raise UnknownNameError("model type", model_type, FAMILIES, "--model_type")
    if sparse != (model_type == "switch_transformers"):
        raise ConfigError(
            f"--model_type={model_type}: the model has {'' if sparse else 'no '}experts"
        )
    return FAMILIES[model_type]


def _parameters(
    values: Mapping[str, Array], rows: tuple[Row, ...], step: int
) -> dict[str, Array]:
    """Returns the model's own variables of a checkpoint.

    What lies below one of them, as `embedding/adafactor_vr`, is the optimizer's.

    Raises:
      CheckpointError: a variable is missing, or one is of no row.
    """
    wanted = {row.ours for row in rows}
    if missing := sorted(wanted - values.keys()):
        raise CheckpointError(
            f"checkpoint {step} has no variable {', '.join(missing[:5])}"
        )
    unmapped = sorted(
        name for name in values.keys() - wanted if name.rpartition("/")[0] not in wanted
    )
    if unmapped:
        raise CheckpointError(
            f"checkpoint {step} has {len(unmapped)} variables that no tensor of the "
            f"exported model takes: {', '.join(unmapped[:5])}"
        )
    return {name: values[name] for name in wanted}


def _eos_id(source: _Source, checkpoint: store.Checkpoint) -> int:
    """Returns the end token: the vocabulary's, or what import found in config.json."""
    if source.vocabulary is not None:
        return int(source.vocabulary.eos_id)
    imported = checkpoint.metadata.get("imported", {})
    return int(imported.get("eos_token_id", 1))  # T5's, if nobody wrote it down
