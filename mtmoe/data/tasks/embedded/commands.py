"""Voice commands of Home Assistant with intents and slots (58 languages)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from mtmoe.data.sources.embedded import home_assistant
from mtmoe.data.sources.embedded.home_assistant import TemplateSampler
from mtmoe.data.tasks.embedded.packages import corpus_package_root

ORIGIN = "home-assistant-intents"
LICENCE = "Apache-2.0"

MOST_COMMANDS = 1200
MOST_SAMPLES = 8
_LABEL_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"

Drawn = tuple[str, dict[str, str]]
"""A sentence, and the value of each slot in it."""


class Command(NamedTuple):
    """One command.

    Attributes:
      key: as the embedded corpus calls its template.
      text: the sentence.
      intent: what the speaker wants, `HassTurnOn`.
      domain: kind of device, `light`; "" where the data do not say.
      slots: (name, value) in order of name, the domain among them where it is said.
    """

    key: str
    text: str
    intent: str
    domain: str
    slots: tuple[tuple[str, str], ...]


@cache
def commands(code: str) -> tuple[Command, ...]:
    """Returns commands of a language, drawn from its templates.

    From each template as many as make about `MOST_COMMANDS` in all, at most
    `MOST_SAMPLES`; the draw depends on language, key and template alone. What only a
    user's home can fill (names of rooms, devices, lists) is a made-up label, `K7`.
    """
    return tuple(_commands(code))


def drawn_sentences(
    code: str, purpose: str, most: int, most_samples: int
) -> Iterator[tuple[str, str, Mapping[str, Any], Iterator[Drawn]]]:
    """Yields each set of a language's templates with sentences drawn from them.

    About `most` are drawn in all, `most_samples` of one template at the most; each
    purpose draws others.

    Yields:
      The set's key, as the embedded corpus calls it; its intent; what the package says
      of it; and its sentences, each with the value of each slot in it.
    """
    package = home_assistant.PACKAGE
    files = package.files(corpus_package_root(package), code)
    if not files:
        return
    content = json.loads(files[0].read_text("utf-8"))
    sampler = SlotSampler(content["expansion_rules"], content["lists"])
    entries = [
        (intent, data)
        for intent, description in content["intents"].items()
        for data in description["data"]
    ]
    num_templates = sum(len(data["sentences"]) for _, data in entries)
    samples = min(most_samples, -(-most // max(1, num_templates)))

    def drawn(key: str, templates: Sequence[str]) -> Iterator[Drawn]:
        for template in templates:
            generator = random.Random(f"{purpose}/{code}/{key}/{template}")
            for _ in range(samples):
                yield sampler.sample_slots(template, generator)

    for intent, data in entries:
        domain = data.get("slots", {}).get("domain", "")
        combination = data["metadata"]["slot_combination"]
        key = f"home_assistant/{intent}/{combination}/{domain}"
        yield key, intent, data, drawn(key, data["sentences"])


class SlotSampler(TemplateSampler):
    """Draws a sentence and remembers the slots it filled."""

    def __init__(self, rules: Mapping[str, str], lists: Mapping[str, Any]):
        """Takes a language's expansion rules and slot lists as its file has them."""
        super().__init__(rules, lists)
        self._filled: dict[str, str] = {}

    def sample_slots(self, template: str, generator: random.Random) -> Drawn:
        """Draws one sentence; returns it and the value of each slot in it.

        Raises:
          LookupError: the template refers to a rule that does not exist.
          ValueError: it cannot be parsed.
        """
        self._filled = {}
        return self.sample(template, generator), self._filled

    def _draw(self, expression: Any, generator: random.Random) -> str:
        from hassil.expression import ListReference

        if not isinstance(expression, ListReference):
            return super()._draw(expression, generator)
        text, value = self._fill(expression.list_name, generator)
        self._filled[expression.slot_name] = value
        return text

    def _fill(self, name: str, generator: random.Random) -> tuple[str, str]:
        slot = self._lists.get(name, {})
        if values := slot.get("values"):
            chosen = generator.choice(values)
            text = " ".join(self.sample(chosen["in"], generator).split())
            return text, str(chosen.get("out", text))
        if limits := slot.get("range"):
            step = limits.get("step", 1)
            number = generator.randrange(limits["from"], limits["to"] + 1, step)
            return str(number), str(number)
        label = f"{generator.choice(_LABEL_LETTERS)}{generator.randrange(1, 10)}"
        return label, label


def _commands(code: str) -> Iterator[Command]:
    sets = drawn_sentences(code, "slots", MOST_COMMANDS, MOST_SAMPLES)
    for key, intent, data, drawn in sets:
        said = {name: str(value) for name, value in data.get("slots", {}).items()}
        for text, filled in drawn:
            slots = tuple(sorted({**filled, **said}.items()))
            yield Command(key, text, intent, _domain(data), slots)


def _domain(data: Mapping[str, Any]) -> str:
    """The domain the command sets, or the only one it can be said to."""
    if said := data.get("slots", {}).get("domain"):
        return str(said)
    needed = data.get("requires_context", {}).get("domain", [])
    if isinstance(needed, str):
        return needed
    return str(needed[0]) if isinstance(needed, list) and len(needed) == 1 else ""
