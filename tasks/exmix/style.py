"""Style transfer rows, from files the user brings.

`$MTMOE_DATA/exmix/NAME/{train,validation,test}.jsonl`, a JSON object a line:

    styleptb_1 ... styleptb_4   transfer, source, target
    shakespeare_*               original, modern (the same files serve both)

StylePTB's single transfers (Lyu et al. 2021) come as a folder a transfer, named by
three letters, with tab-separated source and target; `transfer` says in words which it
is, e.g. `to future tense` for TFU. Which transfers a row has:

    styleptb_1  TFU to future tense, TPA to past tense, TPR to present tense
    styleptb_2  ATP active to passive, PTA passive to active
    styleptb_3  PFB front to back, PBF back to front (of prepositional phrases)
    styleptb_4  the compositional datasets, e.g. `tense + voice`; the numbers before a
                source sentence, which say what is asked for, stay there
"""

from __future__ import annotations

import functools

from mtmoe.data.metrics.generation import bleu
from mtmoe.data.sources.files import Record
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.user_files import user_files

_SPLITS = ("train", "validation", "test")


def style_transfer(record: Record) -> dict[str, str]:
    """Makes the example of a sentence of StylePTB.

    Args:
      record: `transfer`, `source` and `target`.
    """
    transfer, source = _text(record, "transfer"), _text(record, "source")
    return {
        "inputs": f"styleptb {transfer}: {source}",
        "targets": _text(record, "target"),
    }


def shakespeare(record: Record, source: str, target: str) -> dict[str, str]:
    """Makes the example of a line of Shakespeare, in either direction.

    Args:
      record: `original` and `modern`.
      source: which of them is given.
      target: which is asked for.
    """
    return {
        "inputs": f"shakespeare {source} to {target}: {_text(record, source)}",
        "targets": _text(record, target),
    }


def _text(record: Record, key: str) -> str:
    text = " ".join(record[key].split())
    if not text:
        raise ValueError(f"{key} is empty")
    return text


for _number, _transfers in enumerate(("tense", "voice", "phrase order", "several"), 1):
    register_row(
        f"styleptb_{_number}",
        user_files(
            f"styleptb_{_number}",
            style_transfer,
            "lvyiwei1/StylePTB on GitHub, a JSON object a line with transfer (what "
            "changes, in words), source and target",
            splits=_SPLITS,
        ),
        family="generation",
        origin=f"JSONL of StylePTB: {_transfers}",
        licence="CC BY 4.0; sentences of the Penn Treebank",
        metrics=(bleu,),
        metric_names=("bleu",),
        verified="layout",
        note="Which of StylePTB's transfers the row has is a guess.",
    )

for _source, _target in (("modern", "original"), ("original", "modern")):
    register_row(
        f"shakespeare_{_source}_to_{_target}",
        user_files(
            "shakespeare",
            functools.partial(shakespeare, source=_source, target=_target),
            "harsh19/Shakespearizing-Modern-English on GitHub, the aligned lines of "
            "SPLIT.original.nltktok and SPLIT.modern.nltktok, a JSON object a line "
            "with original and modern",
            splits=_SPLITS,
        ),
        family="generation",
        origin="JSONL of Shakespearizing-Modern-English",
        licence="unknown (modern lines of SparkNotes)",
        metrics=(bleu,),
        metric_names=("bleu",),
        verified="layout",
    )
