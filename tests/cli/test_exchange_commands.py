"""`mtmoe import` and `mtmoe export`, as they are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_training
from oracles.transformers_models import SPARSE, Case
from safetensors.numpy import load_file

from mtmoe.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import"], "usage: mtmoe import --input_dir=HF --output_dir=DIR"),
        (["import", "--input_dir=a"], "usage: mtmoe import"),
        (["import", "--input_dir=a", "--output_dir=b", "c"], "usage: mtmoe import"),
        (["import", "--input_dir=a", "--output_dir=b"], "a/config.json is missing"),
        (["export"], "usage: mtmoe export --model_dir=DIR --output_dir=HF"),
        (["export", "--model_dir=a", "--output_dir=b"], "a is not a model folder"),
        (
            ["export", "--model_dir=a", "--output_dir=b", "--checkpoint=all"],
            "give latest, best or a step",
        ),
    ],
)
def test_mistakes(arguments, message, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["import", "export"])
def test_help_shows_the_commands(command, capsys) -> None:
    assert main([command, "--help"]) == 0
    assert f"    mtmoe {command} --" in capsys.readouterr().out


@pytest.mark.slow
def test_import_train_export(tmp_path, monkeypatch, capsys) -> None:
    """A step at learning rate 0 between the two leaves every tensor as it was."""
    monkeypatch.chdir(tmp_path)
    sizes = {"vocab_size": 384}
    case = Case("SwitchTransformers", SPARSE | sizes, own_logits=False)
    case.save(Path("theirs"))
    assert main(["import", "--input_dir=theirs", "--output_dir=ours"]) == 0
    printed = capsys.readouterr().out
    assert "switch_transformers, " in printed
    assert "ours/model.gin" in printed and "ours/checkpoints" in printed

    Path("tiny.gin").write_text(tiny_training.GIN)
    train = ["train", "--gin_file=tiny.gin", "--gin_file=ours/model.gin"]
    train += [
        '--gin_param=train.initial_checkpoint = "ours"',
        "--gin_param=inverse_square_root.base_learning_rate = 0.0",
        "--gin_param=train.steps = 2",
    ]
    assert main([*train, "--model_dir=run"]) == 0
    assert main(["export", "--model_dir=run", "--output_dir=back"]) == 0
    printed = capsys.readouterr().out
    assert "step 2, " in printed
    assert "transformers.SwitchTransformersForConditionalGeneration" in printed
    assert "no tokenizer, a ByteVocabulary is no SentencePiece model" in printed
    case.load(Path("back"))
    theirs, back = (
        load_file(f"{folder}/model.safetensors") for folder in ("theirs", "back")
    )
    assert theirs.keys() == back.keys()
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(back[name], tensor)

    narrow = "--gin_param=EncoderDecoder.d_kv = 8"
    assert main([*train, narrow, "--model_dir=other"]) == 2
    assert "has shape (16, 4, 4) there, (16, 4, 8) here" in capsys.readouterr().err
    assert not Path("other").exists()
