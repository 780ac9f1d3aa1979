"""KILT's rows (Petroni et al. 2021): knowledge-intensive tasks, answered from memory.

None is in TFDS. The user brings `$MTMOE_DATA/exmix/<row>/{train,validation}.jsonl`, the
published files (`nq-train-kilt.jsonl`, `nq-dev-kilt.jsonl`, ...) under these names:
`input`, and `output`, a list in which `answer` is given by some entries, by others
only where it comes from. TriviaQA's files are published without the questions; they
must be filled in by KILT's script. Wizard of Wikipedia is with the dialogue rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.generation import rouge
from mtmoe.data.metrics.qa import exact_match, token_f1
from mtmoe.data.sources.files import Record
from mtmoe.data.sources.pairs import TextExample
from mtmoe.tasks.exmix.forms import SQUAD, TRIVIA_QA, Scores, any_answer
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.user_files import user_files

_MENTION = ("[START_ENT]", "[END_ENT]")
# Characters kept on either side of a mention: the document is longer than any input.
_MENTION_CONTEXT = 700

_EXACT = Scores((exact_match,), ("exact_match",))
_LONG_FORM = Scores(
    (functools.partial(rouge, keys=("rougeL",)), token_f1), ("rougeL", "f1")
)


def kilt_answers(record: Record) -> list[str]:
    """Returns the answers of a KILT record, each once, in order.

    Raises:
      ValueError: there is none, as in the test files.
    """
    given = (entry.get("answer") or "" for entry in record["output"])
    answers = list(dict.fromkeys(" ".join(answer.split()) for answer in given))
    answers = [answer for answer in answers if answer]
    if not answers:
        raise ValueError("no entry of `output` has an answer")
    return answers


def _question(prompt: str, record: Record) -> TextExample:
    text = " ".join(record["input"].split())
    if not text:
        raise ValueError("`input` is empty; KILT's script fills in the questions")
    answers = kilt_answers(record)
    return {
        "inputs": f"{prompt}: {text}",
        "targets": answers[0],
        "answers": answers,
    }


def _entity(prompt: str, record: Record) -> TextExample:
    """Keeps the text about the mention, which may be anywhere in a document."""
    before, start, rest = record["input"].partition(_MENTION[0])
    mention, end, after = rest.partition(_MENTION[1])
    if not start or not end:
        raise ValueError(f"`input` has no mention in {' ... '.join(_MENTION)}")
    parts = (
        before[-_MENTION_CONTEXT:],
        start,
        mention,
        end,
        after[:_MENTION_CONTEXT],
    )
    return _question(prompt, Record(record, input=" ".join(parts)))


@dataclass(frozen=True)
class _Task:
    """A row: its words before the input, family, metrics, licence."""

    name: str
    prompt: str
    family: str
    scores: Scores
    licence: str
    form: Callable[[str, Record], TextExample] = _question
    note: str = ""


_TASKS = (
    _Task(
        "kilt_fever",
        "fever claim",
        "other",
        Scores((t5_metrics.accuracy,), ("accuracy",)),
        "CC BY-SA 3.0",
    ),
    _Task(
        "kilt_aidayago2",
        "aidayago2 text",
        "other",
        _EXACT,
        "unknown (news text by Reuters)",
        form=_entity,
        note="Entity linking: the title of the marked mention's page.",
    ),
    _Task("kilt_trex", "trex", "other", SQUAD, "CC BY-SA 4.0"),
    _Task("kilt_structured_zeroshot", "zeroshot_re", "other", SQUAD, "unknown"),
    _Task("kilt_nq", "nq question", "closed_book_qa", SQUAD, "CC BY-SA 3.0"),
    _Task(
        "kilt_hotpotqa", "hotpotqa question", "closed_book_qa", SQUAD, "CC BY-SA 4.0"
    ),
    _Task(
        "kilt_triviaqa", "trivia_qa question", "closed_book_qa", TRIVIA_QA, "unknown"
    ),
    _Task(
        "kilt_eli5",
        "eli5 question",
        "closed_book_qa",
        _LONG_FORM,
        "unknown (posts on Reddit)",
        note="Answers of a paragraph or more: targets are cut to their length.",
    ),
)


def _verdict(text: str, **_: object) -> str:
    return text.strip().upper()


for _task in _TASKS:
    register_row(
        _task.name,
        user_files(
            _task.name,
            functools.partial(_task.form, _task.prompt),
            "KILT's files (`input`, `output`) under these names, see the module",
        ),
        family=_task.family,
        origin=f"JSONL of KILT: {_task.name.removeprefix('kilt_')}",
        licence=_task.licence,
        metrics=_task.scores.functions,
        metric_names=_task.scores.names,
        postprocess=_verdict if _task.name == "kilt_fever" else any_answer,
        verified="layout",
        note=_task.note,
    )
