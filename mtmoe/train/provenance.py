"""What a run is made of: texts, vocabulary, mixture, versions, command."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from mtmoe.checkpoint.manifest import versions
from mtmoe.data.batches.training import TrainingBatches
from mtmoe.data.rows.cached import task_vocabulary
from mtmoe.data.sources.embedded.corpus import load_corpus
from mtmoe.data.tasks.registry import get_task, module_folders
from mtmoe.data.vocabulary.configured import vocabulary_fingerprint

PROVENANCE_NAME = "provenance.json"
FOLDER = "folder"
MODULE_FOLDERS = "module_folders"
_EMBEDDED = "embedded."
_BATCHES_VERSION = 2  # counts up when the same data and seed give other batches


@dataclasses.dataclass(frozen=True)
class DataRecord:
    """The data of a run.

    Attributes:
      sources: packages of the embedded corpus: name, version, sha256, number of
        languages, characters; empty if no task of the mixture reads it.
      vocabulary: fingerprint of the vocabulary.
      content: SHA-256 of the cached tokens of all tasks.
      tasks: by task: share of all examples, number of examples and tokens an epoch;
        None for a task that is read as it comes, whose size is not known.
      stages: of a staged mixture: first step, mixture and shares of each; else empty.
    """

    sources: tuple[Mapping[str, Any], ...]
    vocabulary: str
    content: str
    tasks: Mapping[str, Mapping[str, float | None]]
    stages: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, batches: TrainingBatches) -> DataRecord:
        """Describes what batches are made of."""
        names = batches.task_names
        embedded = any(name.startswith(_EMBEDDED) for name in names)
        sources = load_corpus().sources if embedded else ()
        return cls(
            sources=tuple(
                {
                    "name": source.name,
                    "version": source.version,
                    "sha256": source.sha256,
                    "languages": len(source.languages),
                    "characters": source.characters,
                }
                for source in sources
            ),
            vocabulary=vocabulary_fingerprint(task_vocabulary(get_task(names[0]))),
            content=batches.content,
            tasks={
                name: {
                    "share": batches.shares[name],
                    "num_examples": batches.num_rows[name],
                    "num_tokens": batches.num_tokens[name],
                }
                for name in names
            },
            stages=_stages(batches),
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all of it: equal data, equal batches."""
        facts = dataclasses.asdict(self) | {"batches": _BATCHES_VERSION}
        content = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def provenance_text(
    data: DataRecord,
    command: str,
    seed: int,
    parameters: int,
    shares: Mapping[str, float],
    epochs: Mapping[str, float | None],
) -> str:
    """Returns the content of `provenance.json`.

    `shares` and `epochs` are those of each task so far; None where its size is not
    known. The command is the one that started the run.
    """
    record = {
        "versions": versions(),
        "sources": list(data.sources),
        "vocabulary": data.vocabulary,
        "content": data.content,
        "command": command,
        "host": {"cores": os.cpu_count()},
        FOLDER: os.getcwd(),
        MODULE_FOLDERS: module_folders(),
        "seed": seed,
        "parameters": parameters,
        "mixture": {
            name: {**task, "share": shares[name], "epochs": epochs[name]}
            for name, task in data.tasks.items()
        },
    }
    if data.stages:
        record["stages"] = list(data.stages)
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def _stages(batches: TrainingBatches) -> tuple[Mapping[str, Any], ...]:
    if len(batches.stages) == 1:
        return ()
    return tuple(
        {**stage._asdict(), "shares": {name: x for name, x in shares.items() if x}}
        for stage, shares in zip(batches.stages, batches.stage_shares, strict=True)
    )
