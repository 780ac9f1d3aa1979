"""Interface messages of Django and answers of Home Assistant, with their English."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from mtmoe.data.sources.embedded import django, home_assistant
from mtmoe.data.tasks.embedded.packages import corpus_package_root

DJANGO_ORIGIN = "django, message catalogues"
DJANGO_LICENCE = "BSD-3-Clause"

_LONGEST = 400
_VARIABLE = re.compile(r"\{\{\s*(?:slots\.)?(\w+)[^{}]*\}\}")
_PROGRAM = re.compile(r"[(|\[<]|\{%|\{\{")


class Message(NamedTuple):
    """A message and its translation.

    Attributes:
      key: as the embedded corpus calls it, `django/Save`.
      english: the English message.
      text: its translation.
    """

    key: str
    english: str
    text: str


@cache
def django_messages(code: str) -> tuple[Message, ...]:
    """Returns Django's messages in a language; none where it has no catalogue.

    Placeholders stay, since a translation has to keep them. Of plurals only the
    singular is taken, or the one form of a language that has no other. Messages
    without letters, longer than 400 characters or the same as in English are left out.
    """
    from babel.messages.mofile import read_mo

    locale = django.locales(code)[0]
    found: dict[str, Message] = {}
    for path in django.PACKAGE.files(corpus_package_root(django.PACKAGE), code):
        if path.parent.parent.name != locale or path.suffix != ".mo":
            continue
        with path.open("rb") as file:
            catalog = read_mo(file)
        for message in catalog:
            source = message.id if isinstance(message.id, str) else message.id[0]
            english, text = _pair(message.id, message.string)
            if _is_translated(english, text):
                key = f"django/{source}"
                found.setdefault(english, Message(key, english, text))
    return tuple(found.values())


@cache
def responses(code: str) -> Mapping[str, str]:
    """Returns Home Assistant's answers in a language by the corpus's key.

    Variables are written `{name}`; answers that are programs are left out.
    """
    package = home_assistant.PACKAGE
    files = package.files(corpus_package_root(package), code)
    if not files:
        return {}
    content = json.loads(files[0].read_text(encoding="utf-8"))["responses"]
    answers = {"errors": content.get("errors", {}), **content["intents"]}
    found = {}
    for intent, texts in answers.items():
        for name, template in texts.items():
            text = _one_line(_VARIABLE.sub(r"{\1}", template))
            if any(map(str.isalpha, re.sub(r"\{\w+\}", "", text))):
                if not _PROGRAM.search(text):
                    found[f"home_assistant/response/{intent}/{name}"] = text
    return found


def _pair(
    source: str | tuple[str, ...] | list[str],
    translation: str | tuple[str, ...] | list[str],
) -> tuple[str, str]:
    if isinstance(source, str) or isinstance(translation, str):
        english = source if isinstance(source, str) else source[0]
        text = translation if isinstance(translation, str) else translation[0]
    else:
        # A language of one form translates the plural: "%d dakika".
        has_singular = len(translation) > 1
        english, text = source[0 if has_singular else 1], translation[0]
    return _one_line(english), _one_line(text)


def _is_translated(english: str, text: str) -> bool:
    return (
        any(map(str.isalpha, english))
        and any(map(str.isalpha, text))
        and text != english
        and max(len(english), len(text)) <= _LONGEST
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
