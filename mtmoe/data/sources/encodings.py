"""Tells files that are no UTF-8 text by how they begin, and says how to convert them.

A line that is not UTF-8 is one bad line. A file in another encoding is wrong from its
first line to its last, though most of its lines may decode to something: it is refused.
"""

from __future__ import annotations

import codecs
import os
import re
import shlex

_MARKS = (  # UTF-32's begins like UTF-16's
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_WIDE = ("UTF-32LE", "UTF-32BE", "UTF-16LE", "UTF-16BE")
_CONTAINERS = (
    (b"\x1f\x8b", "compressed with gzip; let its name end in .gz"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard; let its name end in .zst"),
    (b"PK\x03\x04", "a ZIP archive; unpack it"),
    (b"BZh", "compressed with bzip2; unpack it"),
    (b"\xfd7zXZ\x00", "compressed with xz; unpack it"),
    (b"PAR1", "Parquet; let its name end in .parquet"),
    (b"%PDF-", "a PDF; extract its text"),
)
_TRACE_OF_NULS = 0.002  # of all bytes: more are no accident of some lines
_MOST_CONTROLS = 0.05
_CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def why_not_text(path: str, head: bytes) -> str:
    """Returns why a file is no UTF-8 text and what to do about it; "" if it is text.

    Args:
      path: the file.
      head: how its content begins, decompressed; some ten thousand bytes.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return (
                f"{encoding} by its byte-order mark, not UTF-8; "
                f"{_conversion(path, encoding)}"
            )
    for signature, what in _CONTAINERS:
        if head.startswith(signature):
            return f"no text: {what}"
    nuls = head.count(0)
    if nuls > max(1, _TRACE_OF_NULS * len(head)):
        encoding = _wide_encoding(head)
        if encoding:
            return f"{encoding} by its NUL bytes, not UTF-8; " + _conversion(
                path, encoding
            )
        return f"binary, no text: {nuls} of its first {len(head)} bytes are NUL"
    controls = len(_CONTROLS.findall(head))
    if controls > _MOST_CONTROLS * len(head):
        return (
            f"binary, no text: {controls} of its first {len(head)} bytes are control "
            "characters"
        )
    bad, lines = _lines_not_utf8(head)
    if bad > 1 and 2 * bad > lines:
        return (
            f"not UTF-8: {bad} of its first {lines} lines are not; "
            + _conversion(path, "ENCODING")
            + " (ENCODING is what it is in, such as WINDOWS-1252)"
        )
    if b"\r" in head.rstrip(b"\r") and b"\n" not in head:
        return (
            "text whose lines end in a carriage return alone; convert it: "
            f"{_filter(path, _TO_LINE_FEEDS)}"
        )
    return ""


_TO_LINE_FEEDS = r"tr '\r' '\n'"


def _wide_encoding(head: bytes) -> str:
    """Returns the encoding of two or four bytes a character that a text is in, or "".

    In the right one the text has white space and next to no NULs.
    """
    found = {}
    for encoding in _WIDE:
        width = 4 if "32" in encoding else 2
        whole = len(head) // width * width
        try:
            text = head[: whole - 2 * width].decode(encoding)  # the end may be half
        except UnicodeDecodeError:
            continue
        if text.count("\0") <= _TRACE_OF_NULS * len(text):
            found[encoding] = text.count(" ") + text.count("\n")
    best = max(found, key=lambda encoding: found[encoding], default="")
    return best if found.get(best) else ""


def _lines_not_utf8(head: bytes) -> tuple[int, int]:
    """Returns (lines that are not UTF-8, all lines), the last one only if whole."""
    lines = [line for line in head.split(b"\n")[:-1] if line.strip()]
    bad = 0
    for line in lines:
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            bad += 1
    return bad, len(lines)


def _conversion(path: str, encoding: str) -> str:
    return f"convert it: {_filter(path, f'iconv -f {encoding} -t UTF-8')}"


def _filter(path: str, command: str) -> str:
    """Returns a shell command that puts a file through another one."""
    name = os.path.basename(path)
    old, new = shlex.quote(name), shlex.quote(f"converted/{name}")
    for ending, program in ((".gz", "gzip"), (".zst", "zstd")):
        if name.lower().endswith(ending):
            return f"{program} -dc {old} | {command} | {program} > {new}"
    return f"{command} < {old} > {new}"
