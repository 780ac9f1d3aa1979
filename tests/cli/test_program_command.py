"""`mtmoe program export` and `mtmoe train --profile` as they are called."""

import dataclasses
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_training

from mtmoe.cli.main import main
from mtmoe.engine.export import ProgramExportError
from mtmoe.train.check import check_run
from mtmoe.train.program_export import ProgramExport, export_program


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A folder to work in with the tiny run's gin file."""
    monkeypatch.chdir(tmp_path)
    dense = tiny_training.GIN.replace("layer_every = 1", "layer_every = 0")
    Path("tiny.gin").write_text(dense)  # quicker to build
    return "--gin_file=tiny.gin"


def test_mistakes(tiny, capsys):
    def error(*arguments):
        assert main(["program", *arguments]) == 2
        return capsys.readouterr().err

    export = ["export", tiny, "--output_dir=step"]
    assert "usage: mtmoe program export --gin_file" in error("export", tiny)
    assert "did you mean export" in error("exprt")
    assert "a whole number from 1" in error(*export, "--num_batches=0")
    told = error(*export, "--hardware=v5e:2x2")
    assert "v5e:2x2 has 4 devices, the layout has 1 processors" in told
    assert "no name of a TPU slice" in error(*export, "--hardware=mine")
    Path("step").mkdir()
    assert "step exists already" in error(*export)
    assert not list(Path("step").iterdir())


def test_a_run_that_starts_from_a_checkpoint(tiny):
    run = check_run(["tiny.gin"]).run
    run = dataclasses.replace(run, initial_checkpoint="x")
    with pytest.raises(ProgramExportError, match="makes its variables from the seed"):
        export_program(Path("step"), run, ProgramExport())


def test_steps_to_profile(tiny, capsys):
    for steps, reason in [
        ("3", "must be FIRST:LAST"),
        ("a:b", "must be FIRST:LAST"),
        ("3:2", "has no steps"),
        ("0:2", "has no steps"),
        ("11:13", "this run does the steps 1 to 12"),
    ]:
        assert main(["train", tiny, "--model_dir=m", f"--profile={steps}"]) == 2
        assert reason in capsys.readouterr().err
    assert not Path("m").exists()


@pytest.mark.slow
def test_an_export_of_a_run_gives_its_losses(tiny, capsys):
    command = ["program", "export", tiny, "--output_dir=step", "--num_batches=2"]
    assert main(command) == 0
    told = capsys.readouterr().out
    content = json.loads(Path("step/program.json").read_text())
    assert len(content["expected_losses"]) == 2
    assert f"losses: {content['expected_losses'][0]:.6f}" in told
    done = subprocess.run(
        [sys.executable, "step/run_program.py", "step", "--devices=1", "--steps=2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "they agree" in done.stdout


@pytest.mark.slow
def test_a_profile_names_the_layers(tiny, capsys):
    arguments = ["--gin_param=train.steps=3", "--gin_param=train.log_every=1"]
    assert main(["train", tiny, "--model_dir=m", *arguments, "--profile=2:3"]) == 0
    assert "time by layer" in capsys.readouterr().err
    assert "decoder/layer_000/" in Path("m/profile/times.txt").read_text()
    (trace,) = Path("m/profile").rglob("*.trace.json.gz")
    with gzip.open(trace, "rt") as file:
        events = json.load(file)["traceEvents"]
    layers = {(event.get("args") or {}).get("layer", "") for event in events}
    for stack in ("encoder", "decoder"):
        assert f"{stack}/layer_000/self_attention" in layers
        assert f"{stack}/layer_000/feed_forward (backward)" in layers
    names = {event.get("name", "") for event in events}
    assert any(name.startswith("encoder/layer_000/self_attention") for name in names)
    # TensorBoard's plugin finds the program, and the names in it, here.
    (plane,) = Path("m/profile").glob("plugins/profile/*/*.xplane.pb")
    assert b"encoder/layer_000/self_attention" in plane.read_bytes()
