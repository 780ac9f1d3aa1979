import shutil

import pytest

from mtmoe.errors import CorpusError, MtmoeError
from mtmoe.evaluate.predictions import predict, read_lines


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
    source.write_text("frei und <extra_id_0>\n\n<extra_id_0> haki\n", encoding="utf-8")
    filled = predict(model_dir, source, target)
    assert [line.line for line in filled] == [1, 3]
    lines = target.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3 and lines[1] == ""
    assert lines[0].startswith("frei und ") and lines[2].endswith(" haki")
    assert predict(model_dir, source, target) == filled  # greedy: the same again
    assert "filling blanks" in capsys.readouterr().err

    target.unlink()
    source.write_text("fine <extra_id_0>\nnot fine\n")
    with pytest.raises(MtmoeError, match=r"in.txt:2, .*no blank"):
        predict(model_dir, source, target)
    assert not target.exists()
