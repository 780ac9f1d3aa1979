"""Summaries in many languages: XL-Sum, WikiLingua, MLSum.

    xlsum.<code>                45 languages, from files: news and their first sentence
    gem_wikilingua.<code>       18 languages, from TFDS: instructions and their headings
    gem_wikilingua.<code>.en    17 languages: the same, summarised in English, as in GEM
    gem_mlsum.de, gem_mlsum.es  from TFDS: news

All have the form of t5's summaries, `summarize: ...`, and are scored by ROUGE over the
words of the summary's own script.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import seqio
import tensorflow as tf
from t5.data import preprocessors as t5_preprocessors

from mtmoe.data.metrics.generation import (
    multilingual_rouge,
    multilingual_rouge_keys,
)
from mtmoe.data.sources.files import Record
from mtmoe.data.sources.pairs import TextExample
from mtmoe.data.sources.records import RecordSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.tasks.multilingual.suites import (
    WHERE_CHECKED,
    Variant,
    how_to_get,
    text_field,
    variants,
)

XLSUM = variants(
    "amharic=am arabic=ar azerbaijani=az bengali=bn burmese=my chinese_simplified=zh "
    "chinese_traditional=zh english=en french=fr gujarati=gu hausa=ha hindi=hi igbo=ig "
    "indonesian=id japanese=ja kirundi=rn korean=ko kyrgyz=ky marathi=mr nepali=ne "
    "oromo=om pashto=ps persian=fa pidgin=pcm portuguese=pt punjabi=pa russian=ru "
    "scottish_gaelic=gd serbian_cyrillic=sr serbian_latin=sr sinhala=si somali=so "
    "spanish=es swahili=sw tamil=ta telugu=te thai=th tigrinya=ti turkish=tr "
    "ukrainian=uk urdu=ur uzbek=uz vietnamese=vi welsh=cy yoruba=yo"
)
"""Languages of XL-Sum."""

WIKILINGUA = variants(
    "arabic_ar=ar chinese_zh=zh czech_cs=cs dutch_nl=nl english_en=en french_fr=fr "
    "german_de=de hindi_hi=hi indonesian_id=id italian_it=it japanese_ja=ja "
    "korean_ko=ko portuguese_pt=pt russian_ru=ru spanish_es=es thai_th=th "
    "turkish_tr=tr vietnamese_vi=vi"
)
"""Languages of GEM's WikiLingua, by the end of the TFDS config's name."""

_SPLITS = ("train", "validation", "test")
_GEM = "1.1.0"


def article_and_summary(record: Record) -> TextExample:
    """Returns the text of a record of XL-Sum, which has `text` and `summary`."""
    return {
        "inputs": f"summarize: {text_field(record, 'text')}",
        "targets": text_field(record, "summary"),
    }


def within_language(code: str) -> Callable[[tf.data.Dataset], tf.data.Dataset]:
    """Returns a preprocessor: WikiLingua's article and summary in the same language.

    Args:
      code: key of the language in `source_aligned` and `target_aligned`.
    """

    def same_language(example: dict[str, Any]) -> dict[str, tf.Tensor]:
        article = example["source_aligned"][code]
        return {
            "inputs": tf.strings.join(["summarize: ", article]),
            "targets": example["target_aligned"][code],
        }

    return seqio.map_over_dataset(same_language)


def _register_xlsum(variant: Variant) -> str:
    stem = f"xlsum/{variant.own}"
    return register_task(
        f"xlsum.{variant.name}",
        RecordSource(
            {
                "train": f"{stem}_train.jsonl",
                "validation": f"{stem}_val.jsonl",
                "test": f"{stem}_test.jsonl",
            },
            article_and_summary,
            how_to_get(
                "xlsum",
                "csebuetnlp/xlsum",
                f"what data/{variant.own}_XLSum_v2.0.tar.bz2 holds",
                "text, summary",
            ),
        ),
        TaskCard(
            family="summarization",
            language=variant.language,
            metrics=multilingual_rouge_keys(variant.language),
            origin=f"hub csebuetnlp/xlsum 2.0, {variant.own}",
            licence="CC-BY-NC-SA-4.0",
            labels="gold",
            verified="layout",
            note=f"Hasan et al. 2021. {WHERE_CHECKED}",
        ),
        metrics=[multilingual_rouge(variant.language)],
    )


def _register_gem(
    name: str,
    config: str,
    language: str,
    summary_language: str,
    preprocessor: Callable[[tf.data.Dataset], tf.data.Dataset],
    licence: str,
    note: str,
) -> str:
    return register_task(
        name,
        seqio.TfdsDataSource(
            tfds_name=f"gem/{config}:{_GEM}", splits={split: split for split in _SPLITS}
        ),
        TaskCard(
            family="summarization",
            language=language,
            metrics=multilingual_rouge_keys(summary_language),
            origin=f"TFDS gem/{config} {_GEM}",
            licence=licence,
            labels="gold",
            verified="mocked",
            note=note,
        ),
        preprocessors=[preprocessor],
        metrics=[multilingual_rouge(summary_language)],
    )


def _summarize(article_key: str) -> Callable[[tf.data.Dataset], tf.data.Dataset]:
    def summarized(dataset: tf.data.Dataset) -> tf.data.Dataset:
        return t5_preprocessors.summarize(
            dataset, article_key=article_key, summary_key="target"
        )

    return summarized


for _variant in XLSUM:
    _register_xlsum(_variant)

for _variant in WIKILINGUA:
    _config, _licence = f"wiki_lingua_{_variant.own}", "CC-BY-NC-SA-3.0"
    _in_english = _summarize("source")
    _register_gem(
        f"gem_wikilingua.{_variant.name}",
        _config,
        _variant.language,
        _variant.language,
        _in_english
        if _variant.language == "en"
        else within_language(_variant.own.rpartition("_")[2]),
        _licence,
        "Ladhak et al. 2020. Article and summary in the same language.",
    )
    if _variant.language != "en":
        _register_gem(
            f"gem_wikilingua.{_variant.name}.en",
            _config,
            _variant.language,
            "en",
            _in_english,
            _licence,
            "Ladhak et al. 2020. Summaries in English, GEM's setting.",
        )

for _code in ("de", "es"):
    _register_gem(
        f"gem_mlsum.{_code}",
        f"mlsum_{_code}",
        _code,
        _code,
        _summarize("text"),
        "research only",
        "Scialom et al. 2020.",
    )
