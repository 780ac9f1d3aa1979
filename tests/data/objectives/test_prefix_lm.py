"""Prefix language modelling against t5's own preprocessor and in numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import seqio
import tensorflow as tf
from fake_tasks import TEXT_STEPS, add_text_task, features, random_documents
from hypothesis import given
from hypothesis import strategies as st

from mtmoe.data.batches.training import TrainingBatches
from mtmoe.data.evaluation.examples import evaluation_examples
from mtmoe.data.ground.keys import fold
from mtmoe.data.ground.token_rows import TokenRows, row_bounds
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


def _rows(sizes: Sequence[int]) -> TokenRows:
    bounds = row_bounds(sizes)
    return TokenRows(np.arange(3, 3 + bounds[-1], dtype=np.int32), bounds)


@given(sizes=st.lists(st.integers(0, 40), max_size=8), key=st.integers(0, 2**63))
def test_inputs_and_targets_are_the_row_cut_in_two(sizes, key):
    rows, keys = _rows(sizes), fold(key, np.arange(len(sizes)))
    inputs, targets = PrefixLM().corrupt(rows, keys, 1000)
    foretold = PrefixLM().sizes(sizes, keys)
    assert foretold[0].dtype == foretold[1].dtype == np.int32
    np.testing.assert_array_equal(np.diff(inputs.bounds), foretold[0])
    np.testing.assert_array_equal(np.diff(targets.bounds), foretold[1])
    for row, size in enumerate(sizes):
        head, tail = (
            side.tokens[side.bounds[row] : side.bounds[row + 1]].tolist()
            for side in (inputs, targets)
        )
        assert (
            head + tail
            == list(range(3, 3 + rows.bounds[-1]))[
                rows.bounds[row] : rows.bounds[row + 1]
            ]
        )
        assert bool(tail) == (size > 0) and bool(head) == (size > 1)
        alone = PrefixLM().sizes(sizes[row : row + 1], keys[row : row + 1])
        assert alone[0][0] == len(head), "whatever its neighbours"


@pytest.mark.parametrize(("density", "fewest"), [(0.5, 1), (0.25, 15), (0.1, 24)])
def test_the_split_is_uniform(density, fewest):
    count = 3000
    splits, _ = PrefixLM(density).sizes(np.full(count, 31), fold(5, np.arange(count)))
    counts = np.bincount(splits)[fewest:]
    assert splits.min() == fewest and splits.max() == 30, "of 31 tokens"
    degrees = len(counts) - 1
    expected = count / len(counts)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    quantiles = {29: 58.3, 15: 37.7, 6: 22.5}
    assert chi_square < quantiles[degrees], "p = 0.001"


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
    keys = fold(0, np.arange(400))
    _, targets = PrefixLM(density).sizes(np.full(400, raw_length), keys)
    assert set(targets.tolist()) == sizes
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
        for inputs, targets in zip(
            batch.features["inputs"], batch.features["targets"], strict=True
        ):
            joined = byte_vocabulary.decode(_unpad(inputs) + _unpad(targets))
            assert joined in chunks
    np.testing.assert_array_equal(
        batches.batch(2).features["inputs"],
        TrainingBatches("prefix", 16, LENGTHS, seed=1).batch(2).features["inputs"],
    )
    held_out = evaluation_examples("prefix", "validation", LENGTHS, 2)
    spelt = [
        byte_vocabulary.decode(_unpad(i) + _unpad(t))
        for i, t in zip(held_out.inputs, held_out.targets, strict=True)
    ]
    assert "".join(spelt[::2]) == "".join(spelt[1::2]) == documents[-1]
    with pytest.raises(ConfigError, match="need targets of 31"):
        TrainingBatches("prefix", 4, {"inputs": 32, "targets": 30}, seed=1)


def test_a_decoder_alone_is_filled_by_the_row_and_eos():
    assert PrefixLM().lengths(None, 512) == (511, 512)
    for lengths in ((None, 1), (1, 9)):
        with pytest.raises(ConfigError, match="no room"):
            PrefixLM().lengths(*lengths)
    with pytest.raises(ConfigError, match="needs the length"):
        PrefixLM().lengths(None)


def test_it_is_a_token_objective_and_refuses_impossible_densities():
    assert isinstance(PrefixLM(), TokenObjective)
    for density in (0.0, 0.6):
        with pytest.raises(ConfigError, match="noise_density"):
            PrefixLM(density)
