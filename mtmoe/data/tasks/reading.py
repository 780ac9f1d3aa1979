"""Reads a task's own data set; what fails there, in whatever way, becomes one line."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import seqio

from mtmoe.data.ground.user_code import described, function_name, functions_in
from mtmoe.data.sources.joined import JoinedSource
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.sources.values import MadeExampleError
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.form import task_form
from mtmoe.data.vocabulary.configured import vocabulary_behind
from mtmoe.errors import CorpusError, MtmoeError, UserCodeError


@contextlib.contextmanager
def reading(task: seqio.Task, split: str) -> Iterator[None]:
    """Surrounds the reading of a split of a task's data set.

    Raises:
      ConfigError: a vocabulary cannot be used.
      CorpusError: the source cannot be opened, or gives what is no example.
      UserCodeError: a step of the task raised something.
    """
    for feature in task.output_features.values():
        vocabulary_behind(feature.vocabulary)  # in a graph its error would be lost
    with asking(task, split):
        yield


@contextlib.contextmanager
def asking(task: seqio.Task, split: str) -> Iterator[None]:
    """Surrounds a question about a split of a task's source that needs no vocabulary.

    Anything may go wrong when a source is opened: no network, no disk, a package that
    is missing; and anything in a task's own steps.

    Raises:
      CorpusError: the source cannot be opened, or gives what is no example.
      UserCodeError: a step of the task raised something.
    """
    try:
        yield
    except MadeExampleError as error:
        raise CorpusError(f"task {task.name!r}, {error}") from error
    except MtmoeError:
        raise
    except Exception as error:
        where = f"task {task.name!r}, split {split!r}"
        if not _raised_in(task.source, error) and is_pairs(task):
            check_features(task, split, task.source.examples(split))
        if not _raised_in(task.source, error):
            raise UserCodeError(
                f"{where}: {_failing_step(task, split, error)}: {described(error)}"
            ) from error
        origin = task_card(task).origin
        raise CorpusError(
            f"the data of {where}, cannot be read"
            + (f" ({origin})" if origin else "")
            + f": {described(error)}{_advice(task)}"
        ) from error


def num_left_out(source: seqio.DataSource, split: str) -> int:
    """Returns how many bad examples the last reading of a source left out."""
    if isinstance(source, JoinedSource):
        return sum(num_left_out(x.source, split) for x in source.parts_of(split))
    if isinstance(source, PairSource | TextSource):
        return source.num_left_out(split)
    return 0


def check_features(
    task: seqio.Task, split: str, examples: Sequence[Mapping[str, Any]]
) -> None:
    """Checks that examples of Python's have the texts that a task tokenises.

    The task's only step before the cache is tokenising. The first example stands for
    all, which have the same form.

    Raises:
      CorpusError: a feature is missing, or is a list of texts.
    """
    for example in examples[:1]:
        for name in task_form(task).features:
            where = f"task {task.name!r}, {task.source.place(split, 0)} of {split!r}"
            if name not in example:
                has = ", ".join(f'"{key}"' for key in example)
                raise CorpusError(f'{where}: there is no "{name}"; it has {has}')
            if not isinstance(example[name], str):
                raise CorpusError(f'{where}: "{name}" is a list; a text is wanted')


def is_pairs(task: seqio.Task) -> bool:
    """Whether a task tokenises the examples of a `PairSource` as they are."""
    return isinstance(task.source, PairSource) and task_form(task).offline == (
        seqio.preprocessors.tokenize,
    )


def examples_in_order(
    task: seqio.Task, split: str, lengths: Mapping[str, int] | None, trim: bool = True
) -> Iterator[Mapping[str, Any]]:
    """Yields a pass over what a task's own preprocessors make of a split of its source.

    Args:
      task: any task.
      split: one of its splits.
      lengths: sequence lengths by feature, as SeqIO takes them.
      trim: whether features are cut to them at the end.

    Yields:
      The features of an example, as numpy arrays; the same ones each time.

    Raises:
      CorpusError: the source cannot be opened, or a text is no UTF-8.
      UserCodeError: a step of the task raised something.
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
        for number, example in enumerate(dataset.as_numpy_iterator(), start=1):
            check_text(task, split, number, example)
            yield example


def check_text(
    task: seqio.Task, split: str, number: int, example: Mapping[str, Any]
) -> None:
    """Checks the texts that were tokenised: TensorFlow replaces what is no UTF-8.

    They are `inputs_pretokenized` and so on of an example, whose number is from 1.

    Raises:
      CorpusError: one is not UTF-8.
    """
    for name in task.output_features:
        text = example.get(f"{name}_pretokenized")
        if not isinstance(text, bytes) or text.isascii():
            continue
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = text[error.start]
            raise CorpusError(
                f'task {task.name!r}, split {split!r}, example {number:,}: "{name}" is '
                f"not UTF-8: byte {byte:#04x} at offset {error.start}"
            ) from error


def _raised_in(source: seqio.DataSource, error: Exception) -> bool:
    """Returns whether a method of the source was running when the error was raised."""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_locals.get("self") is source:
            return True
        traceback = traceback.tb_next
    return False


def _failing_step(task: seqio.Task, split: str, error: Exception) -> str:
    """Says which of a task's steps was running, or that one of them was."""
    running = functions_in(error)
    for step in task.preprocessors:
        name = function_name(step)
        if name.partition(" ")[0].rpartition(".")[2] in running:
            return f"its step {name} fails" + _no_texts(task, split, step)
    return "its source or a step of it fails"


def _no_texts(task: seqio.Task, split: str, failing: Any) -> str:
    """Says which of the features that are tokenised are no text, if any are."""
    if failing is not seqio.preprocessors.tokenize:
        return ""
    with contextlib.suppress(Exception):  # it fails, as it did before
        dataset = task.source.get_dataset(split=split, shuffle=False)
        for step in itertools.takewhile(lambda x: x is not failing, task.preprocessors):
            dataset = seqio.add_kwargs_to_transform(
                step, sequence_length=None, output_features=task.output_features
            )(dataset)
        kinds = {
            name: dataset.element_spec[name].dtype.name
            for name in task.output_features
            if name in dataset.element_spec
        }
        wrong = [f'"{name}" is {x}' for name, x in kinds.items() if x != "string"]
        if wrong:
            return f" ({', '.join(wrong)}; texts are wanted)"
    return ""


def _advice(task: seqio.Task) -> str:
    if not task_card(task).origin.startswith("TFDS"):
        return ""
    return (
        "; TensorFlow Datasets downloads it where there is a network "
        "(tfds build NAME), and $TFDS_DATA_DIR names the folder"
    )
