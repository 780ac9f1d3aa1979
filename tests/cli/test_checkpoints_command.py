"""`mtmoe checkpoints`: what is there, whether it is sound, how far it is apart."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mtmoe.checkpoint import store
from mtmoe.cli.main import main

OLD = Path(__file__).parents[1] / "checkpoint" / "data" / "format_1"
SHARD = "shard_00000-of-00001.safetensors"


def values(step: int) -> dict[str, np.ndarray]:
    return {
        "encoder/wi": np.full((3, 4), step, np.float32),
        "encoder/wi/vr": np.full(3, step, np.float32),
        "scale": np.ones(2, np.float32),
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "model"
    for step in (100, 200, 400):
        store.save(folder / "checkpoints", step, values(step), {"data": "x"})
    (folder / "config.gin").write_text("train.steps = 400\n")
    (folder / "provenance.json").write_text("{}\n")
    return folder


@pytest.fixture
def model_dir(written: Path, tmp_path: Path) -> Path:
    """A copy, free to be damaged."""
    return Path(shutil.copytree(written, tmp_path / "model"))


def damage(model_dir: Path, step: int) -> None:
    path = model_dir / "checkpoints" / f"step_{step}" / SHARD
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def checkpoints(*arguments: object) -> int:
    return main(["checkpoints", *map(str, arguments)])


def test_list(model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model_dir / "checkpoints" / "step_500.tmp").mkdir()
    assert checkpoints("list", f"--model_dir={model_dir}") == 0
    headings, *lines = capsys.readouterr().out.splitlines()
    assert headings.split() == "step written size shards written with state".split()
    assert [line.split()[0] for line in lines[:3]] == ["100", "200", "400"]
    assert all(line.endswith("intact") and "mtmoe 0." in line for line in lines[:3])
    assert lines[3].startswith("step_500.tmp: unfinished")
    assert lines[-1].startswith("3 checkpoints, 0 damaged, ")


def test_list_and_verify_say_what_is_damaged(
    model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(model_dir, 200)
    flag = f"--model_dir={model_dir}"
    assert checkpoints("list", flag) == 1
    assert "step 200: " in capsys.readouterr().out
    assert checkpoints("list", flag, "--noverify") == 0
    assert capsys.readouterr().out.count("not checked") == 3
    assert checkpoints("verify", flag) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2].strip(":,") for line in lines] == [
        "intact",
        "damaged",
        "intact",
    ]
    assert SHARD in lines[1] and "scale" in lines[1]
    assert checkpoints("verify", 100, 400, flag) == 0
    (model_dir / "checkpoints" / "step_400" / "MANIFEST.json").unlink()
    assert checkpoints("list", flag, "--noverify") == 1
    assert checkpoints("verify", 400, flag) == 1


def test_old_checkpoints_are_listed_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(OLD, tmp_path / "checkpoints")
    reader = store.open(OLD, 3)
    same = {name: reader.read(name) for name in reader.variables}
    store.save(tmp_path / "checkpoints", 4, same, {})
    flag = f"--model_dir={tmp_path}"
    assert checkpoints("list", flag) == 0
    assert capsys.readouterr().out.count(" intact") == 2
    assert checkpoints("diff", 3, 4, flag) == 0
    assert "all 4 variables are equal" in capsys.readouterr().out


def test_diff(model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = model_dir / "diff.csv"
    flag = f"--model_dir={model_dir}"
    assert checkpoints("diff", 100, 200, flag, f"--output_file={table}") == 0
    text = capsys.readouterr().out
    assert "2 of 3 variables differ" in text
    rows = list(csv.DictReader(table.open()))
    assert [row["variable"] for row in rows] == ["encoder/wi", "encoder/wi/vr", "scale"]
    assert [row["max_abs"] for row in rows] == ["100.0", "100.0", "0.0"]
    assert [row["relative_norm"] for row in rows] == ["1.0", "1.0", "0.0"]
    assert rows[0]["shape"] == "3x4"
    assert checkpoints("diff", 100, 200, flag, "--rows=1") == 0
    assert "... 1 more" in capsys.readouterr().out


def test_diff_of_folders_of_different_models(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = {
        "encoder/wi": np.ones((3, 5), np.float32),
        "encoder/wi/vr": np.array([400, 400, np.nan], np.float32),
        "decoder/wi": np.ones(2, np.float32),
    }
    store.save(tmp_path / "other" / "checkpoints", 7, others, {})
    newest = tmp_path / "other" / "checkpoints" / "step_7"
    for other in (tmp_path / "other", newest):
        assert checkpoints("diff", model_dir, other) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].endswith("model/checkpoints/step_400")
        assert lines[1].endswith("other/checkpoints/step_7")
        assert lines[3].endswith("only in B") and "decoder/wi" in lines[3]
        assert lines[4].endswith("shape [3, 4] in A, [3, 5] in B")
        assert lines[5].endswith("only in A") and lines[5].startswith("scale")
        assert lines[6].split()[-2:] == ["nan", "nan"]
        assert lines[-1] == "4 of 4 variables differ"


@pytest.mark.parametrize("chosen", [["400", "200"], ["--last=2"]])
def test_average(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], chosen: list
) -> None:
    mean = tmp_path / "mean"
    flags = [f"--model_dir={model_dir}", f"--output_dir={mean}"]
    assert checkpoints("average", *chosen, *flags) == 0
    assert "the mean of steps 200, 400; 14 parameters; 1 var" in capsys.readouterr().out
    assert {path.name for path in mean.iterdir()} == {
        "checkpoints",
        "config.gin",
        "provenance.json",
    }
    loaded = store.load(mean / "checkpoints", store.latest(mean / "checkpoints"))
    assert loaded.step == 400
    assert loaded.metadata == {"averaged": {"steps": [200, 400]}}
    assert loaded.values.keys() == {"encoder/wi", "scale"}
    np.testing.assert_array_equal(loaded.values["encoder/wi"], np.full((3, 4), 300))
    assert loaded.values["encoder/wi"].dtype == np.float32


def test_a_damaged_step_is_not_averaged(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(model_dir, 200)
    flags = [f"--model_dir={model_dir}", f"--output_dir={tmp_path / 'mean'}"]
    assert checkpoints("average", "--last=2", *flags) == 2
    assert "step_200" in capsys.readouterr().err
    assert not (tmp_path / "mean").exists() and not (tmp_path / "mean.tmp").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: mtmoe checkpoints list"),
        (["vrify"], "did you mean verify"),
        (["list"], "--model_dir is missing"),
        (["list", "x", "--model_dir={}"], "usage: mtmoe checkpoints list"),
        (["verify", "20", "--model_dir={}"], "did you mean 200"),
        (["verify", "--model_dir={}/config.gin"], "has no folder checkpoints"),
        (["verify", "--rows=3", "--model_dir={}"], "flag of mtmoe checkpoints diff"),
        (["diff", "100", "--model_dir={}"], "usage: mtmoe checkpoints diff A B"),
        (["diff", "100", "401", "--model_dir={}"], "did you mean 400"),
        (["diff", "100", "gone", "--model_dir={}"], "unknown step or folder 'gone'"),
        (["diff", "gone", "gone"], "gone is neither a step, nor a model folder"),
        (["diff", "100", "200", "--rows=-1", "--model_dir={}"], "must be a whole"),
        (["average", "100", "--model_dir={}"], "either steps or --last=N"),
        (
            ["average", "100", "--model_dir={}", "--output_dir={}/m"],
            "two different steps at least",
        ),
        (
            ["average", "100", "100", "--model_dir={}", "--output_dir={}/m"],
            "two different steps at least",
        ),
        (
            ["average", "--last=9", "--model_dir={}", "--output_dir={}/m"],
            "has 3: steps",
        ),
        (
            ["average", "100", "200", "--model_dir={}", "--output_dir={}"],
            "exists and is not empty",
        ),
    ],
)
def test_mistakes(
    written: Path, capsys: pytest.CaptureFixture[str], arguments: list, message: str
) -> None:
    given = [argument.replace("{}", str(written)) for argument in arguments]
    assert checkpoints(*given) == 2
    assert message in capsys.readouterr().err


def test_tensorflow_is_not_imported(written: Path) -> None:
    code = (
        "import sys; from mtmoe.cli.main import main\n"
        f"main(['checkpoints', 'list', '--model_dir={written}'])\n"
        f"main(['checkpoints', 'diff', '100', '200', '--model_dir={written}'])\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
