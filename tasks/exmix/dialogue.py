"""Dialogue rows: replies, intents, slots, rewritten questions, safety.

Inputs are cut at their end, so the last turn comes first and what was said before it,
in order, last: `NAME turn: ... before: ...`.

Files the user brings, `$MTMOE_DATA/exmix/NAME/SPLIT.jsonl`, a JSON object a line:

    kilt_wow                 KILT's `input` (a turn a line) and `output` (`answer`s)
    dialoglue_banking77      DialoGLUE's `text` and `category`
    dialoglue_hwu64          the same
    dialoglue_restaurant8k   PolyAI's `userInput`, `labels` and `context`
    dialoglue_dstc8_sgd      the same, the four domains one after the other

Of clinc_oos the questions out of scope are left out, as in DialoGLUE.
"""

from __future__ import annotations

import functools

import seqio
import tensorflow as tf
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.classification import f1_of
from mtmoe.data.metrics.generation import ROUGE_KEYS, bleu, rouge
from mtmoe.data.metrics.qa import token_f1
from mtmoe.data.metrics.spans import format_spans, slot_f1
from mtmoe.data.sources.files import Record
from mtmoe.data.sources.pairs import TextExample
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.text_steps import (
    Features,
    drop_blank,
    labelled,
    one_line,
    per_example,
    reference_texts,
    references,
    text_pair,
)
from mtmoe.tasks.exmix.user_files import user_files

_SPLITS = ("train", "validation", "test")
_REPLY_METRICS = (bleu, rouge)
_REPLY_METRIC_NAMES = ("bleu", *ROUGE_KEYS)

# TFDS gives an act by its place in this list.
_ACTS = (
    "AFFIRM AFFIRM_INTENT CONFIRM GOODBYE INFORM INFORM_COUNT INFORM_INTENT NEGATE "
    "NEGATE_INTENT NOTIFY_FAILURE NOTIFY_SUCCESS OFFER OFFER_INTENT REQUEST "
    "REQUEST_ALTS REQ_MORE SELECT THANK_YOU"
).split()


def wizard_reply(record: Record) -> TextExample | None:
    """Makes the example of a reply, None of one whose answer is kept back.

    Args:
      record: of KILT, with `input` and `output`.
    """
    *before, turn = (" ".join(line.split()) for line in record["input"].splitlines())
    answers = [
        " ".join(output["answer"].split())
        for output in record["output"]
        if (output.get("answer") or "").strip()
    ]
    if not answers:
        return None
    return {
        "inputs": f"wizard_of_wikipedia turn: {turn} before: {' '.join(before)}",
        "targets": answers[0],
        "references": answers,
    }


register_row(
    "kilt_wow",
    user_files(
        "kilt_wow",
        wizard_reply,
        "wow-train-kilt.jsonl and wow-dev-kilt.jsonl of KILT, with input and "
        "output[].answer",
    ),
    family="dialogue",
    origin="JSONL of KILT: Wizard of Wikipedia",
    licence="unknown (KILT itself is MIT)",
    postprocess=reference_texts,
    metrics=(rouge, token_f1),
    metric_names=(*ROUGE_KEYS, "f1"),
    verified="layout",
    note="Replies without an answer in KILT are left out. No passages are given.",
)


@per_example
def _schema_guided_reply(example: Features) -> dict[str, tf.Tensor]:
    acts = example["dialog_acts"]
    # One act: INFORM(cuisine=Mexican, Italian); no slot: GOODBYE.
    values = tf.strings.reduce_join(acts["values"], axis=1, separator=", ")
    values = tf.where(values == "", "", tf.strings.join(["=", values]))
    slots = tf.where(
        acts["slot"] == "", "", tf.strings.join(["(", acts["slot"], values, ")"])
    )
    names = tf.gather(_ACTS, acts["act"])
    # The prompt is the last turn; the context may end with it.
    turns, prompt = example["context"], example["prompt"]
    is_prompt = tf.reduce_all(turns[-1:] == prompt)
    before = turns[
        : tf.size(turns) - tf.cast(is_prompt & (tf.size(turns) > 0), "int32")
    ]
    return {
        "inputs": labelled(
            "schema_guided_reply",
            {
                "acts": tf.strings.reduce_join(
                    tf.strings.join([names, slots]), separator=" | "
                ),
                "turn": prompt,
                "before": tf.strings.reduce_join(before, separator=" "),
            },
        ),
        "targets": one_line(example["target"]),
        "references": references(example),
    }


