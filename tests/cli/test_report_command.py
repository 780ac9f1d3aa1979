import sys
from pathlib import Path

import pytest

from mtmoe.cli import main as command_line

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "report"))


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    from model_folder import write_model_folder

    return write_model_folder(tmp_path_factory.mktemp("cli_report") / "run")


def test_writes_the_report_and_says_where(model_dir, tmp_path, capsys):
    output = tmp_path / "report"
    flags = ["report", f"--model_dir={model_dir}", f"--output_dir={output}"]
    assert command_line.main(flags) == 0
    assert capsys.readouterr().out.strip() == str(output / "report.html")
    assert (output / "summary.json").is_file()


@pytest.mark.parametrize("flags", [[], ["--model_dir=x"], ["x", "y"]])
def test_usage(flags, capsys):
    assert command_line.main(["report", *flags]) == 2
    assert "usage: mtmoe report" in capsys.readouterr().err


def test_an_unevaluated_folder_names_the_command(tmp_path, capsys):
    flags = ["report", f"--model_dir={tmp_path}", f"--output_dir={tmp_path / 'out'}"]
    assert command_line.main(flags) == 2
    assert "mtmoe evaluate --model_dir" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
