"""What a task gives to a batch: rows of the token cache that become examples.

A row of a text is a stretch of raw tokens, corrupted anew every time. A row of any
other cached task is an example, trimmed and ended.

Legend: N rows asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import seqio

from mtmoe.data.ground.token_rows import TokenRows
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.rows.recipes import ExampleRecipe, RawRows, Recipe, TextRecipe
from mtmoe.data.tasks.form import EXAMPLES, TEXT, check_split, task_form
from mtmoe.data.token_cache.bad_records import BadRecords
from mtmoe.data.token_cache.reader import CachedSplit
from mtmoe.data.token_cache.store import open_split
from mtmoe.data.vocabulary.configured import num_sentinels
from mtmoe.data.vocabulary.sentence_pieces import check_other
from mtmoe.errors import ConfigError
from mtmoe.ranges import Range, check_number

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]
Lengths = Mapping[str, int]

FEATURES = ("inputs", "targets")

Length = Annotated[int, Range(2, 2**31 - 1, whole=True)]
"""Places of a feature: a token and its end."""


@dataclass(frozen=True)
class TextRows:
    """Rows of a text: its tokens, documents joined, cut every `recipe.raw_length`.

    Attributes:
      cache: the tokens.
      recipe: what makes examples of rows.
      num_rows: rows in one epoch.
    """

    cache: CachedSplit
    recipe: TextRecipe
    num_rows: int

    @property
    def num_tokens(self) -> int:
        """Raw tokens in one epoch."""
        length = self.recipe.raw_length
        return min(self.cache.num_tokens, self.num_rows * length)

    def sizes(self, rows_N: Int64Array, keys_N: UInt64Array) -> Int32Array:
        """Returns tokens of inputs and targets of rows, EOS included, int32 [N, 2]."""
        return self.recipe.sizes(self._raw_sizes(rows_N), keys_N)

    def read(self, rows_N: Int64Array) -> RawRows:
        """Reads rows; one on a damaged record is empty and said to be bad."""
        starts_N = rows_N * self.recipe.raw_length
        tokens, bad_N = self.cache.token_ranges(starts_N, self._raw_sizes(rows_N))
        return RawRows((tokens,), bad_N)

    def _raw_sizes(self, rows_N: Int64Array) -> Int64Array:
        length = self.recipe.raw_length
        return np.minimum(self.cache.num_tokens - rows_N * length, length)


@dataclass(frozen=True)
class ExampleRows:
    """Rows of a task of whole examples: an example each.

    Attributes:
      cache: the examples.
      recipe: what makes examples of rows.
      features: number of the inputs and of the targets in the cache; None: the task has
        no such feature, and it is empty.
    """

    cache: CachedSplit
    recipe: ExampleRecipe
    features: tuple[int | None, int]

    @property
    def num_rows(self) -> int:
        """Rows in one epoch."""
        return self.cache.num_examples

    @property
    def num_tokens(self) -> int:
        """Cached tokens of inputs and targets in one epoch."""
        return self.cache.num_tokens

    def sizes(self, rows_N: Int64Array, keys_N: UInt64Array) -> Int32Array:
        """Returns tokens of inputs and targets of rows, EOS included, int32 [N, 2]."""
        del keys_N
        sizes_NF = self.cache.sizes(rows_N)
        inputs_N, targets_N = (
            np.zeros(len(rows_N), np.int32) if number is None else sizes_NF[:, number]
            for number in self.features
        )
        return self.recipe.sizes(np.stack([inputs_N, targets_N], axis=1))

    def read(self, rows_N: Int64Array) -> RawRows:
        """Reads rows; one on a damaged record is empty and said to be bad."""
        rows, bad_N = self.cache.examples(rows_N)
        nothing = TokenRows(np.zeros(0, np.int32), np.zeros(len(rows_N) + 1, np.int64))
        return RawRows(
            tuple(nothing if n is None else rows[n] for n in self.features), bad_N
        )


TaskRows = TextRows | ExampleRows


def open_task_rows(
    task: seqio.Task,
    split: str,
    lengths: Lengths,
    bad_records: BadRecords | None = None,
) -> TaskRows | None:
    """Opens the rows of a task; caches them first if there are few.

    A text's last row is kept if it fills a quarter of a full one, or is the only one: a
    shorter one would count as much as a full row and teach little.

    Args:
      task: any SeqIO task with features `inputs` and `targets`; with `targets` at least
        for a decoder alone.
      split: name of the split.
      lengths: `inputs` and `targets` lengths of a batch, `targets` only for a decoder
        alone.
      bad_records: notes damaged records.

    Returns:
      The rows; None if the task must be streamed.

    Raises:
      UnknownNameError: the task has no such split.
      ConfigError: features or lengths that do not fit the task.
      CorpusError: no examples, or a token outside the vocabulary.
    """
    check_split(task, split)
    recipe = task_recipe(task, lengths)
    cache = None if recipe is None else open_split(task, split, bad_records)
    if cache is None:
        return None
    if isinstance(recipe, TextRecipe):
        num_rows = _num_rows(cache.num_tokens, recipe.raw_length)
        return TextRows(cache, recipe, num_rows)
    assert recipe is not None
    cached = task_form(task).features
    inputs = cached.index("inputs") if "inputs" in cached else None
    return ExampleRows(cache, recipe, (inputs, cached.index("targets")))


def text_recipe(
    objective: TokenObjective,
    vocabulary: seqio.Vocabulary,
    lengths: Lengths,
    add_eos: tuple[bool, bool] = (True, True),
) -> TextRecipe:
    """Returns how raw tokens become examples of given lengths.

    For a decoder alone there is no EOS between inputs and targets.

    Args:
      objective: makes inputs and targets of raw tokens.
      vocabulary: the tokens' vocabulary.
      lengths: `inputs` and `targets` lengths, `targets` only for a decoder alone.
      add_eos: whether EOS is put behind inputs, and behind targets.

    Raises:
      ConfigError: targets that do not fit, or more spans than sentinels.
    """
    raw_length = check_objective(objective, lengths)
    needed, there_are = objective.num_sentinels(raw_length), num_sentinels(vocabulary)
    if needed > there_are:
        raise ConfigError(
            f"rows of {raw_length} raw tokens need {needed} sentinels with "
            f"{objective}; the vocabulary has {there_are}"
        )
    wanted = (add_eos[0] and "inputs" in lengths, add_eos[1])
    inputs_eos, targets_eos = (vocabulary.eos_id if want else None for want in wanted)
    return TextRecipe(
        objective, raw_length, vocabulary.vocab_size, (inputs_eos, targets_eos)
    )


def check_objective(objective: TokenObjective, lengths: Lengths) -> int:
    """Returns how many raw tokens fill a row of a batch.

    Args:
      objective: makes inputs and targets of raw tokens.
      lengths: `inputs` and `targets` lengths, `targets` only for a decoder alone.

    Raises:
      ConfigError: targets that do not fit.
    """
    raw_length, targets_length = objective.lengths(
        lengths.get("inputs"), lengths["targets"]
    )
    if lengths["targets"] < targets_length:
        raise ConfigError(
            f"lengths: inputs of {lengths['inputs']} need targets of {targets_length} "
            f"with {objective}, got {lengths['targets']}"
        )
    return raw_length


def task_vocabulary(
    task: seqio.Task, lengths: Lengths | None = None
) -> seqio.Vocabulary:
    """Returns the one vocabulary of a task's inputs and targets.

    Args:
      task: any SeqIO task.
      lengths: the features that are needed; `inputs` and `targets` if None.

    Raises:
      ConfigError: a feature is missing, the two have different vocabularies, or its
        special ids cannot be used.
    """
    features = task.output_features
    for name in FEATURES if lengths is None else lengths:
        if name not in features:
            raise ConfigError(
                f"task {task.name!r} has no feature {name!r}; it has "
                + ", ".join(map(repr, features))
            )
    vocabulary: seqio.Vocabulary = features["targets"].vocabulary
    if "inputs" in features and features["inputs"].vocabulary != vocabulary:
        raise ConfigError(
            f"task {task.name!r} has different vocabularies for inputs and targets"
        )
    if isinstance(vocabulary, seqio.SentencePieceVocabulary):
        check_other(vocabulary)
    return vocabulary


def check_lengths(lengths: Lengths) -> dict[str, int]:
    """Returns lengths as a dict of `inputs` and `targets`, or of `targets` alone.

    Raises:
      ConfigError: another key, or a length below 2.
    """
    checked = dict(lengths)
    if "targets" not in checked or not set(checked) <= set(FEATURES):
        raise ConfigError(
            f"lengths are {checked}; needed: 'inputs' and 'targets', or, for a decoder "
            "alone, 'targets'"
        )
    check_number("lengths", checked, dict[str, Length])
    return checked


def pipeline_lengths(task: seqio.Task, lengths: Lengths) -> Lengths:
    """Returns lengths for SeqIO; in a decoder alone a feature has half the places."""
    if "inputs" in lengths or "inputs" not in task.output_features:
        return lengths
    half = lengths["targets"] // 2
    return {"inputs": half, "targets": lengths["targets"] - half}


def task_recipe(task: seqio.Task, lengths: Lengths) -> Recipe | None:
    """Returns how a task's rows become examples; None if it must be streamed.

    Args:
      task: any SeqIO task with features `inputs` and `targets`; with `targets` at least
        for a decoder alone.
      lengths: as `open_task_rows` takes them.

    Raises:
      ConfigError: features or lengths that do not fit the task.
    """
    vocabulary, form = task_vocabulary(task, lengths), task_form(task)
    features = task.output_features
    inputs, targets = (
        name in features and bool(features[name].add_eos) for name in FEATURES
    )
    if form.kind == TEXT:
        assert form.objective is not None
        return text_recipe(form.objective, vocabulary, lengths, (inputs, targets))
    if form.kind != EXAMPLES:
        return None
    eos = vocabulary.eos_id if form.online else None
    return ExampleRecipe(
        lengths.get("inputs"),
        lengths["targets"],
        (eos if inputs else None, eos if targets else None),
        form.online == (seqio.preprocessors.append_eos_after_trim,),
    )


def _num_rows(num_tokens: int, raw_length: int) -> int:
    num_full, tail = divmod(num_tokens, raw_length)
    return num_full + int(tail > 0 and (tail >= raw_length // 4 or num_full == 0))
