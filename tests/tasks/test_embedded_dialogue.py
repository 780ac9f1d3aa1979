"""Conversations and answers to commands."""

from __future__ import annotations

import re

import gin
import pytest
from embedded_checks import missing_languages, problems_of

from mtmoe.data.tasks.embedded.interface import responses
from mtmoe.data.tasks.embedded.splits import task_split
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.tasks.embedded import dialogue

ROWS = {kind.name: kind.rows for kind in dialogue.KINDS}


@pytest.mark.parametrize("code", ["yo", "fa", "zh"])
def test_replies_follow_in_a_conversation(code):
    rows = list(ROWS["reply"](code))
    assert len(rows) > 20
    assert len({key for key, _ in rows}) > 10
    assert all(row["inputs"].startswith("reply in ") for _, row in rows)
    assert not {"True", "False"} & {row["targets"] for _, row in rows}


@pytest.mark.parametrize("code", ["sw", "iw", "de"])
def test_answers_name_what_the_command_names(code):
    labels = 0
    for _, row in ROWS["home_assistant_response"](code):
        command, answer = row["inputs"].partition(": ")[2], row["targets"]
        assert "{" not in answer and "{" not in command
        for label in re.findall(r"\b[A-Z]\d\b", answer):
            labels += 1
            assert label in command
    assert labels > 0


def test_held_out_answers_are_not_trained_on():
    held_out = {
        text for key, text in responses("de").items() if task_split(key) != "train"
    }
    trained = {text for key, text in responses("de").items()} - held_out
    targets = {
        row["targets"]
        for key, row in ROWS["home_assistant_response"]("de")
        if task_split(key) == "train"
    }
    assert held_out - trained and targets.isdisjoint(held_out - trained)


@pytest.mark.slow
@pytest.mark.parametrize("kind", dialogue.KINDS, ids=lambda kind: kind.name)
def test_every_language_that_has_rows_is_listed(kind):
    assert missing_languages(kind) == []


@pytest.mark.parametrize("name", ["reply.yo", "home_assistant_response.sw"])
def test_a_task_runs_through_seqio(name):
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )
    found = verify_task(get_task(f"embedded.{name}"), "validation", num_examples=8)
    assert found.problems == () and found.num_examples >= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", dialogue.KINDS, ids=lambda kind: kind.name)
def test_every_task(kind):
    found = {code: list(problems_of(kind, code)) for code in kind.languages}
    assert {code: problems for code, problems in found.items() if problems} == {}
