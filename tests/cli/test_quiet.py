"""One repeated line is kept from stderr, nothing else, whoever else has it open."""

from __future__ import annotations

import os
import subprocess
import sys

from mtmoe.cli.quiet import without_sentencepiece_notes


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
