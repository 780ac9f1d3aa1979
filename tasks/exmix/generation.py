"""Generation rows: text from data, in simpler words, and questions.

    data       concepts, triples, meaning representations and tables to a text
    simpler    a sentence of Wikipedia to a simpler one
    questions  a passage to a question about it

GEM's rows carry all references to the metrics. GEM also reports METEOR, which needs
word lists that are not on every machine; it is not computed.

`newsquizqa` reads files: the published CSV has `url`, `question` and `answer`, and no
text; the user adds the article, or a summary of it, as `article`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import seqio
import tensorflow as tf

from mtmoe.data.metrics.generation import ROUGE_KEYS, bleu, rouge, sari
from mtmoe.data.sources.files import Record
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.tables import named_cells, totto_table, triples
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
_TEXT_METRICS = (bleu, rouge)
_TEXT_METRIC_NAMES = ("bleu", *ROUGE_KEYS)
_NO_TEST = "The test split is published without references and left out."


def _register(
    name: str,
    builder: str,
    head: str,
    data: Callable[[Features], tf.Tensor],
    licence: str,
    splits: Sequence[str] | Mapping[str, str] = _SPLITS,
    note: str = "",
) -> None:
    """Registers a row that puts data into words.

    Args:
      name: the row.
      builder: TFDS name and version.
      head: what inputs begin with, up to the colon.
      data: makes the data's text of an example.
      licence: licence of the data.
      splits: the builder's splits, or the builder's by ours.
      note: see `TaskCard`.
    """
    from_gem = builder.startswith("gem/")
    target = "target" if from_gem else "target_text"
    if from_gem:
        note = f"{note} METEOR is left out.".strip()
    register_row(
        name,
        seqio.TfdsDataSource(builder, splits=splits),
        family="generation",
        origin=f"TFDS {builder.replace(':', ' ')}",
        licence=licence,
        preprocessors=(
            functools.partial(drop_blank, keys=(target,)),
            functools.partial(_data_to_text, head=head, data=data, target=target),
        ),
        postprocess=reference_texts if from_gem else None,
        metrics=_TEXT_METRICS,
        metric_names=_TEXT_METRIC_NAMES,
        note=note,
    )


@per_example
def _data_to_text(
    example: Features, head: str, data: Callable[[Features], tf.Tensor], target: str
) -> dict[str, tf.Tensor]:
    made = {
        "inputs": tf.strings.join([f"{head}: ", one_line(data(example))]),
        "targets": one_line(example[target]),
    }
    if "references" in example:
        made["references"] = references(example)
    return made


def _joined(feature: str, separator: str) -> Callable[[Features], tf.Tensor]:
    def join(example: Features) -> tf.Tensor:
        return tf.strings.reduce_join(example[feature], separator=separator)

    return join


def _cells(example: Features) -> tf.Tensor:
    return named_cells(example["input_text"]["table"])


def _titled_cells(example: Features) -> tf.Tensor:
    title = one_line(example["input_text"]["context"])
    return tf.strings.join([title, _cells(example)], separator=" | ")


def _triples(example: Features) -> tf.Tensor:
    return triples(example["input_text"]["table"])


_register(
    "gem_common_gen",
    "gem/common_gen:1.1.0",
    "common_gen concepts",
    _joined("concepts", ", "),
    "MIT",
    splits=("train", "validation"),
    note=_NO_TEST,
)
_register(
    "gem_dart",
    "gem/dart:1.1.0",
    "dart triples",
    _joined("tripleset", " && "),
    "MIT",
    note="GEM joins the parts of a triple by spaces.",
)
_register(
    "gem_e2e_nlg",
    "gem/e2e_nlg:1.1.0",
    "e2e_nlg meaning",
    operator.itemgetter("meaning_representation"),
    "CC BY-SA 4.0",
)
_register(
    "gem_totto",
    "gem/totto:1.1.0",
    "totto",
    totto_table,
    "CC BY-SA 3.0",
    splits=("train", "validation"),
    note=_NO_TEST,
)
_register(
    "gem_web_nlg_en",
    "gem/web_nlg_en:1.1.0",
    "web_nlg triples",
    _joined("input", " && "),
    "CC BY-NC 4.0",
)
_register(
    "wiki_bio",
    "wiki_bio:0.1.0",
    "wiki_bio table",
    _titled_cells,
    "CC BY-SA 3.0",
    note="Text is tokenised and in lower case, as published.",
)
_register("e2e_cleaned", "e2e_cleaned:0.1.0", "e2e_nlg table", _cells, "CC BY-SA 4.0")
_register("dart_tfds", "dart:0.1.0", "dart triples", _triples, "MIT")
_register(
    "web_nlg_tfds",
    "web_nlg:0.1.0",
    "web_nlg triples",
    _triples,
    "CC BY-NC-SA 4.0",
    splits={
        "train": "train",
        "validation": "validation",
        "test": "test_all",
        "test_unseen": "test_unseen",
    },
)
_register(
    "wiki_table_text", "wiki_table_text:1.0.0", "wiki_table_text", _cells, "unknown"
)


def _register_simplification(
    name: str,
    builder: str,
    source: str,
    target: str,
    licence: str,
    splits: Sequence[str] | Mapping[str, str],
    note: str,
) -> None:
    """Registers a row of sentences and simpler ones."""
    register_row(
        name,
        seqio.TfdsDataSource(builder, splits=splits),
        family="generation",
        origin=f"TFDS {builder.replace(':', ' ')}",
        licence=licence,
        preprocessors=(
            functools.partial(drop_blank, keys=(source, target)),
            functools.partial(_simplification, source=source, target=target),
        ),
        postprocess=_source_and_references,
        metrics=(sari, _of_references(bleu), _of_references(rouge)),
        metric_names=("sari", *_TEXT_METRIC_NAMES),
        note=note,
    )


@per_example
def _simplification(
    example: Features, source: str, target: str
) -> dict[str, tf.Tensor]:
    alone = tf.expand_dims(example[target], 0)
    return {
        "inputs": labelled("simplify", {"text": example[source]}),
        "targets": one_line(example[target]),
        "source": one_line(example[source]),
        "references": references(example) if "references" in example else alone,
    }


def _source_and_references(
    text: str, example: Mapping[str, Any] | None = None, is_target: bool = False
) -> str | dict[str, Any]:
    if is_target and example is not None:
        return {
            "source": tf.compat.as_text(example["source"]),
            "references": reference_texts(text, example, is_target),
        }
    return text


def _of_references(
    metric: Callable[..., dict[str, float]],
) -> Callable[..., dict[str, float]]:
    """Lets a metric of references take targets that also have their source."""

    def of_references(
        targets: Sequence[Mapping[str, Any]], predictions: Sequence[str]
    ) -> dict[str, float]:
        return metric([target["references"] for target in targets], predictions)

    return functools.wraps(metric)(of_references)


_register_simplification(
    "gem_wiki_auto_asset_turk",
    "gem/wiki_auto_asset_turk:1.1.0",
    "source",
    "target",
    "CC BY-SA 3.0; ASSET CC BY-NC 4.0; TurkCorpus GPL 3.0",
    ("train", "validation", "test_asset", "test_turk"),
    "In the test splits, whose references differ, SARI of a reference is below 100. "
    "METEOR is left out.",
)
_register_simplification(
    "wiki_auto",
    "wiki_auto/auto_acl:1.0.0",
    "normal_sentence",
    "simple_sentence",
    "CC BY-SA 3.0",
    {"train": "full"},
    "The builder has no held-out split.",
)

register_row(
    "squad_qg",
    seqio.TfdsDataSource("squad_question_generation/split_du:3.0.0", splits=_SPLITS),
    family="generation",
    origin="TFDS squad_question_generation/split_du 3.0.0",
    licence="CC BY-SA 4.0",
    preprocessors=(
        functools.partial(drop_blank, keys=("question", "context_passage")),
        functools.partial(
            text_pair,
            name="squad_qg",
            parts={"answer": "answer", "context": "context_passage"},
            targets="question",
        ),
    ),
    metrics=_TEXT_METRICS,
    metric_names=_TEXT_METRIC_NAMES,
)


def quiz_question(record: Record) -> dict[str, str]:
    """Makes the example of one quiz question.

    Args:
      record: `article` (text), `question` and `answer`.

    Raises:
      ValueError: one of them is empty.
    """
    parts = [" ".join(record[key].split()) for key in ("article", "question", "answer")]
    if not all(parts):
        raise ValueError("article, question or answer is empty")
    article, question, answer = parts
    return {
        "inputs": f"newsquizqa article: {article}",
        "targets": f"question: {question} answer: {answer}",
    }


register_row(
    "newsquizqa",
    user_files(
        "newsquizqa",
        quiz_question,
        "news_quiz_qa-{train,dev,test}.csv of google-research-datasets/NewsQuizQA, a "
        "JSON object a line with url, question and answer, and added to each the text "
        "of the article at url, or a summary of it, as article",
        splits=_SPLITS,
    ),
    family="generation",
    origin="JSONL of NewsQuizQA and the articles it links to",
    licence="unknown",
    metrics=_TEXT_METRICS,
    metric_names=_TEXT_METRIC_NAMES,
    verified="layout",
    note="The published files have 11.6 of 20 thousand pairs, and no articles.",
)
