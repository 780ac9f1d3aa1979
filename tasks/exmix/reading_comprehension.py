"""Reading comprehension rows: questions about a passage, a table or a conversation.

BoolQ, MultiRC, ReCoRD and SQuAD read as t5 registers them; MRQA's five and SQuAD 2
follow SQuAD ("question: ... context: ..."). Elsewhere the passage comes last.

`tweetqa` is not in TFDS: the user brings
`$MTMOE_DATA/exmix/tweetqa/{train,validation}.jsonl` with the published fields
`Question`, `Tweet` and `Answer` (a list).
"""

from __future__ import annotations

import functools

import tensorflow as tf
from t5.data import postprocessors as t5_postprocessors
from t5.data import preprocessors as t5_preprocessors
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.generation import bleu, rouge
from mtmoe.data.sources.files import Record
from mtmoe.data.sources.pairs import TextExample
from mtmoe.tasks.exmix.commonsense import unified_qa
from mtmoe.tasks.exmix.forms import (
    ACCURACY,
    ALL_SPLITS,
    ANSWERS,
    SQUAD,
    TRAIN_VALIDATION,
    Asked,
    Labelled,
    Scores,
    Step,
    Tensors,
    any_answer,
    kept,
    letter_id,
    mapped,
    register_asked,
    register_labelled,
    tfds_source,
)
from mtmoe.tasks.exmix.reading_forms import (
    UNANSWERABLE,
    conversation_turns,
    coqa,
    denotation,
    drop,
    each,
    exam_questions,
    has_answer,
    mrqa_as_squad,
    quac,
    race,
    table_question,
    with_unanswerable,
)
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.user_files import user_files

FAMILY = "reading_comprehension"

_HIDDEN = "Answers of the test split are hidden: `<unk>`."
_F1 = Scores((t5_metrics.f1_score_with_invalid,), ("f1",))
_ROUGE_L = Scores((functools.partial(rouge, keys=("rougeL",)),), ("rougeL",))


def _yes_or_no(example: Tensors) -> Tensors:
    return {
        "question": example["question"],
        "passage": example["passage"],
        "label": tf.cast(example["answer"], tf.int32),
    }


_LABELLED = (
    Labelled(
        "super_glue_boolq",
        "super_glue/boolq:1.0.2",
        ("False", "True"),
        "CC BY-SA 3.0",
        prompt="boolq",
        id_key="idx",
        note=_HIDDEN,
    ),
    Labelled(
        "bool_q",
        "bool_q:1.0.0",
        ("False", "True"),
        "CC BY-SA 3.0",
        fields=("question", "passage"),
        splits=TRAIN_VALIDATION,
        before=(mapped(_yes_or_no),),
    ),
    Labelled(
        "eraser_multirc",
        "eraser_multi_rc:0.1.1",
        ("False", "True"),
        "unknown",
        fields=("query_and_answer", "passage"),
        scores=_F1,
        note="The label alone, without the evidence.",
    ),
)

for _labelled in _LABELLED:
    register_labelled(_labelled, FAMILY)

register_row(
    "super_glue_multirc",
    tfds_source("super_glue/multirc:1.0.2", ALL_SPLITS),
    family=FAMILY,
    origin="TFDS super_glue/multirc 1.0.2",
    licence="unknown",
    metrics=(
        t5_metrics.multirc_f1_over_all_answers,
        t5_metrics.mean_group_metric(t5_metrics.all_match),
    ),
    metric_names=("f1", "exact_match"),
    preprocessors=(
        functools.partial(
            t5_preprocessors.glue,
            benchmark_name="multirc",
            label_names=["False", "True"],
            feature_names=("question", "answer", "paragraph"),
        ),
    ),
    postprocess=t5_postprocessors.multirc,
    note=_HIDDEN,
)

register_row(
    "super_glue_record",
    tfds_source("super_glue/record:1.0.2", ALL_SPLITS),
    family=FAMILY,
    origin="TFDS super_glue/record 1.0.2",
    licence="unknown (news text by CNN and Daily Mail)",
    metrics=(t5_metrics.deduplicate_metric(t5_metrics.squad),),
    metric_names=("em", "f1"),
    preprocessors=(t5_preprocessors.record,),
    postprocess=t5_postprocessors.record,
    note=f"One example for each right answer. {_HIDDEN}",
)


def _squad_form(*before: Step) -> tuple[Step, ...]:
    return (*before, t5_preprocessors.squad)


_SHARE_ALIKE = "CC BY-SA 4.0"

