"""`mtmoe train` and `mtmoe check` as they are called, within one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_training

from mtmoe.checkpoint import store
from mtmoe.cli.main import main


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder to work in with the tiny run's gin file."""
    monkeypatch.chdir(tmp_path)
    dense = tiny_training.GIN.replace("layer_every = 1", "layer_every = 0")
    Path("tiny.gin").write_text(dense)  # quicker to build
    return "--gin_file=tiny.gin"


def test_usage(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["train"], ["train", tiny], ["train", tiny, "x"], ["check"]):
        assert main(arguments) == 2
        assert f"usage: mtmoe {arguments[0]} --gin_file" in capsys.readouterr().err


def test_check_finds_mistakes_and_trains_nothing(
    tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", tiny]) == 0
    assert "no mistakes\nfingerprint " in capsys.readouterr().out
    assert main(["check", tiny, "--gin_param=train.stesp=3"]) == 2
    error = capsys.readouterr().err
    assert "train has no parameter 'stesp'; did you mean steps" in error
    assert "--gin_param=train.stesp=3" in error
    assert [path.name for path in Path().iterdir()] == ["tiny.gin"]


def test_a_run_another_config_and_the_same_command(
    tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", tiny, "--model_dir=model"]
    assert main([*command, "--gin_param=train.steps=2"]) == 0
    assert "'--gin_param" not in Path("model/provenance.json").read_text()
    before = {p: p.read_bytes() for p in Path("model").rglob("*") if p.is_file()}
    capsys.readouterr()

    assert main([*command, "--gin_param=EncoderDecoder.d_ff=64"]) == 2
    error = capsys.readouterr().err
    assert "EncoderDecoder.d_ff = 32 there, 64 here" in error and "steps" not in error
    assert before == {
        p: p.read_bytes() for p in Path("model").rglob("*") if p.is_file()
    }

    changed = ["--gin_param=train.steps=4", "--gin_param=train.log_every=1"]
    assert main([*command, *changed]) == 0
    assert store.latest("model/checkpoints") == 4
    assert "train.steps = 4" in Path("model/config.gin").read_text()


def test_what_check_refuses_train_refuses_in_the_same_words(
    tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [
        "--gin_param=EncoderDecoder.num_heads=0",
        "--gin_param=train.mixture='tinny'",
        "--gin_param=encodr/train.seed=3",
    ]
    assert main(["check", tiny, *wrong]) == 2
    checked = capsys.readouterr().err
    assert main(["train", tiny, "--model_dir=model", *wrong]) == 2
    assert capsys.readouterr().err == checked
    assert all(mistake in checked for mistake in wrong)
    assert [path.name for path in Path().iterdir()] == ["tiny.gin"]


def test_explain_shows_what_is_in_force_and_lists_mistakes_behind(
    tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.gin").write_text("include 'tiny.gin'\ntrain.steps = 7\n")
    assert main(["explain", "--gin_file=mine.gin", "--gin_param=train.seed=5"]) == 0
    shown = capsys.readouterr().out
    assert (
        "train.steps = 7\n"
        "    steps of the whole run.\n"
        "    set at mine.gin:2; no default\n"
        "    overrides 12, tiny.gin:11, included at mine.gin:1\n"
    ) in shown
    assert "set at --gin_param=train.seed=5; default 0\n" in shown
    assert main(["explain", tiny, "--gin_param=train.keep=1"]) == 2
    output = capsys.readouterr()
    assert "train.keep = 1\n" in output.out and "--gin_param=train.keep=1" in output.err


def test_a_binding_without_effect_is_refused(
    tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    typo = "--gin_param=encodr/SwitchRouter.jitter_epsilon=0.1"
    unused = "--gin_param=linear_warmup_and_cooldown.total_steps=5"
    assert main(["train", tiny, "--model_dir=model", typo, unused]) == 2
    error = capsys.readouterr().err
    assert "encodr/SwitchRouter.jitter_epsilon" in error
    assert (
        "linear_warmup_and_cooldown.total_steps" in error and "train.steps" not in error
    )
    assert not Path("model").exists()
