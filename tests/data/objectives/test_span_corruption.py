"""Span corruption: t5's structure for every length, its distribution, its texts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import seqio
import tensorflow as tf
from fake_tasks import features
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data.ground.keys import fold
from mtmoe.data.ground.token_rows import TokenRows, row_bounds
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.errors import ConfigError

VOCAB_SIZE = 1000
FIRST_SENTINEL = 900


def _interleave(inputs: list[int], targets: list[int]) -> tuple[list[int], list[int]]:
    """Returns the text the two sides spell, and its sentinels in order."""
    spans: dict[int, list[int]] = {}
    for token in targets:
        if token >= FIRST_SENTINEL:
            span = spans.setdefault(token, [])
        else:
            span.append(token)
    text, sentinels = [], []
    for token in inputs:
        if token >= FIRST_SENTINEL:
            sentinels.append(token)
            text.extend(spans[token])
        else:
            text.append(token)
    # The targets of a row of one token are the sentinel of what is not noise.
    assert [t for t in targets if t >= FIRST_SENTINEL][: len(sentinels)] == sentinels
    return text, sentinels


def _random_rows(sizes: list[int], seed: int = 0) -> TokenRows:
    tokens = np.random.default_rng(seed).integers(3, 800, sum(sizes))
    return TokenRows(tokens.astype(np.int32), row_bounds(sizes))


def _keys(key: int, count: int) -> np.ndarray:
    return fold(key, np.arange(count))


def _lists(rows: TokenRows) -> list[list[int]]:
    return [part.tolist() for part in np.split(rows.tokens, rows.bounds[1:-1])]


def test_full_rows_fill_the_lengths_and_spell_the_text():
    rows = _random_rows([568] * 64)
    inputs, targets = SpanCorruption().corrupt(rows, _keys(7, 64), VOCAB_SIZE)
    assert inputs.tokens.dtype == targets.tokens.dtype == np.int32
    assert np.diff(inputs.bounds).tolist() == [511] * 64, "and EOS"
    assert np.diff(targets.bounds).tolist() == [113] * 64
    spans: list[int] = []
    made = zip(_lists(rows), _lists(inputs), _lists(targets), strict=True)
    for row, row_inputs, row_targets in made:
        text, sentinels = _interleave(row_inputs, row_targets)
        assert text == row
        assert sentinels == [VOCAB_SIZE - 1 - i for i in range(28)]
        noise = [t for t in row_targets if t < FIRST_SENTINEL]
        assert len(noise) == round(0.15 * 568)
        marks = [i for i, t in enumerate(row_targets) if t >= FIRST_SENTINEL]
        spans.extend(np.diff([*marks, len(row_targets)]) - 1)
    assert min(spans) >= 1 and np.mean(spans) == pytest.approx(85 / 28)
    assert len(set(map(tuple, _lists(inputs)))) == 64


@settings(deadline=None, max_examples=80)
@given(
    sizes=st.lists(st.integers(0, 600), min_size=1, max_size=6),
    key=st.integers(0, 2**63),
    density=st.sampled_from([0.15, 0.5, 0.9]),
    mean=st.sampled_from([1.0, 3.0, 20.0]),
)
def test_rows_of_any_size_spell_their_text_and_have_the_sizes_foretold(
    sizes, key, density, mean
):
    objective, vocab_size = SpanCorruption(density, mean), 2000
    rows, keys = _random_rows(sizes, seed=len(sizes)), _keys(key, len(sizes))
    inputs, targets = objective.corrupt(rows, keys, vocab_size)
    foretold = objective.sizes(sizes, keys)
    assert foretold[0].dtype == foretold[1].dtype == np.int32
    np.testing.assert_array_equal(np.diff(inputs.bounds), foretold[0])
    np.testing.assert_array_equal(np.diff(targets.bounds), foretold[1])
    made = zip(_lists(rows), _lists(inputs), _lists(targets), strict=True)
    for row, row_inputs, row_targets in made:
        text, sentinels = _interleave(row_inputs, row_targets)
        assert text == row
        assert sentinels == [vocab_size - 1 - i for i in range(len(sentinels))]
        if len(row) > 1:
            assert len(sentinels) == objective.num_sentinels(len(row))
            assert row_inputs[0] == row[0] and row_targets[0] == vocab_size - 1


def test_a_row_is_a_function_of_its_tokens_and_key_alone():
    sizes = [568, 3, 0, 568, 1, 200, 568, 2]
    rows, keys = _random_rows(sizes), _keys(3, len(sizes))
    together = SpanCorruption().corrupt(rows, keys, VOCAB_SIZE)
    for row, (begin, end) in enumerate(itertools.pairwise(rows.bounds)):
        alone = SpanCorruption().corrupt(
            TokenRows(rows.tokens[begin:end], np.array([0, end - begin])),
            keys[row : row + 1],
            VOCAB_SIZE,
        )
        for one, all_rows in zip(alone, together, strict=True):
            assert one.tokens.tolist() == _lists(all_rows)[row]
    none = SpanCorruption().corrupt(_random_rows([]), _keys(0, 0), VOCAB_SIZE)
    assert [len(side) for side in none] == [0, 0]


@pytest.fixture(scope="module")
def t5_mask():
    """t5's random mask of given length and seeds [2, 2], traced once a setting."""
    from t5.data import preprocessors

    def mask(density: float, mean: float):
        return tf.function(
            lambda length, seeds: preprocessors.random_spans_noise_mask(
                length, density, tf.unstack(seeds), mean
            ),
            input_signature=[
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([2, 2], tf.int32),
            ],
        )

    return mask


