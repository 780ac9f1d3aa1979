"""Runs a training step that `mtmoe program export` wrote, where mtmoe is not installed.

    python benchmarks/run_program.py FOLDER [--devices=N] [--steps=N] [--profile]

The script itself is `mtmoe/engine/standalone/run_program.py`, which an exported folder
has too; NumPy and JAX are all that it needs. See docs/profiling.md.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent / "mtmoe/engine/standalone"

if __name__ == "__main__":
    sys.path.insert(0, str(SCRIPTS))
    runpy.run_path(str(SCRIPTS / "run_program.py"), run_name="__main__")
