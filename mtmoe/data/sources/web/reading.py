"""Pages of the files of one language, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from mtmoe.data.sources.bad_record import BadRecord, OnBad
from mtmoe.data.sources.files import read_records
from mtmoe.data.sources.so_far import ReadSoFar
from mtmoe.data.sources.web.layouts import TFDS, Layout
from mtmoe.data.sources.web.pages import WebPage, web_page
from mtmoe.data.sources.web.prepared import read_prepared
from mtmoe.data.sources.web.problems import ProblemCounter

_TEXT = "text"


def read_pages(
    paths: Sequence[str],
    layout: Layout,
    problems: ProblemCounter,
    so_far: ReadSoFar | None = None,
) -> Iterator[WebPage]:
    """Yields the pages of files; what cannot be read is counted and left out.

    Args:
      paths: files of one language.
      layout: what their records hold.
      problems: counts records and files that cannot be read: damaged, missing or empty
        files, lines that are not UTF-8 or not JSON, records without text.
      so_far: is told how far the reading of a file has come, where somebody asks.

    Raises:
      CorpusError: too much cannot be read, or a file is no text in UTF-8.
    """
    for path in paths:
        before = problems.num_records
        damaged = sum(problems.counts.values())
        if not tf.io.gfile.exists(path):
            problems.add(BadRecord(path, 0, "missing file", ends_file=True))
            continue
        for line, record in _records(path, layout, problems.add, so_far):
            page = _page(record, layout)
            if isinstance(page, str):
                problems.add(BadRecord(path, line, page))
                continue
            problems.num_records += 1
            yield page
        if problems.num_records == before and sum(problems.counts.values()) == damaged:
            problems.add(BadRecord(path, 0, "empty file", ends_file=True))


def _records(
    path: str, layout: Layout, on_bad: OnBad, so_far: ReadSoFar | None
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if layout is TFDS:
        return read_prepared(path, on_bad, so_far)
    columns = [name for name in (_TEXT, layout.url_key) if name]
    return read_records(path, on_bad, columns, so_far=so_far)


def _no_text(record: Mapping[str, Any]) -> str:
    if _TEXT in record:
        kind = "null" if record[_TEXT] is None else type(record[_TEXT]).__name__
        return f"no text: {_TEXT!r} is {kind}"
    return f"no text: the record has {', '.join(map(repr, record)) or 'nothing'}"


def _page(record: Mapping[str, Any], layout: Layout) -> WebPage | str:
    """Returns the page of a record, or what is wrong with it."""
    text = record.get(_TEXT)
    if not isinstance(text, str):
        return _no_text(record)
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
