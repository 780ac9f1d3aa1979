"""Closed-book rows: questions answered without a passage. KILT's are in `kilt`.

The texts are those of Roberts et al. 2020: "nq question: ...", "wq question: ...",
"trivia_qa question: ..."; the first answer is the target, the metrics take the best
over all.
"""

from __future__ import annotations

import tensorflow as tf

from mtmoe.data.metrics.qa import token_f1
from mtmoe.tasks.exmix.commonsense import unified_qa
from mtmoe.tasks.exmix.forms import (
    TRAIN_TEST,
    TRIVIA_QA,
    Asked,
    Scores,
    Tensors,
    answer_text,
    any_answer,
    join,
    mapped,
    register_asked,
)

FAMILY = "closed_book_qa"


def _natural_questions(example: Tensors) -> Tensors:
    return answer_text(join("nq question:", example["question"]), example["answer"])


def _web_questions(example: Tensors) -> Tensors:
    return answer_text(join("wq question:", example["question"]), example["answers"])


def _trivia_qa(example: Tensors) -> Tensors:
    answer = example["answer"]
    return answer_text(
        join("trivia_qa question:", example["question"]),
        tf.concat([[answer["value"]], answer["aliases"]], axis=0),
    )


_TASKS = (
    Asked(
        "nq_open",
        "natural_questions_open:1.0.0",
        (mapped(_natural_questions),),
        "CC BY-SA 3.0",
        scores=TRIVIA_QA,
    ),
    Asked(
        "web_questions",
        "web_questions:1.0.0",
        (mapped(_web_questions),),
        "CC BY 4.0",
        scores=TRIVIA_QA,
        splits=TRAIN_TEST,
    ),
    Asked(
        "trivia_qa_open",
        "trivia_qa/unfiltered.nocontext:1.1.0",
        (mapped(_trivia_qa),),
        "unknown",
        scores=TRIVIA_QA,
    ),
)

for _task in _TASKS:
    register_asked(_task, FAMILY, any_answer)

register_asked(
    Asked(
        "uqa_ambigqa",
        "unified_qa/ambigqa:1.0.0",
        (unified_qa("ambigqa"),),
        "CC BY-SA 3.0",
        scores=Scores((token_f1,), ("f1",)),
        note="UnifiedQA's text: all readings of a question in one answer.",
    ),
    FAMILY,
    None,
)
