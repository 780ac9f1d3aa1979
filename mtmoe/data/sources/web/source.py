"""A SeqIO source over a folder of web text: one language of it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from mtmoe.data.sources.files import file_sizes, file_states
from mtmoe.data.sources.so_far import ReadSoFar
from mtmoe.data.sources.text import TextSource
from mtmoe.data.sources.web.folder import (
    SPLITS,
    WebTextFolder,
    open_folder,
    web_text_directory,
    web_text_part,
)
from mtmoe.data.sources.web.held_out import MC4_RULE, HeldOut, held_out
from mtmoe.data.sources.web.layouts import PLAIN
from mtmoe.data.sources.web.mc4_filter import LineOwners, Mc4Filter
from mtmoe.data.sources.web.pages import WebPage
from mtmoe.data.sources.web.problems import (
    BadDataQuota,
    ProblemCounter,
    ReadingReport,
)
from mtmoe.data.sources.web.reading import read_pages
from mtmoe.errors import EmptySplitError, UnknownNameError

_SURELY_MANY_BYTES = 400_000_000  # of files: more than `held_out` would read


@gin.configurable
def web_text_cleaning(mc4_filter: Mc4Filter | None = None) -> Mc4Filter | None:
    """Returns how web text is cleaned as it is read.

    Args:
      mc4_filter: gin: `web_text_cleaning.mc4_filter = @Mc4Filter()`; None to take text
        as it is.
    """
    return mc4_filter


class WebTextSource(TextSource):
    """The documents of one language in the user's folder of web text.

    The folder is `web_text_directory()`; what layout it has is found out when text is
    first asked for. Documents are streamed, in order of file names and lines, and never
    held together. A layout without validation files gives one page of a thousand as
    validation text, by mC4's rule, of a language with few pages a larger share
    (`held_out`), and never in `train`.

    Each file is a part that can be read by itself, and `BadDataQuota` then holds for
    each; with a filter, which compares pages of all files, a split is one part.

    Attributes:
      reports: what the last complete pass over each split met, by split.
    """

    def __init__(
        self, language: str, dataset: str = "mc4", clean: Mc4Filter | None = None
    ):
        """Makes the source; reads nothing.

        Args:
          language: its code in `mtmoe.languages`.
          dataset: `mc4` (text in many languages) or `c4` (English C4).
          clean: how to clean; what gin says in `web_text_cleaning` if None.
        """
        super().__init__(self._web_documents, SPLITS, language, self.content)
        self.reports: dict[str, ReadingReport] = {}
        self._dataset_name = dataset
        self._clean = clean
        self._line_owners = functools.lru_cache(maxsize=1)(self._read_line_owners)
        self._rule = functools.lru_cache(maxsize=1)(self._held_out)
        self._told: set[tuple[str, ...]] = set()

    def folder(self) -> WebTextFolder:
        """Returns the folder as recognised.

        Raises:
          CorpusError: no folder is given, or its layout is not known.
        """
        return open_folder(web_text_directory(), self._dataset_name, web_text_part())

    def pages(self, split: str, file_order: Sequence[int] = ()) -> Iterator[WebPage]:
        """Yields the pages of a split; at the end, `reports[split]` says what it met.

        Args:
          split: `train` or `validation`.
          file_order: numbers of the files in the order to read them; as named if empty.

        Raises:
          CorpusError: no text in the language, or too much that cannot be read.
        """
        folder = self.folder()
        paths, is_derived = split_files(folder, self.language, split)
        count = 0
        for page in self._pages(folder, split, file_order or range(len(paths))):
            count += 1
            yield page
        if not count:
            raise EmptySplitError(
                f"{folder.directory}: {folder.title} has no text in {self.language!r} "
                f"for {split!r} ({len(paths)} files"
                + (self._cure(folder, is_derived) if split == "validation" else "")
                + ")"
            )

    def num_parts(self, split: str) -> int:
        """Returns the number of files, 1 with a filter."""
        if self._filter() is not None:
            return 1
        return max(self.num_files(split), 1)

    def part(self, split: str, number: int) -> Iterable[str]:
        """Yields the documents of a file, or of the split if it is one part."""
        if self.num_parts(split) == 1:
            return self.documents(split)
        return (page.text for page in self._pages(self.folder(), split, [number]))

    def pages_of_file(self, path: str, so_far: ReadSoFar) -> Iterator[WebPage]:
        """Yields the pages of a file, whatever their split, and not cleaned.

        Args:
          path: one of the language's files.
          so_far: is told how far the reading has come.

        Raises:
          CorpusError: too much that cannot be read.
        """
        folder = self.folder()
        return read_pages([path], folder.layout, self._problem_counter(folder), so_far)

    def num_bytes(self, split: str) -> int:
        """Returns the bytes of the files a split is read from, compressed or not."""
        return sum(file_sizes(split_files(self.folder(), self.language, split)[0]))

    def content(self) -> str:
        """Names the files of the language, and how they are read.

        Raises:
          CorpusError: no folder, or no text in the language.
        """
        folder = self.folder()
        files = folder.files_of(self.language)
        states = file_states(
            [path for split in SPLITS for path in files.get(split, ())]
        )
        facts = [folder.layout.name, self.language, repr(self._filter()), *states]
        rule = self._rule(folder) if "validation" not in files else MC4_RULE
        if not rule.is_mc4s:
            facts.append(f"held out up to {rule.last}")
        return f"{len(states)} files, {_sha256(facts)}"

    def _filter(self) -> Mc4Filter | None:
        return self._clean or web_text_cleaning()

    def _pages(
        self, folder: WebTextFolder, split: str, order: Sequence[int]
    ) -> Iterator[WebPage]:
        """Yields the pages of files; at the end tells what they met."""
        paths, is_derived = split_files(folder, self.language, split)
        problems = self._problem_counter(folder)
        pages = read_pages([paths[i] for i in order], folder.layout, problems)
        if is_derived:
            rule, held_out = self._rule(folder), split == "validation"
            pages = (page for page in pages if (page in rule) == held_out)
        mc4_filter = self._filter()
        cleaning: Counter[str] = Counter()
        if mc4_filter is not None:
            owners = self._line_owners(folder, mc4_filter)
            pages = mc4_filter.clean(pages, self.language, owners, cleaning)
        count = 0
        for page in pages:
            count += 1
            yield page
        self._tell(
            ReadingReport(
                place=f"{folder.directory} ({folder.title})",
                language=self.language,
                split=split,
                num_documents=count,
                num_files=len(order),
                problems=dict(problems.counts),
                examples={k: tuple(v) for k, v in problems.examples.items()},
                cleaning=dict(cleaning),
            ),
            tuple(paths[i] for i in order),
        )

    def _held_out(self, folder: WebTextFolder) -> HeldOut:
        """Finds the rule that holds pages of `train` files out."""
        paths = folder.files_of(self.language).get("train", ())
        states = file_states(paths)
        if sum(file_sizes(paths)) > _SURELY_MANY_BYTES:
            return MC4_RULE
        problems = self._problem_counter(folder)
        pages = read_pages(paths, folder.layout, problems)
        return held_out(pages, _sha256([folder.layout.name, *states]))

    def _cure(self, folder: WebTextFolder, is_derived: bool) -> str:
        """Says how many pages there are to hold out from, and what to do."""
        said = ""
        if is_derived:
            count = self._rule(folder).num_pages
            pages = {None: "many different pages", 1: "1 page"}
            said = f", {pages.get(count, f'{count} different pages')}"
        if folder.layout is PLAIN:
            return (
                f"{said}; put text that is not in the others into "
                f"{folder.directory}/{self.language}-validation.txt"
            )
        return f"{said}; add more of its files"

    def num_files(self, split: str) -> int:
        """Returns how many files a split is read from."""
        return len(split_files(self.folder(), self.language, split)[0])

    def _web_documents(self, split: str) -> Iterable[str]:
        return _Documents(self, split)

    def _dataset(
        self, split: str, shuffle_files: bool, seed: int | None = None
    ) -> tf.data.Dataset:
        order: Sequence[int] = ()
        if shuffle_files:
            order = (
                np.random.default_rng(seed).permutation(self.num_files(split)).tolist()
            )

        def encoded() -> Iterator[dict[str, Any]]:
            for page in self.pages(split, order):
                yield {"text": page.text.encode("utf-8")}

        return tf.data.Dataset.from_generator(
            encoded, output_signature={"text": tf.TensorSpec([], tf.string)}
        )

    def _problem_counter(self, folder: WebTextFolder) -> ProblemCounter:
        return ProblemCounter(BadDataQuota(), f"{folder.directory}, {self.language!r}")

    def _read_line_owners(
        self, folder: WebTextFolder, mc4_filter: Mc4Filter
    ) -> LineOwners:
        """Reads all pages of the language, whatever their split, for equal lines."""
        files = folder.files_of(self.language)
        paths = [path for split in SPLITS for path in files.get(split, ())]
        problems = self._problem_counter(folder)
        return mc4_filter.line_owners(read_pages(paths, folder.layout, problems))

    def _tell(self, report: ReadingReport, paths: tuple[str, ...]) -> None:
        """Keeps a report, and prints it if it has news and is the files' first."""
        self.reports[report.split] = report
        if report.has_news and paths not in self._told:
            self._told.add(paths)
            print(report, file=sys.stderr)


def _sha256(facts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def split_files(
    folder: WebTextFolder, language: str, split: str
) -> tuple[tuple[str, ...], bool]:
    """Returns the files of a split, and whether they hold the other split too.

    Raises:
      UnknownNameError: there is no such split.
      CorpusError: the folder has no text in the language.
    """
    if split not in SPLITS:
        raise UnknownNameError("split of web text", split, SPLITS)
    files = folder.files_of(language)
    is_derived = "validation" not in files
    paths = files.get("train" if is_derived else split, ())
    return paths, is_derived


@dataclasses.dataclass(frozen=True)
class _Documents(Iterable[str]):
    """The texts of a split, read anew each time they are iterated over.

    They have no length: `list()` would ask for it, and read all files once for that.
    """

    source: WebTextSource
    split: str

    def __iter__(self) -> Iterator[str]:
        return (page.text for page in self.source.pages(self.split))
