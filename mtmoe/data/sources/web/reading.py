"""Pages of the files of one language, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from mtmoe.data.sources.files import BadRecord, Record, read_records
from mtmoe.data.sources.web.layouts import TFDS, Layout
from mtmoe.data.sources.web.pages import WebPage, web_page
from mtmoe.data.sources.web.prepared import read_prepared
from mtmoe.data.sources.web.problems import ProblemCounter

_TEXT = "text"


def read_pages(
    paths: Sequence[str], layout: Layout, problems: ProblemCounter
) -> Iterator[WebPage]:
    """Yields the pages of files; what cannot be read is counted and left out.

    Args:
      paths: files of one language.
      layout: what their records hold.
      problems: counts records and files that cannot be read: damaged, missing or empty
        files, lines that are not UTF-8 or not JSON, records without text.

    Raises:
      CorpusError: too much cannot be read.
    """
    for path in paths:
        before = problems.num_records
        damaged = sum(problems.counts.values())
        if not tf.io.gfile.exists(path):
            problems.add(BadRecord(path, 0, "missing file", ends_file=True))
            continue
        for line, record in _records(path, layout, problems.add):
            page = _page(record, layout)
            if isinstance(page, str):
                problems.add(BadRecord(path, line, page))
                continue
            problems.num_records += 1
            yield page
        if problems.num_records == before and sum(problems.counts.values()) == damaged:
            problems.add(BadRecord(path, 0, "empty file", ends_file=True))


def _records(
    path: str, layout: Layout, on_bad: Callable[[BadRecord], None]
) -> Iterator[tuple[int, Record]]:
    if layout is TFDS:
        return read_prepared(path, on_bad)
    columns = [name for name in (_TEXT, layout.url_key) if name]
    return read_records(path, on_bad, columns)


def _page(record: Record, layout: Layout) -> WebPage | str:
    """Returns the page of a record, or what is wrong with it."""
    text = record.get(_TEXT)
    if not isinstance(text, str):
        return f"no text: the record has {', '.join(map(repr, record)) or 'nothing'}"
    if layout.has_escaped_newlines:
        text = text.replace("\\n", "\n")
    if not text.strip():
        return "blank text"
    url = record.get(layout.url_key)
    page = web_page(text, url if isinstance(url, str) else "")
    try:
        (page.text + page.identity).encode("utf-8")
    except UnicodeEncodeError as error:
        return f"not Unicode: half a surrogate pair at character {error.start}"
    return page
