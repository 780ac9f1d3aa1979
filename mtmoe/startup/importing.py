"""Imports TensorFlow and SeqIO, quietly and without what nothing here uses.

Set TF_CPP_MIN_LOG_LEVEL to see everything that is written meanwhile.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
import shutil
import sys
import tempfile
import types
from collections.abc import Iterator, Sequence

from mtmoe.startup.garbage import without_garbage_collection

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"

# TensorFlow imports Keras, and Keras these where they are installed, for what nothing
# here uses: a sixth of the time that a command takes to import all it needs.
_FOR_KERAS_ALONE = ("pandas", "sklearn")

# SeqIO imports these for mixtures whose rates a tuner searches, and for tokens made in
# a graph; many commands need neither: a quarter of what is left.
_FOR_SOME_COMMANDS = ("pyglove", "tensorflow_text")


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
        with _imported_when_used(_FOR_SOME_COMMANDS):
            import seqio  # noqa: F401  (it imports further libraries that write)

        keep_tensorflow_on_the_host()  # what it says of devices is kept back too
        gc.freeze()  # what libraries are made of stays


def keep_tensorflow_on_the_host() -> None:
    """Hides GPUs and TPUs from TensorFlow, for good.

    TensorFlow builds graphs and prepares data here; programs run on the engine's
    devices. At its first operation it would take all the memory of every GPU it sees.
    Where TensorFlow already runs with what it found, nothing can be changed any more.
    """
    import tensorflow as tf

    for kind in ("GPU", "TPU"):
        try:
            tf.config.set_visible_devices([], kind)
        except RuntimeError:
            return


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


@contextlib.contextmanager
def _imported_when_used(packages: Sequence[str]) -> Iterator[None]:
    """Has what imports packages inside wait until it first asks one for a name.

    One that is imported already stays.
    """
    waiting = {name: _stand_in(name) for name in packages if name not in sys.modules}
    sys.modules.update(waiting)
    try:
        yield
    finally:
        for name, module in waiting.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _stand_in(package: str) -> types.ModuleType:
    """A module that imports a package and asks it, whatever it is asked for."""
    module = types.ModuleType(package)

    def attribute(name: str) -> object:
        if name.startswith("__"):  # whoever walks through all modules asks for these
            raise AttributeError(name)
        if sys.modules.get(package) is module:
            del sys.modules[package]
        return getattr(importlib.import_module(package), name)

    module.__getattr__ = attribute  # type: ignore[method-assign]
    return module
