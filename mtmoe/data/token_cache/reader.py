"""Reads a cached split at any place.

Legend: N rows or examples asked for, F features.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from mtmoe.data.ground.token_rows import TokenRows, stack_rows
from mtmoe.data.token_cache.bad_records import BadRecords
from mtmoe.data.token_cache.files.manifest import SplitManifest, load_manifest
from mtmoe.data.token_cache.files.pages import PAGE_EXAMPLES, PAGE_TOKENS, TextPage
from mtmoe.data.token_cache.files.shard_reader import LaidOutPage, ShardReader
from mtmoe.data.token_cache.files.storage import Location
from mtmoe.errors import DamagedRecordError

Int32Array = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[Any]
Page = TypeVar("Page")

_NO_TOKENS = np.zeros(0, np.int32)
_TOGETHER = 4096


def open_cached_split(
    directory: Location, bad_records: BadRecords | None = None
) -> CachedSplit:
    """Opens a cached split; its files are read at their first use.

    Args:
      directory: where its manifest lies.
      bad_records: counts damaged records; if None, the first one is an error.

    Raises:
      FileNotFoundError: the directory holds no manifest.
      ManifestError: the cache cannot be used.
    """
    return CachedSplit(directory, load_manifest(directory), bad_records)


class CachedSplit:
    """The tokens of one split of a task, read in any order by any thread.

    Attributes:
      directory: where it lies.
      manifest: what it holds.
      num_examples: examples, or documents of a text.
      num_tokens: tokens of all features.
    """

    def __init__(
        self,
        directory: Location,
        manifest: SplitManifest,
        bad_records: BadRecords | None = None,
    ):
        """See `open_cached_split`."""
        self.directory = directory
        self.manifest = manifest
        self.num_examples = manifest.num_examples
        self.num_tokens = manifest.num_tokens
        self._is_text = manifest.kind == "text"
        self._page_size = PAGE_TOKENS if self._is_text else PAGE_EXAMPLES
        self._bad_records = bad_records
        # Shards without content would only be in the way of a search by position.
        self._shards = [
            ShardReader(directory, manifest, shard)
            for shard in manifest.shards
            if shard.pages
        ]
        facts = [shard.facts for shard in self._shards]
        counts = [shard.tokens if self._is_text else shard.examples for shard in facts]
        # First token (of text) or example of each shard, and the end of the last one.
        self._bounds = [0, *itertools.accumulate(counts)]

    def token_ranges(
        self, starts_N: npt.ArrayLike, sizes_N: npt.ArrayLike
    ) -> tuple[TokenRows, BoolArray]:
        """Reads ranges of a text's stream; its shards are one stream.

        Args:
          starts_N: first token of each range.
          sizes_N: tokens of each range.

        Returns:
          The ranges, and bool [N]: true where a range touches a damaged page; that row
          is empty.

        Raises:
          DamagedDataError: more damaged records than the quota.
          ValueError: this is not a text, or a range is not inside it.
        """
        self._check_kind("text")
        # Lists: a call is often for one row, where each numpy call costs as much as it.
        starts = np.asarray(starts_N, np.int64).tolist()
        sizes = np.asarray(sizes_N, np.int64).tolist()
        parts: list[list[IntArray]] = [[]] * len(starts)
        bad_N = np.zeros(len(starts), bool)
        pages = _PageInHand(self._text_page)
        for row in _by_place(starts):
            found = self._range_parts(pages, starts[row], sizes[row])
            if found is None:
                bad_N[row] = True
                sizes[row] = 0
            else:
                parts[row] = found
        return _joined(itertools.chain.from_iterable(parts), sizes), bad_N

    def sizes(self, indices_N: npt.ArrayLike) -> Int32Array:
        """Returns the tokens of examples' features, int32 [N, F], from the index alone.

        Raises:
          ManifestError: the index is not the one that was written.
          ValueError: this is a text, or there is no such example.
        """
        self._check_kind("examples")
        indices_N = np.asarray(indices_N, np.int64)
        if len(indices_N):
            self._place(int(indices_N.min()))
            self._place(int(indices_N.max()))
        if len(self._shards) == 1:
            return self._shards[0].index.example_sizes[indices_N].astype(np.int32)
        sizes_NF = np.empty((len(indices_N), len(self.manifest.features)), np.int32)
        shards_N = np.searchsorted(self._bounds, indices_N, "right") - 1
        for shard in np.unique(shards_N).tolist():
            rows = np.flatnonzero(shards_N == shard)
            inside = indices_N[rows] - self._bounds[shard]
            sizes_NF[rows] = self._shards[shard].index.example_sizes[inside]
        return sizes_NF

    def all_sizes(self) -> Int32Array:
        """Returns the sizes of all examples, int32 [examples, F].

        Raises:
          ManifestError: the index is not the one that was written.
          ValueError: this is a text.
        """
        self._check_kind("examples")
        sizes = [shard.index.example_sizes for shard in self._shards]
        return np.concatenate(sizes).astype(np.int32)

    def examples(
        self, indices_N: npt.ArrayLike
    ) -> tuple[tuple[TokenRows, ...], BoolArray]:
        """Reads examples.

        Args:
          indices_N: numbers of the examples, in any order, repeats allowed.

        Returns:
          For each feature its rows, and bool [N]: true where an example is in a damaged
          page; its rows are empty.

        Raises:
          DamagedDataError: more damaged records than the quota.
          ManifestError: the index is not the one that was written.
          ValueError: this is a text, or there is no such example.
        """
        self._check_kind("examples")
        indices = np.asarray(indices_N, np.int64).tolist()
        num_features = len(self.manifest.features)
        parts = [[_NO_TOKENS] * len(indices) for _ in range(num_features)]
        bad_N = np.zeros(len(indices), bool)
        pages = _PageInHand(self._example_page)
        for row in _by_place(indices):
            shard, number, place = self._place(indices[row])
            page = pages.get(shard, number)
            if page is None:
                bad_N[row] = True
                continue
            bounds = page.bounds[place * num_features : (place + 1) * num_features + 1]
            for feature in range(num_features):
                parts[feature][row] = page.tokens[bounds[feature] : bounds[feature + 1]]
        return tuple(_joined(rows, [len(row) for row in rows]) for rows in parts), bad_N

    def all_examples(self) -> tuple[tuple[TokenRows, ...], BoolArray]:
        """Reads all examples, as `examples` does."""
        found = [
            self.examples(range(first, min(first + _TOGETHER, self.num_examples)))
            for first in range(0, self.num_examples, _TOGETHER)
        ]
        by_feature = zip(*(rows_F for rows_F, _ in found), strict=True)
        bad_N = np.concatenate([bad for _, bad in found])
        return tuple(stack_rows(rows) for rows in by_feature), bad_N

    def all_tokens(self, feature: str = "targets") -> Int32Array:
        """Returns all tokens of a feature, joined; those in damaged pages are left out.

        Raises:
          DamagedDataError: more damaged records than the quota.
          ValueError: there is no such feature.
        """
        if feature not in self.manifest.features:
            raise ValueError(
                f"feature {feature!r} is none of {', '.join(self.manifest.features)}"
            )
        if not self._is_text:
            rows_F, _ = self.all_examples()
            return rows_F[self.manifest.features.index(feature)].tokens
        found = [
            self._text_page(shard, number)
            for shard, reader in enumerate(self._shards)
            for number in range(reader.facts.pages)
        ]
        pages = [page.tokens for page in found if page is not None]
        return np.concatenate([_NO_TOKENS, *pages], dtype=np.int32)

    def documents(self) -> Iterator[Int32Array]:
        """Yields the documents of a text; those in a damaged page are left out.

        Raises:
          DamagedDataError: more damaged records than the quota.
          ValueError: this is not a text.
        """
        self._check_kind("text")
        for shard, reader in enumerate(self._shards):
            begun: list[Any] | None = None  # parts of a document that may go on
            for number in range(reader.facts.pages):
                page = self._text_page(shard, number)
                if page is None:
                    begun = None
                    continue
                cuts = [0, *page.starts.tolist(), len(page.tokens)]
                parts = [page.tokens[a:b] for a, b in itertools.pairwise(cuts)]
                if begun is not None:
                    begun.append(parts[0])
                for part in parts[1:]:
                    if begun is not None:
                        yield np.concatenate(begun, dtype=np.int32)
                    begun = [part]
            if begun is not None:
                yield np.concatenate(begun, dtype=np.int32)

    def _range_parts(
        self, pages: _PageInHand[TextPage], start: int, size: int
    ) -> list[IntArray] | None:
        """Returns a range as parts of pages; None if a page is damaged."""
        end = start + size
        if not 0 <= start <= end <= self.num_tokens:
            raise ValueError(
                f"tokens {start} to {end} are not among the {self.num_tokens} of task "
                f"{self.manifest.task!r}"
            )
        parts = []
        while start < end:
            shard, number, place = self._place(start)
            page = pages.get(shard, number)
            if page is None:
                return None
            part = page.tokens[place : place + end - start]
            parts.append(part)
            start += len(part)
        return parts

    def _place(self, position: int) -> tuple[int, int, int]:
        """Returns shard, page, and place in the page of a token or an example."""
        bounds = self._bounds
        if not 0 <= position < bounds[-1]:
            raise ValueError(
                f"example {position} is not among the {bounds[-1]} of task "
                f"{self.manifest.task!r}"
            )
        shard = bisect_right(bounds, position) - 1
        return shard, *divmod(position - bounds[shard], self._page_size)

    def _text_page(self, shard: int, number: int) -> TextPage | None:
        try:
            return self._shards[shard].text_page(number)
        except DamagedRecordError as error:
            self._note(error)
            return None

    def _example_page(self, shard: int, number: int) -> LaidOutPage | None:
        try:
            return self._shards[shard].example_page(number)
        except DamagedRecordError as error:
            self._note(error)
            return None

    def _note(self, error: DamagedRecordError) -> None:
        bad_records = self._bad_records or BadRecords(quota=0)
        bad_records.note(self.manifest.task, error)

    def _check_kind(self, kind: str) -> None:
        if self.manifest.kind != kind:
            raise ValueError(
                f"the cache of task {self.manifest.task!r} holds {self.manifest.kind}, "
                f"not {kind}"
            )


class _PageInHand(Generic[Page]):
    """The page read last: rows taken in order of place read each page once."""

    def __init__(self, read: Callable[[int, int], Page | None]):
        self._read = read
        self._place = (-1, -1)
        self._page: Page | None = None

    def get(self, shard: int, number: int) -> Page | None:
        """Returns a page of a shard; None if it is damaged."""
        if self._place != (shard, number):
            self._page = self._read(shard, number)
            self._place = (shard, number)
        return self._page


def _by_place(places: list[int]) -> Iterable[int]:
    """Returns the numbers of rows in the order of their places."""
    if len(places) == 1:
        return (0,)
    return sorted(range(len(places)), key=places.__getitem__)


def _joined(parts: Iterable[IntArray], sizes: list[int]) -> TokenRows:
    bounds = np.array([0, *itertools.accumulate(sizes)], np.int64)
    return TokenRows(np.concatenate([_NO_TOKENS, *parts], dtype=np.int32), bounds)
