"""Steps that make inputs and targets of records, inside tf.data.

Texts read like t5's: the task's name, then each part behind its label,
`squad_qg answer: Paris context: ...`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

Features = Mapping[str, tf.Tensor]


def per_example(function: Callable[..., Mapping[str, tf.Tensor]]) -> Callable[..., Any]:
    """Makes a step over a dataset of a function of one example.

    The function is traced as it stands. AutoGraph would rewrite it first, which takes
    longer than all else that reading a task begins with; it has to be written in
    TensorFlow's operations.

    Args:
      function: of an example, and of options by name.
    """
    plain = tf.autograph.experimental.do_not_convert(function)

    @functools.wraps(function)
    def step(dataset: tf.data.Dataset, **options: Any) -> tf.data.Dataset:
        return dataset.map(
            functools.partial(plain, **options), num_parallel_calls=tf.data.AUTOTUNE
        )

    return step


def drop_blank(dataset: tf.data.Dataset, keys: Sequence[str]) -> tf.data.Dataset:
    """Leaves out examples in which one of these texts is missing.

    Published data has a few of them: articles that were taken down, test examples
    whose answers are kept back. There is nothing to learn from or to score.

    Args:
      dataset: examples.
      keys: names of text features; of a list, one text must be there.
    """

    @tf.autograph.experimental.do_not_convert
    def complete(example: Features) -> tf.Tensor:
        texts = [tf.strings.strip(tf.strings.reduce_join(example[k])) for k in keys]
        return tf.reduce_all(tf.strings.length(tf.stack(texts)) > 0)

    return dataset.filter(complete)


@per_example
def text_pair(
    example: Features, name: str, parts: Mapping[str, str], targets: str
) -> dict[str, tf.Tensor]:
    """Makes inputs and targets of text features.

    Args:
      example: one record.
      name: what the inputs begin with.
      parts: the features of the inputs by their labels, in order.
      targets: the feature that is to be given.
    """
    return {
        "inputs": labelled(name, {k: example[v] for k, v in parts.items()}),
        "targets": one_line(example[targets]),
    }


def labelled(name: str, parts: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns `NAME LABEL: TEXT LABEL: TEXT`, each text on one line.

    Args:
      name: what the text begins with.
      parts: texts (string scalars) by label.
    """
    words: list[Any] = [name]
    for label, text in parts.items():
        words += [f"{label}:", one_line(text)]
    return tf.strings.join(words, separator=" ")


def one_line(text: tf.Tensor) -> tf.Tensor:
    """Returns a text with each run of white space as one space, none at the ends."""
    return tf.strings.strip(tf.strings.regex_replace(text, r"\s+", " "))


def references(example: Features) -> tf.Tensor:
    """Returns the references of a record, string [at least 1].

    Training records have none but their target.
    """
    given = example["references"]
    alone = tf.expand_dims(example["target"], 0)
    return tf.cond(tf.size(given) > 0, lambda: given, lambda: alone)


def reference_texts(
    text: str, example: Mapping[str, Any] | None = None, is_target: bool = False
) -> str | list[str]:
    """Postprocesses: all references of a target, the text itself of a prediction."""
    if is_target and example is not None:
        return [tf.compat.as_text(reference) for reference in example["references"]]
    return text
