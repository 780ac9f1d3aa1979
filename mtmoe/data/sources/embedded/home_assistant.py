"""Voice commands and answers of Home Assistant in 58 languages.

Sentences are written as hassil templates, `(switch|turn) [the] <light> {area} on`, a
few of which stand for millions of commands. A few are drawn from each template; the
draw depends on language, key and template alone.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mtmoe.data.sources.embedded.package import (
    Passage,
    SourcePackage,
    locate_python_package,
)

SAMPLES_PER_TEMPLATE = 2

# Not called by mC4's code. Cantonese (`zh-HK`) and Swiss German (`de-CH`) are languages
# of their own; Serbian is Cyrillic in mC4, so `sr-Latn` is not read.
_FILES = {
    "iw": ("he",),
    "no": ("nb",),
    "pt": ("pt", "pt-BR"),
    "zh": ("zh-CN", "zh-TW"),
}
_TEMPLATE_MARKS = re.compile(r"[(|\[<]|\{%")


def file_codes(code: str) -> tuple[str, ...]:
    """Returns the names the package's files of a language may have."""
    return _FILES.get(code, (code,))


def _files(root: Path, code: str) -> tuple[Path, ...]:
    paths = (root / "data" / f"{name}.json" for name in file_codes(code))
    return tuple(path for path in paths if path.is_file())


def _read(root: Path, code: str) -> Iterator[Passage]:
    for path in _files(root, code):
        content = json.loads(path.read_text(encoding="utf-8"))
        yield from _responses(content["responses"])
        yield from _commands(content, path.stem)


def _responses(responses: Mapping[str, Any]) -> Iterator[Passage]:
    answers = {"errors": responses.get("errors", {}), **responses["intents"]}
    for intent, texts in answers.items():
        for name, text in texts.items():
            # Answers that are programs leave nothing readable once stripped.
            if not _TEMPLATE_MARKS.search(text):
                key = f"home_assistant/response/{intent}/{name}"
                yield Passage(key, text, group="home_assistant/responses")


def _commands(content: Mapping[str, Any], code: str) -> Iterator[Passage]:
    sampler = TemplateSampler(content["expansion_rules"], content["lists"])
    for intent, description in content["intents"].items():
        for data in description["data"]:
            domain = data.get("slots", {}).get("domain", "")
            combination = data["metadata"]["slot_combination"]
            key = f"home_assistant/{intent}/{combination}/{domain}"
            for template in data["sentences"]:
                generator = random.Random(f"{code}/{key}/{template}")
                for _ in range(SAMPLES_PER_TEMPLATE):
                    text = sampler.sample(template, generator)
                    yield Passage(key, text, group="home_assistant")


class TemplateSampler:
    """Draws sentences from hassil templates without enumerating them."""

    def __init__(self, rules: Mapping[str, str], lists: Mapping[str, Any]):
        """Takes a language's expansion rules and slot lists as its file has them."""
        self._rules = rules
        self._lists = lists

    def sample(self, template: str, generator: random.Random) -> str:
        """Draws one sentence; slots only a user can fill (names, areas) stay empty.

        Raises:
          LookupError: the template refers to a rule that does not exist.
          ValueError: it cannot be parsed.
        """
        return " ".join(self._draw(_parse(template), generator).split())

    def _draw(self, expression: Any, generator: random.Random) -> str:
        from hassil import expression as parts

        if isinstance(expression, parts.TextChunk):
            return str(expression.original_text)
        if isinstance(expression, parts.RuleReference):
            rule = _parse(self._rules[expression.rule_name])
            return self._draw(rule, generator)
        if isinstance(expression, parts.ListReference):
            return self._slot(expression.list_name, generator)
        if isinstance(expression, parts.Alternative):
            return self._draw(generator.choice(expression.items), generator)
        items = list(expression.items)
        if isinstance(expression, parts.Permutation):
            generator.shuffle(items)
        return "".join(self._draw(item, generator) for item in items)

    def _slot(self, name: str, generator: random.Random) -> str:
        slot = self._lists.get(name, {})
        if values := slot.get("values"):
            return self._draw(_parse(generator.choice(values)["in"]), generator)
        if limits := slot.get("range"):
            step = limits.get("step", 1)
            return str(generator.randrange(limits["from"], limits["to"] + 1, step))
        return ""


@cache
def _parse(template: str) -> Any:
    from hassil import parse_sentence
    from hassil.parser import ParseError

    try:
        return parse_sentence(template).expression
    except ParseError as error:
        raise ValueError(f"template {template!r}: {error}") from error


PACKAGE = SourcePackage(
    name="home-assistant-intents",
    mend="pip install home-assistant-intents hassil",
    is_optional=False,
    locate=lambda: locate_python_package(
        "home-assistant-intents", "home_assistant_intents"
    ),
    files=_files,
    read=_read,
)
