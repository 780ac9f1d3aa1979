"""Imports TensorFlow without the lines its C++ parts write to stderr.

Some are written before any log level is heard. They go to a file meanwhile, which is
shown if the import fails. Set TF_CPP_MIN_LOG_LEVEL to see everything.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def import_tensorflow() -> None:
    """Imports TensorFlow and SeqIO, and lets TensorFlow look for its devices."""
    if LOG_LEVEL in os.environ:
        return
    os.environ[LOG_LEVEL] = "2"
    with _silent():
        import seqio  # noqa: F401  (it imports further libraries that write)
        import tensorflow as tf

        tf.config.list_physical_devices()


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
