"""A model folder with two real checkpoints of a tiny Switch model, not trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mtmoe.checkpoint import store
from mtmoe.config.load import load_config
from mtmoe.data.rows.cached import task_vocabulary
from mtmoe.data.tasks.registry import register, tasks_of
from mtmoe.data.vocabulary.configured import vocabulary_fingerprint
from mtmoe.engine.program import MeshProgram
from mtmoe.evaluate.step import evaluation_step_builder
from mtmoe.train.settings import TrainingRun

CONFIG = """
register.task_modules = ["three_languages"]
configured_vocabulary.factory = @byte_vocabulary
train.mixture = "three"
train.model = @EncoderDecoder()
train.optimizer = @Adafactor()
train.schedule = @inverse_square_root
train.batch_size = 8
train.lengths = {"inputs": 48, "targets": 20}
train.steps = 20
EncoderDecoder.vocab_size = 384
EncoderDecoder.d_model = 16
EncoderDecoder.d_ff = 32
EncoderDecoder.num_heads = 2
EncoderDecoder.d_kv = 8
EncoderDecoder.num_encoder_layers = 2
EncoderDecoder.num_decoder_layers = 2
EncoderDecoder.moe = @MixtureOfExperts()
MixtureOfExperts.num_experts = 4
"""


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTMOE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The folder; tests copy it before they write to it."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    folder.mkdir()
    (folder / "config.gin").write_text(CONFIG)
    load_config(model_dir=folder, roots=["train"])
    run = TrainingRun()
    register()
    program = MeshProgram(run.layout, run.seed)
    program.function(
        evaluation_step_builder(run.model),
        {name: tf.TensorSpec([2, n], tf.int32) for name, n in run.lengths.items()},
        name="initial",
    )
    values = program.variables() | {"optimizer/moment": np.zeros(3, np.float32)}
    store.save(folder / "checkpoints", 10, values, {})
    # The same, but for a logit scale that makes every wrong guess cost more.
    louder = {name: 3.0 * value for name, value in values.items()}
    store.save(folder / "checkpoints", 20, louder, {})
    vocabulary = task_vocabulary(tasks_of(run.mixture)[0])
    (folder / "provenance.json").write_text(
        json.dumps({"vocabulary": vocabulary_fingerprint(vocabulary)})
    )
    return folder
