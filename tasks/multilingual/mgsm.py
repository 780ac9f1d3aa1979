"""MGSM (Shi et al. 2023): grade school problems whose answer is a number.

    mgsm.<code>     11 languages; input `mgsm: question: ...`, target the number

The answer is asked for directly. Of what a model writes the last number counts, without
its separators of thousands, so that a model that reasons first is scored too.
"""

from __future__ import annotations

import re
from typing import Any

from mtmoe.data.metrics.qa import exact_match
from mtmoe.data.sources.files import Record
from mtmoe.data.sources.pairs import TextExample
from mtmoe.data.sources.records import RecordSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.tasks.multilingual.suites import (
    WHERE_CHECKED,
    Variant,
    how_to_get,
    number_field,
    text_field,
    variants,
)

LANGUAGES = variants("bn de en es fr ja ru sw te th zh")
"""Languages of MGSM."""

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
# "Question:", "Question :", "問題:", "প্রশ্ন:" ... which only the training examples have.
_HEADING = re.compile(r"^[^:\uff1a]{1,12}[:\uff1a]\s*")


def problem(record: Record) -> TextExample:
    """Returns the text of a record with `question`, `answer` and `answer_number`.

    Training records, those with an `answer`, have their language's word for "question"
    before the question; it goes.
    """
    question = text_field(record, "question")
    if record["answer"] is not None:
        question = _HEADING.sub("", question)
    return {
        "inputs": f"mgsm: question: {question}",
        "targets": str(number_field(record, "answer_number")),
    }


def last_number(text: str, **_: Any) -> str:
    """Returns the last number of a text in its plain form, the text if it has none."""
    numbers = _NUMBER.findall(text)
    if not numbers:
        return text.strip()
    plain: str = numbers[-1].replace(",", "")
    return re.sub(r"\.0+$", "", plain)


def _register(variant: Variant) -> str:
    return register_task(
        f"mgsm.{variant.name}",
        RecordSource(
            {
                split: f"mgsm/{variant.own}/{split}/*.parquet"
                for split in ("train", "test")
            },
            problem,
            how_to_get(
                "mgsm",
                "juletxara/mgsm",
                f"{variant.own}/train/0000.parquet and {variant.own}/test/0000.parquet "
                "(branch refs/convert/parquet)",
                "question, answer, answer_number",
            ),
        ),
        TaskCard(
            family="mathematics",
            language=variant.language,
            metrics=("exact_match",),
            origin=f"hub juletxara/mgsm, {variant.own}",
            licence="CC-BY-SA-4.0",
            labels="gold",
            verified="layout",
            note=f"The training split has 8 examples, for prompts. {WHERE_CHECKED}",
        ),
        postprocess=last_number,
        metrics=[exact_match],
    )


for _variant in LANGUAGES:
    _register(_variant)
