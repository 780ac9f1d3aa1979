"""The text forms that the families of understanding tasks share.

    labelled           "NAME field: ... field: ..."                  -> a label word
    multiple choice    "NAME question: ... choices: (A) ... (B) ..." -> a letter
    question           "NAME question: ... context: ..."             -> the answer
    explained label    "explain NAME ..."        -> "LABEL explanation: ..."

The first is t5's `glue`, the last that of WT5 (Narang et al. 2020). What a question
needs comes before its passage: inputs are cut at their end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import seqio
import tensorflow as tf
from t5.data import postprocessors as t5_postprocessors
from t5.data import preprocessors as t5_preprocessors
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.generation import bleu
from mtmoe.data.metrics.qa import multiple_answers, token_f1
from mtmoe.data.sources.pairs import TextExample
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.text_steps import one_line

Tensors = Mapping[str, Any]
Step = Callable[[tf.data.Dataset], tf.data.Dataset]

TRAIN_VALIDATION = ("train", "validation")
TRAIN_TEST = ("train", "test")
ALL_SPLITS = ("train", "validation", "test")

LETTERS = tuple("ABCDEFGHIJ")
_EXPLANATION = " explanation: "


class Scores(NamedTuple):
    """Metric functions, and the names of the values they give."""

    functions: tuple[Callable[..., dict[str, float]], ...]
    names: tuple[str, ...]


ACCURACY = Scores((t5_metrics.accuracy,), ("accuracy",))
F1_AND_ACCURACY = Scores(
    (t5_metrics.f1_score_with_invalid, t5_metrics.accuracy), ("f1", "accuracy")
)
SQUAD = Scores((t5_metrics.squad,), ("em", "f1"))
TRIVIA_QA = Scores((t5_metrics.trivia_qa,), ("em", "f1"))
ANSWERS = Scores((multiple_answers,), ("em", "f1"))


@dataclass(frozen=True)
class Labelled:
    """A task of t5's `glue` form.

    Attributes:
      name: the row.
      builder: TFDS builder, config and version.
      labels: label words by class id.
      licence: licence of the data.
      fields: names of the text features in the order of the text; None for all in the
        order of the alphabet, as t5 has them.
      scores: metrics of class ids, -1 for what is no label.
      splits: splits of the builder, or our split names to the builder's.
      prompt: first words of the inputs; the row's name if empty.
      before: steps that give `label` and the fields.
      id_key: feature that the metrics want to see, None for none.
      note: what a user should know.
    """

    name: str
    builder: str
    labels: Sequence[str]
    licence: str
    fields: tuple[str, ...] | None = None
    scores: Scores = ACCURACY
    splits: Iterable[str] | Mapping[str, str] = ALL_SPLITS
    prompt: str = ""
    before: tuple[Step, ...] = field(default=())
    id_key: str | None = None
    note: str = ""


def register_labelled(task: Labelled, family: str) -> str:
    """Registers a task whose TFDS examples have a class id `label`."""
    return register_row(
        task.name,
        tfds_source(task.builder, task.splits),
        family=family,
        origin=tfds_origin(task.builder),
        licence=task.licence,
        metrics=task.scores.functions,
        metric_names=task.scores.names,
        preprocessors=(
            *task.before,
            functools.partial(
                t5_preprocessors.glue,
                benchmark_name=task.prompt or task.name,
                label_names=list(task.labels),
                feature_names=task.fields,
                id_key=task.id_key,
            ),
        ),
        postprocess=class_id(task.labels),
        note=task.note,
    )


@dataclass(frozen=True)
class Asked:
    """A task of the multiple choice or of the question form.

    Attributes:
      name: the row.
      builder: TFDS builder, config and version.
      steps: what makes the form's text of the builder's examples.
      licence: licence of the data.
      scores: metrics.
      splits: splits of the builder, or our split names to the builder's.
      note: what a user should know.
    """

    name: str
    builder: str
    steps: tuple[Step, ...]
    licence: str
    scores: Scores = ACCURACY
    splits: Iterable[str] | Mapping[str, str] = TRAIN_VALIDATION
    note: str = ""


def register_asked(
    task: Asked, family: str, postprocess: Callable[..., Any] | None
) -> str:
    """Registers a task of questions about TFDS examples."""
    return register_row(
        task.name,
        tfds_source(task.builder, task.splits),
        family=family,
        origin=tfds_origin(task.builder),
        licence=task.licence,
        metrics=task.scores.functions,
        metric_names=task.scores.names,
        preprocessors=task.steps,
        postprocess=postprocess,
        note=task.note,
    )


def tfds_source(
    builder: str, splits: Iterable[str] | Mapping[str, str]
) -> seqio.TfdsDataSource:
    """Returns a TFDS source whose splits are known without reading anything."""
    named = splits if isinstance(splits, Mapping) else {name: name for name in splits}
    return seqio.TfdsDataSource(builder, splits=dict(named))


def tfds_origin(*builders: str) -> str:
    """Returns how cards name TFDS builders: `TFDS glue/cola 2.0.0`."""
    return "TFDS " + ", ".join(builder.replace(":", " ") for builder in builders)


def class_id(labels: Sequence[str]) -> Callable[..., int]:
    """Returns a postprocessor: a label word's class id, -1 for any other text."""
    postprocess: Callable[..., int] = functools.partial(
        t5_postprocessors.string_label_to_class_id, label_classes=tuple(labels)
    )
    return postprocess


