import pytest

from mtmoe.errors import CorpusError
from mtmoe.evaluate.text_folder import read_text_folder


def test_any_usual_code_is_understood(tmp_path):
    (tmp_path / "he.txt").write_text("שלום\n", encoding="utf-8")
    (tmp_path / "zho_Hans.txt").write_bytes(b"\xef\xbb\xbf\xe4\xbd\xa0")
    (tmp_path / "notes.md").write_text("not a language")
    found = read_text_folder(tmp_path)
    assert [(file.language.code, file.text) for file in found] == [
        ("iw", "שלום"),
        ("zh", "你"),
    ]


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({}, ["no LANG.txt"]),
        ({"germn.txt": b"x"}, ["germn.txt", "unknown language code", "LANG.txt"]),
        ({"de.txt": b"abc\xff"}, ["de.txt", "not UTF-8", "offset 3"]),
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
