import numpy as np
import pytest

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.model.decoder_only import DecoderOnly
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.moe.routers.hash import HashRouter, balanced_table, random_table

VOCAB, E = 5_000, 16


def test_balanced_load_is_within_one_of_the_optimum_on_zipf_counts(tmp_path):
    rng = np.random.default_rng(0)
    counts = rng.permutation(VOCAB // np.arange(1, VOCAB + 1))
    path = tmp_path / "counts.txt"
    path.write_text("".join(f"{count}\n" for count in counts))
    router = HashRouter(VOCAB, "balanced", str(path))
    for experts in (4, 16):  # with 16 the commonest id alone is above the mean
        load = np.bincount(router.table(experts, "any"), weights=counts)
        optimum = max(counts.max(), np.ceil(counts.sum() / experts))
        assert load.sum() == counts.sum()
        assert load.max() - optimum <= 1
    # It is worth it: a random assignment is far from even.
    load = np.bincount(HashRouter(VOCAB).table(4, "any"), weights=counts)
    assert load.max() > 1.05 * counts.sum() / 4


def test_balanced_by_rank_needs_no_counts():
    router = HashRouter(VOCAB, "balanced_by_rank")
    # The commonest id alone is above the mean load of 16 experts.
    table = router.table(E, "any")
    load = np.bincount(table, weights=1.0 / np.arange(1, VOCAB + 1))
    assert load.max() == load[table[0]] == 1.0
    rest = np.delete(load, table[0])
    assert rest.max() - rest.min() < 1e-3


def test_random_table_is_uniform_and_a_function_of_its_key_alone():
    table = random_table(100_000, E, "0 encoder/router")
    counts = np.bincount(table, minlength=E)
    expected = 100_000 / E
    # Chi-square with 15 degrees of freedom: 37.7 is its 99.9th percentile.
    assert np.square(counts - expected).sum() / expected < 37.7
    np.testing.assert_array_equal(table, random_table(100_000, E, "0 encoder/router"))
    np.testing.assert_array_equal(table[:50], random_table(50, E, "0 encoder/router"))
    # These numbers must never change: checkpoints depend on them.
    assert table[:8].tolist() == [6, 4, 7, 9, 9, 0, 5, 3]
    # Two layers agree on no more ids than chance has it.
    other = random_table(100_000, E, "0 decoder/router")
    assert abs(np.mean(table == other) - 1 / E) < 0.005
    assert random_table(100, 3, "a").max() == 2


@pytest.mark.parametrize("field", ["moe", "attention_moe"])
def test_every_id_of_the_model_has_an_expert(field):
    widths = {"d_model": 16, "d_ff": 32, "num_heads": 2, "d_kv": 8, "num_layers": 2}
    experts = {field: MixtureOfExperts(E, HashRouter(VOCAB))}
    for vocab_size in (VOCAB - 1, VOCAB):
        DecoderOnly(vocab_size=vocab_size, **widths, **experts)
    with pytest.raises(
        ConfigError,
        match=rf"of DecoderOnly.{field} is {VOCAB:,}, it must be at least "
        rf"DecoderOnly.vocab_size, {VOCAB + 1:,}",
    ):
        DecoderOnly(vocab_size=VOCAB + 1, **widths, **experts)


def test_bad_fields_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean balanced"):
        HashRouter(10, "balancd")
    with pytest.raises(ConfigError, match="frequencies_file goes with"):
        HashRouter(10, "balanced")
    with pytest.raises(ConfigError, match="frequencies_file goes with"):
        HashRouter(10, "random", "counts.txt")
    with pytest.raises(ConfigError, match="vocab_size"):
        HashRouter(0)
    path = tmp_path / "counts.txt"
    for text, message in (
        (None, "cannot be read"),
        ("1\n2\n", "has 2 counts, HashRouter.vocab_size is 3"),
        ("1\n2.5\n3\n", "counts.txt:2: '2.5' is not a count"),
    ):
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            balanced_table(3, 2, str(path))