letter_id = class_id(LETTERS)
"""Postprocessor of the multiple choice form."""


def mapped(function: Callable[[Tensors], Tensors]) -> Step:
    """Returns a step that applies a function to each example.

    The function is of TensorFlow operations alone: Python's `if` and `for` over tensors
    are not converted, which takes longer than all the rest of making a pipeline.
    """
    plain = tf.autograph.experimental.do_not_convert(function)

    def step(dataset: tf.data.Dataset) -> tf.data.Dataset:
        return dataset.map(plain, num_parallel_calls=tf.data.AUTOTUNE)

    return step


def kept(condition: Callable[[Tensors], Any]) -> Step:
    """Returns a step that leaves out examples for which a condition is false.

    The condition is of TensorFlow operations alone, as in `mapped`.
    """
    plain = tf.autograph.experimental.do_not_convert(condition)

    def step(dataset: tf.data.Dataset) -> tf.data.Dataset:
        return dataset.filter(plain)

    return step


def join(*parts: Any) -> tf.Tensor:
    """Returns texts joined by single spaces, runs of white space made one."""
    return one_line(tf.strings.join(parts, separator=" "))


def choice_text(
    prompt: str, question: Any, choices: Any, answer: Any, context: Any = None
) -> dict[str, tf.Tensor]:
    """Returns inputs and targets of the multiple choice form.

    Args:
      prompt: first words of the inputs.
      question: text of the question, with the word before it: "question: ...".
      choices: the choices, a vector of at most ten.
      answer: index of the right one.
      context: a passage, with the word before it; None if there is none.
    """
    letters = tf.constant(LETTERS)[: tf.size(choices)]
    marked = tf.strings.reduce_join(
        tf.strings.join(["(", letters, ") ", choices]), separator=" "
    )
    after = [] if context is None else [context]
    return {
        "inputs": join(prompt, question, "choices:", marked, *after),
        "targets": tf.gather(LETTERS, answer),
    }


def choice_example(
    prompt: str, question: str, choices: Sequence[str], answer: int
) -> TextExample:
    """Returns an example of the multiple choice form, made of a record.

    Raises:
      ValueError: the answer is none of the choices.
    """
    if not 0 <= answer < len(choices):
        raise ValueError(f"answer {answer} of {len(choices)} choices, counted from 0")
    marked = " ".join(
        f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False)
    )
    inputs = f"{prompt} {question} choices: {marked}"
    return {"inputs": " ".join(inputs.split()), "targets": LETTERS[answer]}


def answer_text(inputs: Any, answers: Any) -> dict[str, tf.Tensor]:
    """Returns an example of the question form: the first answer is the target.

    Args:
      inputs: text.
      answers: the right answers, a vector; the metrics take the best over them.
    """
    answers = tf.convert_to_tensor(answers)
    return {"inputs": inputs, "targets": answers[0], "answers": answers}


any_answer = t5_postprocessors.qa
"""Postprocessor of the question form: all answers of a target, the text of others."""


def label_of_record(labels: Sequence[str], value: Any) -> str:
    """Returns the label word of a record, by class id or by the word itself.

    Raises:
      ValueError: it is neither.
    """
    if str(value) in labels:
        return str(value)
    number = int(value)
    if not 0 <= number < len(labels):
        raise ValueError(f"label {value!r} is none of {', '.join(labels)}")
    return labels[number]


def explained_text(label: Any, explanations: Any) -> tf.Tensor:
    """Returns targets of the explained label form: WT5's."""
    return tf.strings.reduce_join(
        tf.concat([[label], explanations], axis=0), separator=_EXPLANATION
    )


def explained_label(
    text: str, example: Tensors | None = None, is_target: bool = False
) -> dict[str, Any]:
    """Returns `label` and `explanations` of an answer; all known ones of a target."""
    label, *explanations = (part.strip() for part in text.split(_EXPLANATION))
    if is_target and example is not None and "explanations" in example:
        explanations = [tf.compat.as_text(each) for each in example["explanations"]]
    return {"label": label, "explanations": explanations}


def label_accuracy(
    targets: Sequence[Mapping[str, Any]], predictions: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Returns `accuracy` of the labels of explained labels."""
    accuracy: dict[str, float] = t5_metrics.accuracy(
        [target["label"] for target in targets],
        [prediction["label"] for prediction in predictions],
    )
    return accuracy


def explanation_bleu(
    targets: Sequence[Mapping[str, Any]], predictions: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Returns `bleu` of explanations; each known one is a reference."""
    return bleu(
        [target["explanations"] for target in targets], _explanations(predictions)
    )


def explanation_f1(
    targets: Sequence[Mapping[str, Any]], predictions: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Returns `f1` of the words of all parts of the explanations together."""
    return token_f1(_explanations(targets), _explanations(predictions))


def _explanations(answers: Sequence[Mapping[str, Any]]) -> list[str]:
    return [" ".join(answer["explanations"]) for answer in answers]
