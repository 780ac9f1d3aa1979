"""Error rates, against a Levenshtein distance written out here."""

import random

import pytest

from mtmoe.data.metrics.sequence import character_error_rate, phoneme_error_rate
from mtmoe.errors import CorpusError


def distance(left, right):
    """Wagner and Fischer 1974: the whole table, row by row."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        above, row[0] = row[0], i
        for j, b in enumerate(right, start=1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (a != b))
    return row[-1]


def rate(metric, targets, predictions):
    (value,) = metric(targets, predictions).values()
    return value


@pytest.mark.parametrize("seed", range(4))
def test_error_rates_are_edits_by_length_of_the_targets(seed):
    generator = random.Random(seed)
    targets, predictions = (
        [
            "".join(generator.choices("abñ字", k=generator.randrange(1, 9)))
            for _ in "123"
        ]
        for _ in "12"
    )
    edits = sum(map(distance, targets, predictions))
    expected = 100 * edits / sum(map(len, targets))
    assert rate(character_error_rate, targets, predictions) == pytest.approx(expected)
    spaced = [[" ".join(text) for text in texts] for texts in (targets, predictions)]
    assert rate(phoneme_error_rate, *spaced) == pytest.approx(expected)


def test_names_and_known_values():
    assert character_error_rate(["kitten"], ["sitting"]) == {
        "character_error_rate": pytest.approx(50.0)
    }
    found = phoneme_error_rate(["HH AH0 L OW1"], ["HH EH0 L OW1 Z"])
    assert found == {"phoneme_error_rate": pytest.approx(50.0)}
    assert rate(character_error_rate, ["a"], ["abcd"]) == 300.0


def test_accents_may_be_composed_or_not():
    assert rate(character_error_rate, ["caf\u00e9"], ["cafe\u0301"]) == 0.0


def test_the_nearest_reference_counts():
    references = ["T AH0 M EY1 T OW2", "T AH0 M AA1 T OW2"]
    assert rate(phoneme_error_rate, [references], [references[1]]) == 0.0
    # One edit from either; the longer makes the smaller rate.
    assert rate(character_error_rate, [["ab", "abcd"]], ["abc"]) == 25.0


def test_nothing_to_score_is_an_error():
    for targets, predictions in (([], []), ([""], ["a"])):
        with pytest.raises(CorpusError):
            character_error_rate(targets, predictions)
    with pytest.raises(ValueError, match="2 targets but 1"):
        phoneme_error_rate(["A", "B"], ["A"])
