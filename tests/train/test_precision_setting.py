"""The precision of a run: kept in its folder's config, and not to be changed there."""

import pytest

from mtmoe.config.compare import check_same_run
from mtmoe.config.load import CONFIG_NAME, load_config
from mtmoe.errors import CheckpointError, UnknownNameError
from mtmoe.train.settings import CHANGEABLE, configured_run


def load(precision):
    parameter = f"train.precision = '{precision}'"
    return load_config(["runs/quickstart.gin"], [parameter], roots=["train"])


def test_another_precision_in_the_same_folder_is_refused(tmp_path):
    config = load("bfloat16_selective")
    assert configured_run().precision == "bfloat16_selective"
    (tmp_path / CONFIG_NAME).write_text(config.text)
    check_same_run(tmp_path, config, CHANGEABLE)
    with pytest.raises(
        CheckpointError, match=r"train\.precision = .*selective.* there"
    ):
        check_same_run(tmp_path, load("float32"), CHANGEABLE)


def test_an_unknown_precision_is_refused():
    load("bfloat16_selectiv")
    with pytest.raises(UnknownNameError, match="did you mean bfloat16_selective"):
        configured_run()