@pytest.mark.parametrize(
    ("density", "mean", "sizes"),
    [
        (0.15, 3.0, [*range(1, 150), 190, 568, 1137]),
        (0.5, 3.0, [*range(1, 60), 512]),
        (0.15, 32.0, [*range(1, 60), 512]),
        (0.3, 1.0, range(1, 60)),
    ],
)
def test_the_counts_are_those_of_t5s_mask_for_every_length(
    t5_mask, density, mean, sizes
):
    sizes = np.array(sizes)
    ours = SpanCorruption(density, mean).noise_mask(sizes, _keys(1, len(sizes)))
    theirs = t5_mask(density, mean)
    seeds = tf.constant([[1, 2], [3, 4]], tf.int32)
    bounds = row_bounds(sizes)
    for size, mask in zip(sizes, np.split(ours, bounds[1:-1]), strict=True):
        expected = theirs(int(size), seeds).numpy()
        assert len(mask) == len(expected) == size
        assert mask.sum() == expected.sum(), size
        assert _runs(mask) == _runs(expected), size
        assert mask[0] == expected[0] == False, size  # noqa: E712


def _runs(mask: np.ndarray) -> int:
    return int(np.count_nonzero(np.diff(mask.astype(np.int8), prepend=0) == 1))


def test_all_masks_are_equally_likely():
    objective, size, count = SpanCorruption(0.5, 2.0), 12, 30_000
    masks = objective.noise_mask(np.full(count, size), _keys(11, count))
    _, counts = np.unique(masks.reshape(count, size), axis=0, return_counts=True)
    assert len(counts) == math.comb(5, 2) ** 2, "6 noise, 6 other tokens, 3 spans each"
    expected = count / len(counts)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 148.3, "p = 0.001 at 99 degrees of freedom"


