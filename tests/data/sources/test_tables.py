"""CSV by RFC 4180, TSV as it stands, and what is wrong in either."""

from __future__ import annotations

import pytest

from mtmoe.data.sources.files import BadRecord, read_records
from mtmoe.errors import CorpusError


def read(path, content, **options):
    path.write_text(content, "utf-8", newline="")
    bad: list[BadRecord] = []
    return list(read_records(str(path), bad.append, **options)), bad


def test_a_row_of_other_width(tmp_path):
    records, bad = read(tmp_path / "a.csv", 'a,b\n1,2\n3\n"x\ny",4\n\n5,6\n')
    assert records == [
        (2, {"a": "1", "b": "2"}),
        (4, {"a": "x\ny", "b": "4"}),
        (7, {"a": "5", "b": "6"}),
    ]
    assert str(bad[0]).endswith("a.csv:3: 1 cells under 2 headings")


def test_rfc_4180(tmp_path):
    content = (
        '\ufeff"a ","b""c",\r\n"x, y","",z\r\n"two\r\nlines",say "so","""q"""\r\n,,'
    )
    records, bad = read(tmp_path / "a.csv", content)
    assert not bad
    assert [list(record.values()) for _, record in records] == [
        ["x, y", "", "z"],
        ["two\nlines", 'say "so"', '"q"'],
        ["", "", ""],
    ]
    assert list(records[0][1]) == ["a ", 'b"c', ""]


def test_quotes_that_do_not_fit_are_named_where_the_row_begins(tmp_path):
    records, bad = read(tmp_path / "a.csv", 'a,b\n"x"y,2\n3,4\n"5,6\n7,8\n')
    assert records == [(3, {"a": "3", "b": "4"})]
    assert [(one.line, one.ends_file) for one in bad] == [(2, False), (4, True)]
    assert "'y' behind the quote that closes cell 1" in bad[0].reason
    assert "never closed" in bad[1].reason


def test_a_row_with_an_unreadable_line_inside_is_left_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\n1,2\n3,4\n"x\n\xff\ny",5\n6,7\n')
    bad: list[BadRecord] = []
    records = [record for _, record in read_records(str(path), bad.append)]
    assert [record["a"] for record in records] == ["1", "3", "6"]
    assert [one.line for one in bad] == [5, 4]


def test_tsv_has_no_quoting(tmp_path):
    content = 'q\ta\n"Alisema kwaheri\tkweli\nsiku "njema"\tuongo\nna kuondoka"\t\r\n'
    records, bad = read(tmp_path / "a.TSV", content)
    assert not bad
    assert [(n, *record.values()) for n, record in records] == [
        (2, '"Alisema kwaheri', "kweli"),
        (3, 'siku "njema"', "uongo"),
        (4, 'na kuondoka"', ""),
    ]
    quoted, _ = read(tmp_path / "a.tsv", '"q"\ta\n"x\ty"\t1\n', quoted=True)
    assert quoted == [(2, {"q": "x\ty", "a": "1"})]
    plain, _ = read(tmp_path / "a.csv", 'q,a\n"x,1\n', quoted=False)
    assert plain == [(2, {"q": '"x', "a": "1"})]


def test_headings_must_differ(tmp_path):
    with pytest.raises(CorpusError, match=r"a\.tsv:1: the heading 'q' .* 1 and 3"):
        read(tmp_path / "a.tsv", "q\ta\tq\n1\t2\t3\n")
    assert read(tmp_path / "a.csv", "")[0] == []
    assert read(tmp_path / "a.csv", "q,a\n")[0] == []


def test_a_cell_of_any_size(tmp_path):
    cell = "neno " * 400_000
    records, bad = read(tmp_path / "a.csv", f'q,a\n{cell},ndiyo\n"{cell}",hapana\n')
    assert [len(record["q"]) for _, record in records] == [len(cell)] * 2 and not bad
