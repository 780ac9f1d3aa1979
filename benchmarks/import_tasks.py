"""How long it takes to register every task, and how many there are.

    python benchmarks/import_tasks.py

TensorFlow's own import is excluded; SeqIO's and t5's are counted, and shown apart.
"""

from __future__ import annotations

import os
import platform
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    """Prints versions, cores, seconds and counts."""
    started = time.perf_counter()
    import tensorflow as tf

    tensorflow_ready = time.perf_counter()
    import seqio  # noqa: F401
    import t5.data  # noqa: F401
    import t5.evaluation.metrics  # noqa: F401

    libraries_ready = time.perf_counter()
    from mtmoe.data.tasks.registry import BUILT_IN_TASK_MODULES, register

    register(BUILT_IN_TASK_MODULES)
    ready = time.perf_counter()
    from mtmoe.data.tasks.catalogue import mixtures, select_tasks

    print(f"Python {platform.python_version()}, TensorFlow {tf.__version__}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"TensorFlow (excluded)       {tensorflow_ready - started:6.2f} s")
    print(f"SeqIO and t5                {libraries_ready - tensorflow_ready:6.2f} s")
    print(f"{len(BUILT_IN_TASK_MODULES)} task modules              ", end="")
    print(f"{ready - libraries_ready:6.2f} s")
    print(f"{len(select_tasks()):,} tasks, {len(mixtures()):,} mixtures")


if __name__ == "__main__":
    main()
