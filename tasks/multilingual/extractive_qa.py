"""What XQuAD, MLQA and TyDi QA share: a passage, a question, the answers in it.

Inputs are "question: ... context: ...", the target is the first answer; all answers are
right. Punctuation gets spaces around it, in every script alike. (t5's own `squad`
pads whatever is not a letter of ASCII, and tears accents off their letters.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import seqio
import tensorflow as tf
from t5.data import postprocessors as t5_postprocessors

from mtmoe.data.metrics.qa import answer_keys, answers_in, multiple_answers
from mtmoe.data.tasks.card import TaskCard
from mtmoe.tasks.multilingual.mt5_names import register_mt5_task

MACHINE = "Translated by machine from English."
"""For the card of a task whose training text is."""


def question_and_context(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Makes inputs and targets of SQuAD's features, and keeps `id` and `answers`."""
    return dataset.map(answered, num_parallel_calls=tf.data.AUTOTUNE)


def answered(x: Any) -> dict[str, tf.Tensor]:
    """Returns the text of one example of SQuAD's features."""
    answers = pad_punctuation(x["answers"]["text"])
    question, context = pad_punctuation(x["question"]), pad_punctuation(x["context"])
    inputs = tf.strings.join(["question: ", question, " context: ", context])
    return {
        "inputs": tf.strings.regex_replace(inputs, r"\s+", " "),
        "targets": answers[0],
        "answers": answers,
        "id": x["id"],
    }


def pad_punctuation(text: tf.Tensor) -> tf.Tensor:
    """Puts spaces around all but letters, marks, numbers and `_`; joins white space."""
    padded = tf.strings.regex_replace(text, r"([^_\s\p{N}\p{L}\p{M}])", r" \1 ")
    return tf.strings.regex_replace(padded, r"\s+", " ")


def register_qa_task(
    name: str,
    upstream: str,
    source: seqio.DataSource,
    *,
    origin: str,
    language: str,
    licence: str,
    train_examples: int | None = None,
    note: str = "",
    filters: Sequence[Callable[[tf.data.Dataset], tf.data.Dataset]] = (),
    metric: Callable[..., dict[str, float]] | None = None,
) -> str:
    """Registers a task of extractive question answering, with upstream's name for it.

    Args:
      name: our name.
      upstream: its name in the mT5 code base.
      source: gives examples of SQuAD's features.
      origin: the builder, for the card.
      language: code for the card, "" for several.
      licence: for the card.
      train_examples: for the card.
      note: for the card.
      filters: functions of the data set of inputs, targets, answers and id.
      metric: gives `em` and `f1`; `answers_in` the language if None.

    Returns:
      Our name.
    """
    scores: tuple[str, ...] = ("em", "f1")
    if metric is None and language:
        metric, scores = answers_in(language), answer_keys(language)
    return register_mt5_task(
        name,
        upstream,
        source,
        TaskCard(
            family="reading_comprehension",
            language=language,
            metrics=scores,
            origin=origin,
            licence=licence,
            labels="gold",
            train_examples=train_examples,
            verified="mocked",
            note=note,
        ),
        preprocessors=[question_and_context, *filters],
        postprocess=t5_postprocessors.qa,
        metrics=[metric or multiple_answers],
    )
