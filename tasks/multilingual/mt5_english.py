"""The English tasks of the mT5 code base: GLUE, SuperGLUE, CNN/DailyMail, GEM-XSum.

Most are tasks of the ExMix-style set with the same text, here under upstream's names:

    mt5_glue_<config>_v002, mt5_super_glue_<config>_v102
    mt5_cnn_dailymail_v002, mt5_gem_xsum

What that set lacks is registered here, with those names as aliases:

    glue.mnli_matched, glue.mnli_mismatched, glue.wnli, glue.ax
    super_glue.axb, super_glue.axg, super_glue.wsc_train, super_glue.wsc_eval
    super_glue.dpr                   Definite Pronoun Resolution, trained with WSC
    glue.proportional                mt5_glue_v002_proportional
    super_glue.proportional          mt5_super_glue_v102_proportional

`.ax`, `.axb` and `.axg` are diagnostic: a test split and, as upstream, no metric. The
versions are the latest that TFDS builds; upstream's glue is 1.0.0, cnn_dailymail 3.1.0,
gem/xsum 1.0.1. Importing reads no file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import seqio
import tensorflow as tf
from t5.data import glue_utils
from t5.data import postprocessors as t5_postprocessors
from t5.data import preprocessors as t5_preprocessors
from t5.evaluation import metrics as t5_metrics

import mtmoe.tasks.exmix.classification
import mtmoe.tasks.exmix.commonsense
import mtmoe.tasks.exmix.nli
import mtmoe.tasks.exmix.paraphrase
import mtmoe.tasks.exmix.reading_comprehension
import mtmoe.tasks.exmix.summarization  # noqa: F401
from mtmoe.data.mixing.mixtures import register_weighted_mixture
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_alias
from mtmoe.tasks.multilingual.mt5_names import register_mt5_task

EXMIX = {
    **{
        f"mt5_glue_{name}_v002": f"exmix.glue_{name}"
        for name in ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte")
    },
    **{
        f"mt5_super_glue_{name}_v102": f"exmix.super_glue_{name}"
        for name in ("boolq", "cb", "copa", "multirc", "record", "rte", "wic")
    },
    "mt5_cnn_dailymail_v002": "exmix.cnn_dailymail",
    "mt5_gem_xsum": "extra.gem_xsum",
}
"""Tasks of the ExMix-style set by upstream's name."""

_THREE = ("entailment", "neutral", "contradiction")
_TWO = ("entailment", "not_entailment")
_HELD_OUT = ("validation", "test")


@dataclass(frozen=True)
class _Glue:
    """A task of t5's `glue` text.

    Attributes:
      name: ours.
      upstream: its name in the mT5 code base.
      builder: TFDS builder, config and version.
      benchmark: first word of the inputs.
      labels: label words by class id.
      splits: splits of the builder.
      rekey: names of the builder's features by those of the text, if they differ.
      train_examples: for the card.
    """

    name: str
    upstream: str
    builder: str
    benchmark: str
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    rekey: Mapping[str, str] | None = None
    train_examples: int | None = None

    @property
    def metrics(self) -> tuple[Callable[..., dict[str, float]], ...]:
        """Accuracy, but none of a diagnostic task."""
        return () if self.splits == ("test",) else (t5_metrics.accuracy,)


_SENTENCES = {
    "premise": "sentence1",
    "hypothesis": "sentence2",
    "label": "label",
    "idx": "idx",
}
_GLUE = (
    _Glue(
        "glue.mnli_matched",
        "mt5_glue_mnli_matched_v002",
        "glue/mnli_matched:2.0.0",
        "mnli",
        _THREE,
        _HELD_OUT,
    ),
    _Glue(
        "glue.mnli_mismatched",
        "mt5_glue_mnli_mismatched_v002",
        "glue/mnli_mismatched:2.0.0",
        "mnli",
        _THREE,
        _HELD_OUT,
    ),
    _Glue(
        "glue.wnli",
        "mt5_glue_wnli_v002",
        "glue/wnli:2.0.0",
        "wnli",
        ("not_entailment", "entailment"),
        ("train", "validation", "test"),
        train_examples=635,
    ),
    _Glue("glue.ax", "mt5_glue_ax_v002", "glue/ax:2.0.0", "mnli", _THREE, ("test",)),
    _Glue(
        "super_glue.axb",
        "mt5_super_glue_axb_v102",
        "super_glue/axb:1.0.2",
        "rte",
        _TWO,
        ("test",),
        rekey=_SENTENCES,
    ),
    _Glue(
        "super_glue.axg",
        "mt5_super_glue_axg_v102",
        "super_glue/axg:1.0.2",
        "rte",
        _TWO,
        ("test",),
    ),
)


