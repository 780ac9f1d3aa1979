"""Keeps from stderr the lines that C++ parts write there to nobody's use.

Set TF_CPP_MIN_LOG_LEVEL to see everything.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence

from mtmoe.mesh.garbage import without_garbage_collection

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"

# Written each time a SentencePiece operation of TensorFlow is made: thrice a task.
_SENTENCEPIECE_NOTE = b"normalizer.cc("

# TensorFlow imports Keras, and Keras these where they are installed, for what nothing
# here uses: a sixth of the time that a command takes to import all it needs.
_FOR_KERAS_ALONE = ("pandas", "sklearn")

# Ends the forwarding. The pipe's own end would not: a process that was started
# meanwhile and goes on, such as multiprocessing's resource tracker, has it open too.
_LAST_LINE = b"\0end of what is forwarded\n"


@functools.cache  # a second call would freeze what the first command has left
def import_tensorflow() -> None:
    """Imports TensorFlow and SeqIO, and keeps TensorFlow away from GPUs and TPUs.

    Some lines are written before any log level is heard. They go to a file meanwhile,
    which is shown if the import fails.
    """
    is_quiet = LOG_LEVEL not in os.environ
    if is_quiet:
        os.environ[LOG_LEVEL] = "2"
    with (
        _silent() if is_quiet else contextlib.nullcontext(),
        without_garbage_collection(),
    ):
        with _absent(_FOR_KERAS_ALONE):
            import tensorflow  # noqa: F401  (seqio would import it, and not so fast)
        import seqio  # noqa: F401  (it imports further libraries that write)

        from mtmoe.mesh.host import keep_tensorflow_on_the_host

        keep_tensorflow_on_the_host()  # what it says of devices is kept back too
        gc.freeze()  # what libraries are made of stays


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


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keeps what is written to the file descriptor of stderr, unless all goes well."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            with os.fdopen(os.dup(terminal), "wb") as stream:
                shutil.copyfileobj(kept, stream)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


@contextlib.contextmanager
def _absent(packages: Sequence[str]) -> Iterator[None]:
    """Has imports of packages fail inside, as if they were not installed.

    One that is imported already stays.
    """
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
