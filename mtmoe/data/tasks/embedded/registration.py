"""Registers a kind of embedded task in each language it applies to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.embedded.rows import Rows, embedded_source
from mtmoe.data.tasks.registration import Step, register_task
from mtmoe.errors import UnknownNameError
from mtmoe.languages import MC4_LANGUAGES, spaces_words

FEWEST_TRAINING_ROWS = 15
"""A language with fewer training rows of a kind has no task of that kind."""


@dataclass(frozen=True)
class EmbeddedKind:
    """One kind of task, the same in all its languages.

    Attributes:
      name: what the task asks for, in words: `translate_udhr_to_en`.
      languages: mC4 codes it is registered for; fixed here, since importing must
        read no file. A language is listed if it has at least `FEWEST_TRAINING_ROWS`
        and one row in validation and test each. "" stands for a task about many
        languages at once.
      rows: gives (key, example) of a language.
      family: one of `mtmoe.data.tasks.card.FAMILIES`.
      metrics: functions of (targets, predictions).
      scores: names of the values they give.
      labels: `gold` or `rule`.
      origin: the package the rows come from.
      licence: its licence.
      is_prose: whether rows hold whole sentences: training rows that repeat held-out
        prose are dropped.
      unspaced_metrics: the metrics of languages written without spaces between words,
        where they are others.
      unspaced_scores: names of their values.
      postprocess: makes of decoded text what the metrics compare; None: the text.
      note: what a user should know.
    """

    name: str
    languages: tuple[str, ...]
    rows: Rows
    family: str
    metrics: tuple[Step, ...]
    scores: tuple[str, ...]
    labels: str
    origin: str
    licence: str
    is_prose: bool = False
    unspaced_metrics: tuple[Step, ...] = ()
    unspaced_scores: tuple[str, ...] = ()
    postprocess: Callable[..., Any] | None = None
    note: str = ""

    def measured_by(self, language: str) -> tuple[tuple[Step, ...], tuple[str, ...]]:
        """Returns the metrics of a language's task and the names of their values."""
        if self.unspaced_metrics and not spaces_words(language):
            return self.unspaced_metrics, self.unspaced_scores
        return self.metrics, self.scores


def register_embedded(kind: EmbeddedKind, language: str) -> str:
    """Registers `embedded.<kind>.<language>`, reads nothing, and returns the name.

    The name ends with the kind where the language is "".
    """
    name = f"embedded.{kind.name}.{language}" if language else f"embedded.{kind.name}"
    metrics, scores = kind.measured_by(language)
    return register_task(
        name,
        embedded_source(kind.name, kind.rows, language, kind.is_prose),
        TaskCard(
            family=kind.family,
            language=language,
            metrics=scores,
            origin=kind.origin,
            licence=kind.licence,
            labels=kind.labels,
            verified="run",
            note=kind.note,
        ),
        postprocess=kind.postprocess,
        metrics=metrics,
    )


def register_kinds(kinds: Iterable[EmbeddedKind]) -> tuple[str, ...]:
    """Registers each kind in all its languages and returns the names of the tasks."""
    return tuple(
        register_embedded(kind, language)
        for kind in kinds
        for language in kind.languages
    )


def languages_of(codes: str) -> tuple[str, ...]:
    """Returns the mC4 codes of a text, which are separated by white space.

    Raises:
      UnknownNameError: one of them is not the code of one of mC4's 101 languages.
    """
    found = tuple(codes.split())
    for code in found:
        if code not in MC4_LANGUAGES:
            raise UnknownNameError("mC4 language code", code, MC4_LANGUAGES)
    return found


def languages_except(codes: str) -> tuple[str, ...]:
    """Returns mC4's 101 codes without those of a text.

    Raises:
      UnknownNameError: one of them is not such a code.
    """
    left_out = languages_of(codes)
    return tuple(code for code in MC4_LANGUAGES if code not in left_out)
