"""Whether a model folder's run has the config that is about to be run."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from mtmoe.config.load import CONFIG_NAME, Config, resolved_bindings
from mtmoe.config.registry import runs_after_training
from mtmoe.errors import CheckpointError


def check_same_run(
    model_dir: Path, config: Config, changeable: Collection[str]
) -> None:
    """Checks that a config is the one a model folder was trained with, if it was.

    Args:
      model_dir: the folder, which is only read.
      config: the config about to be run.
      changeable: bindings that may differ, "configurable.parameter".

    Raises:
      CheckpointError: another binding differs; the message has both values of each.
    """
    path = model_dir / CONFIG_NAME
    if not path.is_file():
        return
    there = resolved_bindings(path.read_text(encoding="utf-8"), str(path))
    absent = "(not set)"

    def is_free(key: str) -> bool:
        name = key.rpartition("/")[2]
        return name in changeable or runs_after_training(name.rpartition(".")[0])

    differing = [
        f"{key} = {there.get(key, absent)} there, "
        f"{config.bindings.get(key, absent)} here"
        for key in sorted(there.keys() | config.bindings.keys())
        if there.get(key) != config.bindings.get(key) and not is_free(key)
    ]
    if differing:
        raise CheckpointError(
            f"{model_dir} holds a run of another config. It differs in:\n  "
            + "\n  ".join(differing)
            + "\nTake another --model_dir, or the same config to go on."
        )
