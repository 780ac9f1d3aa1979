"""Reads a task's own data set; if it is absent, in whatever way, with a clear error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import seqio

from mtmoe.data.task_card import task_card
from mtmoe.data.vocabularies import vocabulary_behind
from mtmoe.errors import CorpusError, MtmoeError


@contextlib.contextmanager
def reading(task: seqio.Task, split: str) -> Iterator[None]:
    """Surrounds the use of a task's data set.

    Anything may go wrong when a source is opened: no network, no disk, a package that
    is missing. If it is the source that fails, a CorpusError says so; a mistake in the
    task's own steps is raised as it is.

    Args:
      task: whose data set is used.
      split: the split that is read.

    Raises:
      CorpusError: the source cannot be opened.
      ConfigError: a vocabulary cannot be used.
    """
    for feature in task.output_features.values():
        vocabulary_behind(feature.vocabulary)  # in a graph its error would be lost
    try:
        yield
    except MtmoeError:
        raise
    except Exception as error:
        if not _raised_in(task.source, error):
            raise
        lines = str(error).strip().splitlines() or [""]
        raise CorpusError(
            f"the data of task {task.name!r}, split {split!r}, cannot be read "
            f"({task_card(task).origin}): {type(error).__name__}: {lines[0][:200]}"
            + _advice(task)
        ) from error


def examples_in_order(
    task: seqio.Task, split: str, lengths: Mapping[str, int] | None, trim: bool = True
) -> Iterator[Mapping[str, Any]]:
    """Yields a pass over what a task's own preprocessors make of its source.

    Args:
      task: any task.
      split: one of its splits.
      lengths: sequence lengths by feature, as SeqIO takes them.
      trim: whether features are cut to them at the end.

    Yields:
      The features of an example, as numpy arrays; the same ones each time.

    Raises:
      CorpusError: the source cannot be opened.
    """
    with reading(task, split):
        dataset = task.get_dataset(
            sequence_length=None if lengths is None else dict(lengths),
            split=split,
            use_cached=False,
            shuffle=False,
            seed=0,
            num_epochs=1,
            trim_output_features=trim,
            try_in_mem_cache=False,
        )
        yield from dataset.as_numpy_iterator()


def _raised_in(source: seqio.DataSource, error: Exception) -> bool:
    """Returns whether a method of the source was running when the error was raised."""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_locals.get("self") is source:
            return True
        traceback = traceback.tb_next
    return False


def _advice(task: seqio.Task) -> str:
    if not task_card(task).origin.startswith("TFDS"):
        return ""
    return (
        "; TensorFlow Datasets downloads it where there is a network "
        "(tfds build NAME), and $TFDS_DATA_DIR names the folder"
    )
