import gzip

import pytest

from mtmoe.errors import CorpusError
from mtmoe.evaluate.text_folder import read_text_folder


def test_any_usual_code_is_understood(tmp_path):
    (tmp_path / "he.txt").write_text("שלום\n", encoding="utf-8")
    (tmp_path / "zho_Hans.txt").write_bytes(b"\xef\xbb\xbf\xe4\xbd\xa0")
    (tmp_path / "SR_LATN.TXT").write_bytes(b"jedan\r\ndva\r\n")
    (tmp_path / "hr.txt.gz").write_bytes(gzip.compress(b"tri"))
    for name in ("notes.md", "README.txt", "._he.txt", "he.txt~"):
        (tmp_path / name).write_text("no text of a language")
    found = read_text_folder(tmp_path)
    assert [(file.language.code, file.text) for file in found] == [
        ("hr", "tri"),
        ("iw", "שלום"),
        ("sr-Latn", "jedan\r\ndva"),
        ("zh", "你"),
    ]


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({}, ["no LANG.txt"]),
        ({"german.txt": b"x"}, ["the code of german is de"]),
        ({"germn.txt": b"x"}, ["germn.txt", "unknown language code", "LANG.txt"]),
        ({"de.txt": b"a\nabc\xff"}, ["de.txt:2: not UTF-8", "offset 3"]),
        ({"de.txt": b"a\nb\0c"}, ["de.txt:2: a NUL character"]),
        ({"sw.txt": "maji na chakula".encode("utf-16")}, ["sw.txt: UTF-16", "iconv"]),
        ({"sw.txt.gz": b"\x1f\x8b\x08 damaged"}, ["sw.txt.gz cannot be read"]),
        ({"sw.txt": b"a", "de.jsonl": b"{}"}, ["holds de.jsonl", "LANG.txt"]),
        ({"sw.txt": b"a", "SW.txt.gz": gzip.compress(b"b")}, ["SW.txt.gz", "sw.txt"]),
        ({"de.txt": b" \n"}, ["de.txt", "empty"]),
        ({"he.txt": b"a", "iw.txt": b"b"}, ["he.txt", "iw.txt", "Hebrew"]),
    ],
)
def test_bad_folders_are_explained(tmp_path, files, parts):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError) as raised:
        read_text_folder(tmp_path)
    for part in parts:
        assert part in str(raised.value)


def test_missing_folder(tmp_path):
    with pytest.raises(CorpusError, match="no folder"):
        read_text_folder(tmp_path / "absent")
