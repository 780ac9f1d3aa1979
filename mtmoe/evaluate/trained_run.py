"""A model folder made ready for use: its config in force, its vocabulary checked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import seqio

from mtmoe.config.load import load_config
from mtmoe.data.registry import register, tasks_of
from mtmoe.data.task_rows import task_vocabulary
from mtmoe.data.vocabularies import vocabulary_fingerprint
from mtmoe.errors import CheckpointError
from mtmoe.train.settings import TrainingRun


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run as it was trained.

    Attributes:
      settings: what gin gave it.
      vocabulary: what it was trained with.
    """

    settings: TrainingRun
    vocabulary: seqio.Vocabulary


def load_trained_run(model_dir: Path) -> TrainedRun:
    """Loads a model folder's config and registers its tasks.

    Raises:
      ConfigError: the config cannot be used as it stands.
      CheckpointError: the folder is absent or incomplete, or text is encoded otherwise
        now than when the model was trained: its tokens would mean other words.
    """
    load_config(model_dir=model_dir, roots=["train"])
    settings = TrainingRun()  # type: ignore[call-arg]  # gin gives the arguments
    register()
    path = model_dir / "provenance.json"
    if not path.is_file():
        raise CheckpointError(
            f"{path} is missing; train the model first: "
            f"mtmoe train --gin_file=FILE --model_dir={model_dir}"
        )
    provenance = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = task_vocabulary(tasks_of(settings.mixture)[0])
    now = vocabulary_fingerprint(vocabulary)
    if provenance["vocabulary"] != now:
        raise CheckpointError(
            f"{model_dir} was trained with another vocabulary than the config gives "
            f"here: {provenance['vocabulary'][:12]} then, {now[:12]} now. One fitted "
            "on the embedded corpus changes with the corpus packages; install those "
            f"listed in {path} (see: mtmoe doctor)"
        )
    return TrainedRun(settings, vocabulary)
