"""Tag F1 by hand."""

from __future__ import annotations

import pytest

from mtmoe.data.metrics.tags import tag_f1


@pytest.mark.parametrize(
    ("targets", "predictions", "score"),
    [
        (["DET NOUN VERB"], ["DET NOUN VERB"], 100.0),
        (["DET NOUN VERB", "NOUN"], ["DET VERB VERB", "NOUN"], 75.0),
        # Two of three found, two of two right: 2 * 2 / 5.
        (["DET NOUN VERB"], ["DET NOUN"], 80.0),
        # One too many at the front moves all others out of place.
        (["DET NOUN"], ["X DET NOUN"], 0.0),
        (["DET"], [""], 0.0),
    ],
)
def test_tag_f1_counts_tags_in_their_places(targets, predictions, score):
    assert tag_f1(targets, predictions)["tag_f1"] == pytest.approx(score)
