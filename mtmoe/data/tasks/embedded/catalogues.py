"""Reads compiled message catalogues (`.mo` files of GNU gettext).

`babel` reads them too, and slower, and refuses a file whose header has an unusual date.
"""

from __future__ import annotations

import struct
from pathlib import Path

from mtmoe.errors import CorpusError

_MAGIC = 0x950412DE


def read_catalogue(path: Path) -> dict[str, str]:
    """Returns the translated messages of a catalogue, of plurals the singular.

    The header and messages without a translation are left out.

    Raises:
      CorpusError: it is not such a file.
    """
    content = path.read_bytes()
    try:
        (magic,) = struct.unpack_from("<I", content)
        order = "<" if magic == _MAGIC else ">"
        magic, _, count, sources, translations = struct.unpack_from(
            f"{order}5I", content
        )
        if magic != _MAGIC:
            raise ValueError("no message catalogue")
        found = {}
        for number in range(count):
            source, text = (
                _string(content, f"{order}2I", table + 8 * number)
                for table in (sources, translations)
            )
            if source and text:
                found[source] = text
    except (struct.error, ValueError) as error:
        raise CorpusError(f"{path} is damaged ({error}); install it again") from error
    return found


def _string(content: bytes, layout: str, place: int) -> str:
    length, start = struct.unpack_from(layout, content, place)
    text = content[start : start + length].decode("utf-8")
    return text.partition("\0")[0]