def _card(
    family: str, builder: str, metrics: Sequence[Any], train_examples: int | None
) -> TaskCard:
    return TaskCard(
        family=family,
        language="en",
        metrics=("accuracy",) if metrics else (),
        origin=f"TFDS {builder}",
        licence="that of the benchmark's part, see the builder",
        labels="gold",
        train_examples=train_examples,
        verified="mocked",
        note="Answers of test splits are hidden or not scored." if metrics else "",
    )


def _register_glue(task: _Glue) -> str:
    text = functools.partial(
        t5_preprocessors.glue,
        benchmark_name=task.benchmark,
        label_names=list(task.labels),
    )
    rekey = functools.partial(seqio.preprocessors.rekey, key_map=task.rekey)
    return register_mt5_task(
        task.name,
        task.upstream,
        seqio.TfdsDataSource(task.builder, splits=task.splits),
        _card("nli", task.builder, task.metrics, task.train_examples),
        preprocessors=[rekey, text] if task.rekey else [text],
        postprocess=functools.partial(
            t5_postprocessors.string_label_to_class_id, label_classes=task.labels
        ),
        metrics=task.metrics,
    )


def candidates(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Makes t5's inputs of WSC, to be judged: does the pronoun mean the candidate?

    The candidate stays as `candidate`. It is the target where it is right. Where it is
    not, no right answer is known: `<unk>` (upstream has the wrong one there too).
    """

    def judged(x: Any) -> dict[str, tf.Tensor]:
        right = tf.equal(x["label"], 1)
        targets = tf.where(right, x["targets"], "<unk>")
        return {**x, "candidate": x["targets"], "targets": targets}

    return t5_preprocessors.wsc_simple(dataset).map(judged)


def candidate_is_meant(
    text: str, example: Mapping[str, Any] | None = None, is_target: bool = False
) -> int:
    """Postprocessor: 1 if a text names the candidate, else 0; of a target, its label.

    Raises:
      ValueError: there is no example to see the candidate of.
    """
    if example is None:
        raise ValueError("an example is needed, for its candidate")
    seen = {**example, "targets_pretokenized": example["candidate"]}
    return int(t5_postprocessors.wsc_simple(text, example=seen, is_target=is_target))


def _register_coreference(
    name: str,
    upstream: str,
    builder: str,
    splits: Sequence[str],
    text: Callable[..., tf.data.Dataset],
    train_examples: int | None = None,
    postprocess: Any = None,
) -> str:
    metrics = (t5_metrics.accuracy,)
    return register_mt5_task(
        f"super_glue.{name}",
        upstream,
        seqio.TfdsDataSource(builder, splits=splits),
        _card("other", builder, metrics, train_examples),
        preprocessors=[text],
        postprocess=postprocess,
        metrics=metrics,
    )


for _task in _GLUE:
    _register_glue(_task)
_register_coreference(
    "dpr",
    "mt5_dpr_v001_simple",
    "definite_pronoun_resolution:1.1.0",
    ("train", "test"),
    t5_preprocessors.definite_pronoun_resolution_simple,
    train_examples=1322,
)
_register_coreference(
    "wsc_train",
    "mt5_super_glue_wsc_v102_simple_train",
    "super_glue/wsc.fixed:1.0.2",
    ("train",),
    functools.partial(t5_preprocessors.wsc_simple, correct_referent_only=True),
    train_examples=259,
)
_register_coreference(
    "wsc_eval",
    "mt5_super_glue_wsc_v102_simple_eval",
    "super_glue/wsc.fixed:1.0.2",
    _HELD_OUT,
    candidates,
    postprocess=candidate_is_meant,
)

for _upstream, _name in EXMIX.items():
    register_alias(_upstream, _name)


def _proportional(name: str, upstream: str, weights: Mapping[str, float]) -> None:
    """Registers t5's mixture of examples-proportional weights."""
    members = {f"mt5_{task}": weight for task, weight in weights.items()}
    register_alias(upstream, register_weighted_mixture(name, members))


_proportional(
    "glue.proportional",
    "mt5_glue_v002_proportional",
    glue_utils.get_glue_weight_mapping(),
)
_proportional(
    "super_glue.proportional",
    "mt5_super_glue_v102_proportional",
    glue_utils.get_super_glue_weight_mapping(),
)
