"""Files stacked in ways that people stack them, which pass check and train."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gin
import pytest

from mtmoe.model.parts import expert_layer_names
from mtmoe.train.check import check_run

COMPOSITIONS = {
    "the quickstart alone": ((), ()),
    "a dense baseline by one parameter": ((), ("EncoderDecoder.moe=None",)),
    "a longer run by one number": ((), ("train.steps=700",)),
    "a longer run by its macro": ((), ("STEPS=700",)),
    "T5 on the quickstart": (("models/t5_1_1_small.gin",), ()),
    "a decoder alone on the quickstart": (("models/decoder_tiny.gin",), ()),
    "another optimizer": (("optimizers/adamw_cosine.gin",), ()),
    "model, optimizer, packing and layout stacked": (
        (
            "models/switch_base_8.gin",
            "optimizers/adafactor_momentum.gin",
            "batches/packing.gin",
            "layouts/one_device.gin",
        ),
        ("EncoderDecoder.dropout_rate=0.1",),
    ),
    "bytes as vocabulary": (("vocabularies/bytes.gin",), ()),
    "a rate of the run's own mixture": (
        (),
        ("embedded_span_corruption/Temperature.alpha=0.7",),
    ),
    "settings that evaluation alone reads": (
        (),
        ("evaluate.strategy=@BeamSearch()", "BeamSearch.num_beams=3"),
    ),
    "experts in attention, in a scope of their own": (
        (),
        (
            "EncoderDecoder.attention_moe=@attention/MixtureOfExperts()",
            "attention/MixtureOfExperts.group_size=64",
        ),
    ),
    "a total that agrees with the run's": (
        (),
        ("linear_warmup_and_cooldown.total_steps=450",),
    ),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    gin.clear_config()


@pytest.mark.parametrize("what", COMPOSITIONS)
def test_a_composition_passes(what: str, tried) -> None:
    files, params = COMPOSITIONS[what]
    checked = check_run(["runs/quickstart.gin", *files], params)
    flat = Path("flat.gin")
    flat.write_text(checked.config.text)  # what a model folder keeps is a config too
    again = check_run([str(flat)])
    assert again.config.fingerprint == checked.config.fingerprint
    shown = " ".join((*files, *params)) or "runs/quickstart.gin"
    off = sum("switched off" in notice for notice in checked.notices)
    outcome = "passes" + (", what it switches off is listed" if off else "")
    tried("composition", f"{what}: `{shown}`", outcome)


def test_a_dense_baseline_is_dense_and_keeps_no_binding_of_experts() -> None:
    checked = check_run(["runs/quickstart.gin"], ["EncoderDecoder.moe=None"])
    assert expert_layer_names(checked.run.model) == ()
    assert not [key for key in checked.config.bindings if key.startswith("Mixture")]
    (notice,) = checked.notices
    assert "MixtureOfExperts (4)" in notice


def test_one_number_says_how_long_a_run_is() -> None:
    checked = check_run(["runs/quickstart.gin"], ["train.steps=700"])
    rate = float(checked.run.schedule(699))
    assert 0.0 < rate < float(checked.run.schedule(600))
    key = "linear_warmup_and_cooldown.total_steps"
    assert checked.config.bindings[key] == "700"


def test_a_file_named_too_early_is_told(tried) -> None:
    files = ["optimizers/adamw_cosine.gin", "runs/quickstart.gin"]
    notices = check_run(files).notices
    assert any("name optimizers/adamw_cosine.gin after it" in n for n in notices)
    tried("composition", "an optimizer before the run: " + " ".join(files), notices[-1])
