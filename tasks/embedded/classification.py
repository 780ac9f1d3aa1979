"""Classification, matching and parsing: the Declaration, voice commands, dialogues.

embedded.udhr_topic.<code>             which of four rights a paragraph is about
embedded.udhr_same_article.<code>      does it say the same as an English one?
embedded.udhr_pick_translation.<code>  which of four is the translation?
embedded.command_intent, command_domain, command_parse .<code>   voice commands
embedded.dialogue_topic.<code>         topic of a conversation
embedded.word_is_misspelt.en           yes or no
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Sequence

from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.classification import macro_f1
from mtmoe.data.metrics.qa import exact_match
from mtmoe.data.metrics.spans import format_spans, slot_f1
from mtmoe.data.sources.pairs import TextExample
from mtmoe.data.tasks.embedded import chatterbot, commands, declaration, misspellings
from mtmoe.data.tasks.embedded.declaration import comparable_paragraphs, excerpt
from mtmoe.data.tasks.embedded.registration import (
    EmbeddedKind,
    languages_except,
    languages_of,
    register_kinds,
)
from mtmoe.data.tasks.embedded.splits import held_out_guard, task_split
from mtmoe.languages import language

UDHR_LANGUAGES = languages_except("fy sd")
BESIDE_ENGLISH = languages_except("en fy sd")
COMMAND_LANGUAGES = languages_except(
    """
    am az be ceb co eo fil fy gd ha haw hmn ht ig ja jv ka kk km ku ky la lo mg mi
    mk mn mr mt my ny ps sd si sm sn so sq st su tg uz xh yi yo zu
    """
)
DOMAIN_LANGUAGES = languages_except(
    """
    am az be ceb co eo fil fy gd ha haw hmn ht ig ja jv ka kk km ku ky la lo mg mi
    mk mn mr mt my ny ps sd si sm sn so sq st su tg uz xh yi yo zu
    """
)
DIALOGUE_LANGUAGES = languages_of(
    "bn de en es fa fr hi id it iw ja ko mr nl pt ru sv tr uk yo zh"
)

KeyedRows = Iterator[tuple[str, TextExample]]

NUM_CHOICES = 4
EXCERPT_CHARACTERS = 120
LETTERS = "ABCD"

TOPICS = (
    "equality at birth",
    "no discrimination",
    "life and security",
    "slavery",
    "torture",
    "recognition as a person",
    "equality before the law",
    "legal remedy",
    "arbitrary arrest",
    "fair hearing",
    "presumption of innocence",
    "privacy",
    "freedom of movement",
    "asylum",
    "nationality",
    "marriage and family",
    "property",
    "freedom of religion",
    "freedom of opinion",
    "assembly and association",
    "government and elections",
    "social security",
    "work and pay",
    "rest and leisure",
    "standard of living",
    "education",
    "culture and science",
    "social and international order",
    "duties to the community",
    "no destruction of these rights",
)
"""What articles 1 to 30 are about, in our words."""


def udhr_topic(code: str) -> KeyedRows:
    """The topic of a paragraph, out of four.

    Topics of held-out articles are no wrong choices in training, nor the other way
    round: else a model learns that they are never right.
    """
    for key, number, text in comparable_paragraphs(code):
        if not key.startswith(declaration.ARTICLE):
            continue
        right = _topic(key)
        rivals = [
            topic
            for article, topic in enumerate(TOPICS, start=1)
            if topic != right
            and _is_held_out(f"{declaration.ARTICLE}{article}") == _is_held_out(key)
        ]
        generator = random.Random(f"topic/{key}/{number}")
        choices = [right, *generator.sample(rivals, NUM_CHOICES - 1)]
        generator.shuffle(choices)
        inputs = f"topic of this text ({', '.join(choices)}): {text}"
        yield key, {"inputs": inputs, "targets": right}


def udhr_same_article(code: str) -> KeyedRows:
    """Each paragraph with its English counterpart, and with another one."""
    english = declaration.text_by_place("en")
    for key, number, text in comparable_paragraphs(code):
        generator = random.Random(f"same/{key}/{number}")
        rivals = [place for place in _places(key) if place[0] != key]
        for place, answer in ((key, number), "yes"), (generator.choice(rivals), "no"):
            inputs = (
                f"same meaning? {language(code).name}: {text} English: {english[place]}"
            )
            yield key, {"inputs": inputs, "targets": answer}


def udhr_pick_translation(code: str) -> KeyedRows:
    """The translation of an English paragraph out of four, all cut to 120 characters.

    Wrong choices that repeat held-out prose are not offered in training.
    """
    english = declaration.text_by_place("en")
    own = {
        place: excerpt(text, EXCERPT_CHARACTERS)
        for place, text in declaration.text_by_place(code).items()
    }
    guard = held_out_guard()
    leaking = {place for place, text in own.items() if guard.leaks(text)}
    for (key, number), text in own.items():
        generator = random.Random(f"pick/{key}/{number}")
        rivals = [
            own[place]
            for place in _places(key)
            if place in own
            and own[place] != text
            and (_is_held_out(key) or place not in leaking)
        ]
        choices = [text, *generator.sample(rivals, NUM_CHOICES - 1)]
        generator.shuffle(choices)
        lettered = " ".join(map("{}: {}".format, LETTERS, choices))
        source = excerpt(english[key, number], EXCERPT_CHARACTERS)
        inputs = f"translation into {language(code).name}? English: {source} {lettered}"
        yield key, {"inputs": inputs, "targets": LETTERS[choices.index(text)]}


def command_intent(code: str) -> KeyedRows:
    """The intent of a voice command."""
    for command in commands.commands(code):
        inputs = f"intent of this command: {command.text}"
        yield command.key, {"inputs": inputs, "targets": command.intent}


def command_domain(code: str) -> KeyedRows:
    """The kind of device a command is for, where the data say it."""
    for command in commands.commands(code):
        if command.domain:
            inputs = f"kind of device of this command: {command.text}"
            yield command.key, {"inputs": inputs, "targets": command.domain}


def command_parse(code: str) -> KeyedRows:
    """Intent and slots: `intent: HassTurnOn $$ area: K7 $$ domain: light`."""
    for command in commands.commands(code):
        inputs = f"parse this command: {command.text}"
        targets = format_spans([("intent", command.intent), *command.slots])
        yield command.key, {"inputs": inputs, "targets": targets}


def dialogue_topic(code: str) -> KeyedRows:
    """The topic of a conversation, from its first two lines."""
    for conversation in chatterbot.conversations(code):
        inputs = f"topic of this dialogue: {' / '.join(conversation.lines[:2])}"
        yield conversation.key, {"inputs": inputs, "targets": conversation.topic}


def word_is_misspelt(_: str) -> KeyedRows:
    """Misspellings and the words that were meant, in turn."""
    for number, (key, wrong, right) in enumerate(misspellings.misspellings()):
        word, answer = (right, "no") if number % 2 else (wrong, "yes")
        yield key, {"inputs": f"is this word misspelt? {word}", "targets": answer}


def _topic(key: str) -> str:
    return TOPICS[int(key.removeprefix(declaration.ARTICLE)) - 1]


def _is_held_out(key: str) -> bool:
    return task_split(key) != "train"


@functools.cache
def _places(key: str) -> Sequence[tuple[str, int]]:
    """Places of English paragraphs that are held out if the key is, or else not."""
    return [
        place
        for place in declaration.text_by_place("en")
        if _is_held_out(place[0]) == _is_held_out(key)
    ]


_of_udhr = functools.partial(
    EmbeddedKind,
    family="classification",
    metrics=(t5_metrics.accuracy,),
    scores=("accuracy",),
    labels="gold",
    origin=declaration.ORIGIN,
    licence=declaration.LICENCE,
    is_prose=True,
)
_of_commands = functools.partial(
    EmbeddedKind,
    family="classification",
    metrics=(t5_metrics.accuracy, macro_f1),
    scores=("accuracy", "macro_f1"),
    labels="gold",
    origin=commands.ORIGIN,
    licence=commands.LICENCE,
)

KINDS = (
    _of_udhr("udhr_topic", UDHR_LANGUAGES, udhr_topic),
    _of_udhr("udhr_same_article", BESIDE_ENGLISH, udhr_same_article),
    _of_udhr("udhr_pick_translation", BESIDE_ENGLISH, udhr_pick_translation),
    _of_commands("command_intent", COMMAND_LANGUAGES, command_intent),
    _of_commands("command_domain", DOMAIN_LANGUAGES, command_domain),
    _of_commands(
        "command_parse",
        COMMAND_LANGUAGES,
        command_parse,
        family="semantic_parsing",
        metrics=(slot_f1, exact_match),
        scores=("slot_f1", "exact_match"),
    ),
    _of_commands(
        "dialogue_topic",
        DIALOGUE_LANGUAGES,
        dialogue_topic,
        origin=chatterbot.ORIGIN,
        licence=chatterbot.LICENCE,
    ),
    _of_commands(
        "word_is_misspelt",
        ("en",),
        word_is_misspelt,
        metrics=(t5_metrics.accuracy,),
        scores=("accuracy",),
        origin=misspellings.ORIGIN,
        licence=misspellings.LICENCE,
    ),
)

TASKS = register_kinds(KINDS)
