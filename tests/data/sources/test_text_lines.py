"""What is no text in UTF-8: a line of it, or the whole file."""

from __future__ import annotations

import gzip

import pytest
import zstandard

from mtmoe.data.sources.bad_record import BadRecord
from mtmoe.data.sources.text_lines import text_lines
from mtmoe.errors import CorpusError

SWAHILI = "".join(f"Hati namba {i} kuhusu maji.\n" for i in range(300))
CHINESE = "北京 天氣 一 今天 我們 去 公園\n" * 300


def lines_of(path, content: bytes) -> tuple[list[str], list[BadRecord]]:
    path.write_bytes(content)
    bad: list[BadRecord] = []
    return [line for _, line in text_lines(str(path), bad.append)], bad


@pytest.mark.parametrize("text", [SWAHILI, CHINESE], ids=["Swahili", "Chinese"])
@pytest.mark.parametrize("mark", ["\ufeff", ""], ids=["marked", "bare"])
@pytest.mark.parametrize(
    "encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
)
def test_wide_encodings_are_named_with_the_command_that_converts(
    tmp_path, text, mark, encoding
):
    content = (mark + text).encode(encoding)
    name = encoding.upper().replace("-", "").replace("UTF", "UTF-")
    name = name.removesuffix("LE").removesuffix("BE") if mark else name
    with pytest.raises(CorpusError, match=f"sw.txt: {name} .*iconv -f {name} -t UTF-8"):
        lines_of(tmp_path / "sw.txt", content)
    packed = gzip.compress(content)
    with pytest.raises(CorpusError, match=r"gzip -dc sw\.txt\.gz .*gzip > converted/"):
        lines_of(tmp_path / "sw.txt.gz", packed)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (CHINESE.encode("gb18030"), "300 of its first 300 lines"),
        ("größer als Häuser\n".encode("latin-1") * 9, "9 of its first 9 lines"),
        (bytes(range(1, 256)) * 99, "binary"),
        (b"\x7fELF\x02\x01\x01" + bytes(999), "binary.*NUL"),
        (gzip.compress(b"a", mtime=0), "compressed with gzip; let its name end in .gz"),
        (zstandard.compress(b"abc"), "compressed with Zstandard"),
        (b"PK\x03\x04abc", "ZIP"),
        (b"moja\rmbili\rtatu", r"carriage return alone.*tr '\\r' '\\n'"),
    ],
)
def test_what_is_no_text_is_refused_whole(tmp_path, content, reason):
    with pytest.raises(CorpusError, match=reason):
        lines_of(tmp_path / "sw.txt", content)


def test_single_lines_are_bad_lines(tmp_path):
    content = b"moja\nm\xffbili\nta\0tu\nnne\r\ntano"
    lines, bad = lines_of(tmp_path / "sw.txt", content + b"\n" * 900)
    assert [line for line in lines if line] == ["moja", "nne", "tano"]
    assert [str(one).rpartition("sw.txt")[2] for one in bad] == [
        ":2: not UTF-8: byte 0xff at offset 1 of the line",
        ":3: a NUL character at offset 2 of the line",
    ]


def test_long_lines_and_a_mark_are_read_whole(tmp_path):
    long = "é" * 300_000
    for text in (long, f"{long}\nx", f"x\n{long}\n\n{long}"):
        lines, bad = lines_of(tmp_path / "a.txt", b"\xef\xbb\xbf" + text.encode())
        assert lines == text.split("\n") and not bad


def test_an_empty_file_has_no_lines(tmp_path):
    assert lines_of(tmp_path / "a.txt", b"") == ([], [])
    assert lines_of(tmp_path / "a.txt.gz", gzip.compress(b"")) == ([], [])
