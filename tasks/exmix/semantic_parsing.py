"""Semantic parsing rows: sentences to logical forms, queries and actions.

Files the user brings, `$MTMOE_DATA/exmix/NAME/SPLIT.jsonl`, a JSON object a line. The
published files are tab-separated without headings; the columns are, in order:

    dialoglue_top                utterance, tokenised utterance, parse
    funql_atis, _geo, _jobs      question, logical form
    cogs                         sentence, logical form, type

and the fields `utterance` and `parse`, `question` and `logical_form`, `sentence` and
`logical_form`. White space in targets is single spaces; exact match ignores it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import seqio

from mtmoe.data.metrics.qa import exact_match
from mtmoe.data.sources.files import Record
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.text_steps import drop_blank, text_pair
from mtmoe.tasks.exmix.user_files import user_files


def parse(record: Record, head: str, source: str, target: str) -> dict[str, str]:
    """Makes the example of a sentence and its logical form.

    Args:
      record: the two fields.
      head: what inputs begin with, up to the colon.
      source: name of the sentence's field.
      target: name of the logical form's field.

    Raises:
      ValueError: one of them is empty.
    """
    sentence, form = (" ".join(record[key].split()) for key in (source, target))
    if not sentence or not form:
        raise ValueError(f"{source} or {target} is empty")
    return {"inputs": f"{head}: {sentence}", "targets": form}


def _register_file(
    name: str,
    head: str,
    fields: tuple[str, str],
    where: str,
    licence: str,
    splits: Sequence[str] = ("train", "validation", "test"),
    note: str = "",
) -> None:
    """Registers a row of files with a sentence and its form."""
    source, target = fields
    register_row(
        name,
        user_files(
            name,
            functools.partial(parse, head=head, source=source, target=target),
            f"{where}, a JSON object a line with {source} and {target}",
            splits=splits,
        ),
        family="semantic_parsing",
        origin=f"JSONL of {where}",
        licence=licence,
        metrics=(exact_match,),
        metric_names=("exact_match",),
        verified="layout",
        note=note,
    )


def _register_builder(
    name: str,
    builder: str,
    head: tuple[str, str],
    fields: tuple[str, str],
    licence: str,
    splits: Sequence[str],
    note: str = "",
) -> None:
    """Registers a row of a TFDS builder with a sentence and its form."""
    source, target = fields
    dataset, label = head
    register_row(
        name,
        seqio.TfdsDataSource(builder, splits=splits),
        family="semantic_parsing",
        origin=f"TFDS {builder.replace(':', ' ')}",
        licence=licence,
        preprocessors=(
            functools.partial(drop_blank, keys=fields),
            functools.partial(
                text_pair, name=dataset, parts={label: source}, targets=target
            ),
        ),
        metrics=(exact_match,),
        metric_names=("exact_match",),
        note=note,
    )


_register_file(
    "dialoglue_top",
    "top utterance",
    ("utterance", "parse"),
    "train.tsv, eval.tsv and test.tsv of Facebook's TOP",
    "CC BY-SA",
)
_register_file(
    "funql_atis",
    "funql_atis question",
    ("question", "logical_form"),
    "data/atis/atis_funql_{train,dev,test}.tsv of JasperGuo/Unimer on GitHub",
    "unknown (ATIS is licensed by the LDC)",
)
_register_file(
    "funql_geo",
    "funql_geo question",
    ("question", "logical_form"),
    "data/geo/geo_funql_{train,test}.tsv of JasperGuo/Unimer on GitHub",
    "unknown",
    splits=("train", "test"),
)
_register_file(
    "funql_jobs",
    "funql_jobs question",
    ("question", "logical_form"),
    "data/job/job_funql_{train,test}_fixed.tsv of JasperGuo/Unimer on GitHub",
    "unknown",
    splits=("train", "test"),
)
_register_file(
    "cogs",
    "cogs sentence",
    ("sentence", "logical_form"),
    "data/{train,dev,test,gen}.tsv of najoungkim/COGS on GitHub",
    "MIT",
    splits=("train", "validation", "test", "generalization"),
    note="`generalization` is gen.tsv, what the data set is about.",
)
_register_builder(
    "cfq",
    "cfq/random_split:1.2.0",
    ("cfq", "question"),
    ("question", "query"),
    "CC BY 4.0",
    ("train", "validation", "test"),
)
_register_builder(
    "scan",
    "scan/simple:1.1.1",
    ("scan", "commands"),
    ("commands", "actions"),
    "BSD",
    ("train", "test"),
)
_register_builder(
    "star_cfq",
    "star_cfq/single_pool_0.1x_cfq:1.1.0",
    ("star_cfq", "question"),
    ("question", "query"),
    "CC BY 4.0",
    ("train", "test"),
    note="The smallest of the builder's random splits, which it takes by default.",
)
