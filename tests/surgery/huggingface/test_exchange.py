"""Logits of a model, in transformers and here, after import and after export."""

from __future__ import annotations

import dataclasses

import gin
import numpy as np
import pytest
import tensorflow as tf
from oracles.model_runner import random_batch
from oracles.transformers_models import CASES, greedy, outputs

from mtmoe.checkpoint import store
from mtmoe.config.load import load_config
from mtmoe.engine.program import MeshProgram
from mtmoe.model.features import import_features
from mtmoe.model.forward import score
from mtmoe.surgery.huggingface.checkpoint_export import export_checkpoint
from mtmoe.surgery.huggingface.checkpoint_import import import_checkpoint

BATCH = random_batch()


def our_step(model):
    """Returns the program and the function of the outputs that are compared."""

    def build(context, features):
        inputs, targets = import_features(context, features)
        x = model.embedding(context, inputs)
        encoded, _ = model.encoder.call(context, x, inputs)
        logits = score(context, model, inputs, targets).logits
        return {"encoded": encoded.values, "logits": logits}, []

    program = MeshProgram()
    signature = {
        name: tf.TensorSpec(array.shape, tf.int32) for name, array in BATCH.items()
    }
    return program, program.function(build, signature, "outputs")


def our_outputs(program, step, values):
    program.assign(values)
    return {name: np.asarray(value) for name, value in step(0, **BATCH).items()}


def random_values(values, seed):
    """Values of the same shapes and about the same sizes."""
    generator = np.random.default_rng(seed)
    return {
        name: (
            1 + 0.3 * generator.standard_normal(value.shape)
            if value.ndim == 1
            else value.std() * generator.standard_normal(value.shape)
        ).astype(np.float32)
        for name, value in values.items()
    }


def assert_agree(ours, theirs):
    for name, feature in (("encoded", "inputs"), ("logits", "targets")):
        tokens = BATCH[feature] != 0
        assert np.abs(theirs[name][tokens]).max() > 0.5
        np.testing.assert_allclose(
            ours[name][tokens], theirs[name][tokens], atol=1e-4, rtol=1e-4, err_msg=name
        )


@pytest.mark.parametrize("name", CASES)
def test_logits_agree_both_ways(name, tmp_path):
    case = CASES[name]
    theirs = case.save(tmp_path / "theirs")
    imported = import_checkpoint(tmp_path / "theirs", tmp_path / "ours")
    roomy = ["Capacity.evaluation_factor = None"] if imported.model.moe else []
    load_config([str(tmp_path / "ours" / "model.gin")], roomy)
    model = gin.get_configurable("EncoderDecoder")()
    values = store.load(tmp_path / "ours" / "checkpoints", 0).values
    program, step = our_step(model)
    assert set(values) == set(program.parameter_names())
    assert_agree(
        our_outputs(program, step, values),
        outputs(theirs, BATCH["inputs"], BATCH["targets"]),
    )

    others = random_values(values, seed=1)
    store.save(tmp_path / "ours" / "checkpoints", 7, others, {})
    model_type = "mt5" if case.name == "MT5" else None
    exported = export_checkpoint(
        tmp_path / "ours", tmp_path / "back", model_type=model_type
    )
    assert exported.step == 7
    assert exported.architecture == case.model_class.__name__
    back = case.load(tmp_path / "back")
    ours = our_outputs(program, step, others)
    assert_agree(ours, outputs(back, BATCH["inputs"], BATCH["targets"]))
    first = greedy(back, BATCH["inputs"], max_new_tokens=1)
    np.testing.assert_array_equal(first[:, 1], ours["logits"][:, 0].argmax(-1))


def test_logits_agree_where_experts_overflow(tmp_path):
    """With a group a sequence and slots given out by position, as theirs are."""
    case = CASES["switch"]
    roomy = case.save(tmp_path / "theirs")
    import_checkpoint(tmp_path / "theirs", tmp_path / "ours")
    load_config(
        [str(tmp_path / "ours" / "model.gin")],
        [
            "MixtureOfExperts.group_size = 1",
            "MixtureOfExperts.priority = 'position'",
            "Capacity.evaluation_factor = 1.0",
            "Capacity.minimum = 4",
        ],
    )
    program, step = our_step(gin.get_configurable("EncoderDecoder")())
    values = store.load(tmp_path / "ours" / "checkpoints", 0).values
    small = dataclasses.replace(case, fields=case.fields | {"expert_capacity": 4})
    wanted = outputs(small.model(), BATCH["inputs"], BATCH["targets"])
    assert_agree(our_outputs(program, step, values), wanted)
    without_drops = outputs(roomy, BATCH["inputs"], BATCH["targets"])
    assert np.abs(without_drops["encoded"] - wanted["encoded"]).max() > 0.1