def test_first_spans_are_as_long_as_t5s(t5_mask):
    size, count = 60, 3000
    draw = t5_mask(0.15, 3.0)
    generator = np.random.default_rng(0)
    seeds = tf.constant(generator.integers(-(2**31), 2**31, (count, 2, 2)), tf.int32)
    theirs = tf.function(
        lambda: tf.map_fn(lambda s: draw(size, s), seeds, fn_output_signature=tf.bool)
    )().numpy()
    ours = SpanCorruption().noise_mask(np.full(count, size), _keys(2, count))
    ours = ours.reshape(count, size)
    # 9 of 60 tokens in 3 spans: 1 to 7 of noise, the other ones in bins of 4 tokens.
    for width, bins, quantile, lengths in (
        (1, 7, 22.5, _first_noise_lengths),
        (4, 9, 26.2, lambda masks: np.minimum(masks.argmax(axis=1), 36)),
    ):
        ours_n, theirs_n = (
            np.bincount((lengths(masks) - 1) // width) for masks in (ours, theirs)
        )
        assert len(ours_n) == len(theirs_n) == bins
        chi_square = ((ours_n - theirs_n) ** 2 / (ours_n + theirs_n)).sum()
        assert chi_square < quantile, "p = 0.001 at 6 and 8 degrees of freedom"


def _first_noise_lengths(masks: np.ndarray) -> np.ndarray:
    begins = masks.argmax(axis=1)
    after = ~masks & (np.arange(masks.shape[1]) > begins[:, None])
    return after.argmax(axis=1) - begins


@pytest.mark.parametrize(
    ("inputs_length", "expected"), [(512, (568, 114)), (1024, (1137, 229))]
)
def test_lengths_are_the_published_ones(inputs_length, expected):
    assert SpanCorruption().lengths(inputs_length, expected[1]) == expected


@pytest.mark.parametrize("density", [0.15, 0.25, 0.5])
@pytest.mark.parametrize("mean", [1.0, 3.0, 8.0])
def test_lengths_are_t5s_unless_its_mask_would_overflow(density, mean):
    from t5.data import preprocessors

    objective, keys = SpanCorruption(density, mean), _keys(0, 1)
    for inputs_length in range(2, 400):
        raw_length, targets_length = objective.lengths(inputs_length)
        inputs, targets = objective.sizes([raw_length], keys)
        assert inputs_length - 2 <= inputs[0] + 1 <= inputs_length
        assert targets[0] + 1 == targets_length
        t5_raw, _ = preprocessors.random_spans_helper(
            inputs_length, density, mean, 1, 1
        )
        (t5_inputs,), _ = objective.sizes([t5_raw], keys)
        assert raw_length == t5_raw or (
            raw_length < t5_raw and t5_inputs + 1 > inputs_length
        )


def test_lengths_follow_the_mask_where_t5s_helper_rounds_otherwise():
    from t5.data import preprocessors

    helper = preprocessors.random_spans_helper(172, 0.15, 3.0, 1, 1)
    assert helper == (190, 38)
    assert SpanCorruption().lengths(172) == (190, 40)


def test_a_decoder_alone_is_filled_by_both_sides_and_one_eos():
    objective, keys = SpanCorruption(), _keys(0, 1)
    for places in range(3, 700):
        raw_length, taken = objective.lengths(None, places)
        fits, too_long = (
            sum(int(side[0]) for side in objective.sizes([raw], keys)) + 1
            for raw in (raw_length, raw_length + 1)
        )
        assert fits == taken <= places < too_long
    assert objective.lengths(None, 512) == (465, 512)


def test_lengths_without_room_are_refused():
    for lengths in ((None, 2), (1, 10)):
        with pytest.raises(ConfigError, match="no room"):
            SpanCorruption().lengths(*lengths)
    with pytest.raises(ConfigError, match="needs the length"):
        SpanCorruption().lengths(None)


def test_seqio_runs_the_objective_as_a_preprocessor(byte_vocabulary):
    tokens = np.arange(3, 3 + 100, dtype=np.int32)
    dataset = tf.data.Dataset.from_tensors({"targets": tokens, "inputs": tokens[:0]})
    with seqio.map_seed_manager(0):
        corrupted = seqio.add_kwargs_to_transform(
            SpanCorruption(),
            sequence_length={"inputs": 50, "targets": 20},
            output_features=features(byte_vocabulary),
        )(dataset)
    rows = list(corrupted.as_numpy_iterator())
    raw_length, _ = SpanCorruption().lengths(50)
    assert len(rows) == -(-100 // raw_length)
    shift = VOCAB_SIZE - byte_vocabulary.vocab_size
    spelt: list[int] = []
    for row in rows:
        sides = [
            np.where(x >= 259, x + shift, x) for x in (row["inputs"], row["targets"])
        ]
        spelt += _interleave(*(side.tolist() for side in sides))[0]
    assert spelt == tokens.tolist()


def test_it_is_a_token_objective_and_refuses_impossible_numbers():
    assert isinstance(SpanCorruption(), TokenObjective)
    assert hash(SpanCorruption()) == hash(SpanCorruption(0.15, 3.0))
    for density in (0.0, 1.0, -0.1):
        with pytest.raises(ConfigError, match="noise_density"):
            SpanCorruption(noise_density=density)
    with pytest.raises(ConfigError, match="mean_noise_span_length"):
        SpanCorruption(mean_noise_span_length=0.5)
