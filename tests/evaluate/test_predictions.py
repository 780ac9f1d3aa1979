import shutil

import numpy as np
import pytest
import seqio

from mtmoe.errors import CorpusError
from mtmoe.evaluate.predictions import encode_blanks, fill, predict, read_lines

BYTES = seqio.ByteVocabulary(extra_ids=100)
FIRST = 258 + 100  # <extra_id_0>: sentinels count down from the last id


def ids(text):
    return list(BYTES.encode(text))


def test_blanks_become_sentinels_in_order():
    tokens = encode_blanks("a <extra_id_7> b<extra_id_2>c", BYTES, 12, "f:1")
    assert tokens.tolist() == [
        *ids("a"),
        FIRST,
        *ids(" b"),
        FIRST - 1,
        *ids("c"),
        1,
        *[0] * 5,
    ]


@pytest.mark.parametrize(
    ("text", "length", "message"),
    [
        ("no blank", 20, "f:3 has no blank"),
        ("<extra_id_1> <extra_id_1>", 20, "same blank twice"),
        ("too long <extra_id_0>", 9, "f:3 has 10 tokens.*9 at most"),
        (" ".join(f"<extra_id_{i}>" for i in range(101)), 900, "101 blanks"),
    ],
)
def test_lines_that_cannot_be_filled(text, length, message):
    with pytest.raises(CorpusError, match=message):
        encode_blanks(text, BYTES, length, "f:3")


def test_spans_go_where_their_blank_is():
    tokens = [FIRST, *ids(" one  way"), FIRST - 1, *ids("2"), 1, *ids("ignored")]
    filled = fill(4, "x <extra_id_7> y<extra_id_2>", np.array(tokens), BYTES)
    assert filled.text == "x one way y2"
    assert filled.spans == {"7": "one  way", "2": "2"}
    assert filled.line == 4


def test_what_the_model_leaves_out_stands_as_it_was():
    tokens = np.array([FIRST - 1, *ids("b"), FIRST - 9, *ids("stray"), FIRST - 1, 70])
    filled = fill(1, "<extra_id_0> <extra_id_1>", tokens, BYTES)
    assert filled.text == "<extra_id_0> b"
    assert filled.spans == {"0": None, "1": "b"}


def test_bad_files(tmp_path):
    path = tmp_path / "blanks.txt"
    with pytest.raises(CorpusError, match="cannot be read"):
        read_lines(path)
    path.write_bytes(b"ok\nbad \xff\n")
    with pytest.raises(CorpusError, match=r"blanks.txt:2 is not UTF-8.*offset 4"):
        read_lines(path)
    path.write_text("\n \n")
    with pytest.raises(CorpusError, match="no text"):
        read_lines(path)


def test_a_file_is_filled_line_by_line(tiny_model, tmp_path, capsys):
    model_dir = shutil.copytree(tiny_model, tmp_path / "model")
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("frei und <extra_id_0>\n\n<extra_id_3> haki\n", encoding="utf-8")
    filled = predict(model_dir, source, target)
    assert [line.line for line in filled] == [1, 3]
    lines = target.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3 and lines[1] == ""
    assert lines[0].startswith("frei und ") and lines[2].endswith(" haki")
    assert predict(model_dir, source, target) == filled  # greedy: the same again
    assert "filling blanks" in capsys.readouterr().err

    target.unlink()
    source.write_text("fine <extra_id_0>\nnot fine\n")
    with pytest.raises(CorpusError, match=r"in.txt:2 has no blank"):
        predict(model_dir, source, target)
    assert not target.exists()
