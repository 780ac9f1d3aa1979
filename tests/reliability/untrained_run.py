"""A model folder as training leaves it, but for the training: seconds to make."""

from __future__ import annotations

import json
from pathlib import Path

import tensorflow as tf

from mtmoe.checkpoint import store
from mtmoe.config.load import load_config
from mtmoe.data.vocabularies import configured_vocabulary, vocabulary_fingerprint
from mtmoe.evaluate.step import evaluation_step_builder
from mtmoe.mesh.program import MeshProgram
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
train.jit_compile = False
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


def write_untrained_run(
    folder: Path, mixture: str, modules: list[str], trained_in: Path | None = None
) -> Path:
    """Writes a model folder with a checkpoint of step 20; imports no task module."""
    folder.mkdir(parents=True)
    (folder / "config.gin").write_text(CONFIG.format(mixture=mixture, modules=modules))
    load_config(model_dir=folder, roots=["train"])
    run = TrainingRun()
    program = MeshProgram(run.layout, run.seed, jit_compile=False)
    program.function(
        evaluation_step_builder(run.model),
        {name: tf.TensorSpec([2, n], tf.int32) for name, n in run.lengths.items()},
        name="initial",
    )
    store.save(folder / "checkpoints", 20, program.variables(), {})
    provenance = {
        "versions": {},
        "sources": [],
        "vocabulary": vocabulary_fingerprint(configured_vocabulary()),
        "command": "mtmoe train",
        "host": {},
        "seed": 0,
        "parameters": program.parameter_count(),
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
