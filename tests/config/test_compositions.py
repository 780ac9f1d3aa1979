"""Shipped runs go with shipped models, optimizers and layouts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import gin
import pytest

from mtmoe.checkpoint import store
from mtmoe.cli.main import main
from mtmoe.config.load import gin_directory
from mtmoe.errors import ConfigError
from mtmoe.train.check import check_run

ROOT = gin_directory()
TINY = (
    "register.task_modules=['tiny_training']",
    "configured_vocabulary.factory=@byte_vocabulary",
    "train.batch_size=4",
    "train.steps=2",
)
ALL_DIMENSIONS = (
    "Layout.mesh_shape='outer:2;data:2;model:2;sequence:2'",
    "Layout.layout_rules='outer_batch:outer;batch:data;experts:data;length:sequence;"
    "heads:model;d_ff:model;vocab:model;optimizer_state:outer'",
)
_SHALLOW = {  # graphs of one layer, of experts if the model has any
    "EncoderDecoder": (
        "EncoderDecoder.num_encoder_layers=1",
        "EncoderDecoder.num_decoder_layers=1",
        "EncoderDecoder.expert_layer_every=1",
    ),
    "DecoderOnly": ("DecoderOnly.num_layers=1", "DecoderOnly.expert_layer_every=1"),
}


def _files(folder: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(f"{folder}/*.gin"))


@pytest.fixture(autouse=True)
def _config() -> Iterator[None]:
    yield
    gin.clear_config()


def _model_class(file: str) -> str:
    name = Path(file).name
    decoders = ("artetxe", "decoder", "glam", "language_model", "normformer")
    return "DecoderOnly" if name.startswith(decoders) else "EncoderDecoder"


def _models_with_runs() -> Iterator[tuple[str, str]]:
    """Every model with a run: those of a class take turns with all runs."""
    for name in _SHALLOW:
        models = [model for model in _files("models") if _model_class(model) == name]
        assert len(models) > len(_files("runs"))
        yield from zip(models, itertools.cycle(_files("runs")), strict=False)


@pytest.mark.parametrize(("model", "run"), list(_models_with_runs()))
def test_every_model_goes_with_a_run_and_a_layout_of_all_dimensions(
    model: str, run: str
) -> None:
    name = _model_class(model)
    checked = check_run([run, model], [*_SHALLOW[name], *ALL_DIMENSIONS])
    assert type(checked.run.model).__name__ == name


def test_an_encoder_alone_is_not_trained_on_targets_of_their_own_length() -> None:
    widths = {"vocab_size": 16_128, "d_model": 8, "d_ff": 8, "num_heads": 1, "d_kv": 8}
    bindings = [
        f"EncoderOnly.{k} = {v}" for k, v in (widths | {"num_layers": 1}).items()
    ]
    bindings += ["import mtmoe.model.encoder_only", "train.model = @EncoderOnly()"]
    with pytest.raises(ConfigError, match="EncoderOnly, which has no decoder"):
        check_run(["runs/quickstart.gin"], bindings)


@pytest.mark.parametrize("optimizer", _files("optimizers"))
def test_every_run_goes_with_every_optimizer(optimizer: str) -> None:
    for run in _files("runs"):
        shallow = _SHALLOW[_model_class(run)]
        checked = check_run([run, optimizer], shallow)
        rate = checked.run.schedule(checked.run.steps - 1)
        assert float(rate) > 0.0
        assert "has no effect" not in " ".join(checked.notices)
    assert check_run([optimizer, run], shallow).run.steps == checked.run.steps


@pytest.mark.parametrize("layout", _files("layouts"))
def test_every_run_goes_with_every_layout(layout: str) -> None:
    for run in _files("runs"):
        checked = check_run([run, layout], _SHALLOW[_model_class(run)])
        assert not checked.switched_off
    macros = re.findall(r"^([A-Z]+) = \d+$", (ROOT / layout).read_text(), re.MULTILINE)
    for size in (1, 4) if macros else ():
        sizes = [f"{name} = {size}" for name in macros]
        sizes += _SHALLOW["EncoderDecoder"]
        checked = check_run(["runs/quickstart.gin", layout], sizes)
        assert checked.run.layout.size == size ** len(macros)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "mixture", "params"),
    [
        (
            [
                "runs/quickstart.gin",
                "models/decoder_tiny.gin",
                "optimizers/adamw_cosine.gin",
            ],
            "tiny",
            _SHALLOW["DecoderOnly"],
        ),
        (
            ["runs/language_model_quickstart.gin", "models/switch_tiny.gin"],
            "tiny.prefix_lm",
            [*_SHALLOW["EncoderDecoder"][:2], "EncoderDecoder.moe=None"],
        ),
    ],
)
def test_small_ones_train(
    files: list[str],
    mixture: str,
    params: Sequence[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    cooldown = "linear_warmup_and_cooldown.cooldown_steps=0"
    params = [*TINY, f"train.mixture='{mixture}'", cooldown, *params]
    flags = [f"--gin_file={name}" for name in files]
    flags += [f"--gin_param={param}" for param in params]
    assert main(["check", *flags]) == 0
    assert main(["train", *flags, "--model_dir=model"]) == 0
    assert store.latest("model/checkpoints") == 2
