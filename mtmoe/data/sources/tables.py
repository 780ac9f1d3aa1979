"""Rows of tables: CSV by RFC 4180, and TSV, which has no quoting.

Tab-separated files of NLP suites (GLUE, PAWS-X, XNLI) hold quotes that are text, and a
line of them is a row whatever it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mtmoe.data.sources.bad_record import BadRecord, OnBad
from mtmoe.errors import CorpusError

_QUOTE = '"'

Lines = Iterable[tuple[int, str]]


def table_records(
    path: str, lines: Lines, delimiter: str, quoted: bool, on_bad: OnBad
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields (number of its first line, record) of each row below the headings.

    Blank lines are passed over. Cells are of any size and are taken as they are; only
    in a quoted one line breaks become line feeds.

    Args:
      path: the file, for errors.
      lines: number and text of each line, without its end.
      delimiter: what stands between cells.
      quoted: whether a cell may stand in double quotes, and then hold delimiters, line
        breaks and, doubled, quotes.
      on_bad: called with each row of more or fewer cells than headings, or with quotes
        that do not fit.

    Raises:
      CorpusError: two headings are the same.
    """
    rows = (
        _quoted_rows(path, lines, delimiter, on_bad)
        if quoted
        else _rows(lines, delimiter)
    )
    headings: list[str] | None = None
    for number, cells in rows:
        if headings is None:
            headings = cells
            _check_headings(path, number, cells)
        elif len(cells) == len(headings):
            yield number, dict(zip(headings, cells, strict=True))
        else:
            reason = f"{len(cells)} cells under {len(headings)} headings"
            on_bad(BadRecord(path, number, reason))


def _check_headings(path: str, number: int, headings: Sequence[str]) -> None:
    for column, heading in enumerate(headings, start=1):
        first = headings.index(heading) + 1
        if first < column:
            raise CorpusError(
                f"{path}:{number}: the heading {heading!r} stands over columns {first} "
                f"and {column}; give each column a heading of its own"
            )


def _rows(lines: Lines, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        if line:
            yield number, line.split(delimiter)


def _quoted_rows(
    path: str, lines: Lines, delimiter: str, on_bad: OnBad
) -> Iterator[tuple[int, list[str]]]:
    cells: list[str] = []
    inside: list[str] | None = None  # lines of a quoted cell that goes on
    first = last = 0
    is_whole = True
    for number, line in lines:
        if inside is None:
            if not line:
                continue
            if _QUOTE not in line:
                yield number, line.split(delimiter)
                continue
            cells, first, is_whole = [], number, True
        else:
            is_whole = is_whole and number == last + 1
        last = number
        try:
            inside = _add_cells(line, delimiter, cells, inside)
        except ValueError as error:
            inside = None
            on_bad(BadRecord(path, number, str(error)))
            continue
        if inside is None and is_whole:
            yield first, cells
        elif inside is None:
            on_bad(BadRecord(path, first, "a line of this row cannot be read"))
    if inside is not None:
        reason = "a quote opens a cell of this row and is never closed"
        on_bad(BadRecord(path, first, reason, ends_file=True))


def _add_cells(
    line: str, delimiter: str, cells: list[str], inside: list[str] | None
) -> list[str] | None:
    """Adds the cells of a line to a row's.

    Args:
      line: the line.
      delimiter: what stands between cells.
      cells: the row's cells so far.
      inside: lines so far of the quoted cell that goes on in this line; None if none.

    Returns:
      Lines so far of a quoted cell that goes on in the next line; None if the row ends.

    Raises:
      ValueError: text behind the quote that closes a cell.
    """
    start = 0
    while True:
        if inside is None and line.startswith(_QUOTE, start):
            inside = []
            start += 1
        if inside is None:
            end = line.find(delimiter, start)
            if end < 0:
                cells.append(line[start:])
                return None
            cells.append(line[start:end])
        else:
            end = _closing_quote(line, start)
            inside.append(line[start : end if end >= 0 else None])
            if end < 0:
                return inside
            cells.append("\n".join(inside).replace(_QUOTE * 2, _QUOTE))
            inside = None
            end += 1
            if end == len(line):
                return None
            if line[end] != delimiter:
                raise ValueError(
                    f"{line[end]!r} behind the quote that closes cell {len(cells)}; a "
                    "quote inside a quoted cell is written twice"
                )
        start = end + 1


def _closing_quote(line: str, start: int) -> int:
    """Returns where a quote stands alone, -1 if nowhere."""
    end = line.find(_QUOTE, start)
    while end >= 0 and line.startswith(_QUOTE, end + 1):
        end = line.find(_QUOTE, end + 2)
    return end
