"""Summarisation rows: `summarize: TEXT` to its summary, as t5's own tasks write it.

All are read through TensorFlow Datasets. Records whose text or summary is blank are
left out. xsum, samsum, newsroom and wikihow need files in TFDS's `manual_dir`, which
TFDS asks for by name.
"""

from __future__ import annotations

import functools

import seqio
from t5.data import preprocessors as t5_preprocessors

from mtmoe.data.metrics.generation import ROUGE_KEYS, rouge
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.text_steps import drop_blank

_LONG = "Most texts are longer than 512 tokens and are cut."
_LONG_TARGETS = f"{_LONG} So are many summaries."


def _register(
    name: str,
    builder: str,
    text: str,
    summary: str,
    licence: str,
    splits: tuple[str, ...] = ("train", "validation", "test"),
    note: str = "",
) -> None:
    """Registers a row whose builder has these two features."""
    register_row(
        name,
        seqio.TfdsDataSource(builder, splits=splits),
        family="summarization",
        origin=f"TFDS {builder.replace(':', ' ')}",
        licence=licence,
        preprocessors=(
            functools.partial(drop_blank, keys=(text, summary)),
            functools.partial(
                t5_preprocessors.summarize, article_key=text, summary_key=summary
            ),
        ),
        metrics=(rouge,),
        metric_names=ROUGE_KEYS,
        note=note,
    )


_register(
    "gem_wiki_lingua_english_en",
    "gem/wiki_lingua_english_en:1.1.0",
    "source",
    "target",
    "CC BY-NC-SA 3.0",
)
_register(
    "cnn_dailymail",
    "cnn_dailymail:3.4.0",
    "article",
    "highlights",
    "unknown (news of CNN and the Daily Mail)",
    note="Most articles are longer than 512 tokens and are cut.",
)
_register(
    "xsum",
    "xsum:1.1.0",
    "document",
    "summary",
    "unknown (news of the BBC)",
    note="TFDS needs xsum-extracts-from-downloads.tar.gz in its manual_dir.",
)
_register(
    "multi_news",
    "multi_news:2.1.0",
    "document",
    "summary",
    "non-commercial research and education",
    note=f"Articles on one event, between |||||. {_LONG}",
)
_register("aeslc", "aeslc:1.0.0", "email_body", "subject_line", "unknown (Enron)")
_register(
    "gigaword",
    "gigaword:1.2.0",
    "document",
    "summary",
    "unknown (news licensed by the LDC)",
)
_register(
    "samsum",
    "samsum:1.0.0",
    "dialogue",
    "summary",
    "CC BY-NC-ND 4.0",
    note="TFDS needs train.json, val.json and test.json in its manual_dir.",
)
_register(
    "reddit_tifu",
    "reddit_tifu/short:1.1.2",
    "documents",
    "title",
    "unknown (posts on Reddit)",
    splits=("train",),
    note="The builder has no held-out split.",
)
_register(
    "billsum",
    "billsum:3.0.0",
    "text",
    "summary",
    "CC0",
    splits=("train", "test", "ca_test"),
    note=_LONG,
)
_register(
    "reddit_tifu_long",
    "reddit_tifu/long:1.1.2",
    "documents",
    "tldr",
    "unknown (posts on Reddit)",
    splits=("train",),
    note="The builder has no held-out split.",
)
_register(
    "gem_xsum", "gem/xsum:1.1.0", "document", "target", "CC BY-SA 4.0 (news of the BBC)"
)
_register(
    "newsroom",
    "newsroom:1.0.0",
    "text",
    "summary",
    "research only, after registration",
    note="TFDS needs train.jsonl, dev.jsonl and test.jsonl in its manual_dir.",
)
_register(
    "wikihow",
    "wikihow/all:1.2.0",
    "text",
    "headline",
    "CC BY-NC-SA 3.0",
    note="TFDS needs wikihowAll.csv and wikihowSep.csv in its manual_dir.",
)
_register(
    "big_patent",
    "big_patent/all:2.1.2",
    "description",
    "abstract",
    "CC BY 4.0",
    note=f"Preparing it needs Apache Beam. {_LONG}",
)
_register(
    "gov_report",
    "gov_report/crs_whitespace:1.0.0",
    "reports",
    "summary",
    "unknown (reports to the US Congress)",
    note=f"Reports of the Congressional Research Service alone. {_LONG_TARGETS}",
)
_register(
    "summscreen_fd",
    "summscreen/fd:1.0.0",
    "transcript",
    "recap",
    "unknown (television transcripts)",
    note=_LONG,
)
_register(
    "arxiv_sum",
    "scientific_papers/arxiv:1.1.1",
    "article",
    "abstract",
    "unknown",
    note=_LONG,
)
_register(
    "pubmed_sum",
    "scientific_papers/pubmed:1.1.1",
    "article",
    "abstract",
    "unknown",
    note=_LONG,
)
