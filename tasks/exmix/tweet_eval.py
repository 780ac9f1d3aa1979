"""TweetEval's rows (Barbieri et al. 2020): one label a tweet.

The user brings `$MTMOE_DATA/exmix/<row>/{train,validation}.jsonl` with the published
fields `text` and `label` (class id, or the label word); the two stance rows also need
`target`, the topic the stance is about, which TweetEval tells by the subset's name.

Which halves of the stance data ExMix meant by its two rows is not known. Here `a` is
SemEval-2016 task 6 A (abortion, atheism, climate, feminism, Hillary Clinton: the five
subsets of TweetEval together) and `b` is task 6 B (Donald Trump).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from t5.data import postprocessors as t5_postprocessors

from mtmoe.data.metrics.classification import (
    f1_of,
    macro_f1,
    macro_recall,
    stance_f1,
)
from mtmoe.data.sources.files import Record
from mtmoe.data.sources.pairs import TextExample
from mtmoe.tasks.exmix.forms import Scores, label_of_record
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.user_files import user_files

EMOJI = tuple(
    (
        "red heart|smiling face with hearteyes|face with tears of joy|two hearts|fire|"
        "smiling face with smiling eyes|smiling face with sunglasses|sparkles|"
        "blue heart|face blowing a kiss|camera|united states|sun|purple heart|"
        "winking face|hundred points|beaming face with smiling eyes|christmas tree|"
        "camera with flash|winking face with tongue"
    ).split("|")
)
"""The twenty emoji by class id, as TweetEval's mapping names them."""

STANCES = ("none", "against", "favor")
"""Stances by class id."""

_MACRO_F1 = Scores((macro_f1,), ("macro_f1",))
_STANCE_F1 = Scores((stance_f1,), ("stance_f1",))

# row | labels by class id | metric
_TASKS: tuple[tuple[str, tuple[str, ...], Scores], ...] = (
    ("tweet_eval_emoji", EMOJI, _MACRO_F1),
    ("tweet_eval_emotion", ("anger", "joy", "optimism", "sadness"), _MACRO_F1),
    ("tweet_eval_hate", ("not hate", "hate"), _MACRO_F1),
    (
        "tweet_eval_irony",
        ("not irony", "irony"),
        Scores((f1_of("irony"),), ("f1_irony",)),
    ),
    ("tweet_eval_offensive", ("not offensive", "offensive"), _MACRO_F1),
    (
        "tweet_eval_sentiment",
        ("negative", "neutral", "positive"),
        Scores((macro_recall,), ("macro_recall",)),
    ),
    ("tweet_eval_stance_a", STANCES, _STANCE_F1),
    ("tweet_eval_stance_b", STANCES, _STANCE_F1),
)

_SOURCES = {
    "tweet_eval_stance_a": "TweetEval: the five stance subsets together, with `target`",
    "tweet_eval_stance_b": "SemEval-2016 task 6 B, with `target`",
}


def _tweet(name: str, labels: Sequence[str], record: Record) -> TextExample:
    about = f" target: {record['target']}" if name in _SOURCES else ""
    return {
        "inputs": f"{name}{about} text: {' '.join(record['text'].split())}",
        "targets": label_of_record(labels, record["label"]),
    }


def _register(name: str, labels: tuple[str, ...], scores: Scores) -> str:
    subset = name.removeprefix("tweet_eval_")
    origin = _SOURCES.get(name, f"TweetEval: {subset}")
    make: Callable[[Record], TextExample] = functools.partial(_tweet, name, labels)
    return register_row(
        name,
        user_files(name, make, f"{origin}: `text`, `label` (class id) in each record"),
        family="classification",
        origin=f"JSONL of {origin}",
        licence="unknown (tweets: X's terms)",
        metrics=scores.functions,
        metric_names=scores.names,
        postprocess=t5_postprocessors.lower_text,
        verified="layout",
    )


for _name, _labels, _scores in _TASKS:
    _register(_name, _labels, _scores)
