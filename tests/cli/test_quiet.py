"""One repeated line is kept from stderr, nothing else, whoever else has it open."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import types

import pytest

from mtmoe.cli.quiet import import_tensorflow, without_sentencepiece_notes


def test_notes_are_kept_back_and_all_else_passes(capfd):
    with without_sentencepiece_notes():
        os.write(2, b"before\nnormalizer.cc(51) LOG(INFO) a note\nafter\n")
        os.write(2, b"unfinished")
    assert capfd.readouterr().err == "before\nafter\nunfinished"
    os.write(2, b"normalizer.cc(51) not kept any more\n")
    assert capfd.readouterr().err == "normalizer.cc(51) not kept any more\n"


def test_a_process_that_goes_on_does_not_keep_it_waiting(capfd):
    waits = "import sys; sys.stdin.read()"
    with without_sentencepiece_notes():
        process = subprocess.Popen([sys.executable, "-c", waits], stdin=subprocess.PIPE)
        os.write(2, b"said\n")
    try:
        assert process.poll() is None
        assert capfd.readouterr().err == "said\n"
    finally:
        process.communicate()


@pytest.mark.parametrize("log_level", ["", "3"])
def test_what_keras_alone_wants_is_not_imported_and_can_be_later(log_level):
    code = (
        "import sys; from mtmoe.cli.quiet import import_tensorflow\n"
        "import_tensorflow()\n"
        "assert {'tensorflow', 'seqio'} <= sys.modules.keys()\n"
        "assert not {'pandas', 'sklearn'} & sys.modules.keys()\n"
        "import pandas, sklearn; print(pandas.__name__, sklearn.__name__)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    if log_level:
        environment["TF_CPP_MIN_LOG_LEVEL"] = log_level
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.stdout == "pandas sklearn\n", done.stderr
    assert log_level or not done.stderr


def test_what_is_imported_already_stays(monkeypatch):
    there = types.ModuleType("pandas")
    monkeypatch.setitem(sys.modules, "pandas", there)
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    import_tensorflow()
    assert sys.modules["tensorflow"]
    before = {name: sys.modules.get(name) for name in ("pandas", "sklearn")}
    monkeypatch.setattr(gc, "freeze", lambda: None)
    import_tensorflow.__wrapped__()
    assert {name: sys.modules.get(name) for name in before} == before
    assert before == {"pandas": there, "sklearn": None}


def test_a_second_call_freezes_nothing_more(monkeypatch):
    import_tensorflow()
    monkeypatch.setattr(gc, "freeze", lambda: pytest.fail("frozen again"))
    import_tensorflow()
