"""What a command does before it builds a model."""

from __future__ import annotations

from mtmoe.startup.importing import import_tensorflow
from mtmoe.startup.memory import keep_freed_memory


def prepare_runtime() -> None:
    """Sets up memory, imports TensorFlow, and keeps what will be compiled."""
    keep_freed_memory()  # before TensorFlow starts threads
    import_tensorflow()
    from mtmoe.data.ground.cache import cache_directory
    from mtmoe.engine.kept.cache import keep_compiled

    keep_compiled(cache_directory() / "compiled")