register_row(
    "gem_schema_guided_dialog",
    seqio.TfdsDataSource("gem/schema_guided_dialog:1.1.0", splits=_SPLITS),
    family="dialogue",
    origin="TFDS gem/schema_guided_dialog 1.1.0",
    licence="CC BY-SA 4.0",
    preprocessors=(
        functools.partial(drop_blank, keys=("target",)),
        _schema_guided_reply,
    ),
    postprocess=reference_texts,
    metrics=_REPLY_METRICS,
    metric_names=_REPLY_METRIC_NAMES,
    note="METEOR is left out.",
)


@per_example
def _turns(example: Features) -> dict[str, tf.Tensor]:
    """Makes inputs and targets of all turns of a dialogue but its first.

    Args:
      example: `utterances`, string [turns], whose speakers alternate, and
        `first_speaker`, 0 the user and 1 the system.
    """
    said = one_line(example["utterances"])
    speaker = tf.cast(example["first_speaker"], tf.int32) + tf.range(tf.size(said))
    names = tf.gather(["user", "system"], speaker % 2)
    marked = tf.strings.join([names, said], separator=": ")
    # Row i: the turns before turn i.
    before = tf.gather(marked, tf.ragged.range(tf.range(tf.size(said) - 1)))
    history = tf.strings.reduce_join(before, axis=1, separator=" ")
    return {
        "inputs": tf.strings.join(
            ["schema_guided_dialogue turn: ", marked[:-1], " before: ", history]
        ),
        "targets": said[1:],
    }


def _next_turns(dataset: tf.data.Dataset) -> tf.data.Dataset:
    return _turns(drop_blank(dataset, ("utterances",))).unbatch()


register_row(
    "schema_guided_dialogue",
    seqio.TfdsDataSource(
        "schema_guided_dialogue:1.0.0",
        splits={"train": "train", "validation": "dev", "test": "test"},
    ),
    family="dialogue",
    origin="TFDS schema_guided_dialogue 1.0.0",
    licence="CC BY-SA 4.0",
    preprocessors=(_next_turns, functools.partial(drop_blank, keys=("targets",))),
    metrics=_REPLY_METRICS,
    metric_names=_REPLY_METRIC_NAMES,
    note="An example a turn, of either speaker; the count is one of dialogues.",
)


@per_example
def _rewritten_question(example: Features) -> dict[str, tf.Tensor]:
    before = tf.strings.reduce_join(example["context"], separator=" ")
    parts = {"question": example["question"], "before": before}
    return {
        "inputs": labelled("qrecc", parts),
        "targets": one_line(example["question_rewrite"]),
    }


register_row(
    "qrecc",
    seqio.TfdsDataSource("q_re_cc:1.0.0", splits=("train", "test")),
    family="dialogue",
    origin="TFDS q_re_cc 1.0.0",
    licence="CC BY-SA 3.0",
    preprocessors=(
        functools.partial(drop_blank, keys=("question", "question_rewrite")),
        _rewritten_question,
    ),
    metrics=(rouge, bleu),
    metric_names=(*ROUGE_KEYS, "bleu"),
    note="The question is rewritten to stand alone; answers are not asked for.",
)


@per_example
def _safety(example: Features) -> dict[str, tf.Tensor]:
    parts = {"speaker": example["speaker_to_eval"], "text": example["text"]}
    return {
        "inputs": labelled("bot_adversarial_dialogue", parts),
        "targets": tf.gather(["ok", "not ok"], example["labels"]),
    }


register_row(
    "bot_adversarial_dialogue",
    seqio.TfdsDataSource(
        "bot_adversarial_dialogue/dialogue_datasets:1.0.0",
        splits={"train": "train", "validation": "valid", "test": "test"},
    ),
    family="dialogue",
    origin="TFDS bot_adversarial_dialogue/dialogue_datasets 1.0.0",
    licence="MIT (ParlAI)",
    preprocessors=(functools.partial(drop_blank, keys=("text",)), _safety),
    metrics=(f1_of("not ok", name="f1"), t5_metrics.accuracy),
    metric_names=("f1", "accuracy"),
    note="F1 of `not ok`. The turn alone is judged; TFDS keeps no turns before it.",
)


