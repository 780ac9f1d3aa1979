"""Which checkpoints of a model folder to evaluate: latest, best, all, or a step."""

from __future__ import annotations

import json
from pathlib import Path

from mtmoe.checkpoint import store
from mtmoe.errors import CheckpointError, UnknownNameError
from mtmoe.evaluate.records import EVALUATION_FILE
from mtmoe.files import finish_writing

CHOICES = ("latest", "best", "all")


def chosen_steps(model_dir: Path, choice: str, mixture: str) -> list[int]:
    """Returns the steps to evaluate, ascending.

    Args:
      model_dir: a model folder.
      choice: `latest`; `best`, which has the lowest mean bits per byte among those
        already evaluated on the mixture; `all`; or a step.
      mixture: what `best` was evaluated on.

    Raises:
      CheckpointError: there is no such checkpoint.
      UnknownNameError: the choice is none of these.
    """
    directory = model_dir / "checkpoints"
    there = store.steps(directory)
    if not there:
        raise CheckpointError(
            f"{model_dir} has no checkpoints; make one with: mtmoe train "
            f"--gin_file=FILE --model_dir={model_dir}"
        )
    if choice == "all":
        return there
    if choice == "best":
        return [_best_step(model_dir, there, mixture)]
    if choice == "latest":
        latest = store.latest(directory)
        assert latest is not None, "store.latest raises when every one is damaged"
        return [latest]
    if not choice.isdecimal():
        raise UnknownNameError(
            "checkpoint", choice, CHOICES, f"--checkpoint, or one of the steps {there}"
        )
    if int(choice) not in there:
        raise CheckpointError(
            f"{model_dir} has no checkpoint of step {choice}; it has {there}"
        )
    return [int(choice)]


def _best_step(model_dir: Path, there: list[int], mixture: str) -> int:
    scores = {}
    for step in there:
        directory = model_dir / "evaluation" / f"step_{step}"
        finish_writing(directory)
        path = directory / EVALUATION_FILE
        if path.is_file():
            evaluation = json.loads(path.read_text(encoding="utf-8"))
            if evaluation["mixture"] == mixture:
                scores[step] = evaluation["mean_bits_per_byte"]
    if not scores:
        raise CheckpointError(
            f"no checkpoint of {model_dir} has been evaluated on {mixture} yet; do "
            f"that with: mtmoe evaluate --model_dir={model_dir} --checkpoint=all"
        )
    return min(scores, key=lambda step: (scores[step], step))
