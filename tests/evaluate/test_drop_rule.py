"""Which tokens a full expert drops in evaluation: those that it drops in training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mtmoe.data.batches.training import Packing
from mtmoe.engine.program import MeshProgram
from mtmoe.evaluate.step import (
    evaluation_step_builder,
    routing_facts,
    with_drop_rule,
)
from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.model.moe.capacity import Capacity
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.parts import parts_of
from mtmoe.train.optimizers.adafactor import Adafactor
from mtmoe.train.schedules import inverse_square_root
from mtmoe.train.settings import TrainingRun

MOE = MixtureOfExperts(3, capacity=Capacity(evaluation_factor=0.5, minimum=1))


def model(priority=None):
    moe = dataclasses.replace(MOE, priority=priority)
    return EncoderDecoder(
        vocab_size=64,
        d_model=16,
        d_ff=32,
        num_heads=2,
        d_kv=8,
        num_encoder_layers=1,
        num_decoder_layers=1,
        expert_layer_every=1,
        moe=moe,
    )


def losses(model, packed):
    generator = np.random.default_rng(0)
    features = {
        "inputs": generator.integers(1, 64, (4, 12)),
        "targets": generator.integers(1, 64, (4, 8)),
    }
    program = MeshProgram(seed=1)
    step = program.function(
        evaluation_step_builder(model, packed),
        {k: tf.TensorSpec(v.shape, tf.int32) for k, v in features.items()},
        name="step",
    )
    outputs = step(0, **{k: v.astype(np.int32) for k, v in features.items()})
    return np.asarray(outputs["token_loss"])


def test_a_packed_run_keeps_the_most_confident_tokens():
    as_packed, by_place = losses(model(), True), losses(model("position"), True)
    assert not np.allclose(as_packed, by_place)
    np.testing.assert_array_equal(by_place, losses(model(), False))
    assert with_drop_rule(model(), packed=True) == parts_of(model("confidence"))


@pytest.mark.parametrize("packing", [None, Packing()])
def test_evaluation_json_says_which_rule(packing):
    def facts(priority):
        run = TrainingRun(
            mixture="m",
            model=model(priority),
            optimizer=Adafactor(),
            schedule=inverse_square_root,
            batch_size=4,
            lengths={"inputs": 12, "targets": 8},
            steps=1,
            packing=packing,
        )
        return routing_facts(run)

    assert facts(None) == {
        "packed_in_training": packing is not None,
        "priority": "confidence" if packing else "position",
        "train_factor": 1.25,
        "evaluation_factor": 0.5,
    }
    assert facts("position")["priority"] == "position"
    dense = dataclasses.replace(model(), moe=None, expert_layer_every=0)
    assert with_drop_rule(dense, packed=True) == parts_of(dense)
