"""Rows of conversations: what one says to what another said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mtmoe.data.tasks.embedded.chatterbot import conversations
from mtmoe.data.tasks.embedded.commands import drawn_sentences
from mtmoe.data.tasks.embedded.interface import responses
from mtmoe.data.tasks.embedded.rows import Row
from mtmoe.data.tasks.embedded.splits import task_split
from mtmoe.languages import language

MOST_COMMANDS = 800
MOST_SAMPLES = 4

_VARIABLE = re.compile(r"\{(\w+)\}")


def reply_rows(code: str) -> Iterator[Row]:
    """Yields the next line of a conversation for each line but the last."""
    name = language(code).name
    for key, _, lines in conversations(code):
        for line, reply in zip(lines, lines[1:], strict=False):
            yield key, {"inputs": f"reply in {name}: {line}", "targets": reply}


def response_rows(code: str) -> Iterator[Row]:
    """Yields what Home Assistant answers to a command it has carried out.

    From each template as many commands are drawn as make about `MOST_COMMANDS` in all,
    at most `MOST_SAMPLES`. Answers that depend on more than the words of the command
    are left out, and training rows whose answer is held-out text of the embedded
    corpus.
    """
    answers = responses(code)
    name = language(code).name
    sets = drawn_sentences(code, "response", MOST_COMMANDS, MOST_SAMPLES)
    for key, intent, data, drawn in sets:
        said = f"home_assistant/response/{intent}/{data.get('response', 'default')}"
        if task_split(key) == "train" != task_split(said) or said not in answers:
            continue
        for text, filled in drawn:
            answer = _filled(answers[said], text, filled)
            if answer and text:
                question = f"answer this command in {name}: {text}"
                yield key, {"inputs": question, "targets": answer}


def _filled(answer: str, command: str, slots: Mapping[str, str]) -> str:
    """Puts slots into an answer; "" if it needs one the command does not say."""
    needed = set(_VARIABLE.findall(answer))
    if any(name not in slots or slots[name] not in command for name in needed):
        return ""
    return _VARIABLE.sub(lambda match: slots[match[1]], answer)
