"""Translation and its retrieval, from TFDS: WMT, Tatoeba, BUCC.

    wmt13 ... wmt19, wmt_t2t        `wmt14.de.en`, `wmt14.en.de`: every pair, both ways
    tatoeba.<code>.en, .en.<code>   36 languages, the sentences of XTREME's retrieval
    bucc.<code>.en, .en.<code>       4 languages
    tatoeba.<code>, bucc.<code>     which of four English sentences is the translation

Translation has t5's form, `translate German to English: ...`. Retrieval among all
sentences, as XTREME has it, compares embeddings and cannot be asked for in a text; the
choice among four is its counterpart, with scores of its own.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import seqio
import tensorflow as tf
from t5.data import preprocessors as t5_preprocessors
from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.generation import bleu, bleu_in, chrf_plus_plus
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.languages import language
from mtmoe.tasks.multilingual.choice_records import LETTERS, first_letter
from mtmoe.tasks.multilingual.suites import Variant, variants

Preprocessor = Callable[[tf.data.Dataset], tf.data.Dataset]

# Builder without `_translate`, and its configs. WMT 2019 has no test data in TFDS.
WMT = {
    "wmt13": "cs-en de-en fr-en es-en ru-en",
    "wmt14": "cs-en de-en fr-en hi-en ru-en",
    "wmt15": "cs-en de-en fi-en fr-en ru-en",
    "wmt16": "cs-en de-en fi-en ro-en ru-en tr-en",
    "wmt17": "cs-en de-en fi-en lv-en ru-en tr-en zh-en",
    "wmt18": "cs-en de-en et-en fi-en ru-en tr-en zh-en",
    "wmt19": "cs-en de-en fi-en gu-en kk-en lt-en ru-en zh-en fr-de",
    "wmt_t2t": "de-en",
}
"""Pairs of languages by builder."""

TATOEBA = variants(
    "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru "
    "sw ta te th tl tr ur vi zh"
)
"""Languages of Tatoeba in XTREME."""

BUCC = variants("de fr ru zh")
"""Languages of BUCC 2018."""

_OPTIONS = 4
# More than any of these data sets has, so that one batch is all of it.
_ALL = 1 << 20


def translated(source: str, target: str, *, names: tuple[str, str]) -> Preprocessor:
    """Returns a preprocessor: translation from one feature of an example to another.

    Args:
      source: feature with the text.
      target: feature with its translation.
      names: English names of the two languages.
    """
    prompt = f"translate {names[0]} to {names[1]}: "

    def translation(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {
            "inputs": tf.strings.join([prompt, example[source]]),
            "targets": example[target],
        }

    return seqio.map_over_dataset(translation)


def one_of_four(suite: str) -> Preprocessor:
    """Returns a preprocessor: which of four English sentences translates this one?

    The other three are those of examples a quarter, a half and three quarters of the
    data further on; the right one stands in each place equally often.

    Args:
      suite: what the inputs begin with.
    """

    # Its loop is Python's, over the letters.
    @tf.autograph.experimental.do_not_convert
    def choices(examples: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        english = examples["target_sentence"]
        count = tf.size(english)
        with tf.control_dependencies(
            [tf.debugging.assert_greater_equal(count, _OPTIONS, "too few examples")]
        ):
            step = count // _OPTIONS
        candidates = tf.stack(
            [tf.roll(english, -i * step, axis=0) for i in range(_OPTIONS)], axis=1
        )
        place = tf.range(count) % _OPTIONS
        order = (tf.range(_OPTIONS)[tf.newaxis] - place[:, tf.newaxis]) % _OPTIONS
        options = tf.gather(candidates, order, batch_dims=1)
        written: list[tf.Tensor] = []
        for i in range(_OPTIONS):
            written += [f" ({LETTERS[i]}) ", options[:, i]]
        return {
            "inputs": tf.strings.join(
                [f"{suite}: sentence: ", examples["source_sentence"], " options:"]
                + written
            ),
            "targets": tf.gather(tf.constant(list(LETTERS)), place),
        }

    def preprocessor(dataset: tf.data.Dataset) -> tf.data.Dataset:
        return dataset.batch(_ALL).map(choices).unbatch()

    return preprocessor


def _wmt_splits(builder: str) -> Sequence[str]:
    splits = ("train", "validation", "test")
    return splits[:2] if builder == "wmt19" else splits


def _register_wmt(builder: str, config: str, source: str, target: str) -> str:
    beside_english = target if source == "en" else source
    return register_task(
        f"{builder}.{source}.{target}",
        seqio.TfdsDataSource(
            tfds_name=f"{builder}_translate/{config}:1.0.0",
            splits={split: split for split in _wmt_splits(builder)},
        ),
        TaskCard(
            family="translation",
            language=beside_english if "en" in (source, target) else "",
            metrics=(bleu_in(target).__name__, "chrf++"),
            origin=f"TFDS {builder}_translate/{config} 1.0.0",
            licence="that of each corpus",
            labels="gold",
            verified="mocked",
        ),
        preprocessors=[
            functools.partial(
                t5_preprocessors.translate,
                source_language=source,
                target_language=target,
            )
        ],
        metrics=[bleu_in(target), chrf_plus_plus],
    )


def _register_parallel(
    suite: str, variant: Variant, splits: dict[str, str], licence: str, note: str
) -> list[str]:
    """Registers translation both ways and the choice among four."""
    tfds_name = f"{suite}/{suite}_{variant.own}:1.0.0"
    source = seqio.TfdsDataSource(tfds_name=tfds_name, splits=splits)
    card = TaskCard(
        family="translation",
        language=variant.language,
        metrics=("bleu", "chrf++"),
        origin=f"TFDS {tfds_name.replace(':', ' ')}",
        licence=licence,
        labels="gold",
        verified="mocked",
        note=note,
    )
    features = ("source_sentence", "target_sentence")
    names = (language(variant.language).name, "English")
    into = bleu_in(variant.language)
    return [
        register_task(
            f"{suite}.{variant.name}.en",
            source,
            card,
            preprocessors=[translated(*features, names=names)],
            metrics=[bleu, chrf_plus_plus],
        ),
        register_task(
            f"{suite}.en.{variant.name}",
            source,
            dataclasses.replace(card, metrics=(into.__name__, "chrf++")),
            preprocessors=[translated(*features[::-1], names=names[::-1])],
            metrics=[into, chrf_plus_plus],
        ),
        register_task(
            f"{suite}.{variant.name}",
            source,
            dataclasses.replace(card, metrics=("accuracy",)),
            preprocessors=[one_of_four(suite)],
            postprocess=first_letter,
            metrics=[t5_metrics.accuracy],
        ),
    ]


for _builder, _configs in WMT.items():
    for _config in _configs.split():
        _source, _target = _config.split("-")
        _register_wmt(_builder, _config, _source, _target)
        _register_wmt(_builder, _config, _target, _source)

for _variant in TATOEBA:
    _register_parallel(
        "tatoeba",
        _variant,
        {"test": "train"},
        "CC-BY-2.0-FR",
        "At most 1,000 sentences (Artetxe and Schwenk 2019). TFDS calls them train; "
        "XTREME tests on them.",
    )

for _variant in BUCC:
    _register_parallel(
        "bucc",
        _variant,
        {"validation": "validation", "test": "test"},
        "not known",
        "Zweigenbaum et al. 2018. TFDS has the pairs to be found and not the sentences "
        "around them: mining cannot be scored.",
    )
