"""Numbers on the command line have ranges too."""

import pytest

from mtmoe.cli.main import main

NAN_FLAGS = [
    ("mixture", "--tokens=nan", "a number above 0"),
    ("mixture", "--tokens=inf", "a number above 0"),
    ("mixture", "--tokens=-1", "a number above 0"),
    ("mixture", "--max_epochs=nan", "a number above 0"),
    ("mixture", "--batch_size=0", "a whole number from 1"),
    ("mixture", "--inputs=1.5", "a whole number from 1"),
    ("mixture", "--rows=-1", "a whole number from 0"),
    ("predict", "--temperature=nan", "a number above 0"),
    ("predict", "--top_p=0", "a number above 0 and at most 1"),
    ("predict", "--length_penalty=inf", "a number from 0"),
    ("predict", "--seed=-3", "a whole number from 0"),
    ("predict", "--num_beams=many", "a whole number from 1"),
    ("evaluate", "--max_examples=0", "a whole number from 1"),
    ("cache", "--num_workers=0", "a whole number from 1"),
    ("cache", "--rows=-1", "a whole number from 0"),
    ("tasks", "--num_examples=0", "a whole number from 1"),
    ("tasks", "--targets=nan", "a whole number from 1"),
]


@pytest.mark.parametrize(("command", "flag", "allowed"), NAN_FLAGS)
def test_a_flag_out_of_range_is_refused(command, flag, allowed, capsys):
    assert main([command, flag]) == 2
    error = capsys.readouterr().err
    assert flag.split("=")[0] in error and f"it must be {allowed}" in error
    assert error.count("\n") == 1
