"""The texts of the reading comprehension rows, made inside tf.data."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mtmoe.tasks.exmix.forms import LETTERS, Tensors, answer_text, choice_text, join
from mtmoe.tasks.exmix.text_steps import one_line

UNANSWERABLE = "unanswerable"
"""What SQuAD 2 wants where the passage has no answer."""

# Turns of a conversation before the question that are told again.
_HISTORY = 2


def mrqa_as_squad(example: Tensors) -> Tensors:
    """Gives an example of MRQA the features of SQuAD."""
    return {
        "id": example["qid"],
        "question": example["question"],
        "context": example["context"],
        "answers": {"text": example["answers"]},
    }


def with_unanswerable(example: Tensors) -> Tensors:
    """Gives a SQuAD 2 example without an answer the one that says so."""
    texts = example["answers"]["text"]
    if_none = tf.constant([UNANSWERABLE])
    answers = tf.cond(tf.size(texts) > 0, lambda: texts, lambda: if_none)
    return {**example, "answers": {"text": answers}}


def conversation_turns(example: Tensors) -> Tensors:
    """Gives the questions of a conversation, each with the last turns before it."""
    questions, answers = example["questions"], example["answers"]["input_text"]
    turns = tf.strings.join(["Q: ", questions, " A: ", answers, " "])

    def before(turn: Any) -> tf.Tensor:
        return tf.strings.reduce_join(turns[tf.maximum(turn - _HISTORY, 0) : turn])

    count = tf.size(questions)
    return {
        "question": questions,
        "history": tf.map_fn(before, tf.range(count), fn_output_signature=tf.string),
        "answer": answers,
        "story": tf.fill([count], example["story"]),
    }


def coqa(example: Tensors) -> Tensors:
    """Makes the text of one turn of `conversation_turns`."""
    inputs = join(
        "coqa question:",
        example["question"],
        "history:",
        example["history"],
        "story:",
        example["story"],
    )
    return answer_text(inputs, [one_line(example["answer"])])


def quac(example: Tensors) -> Tensors:
    """Makes the text of a QuAC question; CANNOTANSWER is an answer like others."""
    inputs = join(
        "quac question:",
        example["question"],
        "title:",
        example["title"],
        "section:",
        example["section_title"],
        "context:",
        example["context"],
    )
    return answer_text(inputs, example["answers"]["text"])


def drop(example: Tensors) -> Tensors:
    """Makes the text of a DROP question; all raters' answers are right."""
    inputs = join("drop question:", example["question"], "passage:", example["passage"])
    return answer_text(inputs, _drop_answers(example))


def exam_questions(example: Tensors) -> Tensors:
    """Gives the questions of a RACE passage with their options."""
    count = tf.size(example["questions"])
    return {
        "question": example["questions"],
        "options": example["options"].to_tensor(),
        "answer": example["answers"],
        "article": tf.fill([count], example["article"]),
    }


def race(example: Tensors) -> Tensors:
    """Makes the text of one of `exam_questions`."""
    return choice_text(
        "race",
        join("question:", example["question"]),
        example["options"],
        tf.argmax(tf.cast(tf.equal(LETTERS, example["answer"]), tf.int32)),
        join("article:", example["article"]),
    )


def each(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Makes an example of each element of vectors of one length."""
    return dataset.unbatch()


def has_answer(example: Tensors) -> Any:
    """Returns whether a DROP question has an answer that is not blank."""
    return tf.size(_drop_answers(example)) > 0


def _drop_answers(example: Tensors) -> tf.Tensor:
    answers = tf.concat([[example["answer"]], example["validated_answers"]], axis=0)
    return tf.boolean_mask(answers, tf.strings.length(tf.strings.strip(answers)) > 0)


def table_question(example: Tensors) -> Tensors:
    """Makes the text of a question about a table.

    The table is written as TAPEX does (Liu et al. 2022): `col : a | b row 1 : x | y`.
    """
    table = example["input_text"]["table"]
    rows, row_of_cell = tf.unique(tf.cast(table["row_number"], tf.int32))
    count = tf.size(rows)
    header = tf.boolean_mask(table["column_header"], row_of_cell == 0)
    cells = tf.strings.unsorted_segment_join(
        table["content"], row_of_cell, count, separator=" | "
    )
    numbers = tf.strings.as_string(tf.range(1, count + 1))
    lines = tf.strings.join(["row ", numbers, " : ", cells])
    return {
        "inputs": join(
            "wiki_table_questions question:",
            example["input_text"]["context"],
            "table: col :",
            tf.strings.reduce_join(header, separator=" | "),
            tf.strings.reduce_join(lines, separator=" "),
        ),
        "targets": join(example["target_text"]),
    }


def denotation(text: str, **_: Any) -> str:
    """Returns answers that are parted by bars, in lower case and one order."""
    return "|".join(sorted(part.strip().lower() for part in text.split("|")))