def intent(record: Record, name: str) -> dict[str, str]:
    """Makes the example of an utterance and its intent.

    Args:
      record: `text` and `category`, whose words are joined by `_`.
      name: what inputs begin with.

    Raises:
      ValueError: one of them is empty.
    """
    text = " ".join(record["text"].split())
    category = " ".join(record["category"].replace("_", " ").split())
    if not text or not category:
        raise ValueError("text or category is empty")
    return {"inputs": f"{name} text: {text}", "targets": category}


for _name, _intents, _licence in (
    ("banking77", 77, "CC BY 4.0"),
    ("hwu64", 64, "CC BY 4.0"),
):
    register_row(
        f"dialoglue_{_name}",
        user_files(
            f"dialoglue_{_name}",
            functools.partial(intent, name=_name),
            "train.csv, val.csv and test.csv that alexa/dialoglue on GitHub makes, a "
            "JSON object a line with text and category",
            splits=_SPLITS,
        ),
        family="dialogue",
        origin=f"JSONL of DialoGLUE: {_name}, {_intents} intents",
        licence=_licence,
        metrics=(t5_metrics.accuracy,),
        metric_names=("accuracy",),
        verified="layout",
    )


@per_example
def _spaced_intent(example: Features) -> dict[str, tf.Tensor]:
    name = tf.strings.regex_replace(example["intent_name"], "_", " ")
    return {"text": example["text"], "intent": name}


register_row(
    "dialoglue_clinc150",
    seqio.TfdsDataSource("clinc_oos:0.1.0", splits=_SPLITS),
    family="dialogue",
    origin="TFDS clinc_oos 0.1.0",
    licence="CC BY 3.0",
    preprocessors=(
        functools.partial(drop_blank, keys=("text", "intent_name")),
        _spaced_intent,
        functools.partial(
            text_pair, name="clinc150", parts={"text": "text"}, targets="intent"
        ),
    ),
    metrics=(t5_metrics.accuracy,),
    metric_names=("accuracy",),
)


def slots(record: Record, name: str) -> dict[str, str]:
    """Makes the example of an utterance and its slots, `slot: value $$ slot: value`.

    Args:
      record: of PolyAI's span extraction: `userInput.text`; `labels`, each with `slot`
        and `valueSpan` (`startIndex`, left out if 0, and `endIndex`); optionally
        `context.requestedSlots`, what the user was just asked for.
      name: what inputs begin with.

    Raises:
      ValueError: a span is not in the text.
    """
    text = record["userInput"]["text"]
    found = []
    for label in record.get("labels") or ():
        start = label["valueSpan"].get("startIndex") or 0
        end = label["valueSpan"]["endIndex"]
        if not 0 <= start < end <= len(text):
            raise ValueError(f"span {start} to {end} of {len(text)} characters")
        found.append((start, label["slot"], text[start:end].strip()))
    requested = (record.get("context") or {}).get("requestedSlots") or ()
    asked = f"requested: {', '.join(requested)} " if requested else ""
    return {
        "inputs": f"{name} {asked}text: {' '.join(text.split())}",
        "targets": format_spans((slot, value) for _, slot, value in sorted(found)),
    }


for _name, _folders, _licence in (
    ("restaurant8k", "restaurant8k", "CC BY 4.0"),
    ("dstc8_sgd", "dstc8/{Buses_1,Events_1,Homes_1,RentalCars_1}", "CC BY-SA 4.0"),
):
    register_row(
        f"dialoglue_{_name}",
        user_files(
            f"dialoglue_{_name}",
            functools.partial(slots, name=_name),
            f"span_extraction/{_folders} of PolyAI-LDN/task-specific-datasets on "
            "GitHub, which alexa/dialoglue splits; each object of the JSON arrays on a "
            "line, with userInput, labels and context",
            splits=_SPLITS,
        ),
        family="dialogue",
        origin=f"JSONL of DialoGLUE: {_name}",
        licence=_licence,
        metrics=(slot_f1,),
        metric_names=("slot_f1",),
        verified="layout",
    )
