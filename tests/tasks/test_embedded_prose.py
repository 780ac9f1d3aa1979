"""Order of paragraphs, summaries of code."""

from __future__ import annotations

import ast
import collections

import gin
import pytest
from embedded_checks import missing_languages, problems_of

from mtmoe.data.tasks.embedded import python_functions
from mtmoe.data.tasks.embedded.declaration import paragraphs
from mtmoe.data.tasks.embedded.splits import task_split
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.tasks.embedded import prose

KINDS = {kind.name: kind for kind in prose.KINDS}


@pytest.mark.parametrize("code", ["sw", "ar", "zh"])
def test_the_right_paragraph_is_the_next_one(code):
    texts = [paragraph.text for paragraph in paragraphs(code)]
    letters = collections.Counter()
    for _, row in KINDS["next_paragraph"].rows(code):
        start, _, first_choice = row["inputs"].partition("? ")[2].partition(" A: ")
        first, _, second = first_choice.partition(" B: ")
        right = first if row["targets"] == "A" else second
        assert any(
            text.startswith(start[:60]) and following.startswith(right[:60])
            for text, following in zip(texts, texts[1:], strict=False)
        )
        letters[row["targets"]] += 1
    assert min(letters["A"], letters["B"]) > 40


def test_held_out_articles_are_not_read_in_training():
    held_out = [p.text[:60] for p in paragraphs("en") if task_split(p.key) != "train"]
    seen = {0: 0, 3: 0}
    for key, row in KINDS["next_paragraph"].rows("en"):
        reads = [start for start in held_out if start in row["inputs"]]
        assert (len(reads) == 3) == (task_split(key) != "train"), row
        seen[len(reads)] += 1
    assert min(seen.values()) > 0


# The form feed is no line of its own.
SOURCE = '''
# Pages.
\f
class Shelf:
    def page(self, number):
        """Return a page,
        counted from 1.

        More about it.
        """
        return self.pages[number - 1] + """
not indented"""

    def bare(self):
        return self.pages

    def told(self):
        """There is nothing but this to be read."""
'''


def test_functions_come_without_their_docstring():
    assert list(python_functions._documented(SOURCE)) == [
        (
            "page",
            "def page(self, number):\n"
            '    return self.pages[number - 1] + """\nnot indented"""',
            "Return a page, counted from 1.",
        )
    ]


@pytest.mark.slow
def test_functions_of_the_standard_library():
    rows = [row for _, row in KINDS["docstring"].rows("en")]
    assert len(rows) > 1000
    for row in rows:
        (function,) = ast.parse(row["inputs"].partition(": ")[2]).body
        assert ast.get_docstring(function) != row["targets"]


@pytest.mark.slow
def test_every_language_that_has_rows_is_listed():
    assert missing_languages(KINDS["next_paragraph"]) == []


@pytest.mark.parametrize("name", ["next_paragraph.haw"])
def test_a_task_runs_through_seqio(name):
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )
    found = verify_task(get_task(f"embedded.{name}"), "validation", num_examples=8)
    assert found.problems == () and found.num_examples >= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", prose.KINDS, ids=lambda kind: kind.name)
def test_every_task(kind):
    found = {code: list(problems_of(kind, code)) for code in kind.languages}
    assert {code: problems for code, problems in found.items() if problems} == {}
