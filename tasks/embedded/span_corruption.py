"""Span corruption over the embedded corpus: one task a language, one mixture of all.

    embedded.span_corruption.<code>    101 tasks, splits `train` and `validation`
    embedded.span_corruption           all of them, rate ~ characters^0.3

Importing this module reads no file; the corpus is built or loaded at first use.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from mtmoe.data.mixing.mixtures import register_mixture
from mtmoe.data.mixing.policies import Temperature
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.embedded.corpus import load_corpus
from mtmoe.data.sources.text import TextSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_text_task
from mtmoe.languages import MC4_LANGUAGES

MIXTURE = "embedded.span_corruption"


def _documents(language: str, split: str) -> Sequence[str]:
    return load_corpus().documents(language, split)


def _fingerprint(language: str) -> str:
    return f"{language} {load_corpus().fingerprint}"


def register_corpus_texts(mixture: str, objective: TokenObjective) -> None:
    """Registers a task for each language's text, and the mixture of all of them.

    Args:
      mixture: its name; a task's is this and the language's code.
      objective: makes examples of the text.
    """
    register_mixture(
        mixture,
        [_register(mixture, language, objective) for language in MC4_LANGUAGES],
        functools.partial(Temperature, unit="characters"),
    )


def _register(mixture: str, language: str, objective: TokenObjective) -> str:
    return register_text_task(
        f"{mixture}.{language}",
        TextSource(
            functools.partial(_documents, language),
            language=language,
            fingerprint=functools.partial(_fingerprint, language),
        ),
        objective,
        TaskCard(
            family="pretraining",
            language=language,
            origin="embedded corpus (docs/corpus.md)",
            licence="that of each package, docs/corpus.md",
            labels="self",
            verified="run",
        ),
    )


register_corpus_texts(MIXTURE, SpanCorruption())
