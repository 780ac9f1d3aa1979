"""mC4's own filters, as an optional pass over raw text.

The rules and their order are those of the code that made mC4 (TensorFlow Datasets,
`c4/multilingual`; Xue et al. 2021, section 3.1). One is left out: the filter of pages
with bad words, whose lists cannot be handed on here.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import gin

from mtmoe.data.sources.web.language_id import identify
from mtmoe.data.sources.web.pages import WebPage, md5, web_page
from mtmoe.ranges import Count, Fraction, Natural, check_fields

REASONS = {
    "pages kept": "pages that came out, perhaps without some of their lines",
    "pages too long": "longer than `max_characters`",
    "pages without paragraphs": "fewer than `min_paragraphs` long lines",
    "pages seen before": "a page of the same URL, or the same text, came earlier",
    "pages of duplicate lines": "no line was left",
    "pages of no sure language": "CLD3 is not sure enough of any language",
    "pages of another language": "CLD3 takes the page for another language",
    "lines kept": "of the pages that are long enough and new",
    "lines repeated in the page": "an equal line came earlier in the page",
    "lines of other pages": "an equal line is kept in another page",
}
"""What is counted, and what it means."""

LineOwners = Mapping[bytes, bytes]
"""MD5 of the page that keeps a line, by MD5 of the line."""


@gin.configurable
@dataclass(frozen=True)
class Mc4Filter:
    """The filters of mC4, each with its published number.

    Lines are compared without case and without space around them. A line that several
    pages have is kept in the one whose URL has the least MD5, as mC4 does, so pages are
    gone through twice, and 32 bytes are held for each different line.

    Attributes:
      max_characters: longest page.
      min_paragraphs: lines of `min_paragraph_characters` or more that a page needs.
      min_paragraph_characters: characters of such a line.
      drop_duplicate_lines: whether a line is kept once only in a language.
      language_threshold: probability below which CLD3's answer does not count: 0.7 in
        mC4 3.0.1, 0.95 in 3.1.0. None to take the language as given. CLD3 takes well
        accented Yoruba for Vietnamese, and is weak on Hmong and Kurdish.
    """

    max_characters: Count = 190_000
    min_paragraphs: Natural = 3
    min_paragraph_characters: Natural = 200
    drop_duplicate_lines: bool = True
    language_threshold: Fraction | None = 0.7

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def line_owners(self, pages: Iterable[WebPage]) -> LineOwners:
        """Finds, for each line, the page that keeps it: the first pass.

        Args:
          pages: all pages of a language, of all splits.
        """
        owners: dict[bytes, bytes] = {}
        if not self.drop_duplicate_lines:
            return owners
        for page in pages:
            if self._page_problem(page):
                continue
            owner = page.digest
            for line in map(_line_digest, page.text.split("\n")):
                if owner < owners.get(line, b"\xff" * 17):
                    owners[line] = owner
        return owners

    def clean(
        self,
        pages: Iterable[WebPage],
        language: str,
        owners: LineOwners,
        counts: Counter[str],
    ) -> Iterator[WebPage]:
        """Yields the pages, or what is left of them, that pass: the second pass.

        Args:
          pages: pages, all of which were among those given to `line_owners`.
          language: mC4 code of the language they should be in.
          owners: what `line_owners` found.
          counts: counts pages and lines by `REASONS` as they go by.
        """
        seen: set[bytes] = set()
        for page in pages:
            cleaned = self._clean_page(page, language, owners, seen, counts)
            if isinstance(cleaned, str):
                counts[cleaned] += 1
            else:
                counts["pages kept"] += 1
                yield cleaned

    def _clean_page(
        self,
        page: WebPage,
        language: str,
        owners: LineOwners,
        seen: set[bytes],
        counts: Counter[str],
    ) -> WebPage | str:
        problem = self._page_problem(page)
        if problem:
            return problem
        if self.drop_duplicate_lines:
            if page.digest in seen:
                return "pages seen before"
            seen.add(page.digest)
            page = WebPage(_own_lines(page, owners, counts), page.identity)
            if not page.text:
                return "pages of duplicate lines"
        return self._language_problem(page.text, language) or page

    def _page_problem(self, page: WebPage) -> str:
        if len(page.text) > self.max_characters:
            return "pages too long"
        lengths = [len(line) for line in page.text.split("\n")]
        longest = heapq.nlargest(self.min_paragraphs, lengths)
        if len(longest) < self.min_paragraphs or (
            longest and longest[-1] < self.min_paragraph_characters
        ):
            return "pages without paragraphs"
        return ""

    def _language_problem(self, text: str, language: str) -> str:
        if self.language_threshold is None:
            return ""
        found = identify(text)
        if not found.is_reliable or found.probability < self.language_threshold:
            return "pages of no sure language"
        return "" if found.code == language else "pages of another language"


def clean_texts(
    texts: Iterable[str | WebPage], language: str, mc4_filter: Mc4Filter | None = None
) -> tuple[Iterator[str], Counter[str]]:
    """Cleans documents of one language.

    Args:
      texts: the documents; what can be gone through once only is first read as a whole.
      language: mC4 code of the language they should be in.
      mc4_filter: the filters; as configured if None.

    Returns:
      The cleaned documents, and counts by `REASONS`, complete when the last document
      has come out.
    """
    mc4_filter = mc4_filter or Mc4Filter()
    again = texts if isinstance(texts, Collection) else list(texts)
    counts: Counter[str] = Counter()
    owners = mc4_filter.line_owners(map(_as_page, again))
    pages = mc4_filter.clean(map(_as_page, again), language, owners, counts)
    return (page.text for page in pages), counts


def _as_page(text: str | WebPage) -> WebPage:
    return text if isinstance(text, WebPage) else web_page(text)


def _own_lines(page: WebPage, owners: LineOwners, counts: Counter[str]) -> str:
    kept, seen = [], set()
    for line in page.text.split("\n"):
        digest = _line_digest(line)
        if owners[digest] != page.digest:
            counts["lines of other pages"] += 1
        elif digest in seen:
            counts["lines repeated in the page"] += 1
        else:
            counts["lines kept"] += 1
            seen.add(digest)
            kept.append(line)
    return "\n".join(kept)


def _line_digest(line: str) -> bytes:
    return md5(line.strip().lower())
