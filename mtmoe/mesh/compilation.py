"""How XLA compiles for a CPU."""

from __future__ import annotations

import os

_DISABLED = "--xla_disable_hlo_passes=tree_reduction_rewriter"


def configure_compilation() -> None:
    """Takes out a pass of XLA's that makes sums slow on a CPU.

    It turns every sum over more than 32 numbers into a windowed one, which XLA runs
    number by number, ten times and more slower (norms, softmax, second moments). What
    it is for, the accuracy of sums over millions, `mean_over` has by itself.

    XLA reads its flags when a process first compiles. Flags that the user has set are
    kept, and where they disable passes nothing is added.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "--xla_disable_hlo_passes" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_DISABLED}".strip()
