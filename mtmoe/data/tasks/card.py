"""What is known about a task besides how it runs: the card that `mtmoe tasks` shows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import seqio

from mtmoe.data.sources.text import TextSource
from mtmoe.errors import ConfigError, nearest_names
from mtmoe.languages import SEVERAL_LANGUAGES, language_code
from mtmoe.ranges import Amount, check_fields

FAMILIES = {
    "pretraining": "self-supervised objectives over plain text",
    "translation": "between languages",
    "names": "names of places, languages, currencies ... in other languages",
    "language_id": "which language or script a text is in",
    "classification": "one label out of a few",
    "nli": "natural language inference",
    "paraphrase": "whether, or how far, two sentences mean the same",
    "commonsense": "choices that need everyday knowledge",
    "closed_book_qa": "questions answered from memory",
    "reading_comprehension": "questions answered from a passage",
    "summarization": "short texts of long ones",
    "generation": "text from data, keywords or another style",
    "semantic_parsing": "logical forms and slots",
    "dialogue": "replies, intents and states of conversations",
    "tagging": "named entities, parts of speech",
    "morphology": "lemmas, spelling, diacritics, sounds",
    "numbers": "numbers, dates and their written forms",
    "mathematics": "problems with a computed answer",
    "other": "what fits nowhere else",
}
"""Every family of tasks, and what belongs to it."""


@dataclass(frozen=True)
class TaskCard:
    """Facts about a task, none of which changes how it runs.

    Attributes:
      family: one of `FAMILIES`.
      language: the code of its row in tables, whatever code it was given by
        (`mtmoe.languages`); "" if it is in several.
      metrics: names of the values its metric functions give.
      origin: where the examples come from, e.g. "TFDS glue/cola 2.0.0".
      licence: licence of the data, as far as known.
      labels: `gold` (written or labelled by people), `rule` (a deterministic rule or
        curated locale data), `self` (self-supervised), or "" (not said). Scores of
        gold and of rule tasks are never averaged together.
      certainty: how sure it is that the task is what its group says, e.g. that it is
        one of ExMix's; "" where there is no doubt.
      train_examples: training examples, None if unknown before the data is read.
      train_characters: characters of training text, likewise.
      verified: how the task is checked: `run` (on real data, in every test run),
        `layout` (on files in its published layout), `mocked` (on made-up examples of
        the builder's features), or "" (not said).
      note: what a user should know before using the task.
    """

    family: str
    language: str = ""
    metrics: tuple[str, ...] = ()
    origin: str = ""
    licence: str = ""
    labels: str = ""
    certainty: str = ""
    train_examples: Amount | None = None
    train_characters: Amount | None = None
    verified: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        """Checks the sizes, and the words that others select by.

        Raises:
          ConfigError: a size is out of range, or a word is not allowed.
          UnknownNameError: there is no such language.
        """
        check_fields(self)
        _check_word("family", self.family, FAMILIES)
        _check_word("labels", self.labels, ("", "gold", "rule", "self"))
        _check_word("verified", self.verified, ("", "run", "layout", "mocked"))
        if isinstance(self.metrics, str):
            raise ConfigError(
                f"a task's card has metrics={self.metrics!r}; a tuple of names is "
                f"wanted: ({self.metrics!r},)"
            )
        if self.language:
            is_several = self.language == SEVERAL_LANGUAGES.code
            code = "" if is_several else language_code(self.language)
            object.__setattr__(self, "language", code)


def _check_word(field: str, word: str, allowed: Collection[str]) -> None:
    if word in allowed:
        return
    nearest = nearest_names(str(word), allowed)
    raise ConfigError(
        f"a task's card has {field}={word!r}"
        + (f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ";")
        + f" allowed: {', '.join(map(repr, allowed))}"
    )


class DescribedTask(seqio.Task):  # type: ignore[misc]
    """A SeqIO task with a card.

    Attributes:
      card: what is known about it.
    """

    def __init__(self, *args: Any, card: TaskCard, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.card = card


def task_card(task: seqio.Task) -> TaskCard:
    """Returns a task's card; of a plain SeqIO task, what can be read off the task."""
    if isinstance(task, DescribedTask):
        return task.card
    language = task.source.language if isinstance(task.source, TextSource) else ""
    return TaskCard(
        family="other",
        language=language,
        metrics=tuple(function.__name__ for function in task.metric_fns),
        origin=type(task.source).__name__,
    )
