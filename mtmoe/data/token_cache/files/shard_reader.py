"""Reads the pages of one shard."""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import numpy.typing as npt

from mtmoe.data.token_cache.files.manifest import SplitManifest
from mtmoe.data.token_cache.files.pages import (
    PAGE_EXAMPLES,
    PAGE_TOKENS,
    PageError,
    TextPage,
    decode_example_page,
    decode_text_page,
)
from mtmoe.data.token_cache.files.record_file import RecordFile
from mtmoe.data.token_cache.files.shard_facts import ShardFacts
from mtmoe.data.token_cache.files.shard_file import ShardIndex, read_index
from mtmoe.data.token_cache.files.storage import Location, join
from mtmoe.errors import DamagedRecordError


class LaidOutPage(NamedTuple):
    """A page of examples and where each feature of each example lies in it.

    Attributes:
      tokens: all tokens, a view of the page's bytes.
      bounds: feature f of the page's example e is
        `tokens[bounds[e * F + f] : bounds[e * F + f + 1]]`.
    """

    tokens: npt.NDArray[Any]
    bounds: list[int]


class ShardReader:
    """The pages of one shard; its files are opened at the first use.

    Any thread may read; if two are first at once, both read the index.

    Attributes:
      facts: what the shard holds.
    """

    def __init__(self, directory: Location, manifest: SplitManifest, facts: ShardFacts):
        """Notes where the shard is.

        Args:
          directory: the directory of the split.
          manifest: the split's manifest.
          facts: which of its shards.
        """
        self.facts = facts
        self._directory = directory
        self._width = manifest.token_width
        self._is_text = manifest.kind == "text"
        self._num_features = len(manifest.features)

    @functools.cached_property
    def index(self) -> ShardIndex:
        """The index, read and checked.

        Raises:
          ManifestError: it is gone, or not the one that was written.
        """
        num_features = 0 if self._is_text else self._num_features
        return read_index(self._directory, self.facts, num_features)

    def text_page(self, number: int) -> TextPage:
        """Returns a page of text.

        Raises:
          CorpusError: the file cannot be read.
          DamagedRecordError: the page is not as it was written.
          ManifestError: the index is not as it was written.
        """
        try:
            page = decode_text_page(self._file.read(number), self._width)
            size = min(PAGE_TOKENS, self.facts.tokens - number * PAGE_TOKENS)
            if len(page.tokens) != size:
                raise PageError(f"{len(page.tokens)} tokens, not {size}")
        except PageError as error:
            raise self._damaged(number, error) from error
        return page

    def example_page(self, number: int) -> LaidOutPage:
        """Returns a page of examples.

        Raises:
          CorpusError: the file cannot be read.
          DamagedRecordError: the page is not as it was written.
          ManifestError: the index is not as it was written.
        """
        first = number * PAGE_EXAMPLES
        sizes_EF = self.index.example_sizes[first : first + PAGE_EXAMPLES]
        try:
            page = decode_example_page(
                self._file.read(number), self._num_features, self._width
            )
            # Room was made for the sizes of the index.
            if page.sizes.tobytes() != sizes_EF.tobytes():
                raise PageError("its examples have not the sizes of the index")
            bounds = [0, *itertools.accumulate(page.sizes.ravel().tolist())]
            if len(page.tokens) != bounds[-1]:
                raise PageError(f"{len(page.tokens)} tokens, not {bounds[-1]}")
        except PageError as error:
            raise self._damaged(number, error) from error
        return LaidOutPage(page.tokens, bounds)

    @functools.cached_property
    def _file(self) -> RecordFile:
        return RecordFile(join(self._directory, self.facts.name), *self.index.places)

    def _damaged(self, number: int, error: PageError) -> DamagedRecordError:
        return DamagedRecordError(
            self._file.path, self._file.offset(number), f"page {number}: {error}"
        )
