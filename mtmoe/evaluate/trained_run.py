"""A model folder made ready for use: its config in force, its vocabulary checked.

What a config names by a relative path (task modules, vocabulary files, caches, and what
a user's own code opens) means what it meant in the folder the model was trained in,
wherever the command is given that uses the model.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import seqio

from mtmoe.config.load import load_config
from mtmoe.data.rows.cached import task_vocabulary
from mtmoe.data.tasks.registry import register, tasks_of
from mtmoe.data.vocabulary.configured import vocabulary_fingerprint
from mtmoe.errors import CheckpointError, ConfigError
from mtmoe.train.provenance import FOLDER, MODULE_FOLDERS, PROVENANCE_NAME
from mtmoe.train.settings import TrainingRun

_PATH_VARIABLES = (
    "MTMOE_CACHE",
    "MTMOE_DATA",
    "MTMOE_NODE_MODULES",
    "MTMOE_WEB_TEXT",
    "TFDS_DATA_DIR",
)
"""Variables of the environment that name folders, relative to where they are set."""


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run as it was trained.

    Attributes:
      settings: what gin gave it.
      vocabulary: what it was trained with.
      folder: the folder it was trained in; None if that is not known or gone.
    """

    settings: TrainingRun
    vocabulary: seqio.Vocabulary
    folder: Path | None = None

    @contextlib.contextmanager
    def in_its_folder(self) -> Iterator[None]:
        """Makes the folder the run was trained in the current one for a while."""
        with _current_folder(self.folder):
            yield


def load_trained_run(model_dir: Path) -> TrainedRun:
    """Loads a model folder's config and registers its tasks.

    Raises:
      ConfigError: the config cannot be used as it stands, or a module of the user's is
        neither here nor where the model was trained.
      CheckpointError: the folder is absent or incomplete, or text is encoded otherwise
        now than when the model was trained: its tokens would mean other words.
    """
    model_dir = Path.cwd() / model_dir
    provenance = _provenance(model_dir)
    trained_in = provenance.get(FOLDER)
    folder = Path(trained_in) if trained_in and os.path.isdir(trained_in) else None
    _search_for_modules([trained_in, *provenance.get(MODULE_FOLDERS, ()), os.getcwd()])
    with _current_folder(folder):
        try:
            load_config(model_dir=model_dir, roots=["train"])
            settings = TrainingRun()  # type: ignore[call-arg]  # gin gives the arguments
            register()
        except ConfigError as error:
            if trained_in and folder is None:
                raise ConfigError(
                    f"{error}; the model was trained in {trained_in}, which is gone: "
                    "run the command in the folder that has its files now"
                ) from error
            raise
        vocabulary = task_vocabulary(tasks_of(settings.mixture)[0])
        now = vocabulary_fingerprint(vocabulary)
    path = model_dir / PROVENANCE_NAME
    if not provenance:
        raise CheckpointError(
            f"{path} is missing; train the model first: "
            f"mtmoe train --gin_file=FILE --model_dir={model_dir}"
        )
    if provenance["vocabulary"] != now:
        raise CheckpointError(
            f"{model_dir} was trained with another vocabulary than the config gives "
            f"here: {provenance['vocabulary'][:12]} then, {now[:12]} now. One fitted "
            "on the embedded corpus changes with the corpus packages; install those "
            f"listed in {path} (see: mtmoe doctor)"
        )
    return TrainedRun(settings, vocabulary, folder)


def _provenance(model_dir: Path) -> Mapping[str, Any]:
    """Returns provenance.json, empty if it is missing."""
    path = model_dir / PROVENANCE_NAME
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _search_for_modules(folders: list[str | None]) -> None:
    """Has modules looked for in folders too, in their order, after installed ones."""
    for folder in folders:
        if folder and os.path.isdir(folder) and folder not in sys.path:
            sys.path.append(folder)


@contextlib.contextmanager
def _current_folder(folder: Path | None) -> Iterator[None]:
    """Changes the current folder for a while; the environment's paths stay the same."""
    here = Path.cwd()
    if folder is None or folder == here:
        yield
        return
    relative = {
        name: value
        for name in _PATH_VARIABLES
        if (value := os.environ.get(name)) and "://" not in value
    }
    os.environ.update({name: str(here / value) for name, value in relative.items()})
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.update(relative)
