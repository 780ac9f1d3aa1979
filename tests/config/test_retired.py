"""Parameters of earlier releases: refused in a user's file, left out of old runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_training

from mtmoe.config import retired
from mtmoe.config.compare import check_same_run
from mtmoe.config.load import load_config
from mtmoe.config.registry import find, import_rooms
from mtmoe.errors import CheckpointError, ConfigError
from mtmoe.train.settings import CHANGEABLE, configured_run

OLD = "train.jit_compile = False\nLayout.devices = ('/device:CPU:1',)\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def model_folder(text: str) -> Path:
    """Returns a model folder whose config an earlier release wrote."""
    folder = Path("model")
    folder.mkdir()
    (folder / "config.gin").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("line", "replaced_by"),
    [
        ("train.jit_compile = True", "every step is compiled; remove the line"),
        ("Layout.devices = ()", "devices are found; a layout is mesh_shape and"),
    ],
)
def test_a_user_is_told_what_to_do(line: str, replaced_by: str) -> None:
    Path("run.gin").write_text(f"{tiny_training.GIN}{line}\n")
    number = len(Path("run.gin").read_text().splitlines())
    name = line.partition(" =")[0]
    with pytest.raises(ConfigError) as caught:
        load_config(["run.gin"], [line], roots=["train"])
    in_file, by_flag = str(caught.value).splitlines()
    assert in_file.startswith(f"{name} is gone: {replaced_by}")
    assert in_file.endswith(f"(run.gin:{number})")
    assert by_flag.endswith(f"(--gin_param={line})")


def test_a_folder_of_an_earlier_release_loads_and_goes_on() -> None:
    folder = model_folder(tiny_training.GIN + OLD)
    old = load_config(model_dir=folder, roots=["train"])
    assert not retired.RETIRED.keys() & old.bindings.keys()
    assert "jit_compile" not in old.text
    assert configured_run().steps == 12

    Path("run.gin").write_text(tiny_training.GIN)
    check_same_run(folder, load_config(["run.gin"], roots=["train"]), CHANGEABLE)
    other = load_config(["run.gin"], ["train.seed = 3"], roots=["train"])
    with pytest.raises(CheckpointError, match=r"differs in:\n  train.seed = .*\nTake"):
        check_same_run(folder, other, CHANGEABLE)


def test_a_flag_beside_an_old_folder_is_still_refused() -> None:
    folder = model_folder(tiny_training.GIN + OLD)
    with pytest.raises(
        ConfigError, match=r"^Layout.devices is gone.*gin_param=[^\n]*$"
    ):
        load_config((), ["Layout.devices = ()"], model_dir=folder, roots=["train"])


def test_the_table_names_nothing_that_is_there() -> None:
    import_rooms()
    for key in retired.RETIRED:
        selector, _, parameter = key.rpartition(".")
        configurable = find(selector)
        assert configurable.selector == selector
        assert parameter not in configurable.parameters
