"""Keeps from stderr the lines that C++ parts write there to nobody's use."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

# Written each time a SentencePiece operation of TensorFlow is made: thrice a task.
_SENTENCEPIECE_NOTE = b"normalizer.cc("

# Ends the forwarding. The pipe's own end would not: a process that was started
# meanwhile and goes on, such as multiprocessing's resource tracker, has it open too.
_LAST_LINE = b"\0end of what is forwarded\n"


@contextlib.contextmanager
def without_sentencepiece_notes() -> Iterator[None]:
    """Keeps one repeated line from stderr; every other line passes at once.

    Meanwhile stderr is no terminal; a line that is refreshed in place needs a copy of
    the file descriptor made before.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    read_end, write_end = os.pipe()

    def forward() -> None:
        with os.fdopen(read_end, "rb") as lines:
            for line in lines:
                if line.endswith(_LAST_LINE):
                    os.write(terminal, line.removesuffix(_LAST_LINE))
                    return
                if not line.startswith(_SENTENCEPIECE_NOTE):
                    os.write(terminal, line)

    forwarder = threading.Thread(target=forward)
    os.dup2(write_end, 2)
    forwarder.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.write(write_end, _LAST_LINE)
        os.close(write_end)
        forwarder.join()
        os.close(terminal)
