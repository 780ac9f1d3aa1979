"""A model folder as training leaves it, but for the training: seconds to make."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from mtmoe.checkpoint import store
from mtmoe.config.load import load_config
from mtmoe.data.vocabulary.configured import (
    configured_vocabulary,
    vocabulary_fingerprint,
)
from mtmoe.engine.program import MeshProgram
from mtmoe.evaluate.step import evaluation_step_builder
from mtmoe.train.settings import TrainingRun

CONFIG = """
configured_vocabulary.factory = @byte_vocabulary
register.task_modules = {modules}
train.mixture = "{mixture}"
train.model = @EncoderDecoder()
train.optimizer = @Adafactor()
train.schedule = @inverse_square_root
train.batch_size = 8
train.lengths = {{"inputs": 48, "targets": 20}}
train.steps = 20
evaluate.num_resamples = 50
EncoderDecoder.vocab_size = 384
EncoderDecoder.d_model = 16
EncoderDecoder.d_ff = 32
EncoderDecoder.num_heads = 2
EncoderDecoder.d_kv = 8
EncoderDecoder.num_encoder_layers = 1
EncoderDecoder.num_decoder_layers = 1
EncoderDecoder.expert_layer_every = 0
"""


@functools.cache
def _initial_values() -> dict[str, np.ndarray]:
    """Returns the parameters of the configured model, which is the same in all runs."""
    run = TrainingRun()
    program = MeshProgram(run.layout, run.seed)
    program.function(
        evaluation_step_builder(run.model),
        {name: tf.TensorSpec([2, n], tf.int32) for name, n in run.lengths.items()},
        name="initial",
    )
    return program.variables()


def write_untrained_run(
    folder: Path, mixture: str, modules: list[str], trained_in: Path | None = None
) -> Path:
    """Writes a model folder with a checkpoint of step 20; imports no task module."""
    folder.mkdir(parents=True)
    (folder / "config.gin").write_text(CONFIG.format(mixture=mixture, modules=modules))
    load_config(model_dir=folder, roots=["train"])
    values = _initial_values()
    store.save(folder / "checkpoints", 20, values, {})
    provenance = {
        "versions": {},
        "sources": [],
        "vocabulary": vocabulary_fingerprint(configured_vocabulary()),
        "command": "mtmoe train",
        "host": {},
        "seed": 0,
        "parameters": sum(value.size for value in values.values()),
        "mixture": {},
    }
    if trained_in is not None:
        provenance["folder"] = str(trained_in)
    (folder / "provenance.json").write_text(json.dumps(provenance))
    line = {"step": 20, "time": 1.0, "loss": 5.0, "tokens_per_second": 10.0}
    (folder / "metrics.jsonl").write_text(
        json.dumps(line | {"language_loss": {"no language at all": 5.0}}) + "\n"
    )
    return folder
