"""Conversations of the ChatterBot corpus, by topic (25 languages)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from mtmoe.data.tasks.embedded.packages import python_package_root
from mtmoe.languages import language

ORIGIN = "chatterbot-corpus"
LICENCE = "BSD-3-Clause"

# Files of a topic that have another name in some language.
_TOPICS = {
    "IA": "ai",
    "botprofile": "bot profile",
    "computer": "computers",
    "coversations": "conversations",
    "dinero": "money",
    "emociones": "emotion",
    "emotions": "emotion",
    "greeting": "greetings",
    "origen": "origin",
    "perfilbot": "bot profile",
    "profile": "bot profile",
    "psicologia": "psychology",
    "sport": "sports",
}


class Conversation(NamedTuple):
    """A conversation.

    Attributes:
      key: topic and number in its file, `chatterbot/food/3`: the files of most
        languages are translations in the same order.
      topic: English name of its topic.
      lines: what is said in turn, two lines or more.
    """

    key: str
    topic: str
    lines: tuple[str, ...]


@cache
def conversations(code: str) -> tuple[Conversation, ...]:
    """Returns the conversations of a language.

    Those that open with a line of the English files were never translated, and are
    left out.
    """
    import yaml

    english = frozenset() if code == "en" else _english_openings()
    root = python_package_root("chatterbot-corpus", "chatterbot_corpus")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = []
    for path in sorted((root / "data" / language(code).name.lower()).glob("*.yml")):
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
        topic = _TOPICS.get(path.stem, path.stem).replace("_", " ")
        for number, turns in enumerate(content["conversations"]):
            # What YAML makes of an unquoted yes is no text.
            lines = tuple(" ".join(t.split()) for t in turns if isinstance(t, str))
            if len(lines) == len(turns) > 1 and all(lines) and lines[0] not in english:
                key = f"chatterbot/{topic}/{number}"
                found.append(Conversation(key, topic, lines))
    return tuple(found)


@cache
def _english_openings() -> frozenset[str]:
    return frozenset(conversation.lines[0] for conversation in conversations("en"))
