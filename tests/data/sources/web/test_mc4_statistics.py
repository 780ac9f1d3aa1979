"""mC4's published numbers hold together, row by row and as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from mtmoe.data.sources.web.mc4_statistics import ENGLISH_C4_PAGES, MC4_STATISTICS
from mtmoe.languages import LANGUAGES

ROWS = MC4_STATISTICS.values()


def _percent(sizes, exponent):
    powers = np.array(list(sizes), float) ** exponent
    return 100 * powers / powers.sum()


def test_there_is_a_row_for_every_code_in_order_of_pages():
    assert set(MC4_STATISTICS) == {language.code for language in LANGUAGES}
    pages = [row.train_pages for row in ROWS]
    assert pages == sorted(pages, reverse=True)
    assert sum(pages) == 6_656_295_826
    assert all(code == row.code for code, row in MC4_STATISTICS.items())


def test_sampling_rates_of_mt5_follow_from_the_pages():
    ours = _percent((row.train_pages for row in ROWS), 1 / 3.3)
    np.testing.assert_allclose(ours, [row.mt5_percent for row in ROWS], atol=0.01)


def test_rates_at_temperature_3_33_follow_from_the_characters():
    ours = _percent((row.characters for row in ROWS), 0.3)
    published = [row.temperature_percent for row in ROWS]
    np.testing.assert_allclose(ours, published, atol=0.02)


def test_pages_as_mt5_rounds_them_are_those_of_the_catalogue():
    for row in ROWS:
        assert row.mt5_pages == pytest.approx(row.train_pages, rel=0.5, abs=5e4)
        assert 500 < row.train_pages / row.validation_pages < 1700
    assert MC4_STATISTICS["en"].mt5_pages == pytest.approx(3_067e6)


@pytest.mark.parametrize("column", ["unimax_percent", "unimax_eighth_percent"])
def test_percents_sum_to_a_hundred(column):
    assert sum(getattr(row, column) for row in ROWS) == pytest.approx(100, abs=0.5)


def test_english_c4_holds_out_a_thousandth():
    train, validation = ENGLISH_C4_PAGES
    assert train / validation == pytest.approx(1000, rel=0.01)