_ANSWERED = (
    Asked(
        "squad",
        "squad/v1.1:3.0.0",
        _squad_form(),
        _SHARE_ALIKE,
        scores=SQUAD,
    ),
    Asked(
        "squad_v2",
        "squad/v2.0:3.0.0",
        _squad_form(mapped(with_unanswerable)),
        _SHARE_ALIKE,
        scores=SQUAD,
        note=f"Where there is no answer, `{UNANSWERABLE}` is the one.",
    ),
    *(
        Asked(
            f"mrqa_{subset}",
            f"mrqa/{subset}:1.0.0",
            _squad_form(mapped(mrqa_as_squad)),
            licence,
            scores=SQUAD,
        )
        for subset, licence in (
            ("hotpot_qa", _SHARE_ALIKE),
            ("news_qa", "unknown (news text by CNN)"),
            ("search_qa", "unknown"),
            ("natural_questions", "CC BY-SA 3.0"),
            ("trivia_qa", "unknown"),
        )
    ),
    Asked(
        "coqa",
        "coqa:1.0.0",
        (mapped(conversation_turns), each, mapped(coqa)),
        "mixed, part by part of its sources",
        scores=Scores((t5_metrics.coqa_f1,), ("f1",)),
        splits={"train": "train", "validation": "test"},
        note="The builder's `test` is the published development set. The count is of "
        "conversations; each turn is an example.",
    ),
    Asked(
        "quac",
        "quac:1.0.0",
        (mapped(quac),),
        _SHARE_ALIKE,
        scores=ANSWERS,
        note="The builder does not tell which turns came before. Where there is no "
        "answer, the target is CANNOTANSWER.",
    ),
    Asked(
        "drop",
        "drop:2.0.0",
        (kept(has_answer), mapped(drop)),
        _SHARE_ALIKE,
        scores=ANSWERS,
        splits={"train": "train", "validation": "dev"},
        note="Scored as SQuAD is; the official measure aligns several spans. "
        "Questions without any answer are left out.",
    ),
)

for _task in _ANSWERED:
    register_asked(_task, FAMILY, any_answer)

for _level in ("high", "middle"):
    register_asked(
        Asked(
            f"race_{_level}",
            f"race/{_level}:2.0.0",
            (mapped(exam_questions), each, mapped(race)),
            "non-commercial research",
            splits={"train": "train", "validation": "dev", "test": "test"},
            note="One example a question.",
        ),
        FAMILY,
        letter_id,
    )

_UNIFIED = (
    Asked(
        "uqa_narrativeqa",
        "unified_qa/narrativeqa:1.0.0",
        (unified_qa("narrativeqa"),),
        "Apache-2.0",
        scores=_ROUGE_L,
        splits=ALL_SPLITS,
        note="Each of a question's two answers is an example.",
    ),
    Asked(
        "uqa_quoref",
        "unified_qa/quoref:1.0.0",
        (unified_qa("quoref"),),
        "CC BY 4.0",
        scores=ANSWERS,
    ),
    Asked(
        "uqa_ropes",
        "unified_qa/ropes:1.0.0",
        (unified_qa("ropes"),),
        "CC BY 4.0",
        scores=ANSWERS,
    ),
)

for _task in _UNIFIED:
    register_asked(_task, FAMILY, None)

register_asked(
    Asked(
        "uqa_mctest",
        "unified_qa/mctest:1.0.0",
        (unified_qa("mctest"),),
        "research use",
    ),
    FAMILY,
    t5_postprocessors.lower_text,
)


register_asked(
    Asked(
        "wiki_table_questions",
        "wiki_table_questions:1.0.0",
        (mapped(table_question),),
        _SHARE_ALIKE,
        scores=ACCURACY,
        splits={
            "train": "split-1-train",
            "validation": "split-1-dev",
            "test": "test",
        },
        note="Train and validation are the first random split of the 14,149; numbers "
        "and dates are compared as they are written.",
    ),
    FAMILY,
    denotation,
)


def _tweet_question(record: Record) -> TextExample:
    answers = [" ".join(answer.split()) for answer in record["Answer"]]
    answers = [answer for answer in answers if answer]
    if not answers:
        raise ValueError("`Answer` is empty")
    question, tweet = (" ".join(record[key].split()) for key in ("Question", "Tweet"))
    return {
        "inputs": f"tweetqa question: {question} tweet: {tweet}",
        "targets": answers[0],
        "answers": answers,
    }


_TWEET_QA = "TweetQA (Xiong et al. 2019): `Question`, `Tweet`, `Answer` (a list)"

register_row(
    "tweetqa",
    user_files("tweetqa", _tweet_question, _TWEET_QA),
    family=FAMILY,
    origin="JSONL of TweetQA",
    licence=_SHARE_ALIKE,
    metrics=(bleu, *_ROUGE_L.functions),
    metric_names=("bleu", *_ROUGE_L.names),
    postprocess=any_answer,
    verified="layout",
    note="BLEU to four words, not to one; METEOR is left out.",
)
