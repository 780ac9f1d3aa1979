"""Reads what a report is made from out of a model folder.

Everything is text that `mtmoe train` and `mtmoe evaluate` wrote, no checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtmoe.errors import CheckpointError
from mtmoe.evaluate.records import (
    EVALUATION_FILE,
    EXPERTS_FILE,
    PER_LANGUAGE_FILE,
    ExpertRow,
    MetricRow,
    read_expert_rows,
    read_metric_rows,
)
from mtmoe.files import finish_writing
from mtmoe.report.wording import compact

SOURCE_HEADINGS = ("source", "version", "languages", "characters", "SHA-256")


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """The inputs of a report; all sequences ascend by step.

    Attributes:
      step: the evaluated training step.
      evaluated_steps: all steps with an evaluation.
      per_language_csv: the text of the evaluated per_language.csv, unchanged.
      training: the objects of metrics.jsonl, one a step.
      config: the operative gin configuration.
    """

    name: str
    step: int
    evaluated_steps: tuple[int, ...]
    metric_rows: tuple[MetricRow, ...]
    per_language_csv: str
    expert_rows: tuple[ExpertRow, ...]
    evaluation: Mapping[str, Any]
    training: tuple[Mapping[str, Any], ...]
    provenance: Mapping[str, Any]
    config: str

    def sources(self) -> list[tuple[str, ...]]:
        """Returns the text sources of the training, under `SOURCE_HEADINGS`."""
        return [
            (
                source["name"],
                source["version"],
                str(source["languages"]),
                compact(source["characters"]),
                source["sha256"],
            )
            for source in self.provenance["sources"]
        ]


def read_model_folder(model_dir: Path, evaluation: str = "") -> ModelFolder:
    """Reads a model folder, with the evaluation of its latest evaluated step.

    Args:
      model_dir: a model folder.
      evaluation: which of a step's evaluations: "" for that of the training mixture,
        else the folder below it, `text_dir/NAME`, `mixture/NAME` or `split/NAME`.

    Raises:
      CheckpointError: the folder or a file of it is absent or damaged; the message
        names the command that makes it.
    """
    if not model_dir.is_dir():
        raise CheckpointError(
            f"no model folder {str(model_dir)!r}; make one with: mtmoe train "
            f"--gin_file=runs/quickstart.gin --model_dir={model_dir}"
        )
    train = f"mtmoe train --gin_file=FILE --model_dir={model_dir}"
    evaluate = f"mtmoe evaluate --model_dir={model_dir}"
    steps = evaluated_steps(model_dir, evaluation)
    if not steps:
        raise CheckpointError(_no_evaluation(model_dir, evaluation, evaluate))
    folder = model_dir / "evaluation" / f"step_{steps[-1]}" / evaluation
    finish_writing(folder)
    per_language = _existing(folder / PER_LANGUAGE_FILE, evaluate)
    return ModelFolder(
        name=model_dir.resolve().name,
        step=steps[-1],
        evaluated_steps=steps,
        metric_rows=read_metric_rows(per_language),
        per_language_csv=per_language.read_bytes().decode("utf-8"),
        expert_rows=read_expert_rows(_existing(folder / EXPERTS_FILE, evaluate)),
        evaluation=_read_json(folder / EVALUATION_FILE, evaluate),
        training=_read_training(_existing(model_dir / "metrics.jsonl", train), train),
        provenance=_read_json(model_dir / "provenance.json", train),
        config=_existing(model_dir / "config.gin", train).read_text(encoding="utf-8"),
    )


def evaluated_steps(model_dir: Path, evaluation: str = "") -> tuple[int, ...]:
    """Returns the steps with a finished evaluation of a name, ascending."""
    found = []
    for path in (model_dir / "evaluation").glob("step_*"):
        match = re.fullmatch(r"step_(\d+)", path.name)
        if match and (path / evaluation / EVALUATION_FILE).is_file():
            found.append(int(match.group(1)))
    return tuple(sorted(found))


def other_evaluations(model_dir: Path) -> tuple[str, ...]:
    """Returns the names of all steps' other evaluations than the training mixture's."""
    finished = (model_dir / "evaluation").glob(f"step_*/*/**/{EVALUATION_FILE}")
    names = {
        path.parent.relative_to(model_dir / "evaluation").parts[1:] for path in finished
    }
    return tuple(sorted("/".join(name) for name in names))


def _no_evaluation(model_dir: Path, evaluation: str, command: str) -> str:
    what = f"no finished evaluation {evaluation}" if evaluation else "no finished one"
    there = other_evaluations(model_dir)
    if there:
        of_mixture = "" if evaluation else " of its training mixture"
        return (
            f"{model_dir} has {what}{of_mixture}; it has {', '.join(there)}: report "
            f"one of them with, for instance, --evaluation={there[0]}, or make the "
            f"other with: {command}"
        )
    return f"{model_dir} has no finished evaluation; make one with: {command}"


def _existing(path: Path, command: str) -> Path:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; make it with: {command}")
    return path


def _read_json(path: Path, command: str) -> dict[str, Any]:
    try:
        content = json.loads(_existing(path, command).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); make it again with: {command}"
        ) from error
    return dict(content)


def _read_training(path: Path, command: str) -> tuple[Mapping[str, Any], ...]:
    """Returns one object a step; of a step logged twice (a resumed run) the last."""
    by_step: dict[int, Mapping[str, Any]] = {}
    for i, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(text)
            by_step[int(record["step"])] = record
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path}:{i} is damaged ({error}); make it again with: {command}"
            ) from error
    if not by_step:
        raise CheckpointError(f"{path} is empty; make it with: {command}")
    return tuple(by_step[step] for step in sorted(by_step))
