"""What sources of Python's give is checked, example by example."""

from __future__ import annotations

import gin
import pytest

from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.sources.values import ExampleCheck, value_problem
from mtmoe.errors import CorpusError

GOOD = {"inputs": "a", "targets": "b", "answers": ["b", "c"]}


@pytest.mark.parametrize(
    "value", ["", "text", "\0", "e\u0301 漢 😀", [], ["a", ""], ("a",)]
)
def test_texts_and_lists_of_texts(value):
    assert value_problem(value) == ""


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (
            {**GOOD, "answers": "b"},
            '"answers" is a text, in the examples before a list',
        ),
        ({"inputs": "a", "targets": "b"}, 'no "answers", which the examples before'),
        ({**GOOD, "id": "7"}, '"id" is none of the keys of the examples before'),
        ({**GOOD, 7: "x"}, "the key 7 is no text"),
        ({**GOOD, "answers": ["b", None]}, '"answers" is a list whose item 2 is null'),
        (("a", "b"), "the example is a list; a dict of texts is wanted"),
        ({**GOOD, "inputs": b"a"}, '"inputs" is bytes, not yet decoded'),
        ({**GOOD, "inputs": object()}, '"inputs" is of type object'),
    ],
)
def test_an_example_of_another_form(example, words):
    check = ExampleCheck()
    assert check.problem(GOOD) == check.problem(dict(GOOD)) == ""
    assert words in check.problem(example)
    assert check.problem(GOOD) == ""


def test_examples_that_python_makes():
    source = PairSource(lambda split: iter([GOOD, {**GOOD, "inputs": None}]), ["train"])
    with pytest.raises(CorpusError, match='example 2 that .* made: "inputs" is null'):
        source.examples("train")
    gin.parse_config("bad_examples.quota = 1")
    assert source.examples("train") == [GOOD]
    assert source.num_left_out("train") == 1
    for wrong in ({"train": [GOOD]}, "text", None, 5):
        with pytest.raises(CorpusError, match="a list of examples is wanted"):
            PairSource(lambda split, wrong=wrong: wrong, ["train"]).examples("train")


def test_documents_that_python_makes(capsys):
    source = TextSource(lambda split: ["moja", None, "mbili"], ["train"])
    documents = iter(source.documents("train"))
    assert next(documents) == "moja"
    with pytest.raises(CorpusError, match="document 2 that .* gave is null; a text is"):
        next(documents)
    gin.parse_config("bad_examples.quota = 1")
    for _ in range(2):
        assert list(source.documents("train")) == ["moja", "mbili"]
    assert source.num_left_out("train") == 1
    assert capsys.readouterr().err.count("1 bad examples are left out") == 1
    for wrong in ("one text", b"bytes", None):
        with pytest.raises(CorpusError, match="a list of texts is wanted"):
            TextSource(lambda split, wrong=wrong: wrong, ["train"]).documents("train")
