import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtmoe.errors import CorpusError
from mtmoe.evaluate.unigram import fit_unigrams

IS_TEXT = np.array([0, 0, 1, 1, 1, 1, 0], bool)  # padding, EOS, text, sentinel


def probabilities(nats_V):
    return np.exp(-nats_V)


def test_numbers_by_hand():
    counts = {
        "de": np.array([0, 9, 6, 2, 0, 0, 5]),  # N = 8, T = 2; special tokens ignored
        "sw": np.array([0, 9, 0, 0, 0, 4, 0]),  # N = 4, T = 1
    }
    fitted = fit_unigrams(counts, {"de": 3.0, "sw": 1.0}, IS_TEXT)
    seen = 0.75 * np.array([6, 2, 0, 0]) / 8 + 0.25 * np.array([0, 0, 0, 1])
    mixture = (12 * seen + 3 * np.full(4, 0.25)) / (12 + 3)
    np.testing.assert_allclose(probabilities(fitted.mixture)[2:6], mixture)
    german = (8 * np.array([6, 2, 0, 0]) / 8 + 2 * mixture) / (8 + 2)
    np.testing.assert_allclose(probabilities(fitted.language("de"))[2:6], german)
    assert np.isnan(fitted.language("fr")).all()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(arrays(np.int64, 7, elements=st.integers(0, 50)), min_size=1, max_size=5),
    st.floats(0.01, 100),
)
def test_distributions_over_text_tokens_without_zeros(counted, rate):
    counts = {str(i): count for i, count in enumerate(counted)}
    for count in counted:
        count[2] += 1
    rates = {name: rate + i for i, name in enumerate(counts)}
    fitted = fit_unigrams(counts, rates, IS_TEXT)
    for nats in (fitted.mixture, *fitted.languages.values()):
        assert probabilities(nats).sum() == pytest.approx(1)
        assert np.isfinite(nats[2:6]).all()
        assert np.isinf(nats[[0, 1, 6]]).all()


def test_scale_of_rates_does_not_matter():
    counts = {
        "a": np.array([0, 0, 5, 1, 0, 0, 0]),
        "b": np.array([0, 0, 0, 1, 2, 1, 0]),
    }
    one = fit_unigrams(counts, {"a": 1.0, "b": 2.0}, IS_TEXT)
    ten = fit_unigrams(counts, {"a": 10.0, "b": 20.0}, IS_TEXT)
    np.testing.assert_allclose(one.mixture, ten.mixture)


def test_own_unigram_is_the_better_one_for_its_language():
    generator = np.random.default_rng(0)
    truth = {"a": np.array([8, 1, 1, 1]), "b": np.array([1, 1, 1, 8])}
    counts = {
        name: np.pad(generator.multinomial(500, p / p.sum()), (2, 1))
        for name, p in truth.items()
    }
    fitted = fit_unigrams(counts, {"a": 1.0, "b": 1.0}, IS_TEXT)
    for name, p in truth.items():
        own = (p * fitted.language(name)[2:6]).sum()
        assert own < (p * fitted.mixture[2:6]).sum()


def test_a_language_without_training_text_has_no_model_of_its_own():
    german = np.array([0, 0, 1, 0, 0, 0, 0])
    nothing = np.array([3, 3, 0, 0, 0, 0, 3])
    rates = {"de": 1.0, "sw": 1.0}
    fitted = fit_unigrams({"de": german, "sw": nothing}, rates, IS_TEXT)
    alone = fit_unigrams({"de": german}, {"de": 1.0}, IS_TEXT)
    np.testing.assert_array_equal(fitted.mixture, alone.mixture)
    assert np.isnan(fitted.language("sw")).all()
    with pytest.raises(CorpusError, match="in any of de, sw"):
        fit_unigrams({"de": nothing, "sw": nothing}, rates, IS_TEXT)
