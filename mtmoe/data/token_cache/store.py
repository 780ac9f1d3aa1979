"""Opens the tokens of a task: from the cache, or cached now if they are few."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence

import gin
import seqio
import tensorflow as tf

from mtmoe.data.sources.joined import JoinedSource
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.sources.values import bad_example_quota
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.tasks.form import STREAM, check_split, task_form
from mtmoe.data.tasks.reading import reading
from mtmoe.data.token_cache.bad_records import BadRecords
from mtmoe.data.token_cache.building import TooLargeError, build_split, default_root
from mtmoe.data.token_cache.content import is_prepared
from mtmoe.data.token_cache.encoding import plain_text_key
from mtmoe.data.token_cache.files.manifest import (
    MANIFEST_NAME,
    SplitManifest,
    load_manifest,
    split_directory,
)
from mtmoe.data.token_cache.files.storage import Location, is_remote, join
from mtmoe.data.token_cache.fingerprints.split import (
    Fingerprint,
    explain,
    split_fingerprint,
)
from mtmoe.data.token_cache.reader import CachedSplit
from mtmoe.data.vocabulary.configured import num_sentinels, vocabulary_behind
from mtmoe.data.vocabulary.sentence_pieces import SentencePieceVocabulary
from mtmoe.errors import (
    CorpusError,
    ManifestError,
    UnnamedContentError,
)
from mtmoe.ranges import Amount, check_fields

_BYTES_OF_A_PAGE = 1000  # a page of web text, compressed or not, is hardly less


@gin.configurable("token_cache")
@dataclasses.dataclass(frozen=True)
class TokenCacheSettings:
    """Where tokens are looked for, and what is cached at first use.

    Attributes:
      directories: folders that `mtmoe cache` wrote, looked through first.
      build_up_to_examples: a source that Python does not hold is cached at first use
        if it has at most that many examples (of text: documents).
    """

    directories: Sequence[str] = ()
    build_up_to_examples: Amount = 20_000

    def __post_init__(self) -> None:
        """Checks the range."""
        check_fields(self, "token_cache")


def open_split(
    task: seqio.Task, split: str, bad_records: BadRecords | None = None
) -> CachedSplit | None:
    """Opens the tokens of a split.

    Looks in `token_cache.directories`, then in `cache_directory()/"tasks"`. What Python
    holds (a `TextSource`, a `PairSource`) or is small is written there at first use. A
    cache of other content, or one that is damaged or unfinished, is not used, and a
    line on standard error says why, once for each reason in a process.

    Args:
      task: any SeqIO task.
      split: one of its splits.
      bad_records: notes damaged records; if None, the first one is an error.

    Returns:
      The split; None if it must be streamed: `task_form` says so, its content has no
      name (a line on standard error says why), or it is not cached and too large to be
      cached in passing.

    Raises:
      UnknownNameError: the task has no such split.
      CorpusError: no examples, no text, a token outside the vocabulary, or a source
        that cannot be read.
      ManifestError: an earlier version took text for sentinels there.
    """
    check_split(task, split)
    if task_form(task).kind == STREAM:
        return None
    try:
        fingerprint = split_fingerprint(task, split)
    except UnnamedContentError as error:
        _say_once(str(error), f"task {task.name!r} cannot be cached: {error}")
        return None
    settings = TokenCacheSettings()
    roots: list[Location] = [*settings.directories, default_root()]
    for root in roots:
        directory = split_directory(root, task.name, split, fingerprint.digest)
        manifest = _usable(directory, fingerprint)
        if manifest is not None:
            _check_sentinels(task, directory, manifest)
            return _opened(directory, manifest, bad_records)
        _say_if_stale(root, task.name, split, fingerprint)
    if directory in _TOO_LARGE:
        return None
    manifest = _build(task, split, directory, settings)
    if manifest is None:
        return None
    return _opened(directory, manifest, bad_records)


def _opened(
    directory: str, manifest: SplitManifest, bad_records: BadRecords | None
) -> CachedSplit:
    """Opens a split, and says what of its source is not in it, or is empty."""
    where = f"task {manifest.task!r}, split {manifest.split!r}"
    num_left_out, allowed = manifest.num_left_out, bad_example_quota()
    if num_left_out > allowed:
        raise CorpusError(
            f"{where}: {num_left_out:,} bad examples were left out when it was cached; "
            f"bad_examples.quota allows {allowed:,}"
        )
    if bad_records is not None:
        bad_records.note_left_out(manifest.task, num_left_out)
    for flaw in flaws(manifest):
        _say_once(f"{where} {flaw}", f"{where}: {flaw}")
    return CachedSplit(directory, manifest, bad_records)


def flaws(manifest: SplitManifest) -> list[str]:
    """Says in words what a cached split lacks of its source, and what is empty."""
    said = []
    if manifest.num_left_out:
        said.append(
            f"{manifest.num_left_out:,} bad examples of its source are left out"
        )
    if manifest.num_empty:
        empty = ", ".join(f"{n} in {x:,}" for n, x in manifest.num_empty.items())
        said.append(
            f"of {manifest.num_examples:,} examples are empty: {empty}; "
            f"`mtmoe tasks verify {manifest.task}` says where"
        )
    return said


def _usable(directory: str, fingerprint: Fingerprint) -> SplitManifest | None:
    """Returns the manifest of a directory if its tokens are the right ones."""
    try:
        manifest = load_manifest(directory)
    except FileNotFoundError:
        return None
    except ManifestError as error:
        _say_once(directory, f"token cache not used: {error}")
        return None
    return manifest if manifest.fingerprint == fingerprint.digest else None


def _check_sentinels(task: seqio.Task, directory: str, manifest: SplitManifest) -> None:
    """Refuses tokens of text that spells `<extra_id_N>`, encoded as sentinels."""
    form = task_form(task)
    vocabulary = vocabulary_behind(task.output_features["targets"].vocabulary)
    is_plain = plain_text_key(form.offline) or form.offline == (
        seqio.preprocessors.tokenize,
    )
    if not is_plain or not isinstance(vocabulary, SentencePieceVocabulary):
        return
    if manifest.largest_token >= vocabulary.vocab_size - num_sentinels(vocabulary):
        raise ManifestError(
            f"{directory} was written by an earlier version, which took "
            "<extra_id_N> in the text for sentinels; remove that folder, and its "
            "text is encoded anew"
        )


def _say_if_stale(
    root: Location, task_name: str, split: str, fingerprint: Fingerprint
) -> None:
    """Says why what a cache has of a split is not used, if it has anything."""
    for name in _folders(join(root, task_name)):
        if name.rpartition("-")[0] != split:
            continue
        directory = join(root, task_name, name)
        try:
            old = load_manifest(directory)
        except FileNotFoundError:
            _say_once(
                f"unfinished in {root}",
                f"token cache not used: {directory} is unfinished (it has no "
                f"{MANIFEST_NAME}); `mtmoe cache` finishes it",
            )
        except ManifestError as error:
            _say_once(directory, f"token cache not used: {error}")
        else:
            why = explain(old.facts, fingerprint.facts)
            _say_once(f"{why} in {root}", f"token cache not used: {directory}: {why}")


def _folders(directory: str) -> list[str]:
    try:
        if not is_remote(directory):
            return sorted(os.listdir(directory))
        names = tf.io.gfile.listdir(directory)
    except (FileNotFoundError, NotADirectoryError, tf.errors.NotFoundError):
        return []
    return sorted(name.rstrip("/") for name in names)


def _build(
    task: seqio.Task, split: str, directory: str, settings: TokenCacheSettings
) -> SplitManifest | None:
    """Writes a split into the default root; None if there is too much of it."""
    limit = _most_examples(task, split, settings.build_up_to_examples)
    if limit == 0:
        return None
    try:
        manifest = build_split(task, split, directory, limit)
    except TooLargeError:
        _TOO_LARGE.add(directory)
        return None
    if isinstance(task.source, PairSource):
        # What makes the examples of one split mostly makes those of all.
        for other in task.splits:
            if other != split:
                _build_beside(task, other)
    return manifest


def _build_beside(task: seqio.Task, split: str) -> None:
    """Writes a split that was not asked for; what is wrong is for who asks for it."""
    try:
        fingerprint = split_fingerprint(task, split)
        directory = split_directory(
            default_root(), task.name, split, fingerprint.digest
        )
        if _usable(directory, fingerprint) is None:
            build_split(task, split, directory, None)
    except CorpusError:
        return


def _most_examples(task: seqio.Task, split: str, limit: int) -> int | None:
    """Returns how many examples may be cached in passing: all if None, 0 if none."""
    source = task.source
    if isinstance(source, WebTextSource):
        return limit if source.num_bytes(split) <= limit * _BYTES_OF_A_PAGE else 0
    if isinstance(source, TextSource | PairSource):
        return None
    with reading(task, split):
        count = _num_examples(source, split)
    return limit if count is None or count <= limit else 0


def _num_examples(source: seqio.DataSource, split: str) -> float | None:
    """Returns the examples of a source, None if it cannot tell without reading them."""
    if isinstance(source, JoinedSource):
        counts = [_num_examples(part.source, split) for part in source.parts_of(split)]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None
    if isinstance(source, seqio.TfdsDataSource) and not is_prepared(source, split):
        return None
    count: float | None = source.num_input_examples(split)
    return count


_TOO_LARGE: set[str] = set()  # directories of splits found to be too large
_SAID: set[str] = set()


def _say_once(reason: str, line: str) -> None:
    if reason not in _SAID:
        _SAID.add(reason)
        print(line, file=sys.stderr)
