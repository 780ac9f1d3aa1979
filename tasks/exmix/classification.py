"""Classification rows: one label of a few, for a sentence, a tweet or a document.

GLUE's two single-sentence tasks read as t5 registers them; the others follow the same
form, "NAME text: ...", see `forms`.

Files the user brings, under `$MTMOE_DATA/exmix/<row>/` (JSON lines; fields as
published); TweetEval's rows are in `tweet_eval`:

    ukp_argument    `train.jsonl`, `validation.jsonl`, `test.jsonl` with `topic`,
                    `sentence`, `annotation`
    gpt2_deepfake   `webtext.<part>.jsonl` and `xl-1542M.<part>.jsonl` with `text`; the
                    parts are `train`, `valid`, `test`
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.classification import macro_f1, multi_label_macro_f1
from mtmoe.data.sources.files import Record
from mtmoe.data.sources.pairs import PairSource, TextExample
from mtmoe.data.sources.records import RecordSource
from mtmoe.tasks.exmix.forms import (
    ACCURACY,
    ALL_SPLITS,
    F1_AND_ACCURACY,
    TRAIN_TEST,
    Labelled,
    Scores,
    Tensors,
    class_id,
    explained_label,
    explained_text,
    explanation_f1,
    join,
    label_accuracy,
    mapped,
    register_labelled,
    tfds_source,
)
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.user_files import user_files

FAMILY = "classification"

GO_EMOTIONS = (
    "admiration amusement anger annoyance approval caring confusion curiosity desire "
    "disappointment disapproval disgust embarrassment excitement fear gratitude grief "
    "joy love nervousness optimism pride realization relief remorse sadness surprise "
    "neutral"
).split()
"""The labels of GoEmotions (Demszky et al. 2020) in their published order."""

_TOXICITY_THRESHOLD = 0.5
_MAX_RATIONALES = 3

_MATTHEWS = Scores(
    (
        t5_metrics.sklearn_metrics_wrapper(
            "matthews_corrcoef", metric_post_process_fn=lambda value: 100 * value
        ),
    ),
    ("matthews_corrcoef",),
)
_MACRO_F1 = Scores((macro_f1,), ("macro_f1",))


def _toxic(example: Tensors) -> Tensors:
    """A text is toxic if at least half of its raters say so."""
    label = tf.cast(example["toxicity"] >= _TOXICITY_THRESHOLD, tf.int32)
    return {"text": example["text"], "label": label}


def _polarity(example: Tensors) -> Tensors:
    """Sentiment140 writes 0, 2 and 4."""
    return {"text": example["text"], "label": example["polarity"] // 2}


def _question_type(example: Tensors) -> Tensors:
    return {"text": example["text"], "label": example["label-coarse"]}


def _citation(example: Tensors) -> Tensors:
    return {
        "section": example["sectionName"],
        "text": example["string"],
        "label": example["label"],
    }


_TASKS = (
    Labelled(
        "glue_cola",
        "glue/cola:2.0.0",
        ("unacceptable", "acceptable"),
        "unknown (sentences quoted from books)",
        scores=_MATTHEWS,
        prompt="cola",
        id_key="idx",
        note="Answers of the test split are hidden: `<unk>`.",
    ),
    Labelled(
        "glue_sst2",
        "glue/sst2:2.0.0",
        ("negative", "positive"),
        "unknown",
        prompt="sst2",
        id_key="idx",
        note="Answers of the test split are hidden: `<unk>`.",
    ),
    Labelled(
        "imdb",
        "imdb_reviews/plain_text:1.0.0",
        ("negative", "positive"),
        "unknown",
        splits=TRAIN_TEST,
    ),
    Labelled(
        "civil_comments",
        "civil_comments/CivilComments:1.2.4",
        ("not toxic", "toxic"),
        "CC0 1.0",
        fields=("text",),
        scores=F1_AND_ACCURACY,
        before=(mapped(_toxic),),
        note="Toxic at a mean rating of 0.5; the area under the curve needs scores.",
    ),
    Labelled(
        "wiki_toxicity",
        "wikipedia_toxicity_subtypes/EnglishSubtypes:0.3.1",
        ("not toxic", "toxic"),
        "CC0 1.0 (labels), CC BY-SA 3.0 (comments)",
        fields=("text",),
        scores=F1_AND_ACCURACY,
        splits=TRAIN_TEST,
        before=(mapped(_toxic),),
    ),
    Labelled(
        "sentiment140",
        "sentiment140:1.0.0",
        ("negative", "neutral", "positive"),
        "unknown (tweets: X's terms)",
        fields=("text",),
        splits=TRAIN_TEST,
        before=(mapped(_polarity),),
        note="Labels of the training split follow from emoticons; it has no neutral.",
    ),
    Labelled(
        "yelp_polarity",
        "yelp_polarity_reviews:0.2.0",
        ("negative", "positive"),
        "Yelp's terms of use (academic)",
        splits=TRAIN_TEST,
    ),
    Labelled(
        "ag_news",
        "ag_news_subset:1.0.0",
        ("World", "Sports", "Business", "Sci/Tech"),
        "non-commercial use",
        fields=("title", "description"),
        splits=TRAIN_TEST,
    ),
    Labelled(
        "trec",
        "trec:1.0.0",
        ("description", "entity", "abbreviation", "human", "numeric", "location"),
        "unknown",
        fields=("text",),
        splits=TRAIN_TEST,
        before=(mapped(_question_type),),
        note="The six coarse labels.",
    ),
    Labelled(
        "scicite",
        "scicite:1.0.0",
        ("method", "background", "result"),
        "unknown",
        fields=("section", "text"),
        scores=_MACRO_F1,
        before=(mapped(_citation),),
    ),
)

for _task in _TASKS:
    register_labelled(_task, FAMILY)


def _emotions(example: Tensors) -> Tensors:
    felt = tf.stack([example[emotion] for emotion in GO_EMOTIONS])
    names = tf.boolean_mask(tf.constant(GO_EMOTIONS), felt)
    return {
        "inputs": join("goemotions text:", example["comment_text"]),
        "targets": tf.strings.reduce_join(names, separator=", "),
    }


def _label_set(text: str, **_: Any) -> frozenset[str]:
    return frozenset(label.strip() for label in text.split(",") if label.strip())


register_row(
    "goemotions",
    tfds_source("goemotions:0.1.0", ("train", "validation", "test")),
    family=FAMILY,
    origin="TFDS goemotions 0.1.0",
    licence="Apache-2.0",
    metrics=(multi_label_macro_f1,),
    metric_names=("multi_label_macro_f1",),
    preprocessors=(mapped(_emotions),),
    postprocess=_label_set,
    note="Several labels an example, in their published order.",
)


def _rationales(example: Tensors) -> Tensors:
    evidences = example["evidences"][:_MAX_RATIONALES]
    label = tf.gather(["negative", "positive"], example["label"])
    return {
        "inputs": join("explain movie_rationales review:", example["review"]),
        "targets": explained_text(label, evidences),
    }


register_row(
    "movie_rationales",
    tfds_source("movie_rationales:0.1.0", ("train", "validation", "test")),
    family=FAMILY,
    origin="TFDS movie_rationales 0.1.0",
    licence="unknown",
    metrics=(label_accuracy, explanation_f1),
    metric_names=("accuracy", "f1"),
    preprocessors=(mapped(_rationales),),
    postprocess=explained_label,
    note=f"At most the first {_MAX_RATIONALES} rationales, so that targets fit.",
)


_ANNOTATIONS = {
    "NoArgument": "none",
    "Argument_for": "for",
    "Argument_against": "against",
}
_UKP = (
    "the UKP Sentential Argument Mining Corpus (Stab et al. 2018), tudatalib 2345: "
    "`topic`, `sentence`, `annotation` (NoArgument, Argument_for, Argument_against), "
    "one file for each value of the published column `set`"
)


def _argument(record: Record) -> TextExample:
    if record["annotation"] not in _ANNOTATIONS:
        raise ValueError(
            f"annotation {record['annotation']!r} is none of {', '.join(_ANNOTATIONS)}"
        )
    return {
        "inputs": f"ukp_argument topic: {record['topic']} "
        f"sentence: {record['sentence']}",
        "targets": _ANNOTATIONS[record["annotation"]],
    }


register_row(
    "ukp_argument",
    user_files("ukp_argument", _argument, _UKP, ALL_SPLITS),
    family=FAMILY,
    origin="JSONL of the UKP Sentential Argument Mining Corpus",
    licence="unknown",
    metrics=_MACRO_F1.functions,
    metric_names=_MACRO_F1.names,
    postprocess=class_id(tuple(_ANNOTATIONS.values())),
    verified="layout",
)

_DEEPFAKE = (
    "gpt-2-output-dataset by OpenAI: webtext.{train,valid,test}.jsonl (human) and "
    "xl-1542M.{train,valid,test}.jsonl (machine), `text` in each"
)


def _written_by(writer: str, record: Record) -> TextExample:
    inputs = f"gpt2_deepfake text: {' '.join(record['text'].split())}"
    return {"inputs": inputs, "targets": writer}


def _texts_of(writer: str, model: str) -> RecordSource:
    parts = {"train": "train", "validation": "valid", "test": "test"}
    return RecordSource(
        {
            split: f"exmix/gpt2_deepfake/{model}.{part}.jsonl"
            for split, part in parts.items()
        },
        functools.partial(_written_by, writer),
        _DEEPFAKE,
    )


def _alternating(split: str) -> Sequence[TextExample]:
    """Human and machine by turns: SeqIO shuffles within a window only."""
    human, machine = (source.examples(split) for source in _WRITERS)
    return [each for pair in zip(human, machine, strict=False) for each in pair]


_WRITERS = (_texts_of("human", "webtext"), _texts_of("machine", "xl-1542M"))

register_row(
    "gpt2_deepfake",
    PairSource(_alternating),
    family=FAMILY,
    origin="JSONL of gpt-2-output-dataset",
    licence="MIT",
    metrics=ACCURACY.functions,
    metric_names=ACCURACY.names,
    postprocess=class_id(("human", "machine")),
    verified="layout",
)
