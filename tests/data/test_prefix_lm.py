"""Prefix language modelling against t5's own preprocessor and in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import seqio
import tensorflow as tf
from fake_tasks import TEXT_STEPS, add_text_task, features, random_documents

from mtmoe.data.batches import TrainingBatches
from mtmoe.data.evaluation_examples import evaluation_examples
from mtmoe.data.keys import fold, seed_pairs
from mtmoe.data.objectives.corruption import corruption
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.objectives.prefix_lm import PrefixLM
from mtmoe.errors import ConfigError

EOS = 1
STEPS = [*TEXT_STEPS[:3], PrefixLM(), TEXT_STEPS[4]]
LENGTHS = {"inputs": 32, "targets": 31}


def _unpad(row: np.ndarray) -> list[int]:
    end = row.tolist().index(EOS)
    assert not row[end + 1 :].any()
    return row[:end].tolist()


@pytest.fixture(scope="module")
def corrupt_32():
    return corruption(PrefixLM(), 1000, EOS, 32, 31)


def test_inputs_and_targets_are_the_row_cut_in_two(corrupt_32):
    sizes = np.tile(np.arange(1, 32, dtype=np.int32), 20)
    rows = np.tile(np.arange(3, 34, dtype=np.int32), (len(sizes), 1))
    made = corrupt_32(rows, sizes, seed_pairs(fold(9, np.arange(len(sizes)))))
    for size, inputs, targets in zip(sizes, *made, strict=True):
        head, tail = _unpad(inputs), _unpad(targets)
        assert head + tail == rows[0, :size].tolist()
        assert len(tail) >= 1 and (len(head) >= 1 or size == 1)


def test_the_split_is_uniform_and_keyed_by_the_seed_alone(corrupt_32):
    count = 3000
    rows = np.tile(np.arange(3, 34, dtype=np.int32), (count, 1))
    sizes, seeds = np.full(count, 31, np.int32), seed_pairs(fold(5, np.arange(count)))
    inputs, _ = corrupt_32(rows, sizes, seeds)
    splits = (inputs > 1).sum(axis=1)
    counts = np.bincount(splits, minlength=31)[1:]
    assert len(counts) == 30, "from 1 to 30 of 31 tokens"
    expected = count / 30
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 58.3, "p = 0.001 at 29 degrees of freedom"
    alone, _ = corrupt_32(rows[:1], sizes[:1], seeds[777:778])
    np.testing.assert_array_equal(alone[0], inputs[777])


@pytest.mark.parametrize("density", [0.5, 0.25, 0.1])
@pytest.mark.parametrize("inputs_length", [2, 3, 8])
def test_lengths_are_the_longest_t5s_mask_makes(density, inputs_length):
    from t5.data import preprocessors

    raw_length, targets_length = PrefixLM(density).lengths(inputs_length, 7)
    assert raw_length == inputs_length - 1
    sizes = {
        raw_length
        - int(
            tf.reduce_sum(
                tf.cast(
                    preprocessors.random_prefix_noise_mask(
                        raw_length, density, seeds=[(seed, 1), (0, 0)]
                    ),
                    tf.int32,
                )
            )
        )
        for seed in range(12 * raw_length)
    }
    assert max(sizes) + 1 == targets_length
    assert PrefixLM().num_sentinels(raw_length) == 0


def test_in_seqio_it_is_t5s_prefix_lm(byte_vocabulary):
    from t5.data import preprocessors

    documents = [list(range(3, 3 + size)) for size in (70, 5, 31, 1)]
    dataset = tf.data.Dataset.from_generator(
        lambda: ({"targets": d} for d in documents),
        output_signature={"targets": tf.TensorSpec([None], tf.int32)},
    )
    given_by_seqio = {
        "sequence_length": LENGTHS,
        "output_features": features(byte_vocabulary),
    }
    with seqio.map_seed_manager(7):
        ours = seqio.add_kwargs_to_transform(PrefixLM(), **given_by_seqio)(dataset)
    with seqio.map_seed_manager(7):
        theirs = preprocessors.prefix_lm(dataset, **given_by_seqio)
    rows = list(ours.as_numpy_iterator())
    assert len(rows) == 6
    for row, other in zip(rows, theirs.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(row["inputs"], other["inputs"])
        np.testing.assert_array_equal(row["targets"], other["targets"])


@pytest.mark.usefixtures("own_cache", "clean_registry")
def test_it_runs_through_batches_and_evaluation(byte_vocabulary):
    documents = random_documents(3, 2000)
    add_text_task("prefix", documents, byte_vocabulary, STEPS)
    batches = TrainingBatches("prefix", 16, LENGTHS, seed=1)
    text = "".join(documents)
    chunks = {text[i : i + 31] for i in range(0, 2000, 31)}
    for step in range(3):
        batch = batches.batch(step)
        for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
            joined = byte_vocabulary.decode(_unpad(inputs) + _unpad(targets))
            assert joined in chunks
    np.testing.assert_array_equal(
        batches.batch(2).inputs,
        TrainingBatches("prefix", 16, LENGTHS, seed=1).batch(2).inputs,
    )
    held_out = evaluation_examples("prefix", "validation", LENGTHS, 2)
    spelt = [
        byte_vocabulary.decode(_unpad(i) + _unpad(t))
        for i, t in zip(held_out.inputs, held_out.targets, strict=True)
    ]
    assert "".join(spelt[::2]) == "".join(spelt[1::2]) == documents[-1]
    with pytest.raises(ConfigError, match="need targets of 31"):
        TrainingBatches("prefix", 4, {"inputs": 32, "targets": 30}, seed=1)


def test_it_is_a_token_objective_and_refuses_impossible_densities():
    assert isinstance(PrefixLM(), TokenObjective)
    for density in (0.0, 0.6):
        with pytest.raises(ConfigError, match="noise_density"):
            PrefixLM(density)
