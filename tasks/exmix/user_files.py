"""Rows without a builder: JSON lines the user brings, at one place for every task."""

from __future__ import annotations

from collections.abc import Sequence

from mtmoe.data.sources.records import MakeExamples, RecordSource


def user_files(
    name: str,
    make_examples: MakeExamples,
    how_to_get: str,
    splits: Sequence[str] = ("train", "validation"),
) -> RecordSource:
    """Returns the source over `$MTMOE_DATA/exmix/NAME/SPLIT.jsonl`.

    Args:
      name: the row's name.
      make_examples: makes examples of a record, see `RecordSource`.
      how_to_get: where the data comes from and which fields a record has.
      splits: names of the splits, which are the files' names.
    """
    return RecordSource(
        {split: f"exmix/{name}/{split}.jsonl" for split in splits},
        make_examples,
        how_to_get,
    )
