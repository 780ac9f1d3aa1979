"""Every gin file that comes with mtmoe loads without a mistake."""

from __future__ import annotations

import pytest

from mtmoe.config.load import gin_directory, load_config, resolved_bindings
from mtmoe.model.parts import expert_layer_names
from mtmoe.train.settings import configured_run

ROOT = gin_directory()
RUNS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("runs/*.gin"))
PARTS = sorted(
    str(path.relative_to(ROOT)) for path in ROOT.rglob("*.gin") if path.parent != ROOT
)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_complete_and_survives_flattening(name: str) -> None:
    config = load_config([name], roots=["train"])
    run = configured_run()
    assert run.checkpoint_every <= run.steps  # the folder has more than the last
    assert run.notices() == []
    assert expert_layer_names(run.model)
    assert resolved_bindings(config.text, "config.gin") == config.bindings


@pytest.mark.parametrize("name", [name for name in PARTS if name not in RUNS])
def test_a_part_goes_on_top_of_the_quickstart(name: str) -> None:
    """What it sets is in force, and the run can be made."""
    config = load_config(["runs/quickstart.gin", name], roots=["train"])
    files = {binding.where.rpartition(":")[0] for binding in config.statements}
    assert any(file.endswith(name) for file in files)
    configured_run()
