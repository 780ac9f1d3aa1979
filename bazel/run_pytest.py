"""Runs one test file under Bazel: the main program of every `pytest_test`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def main() -> int:
    """Runs the fast tests of the files named on the command line.

    Returns:
      pytest's exit status; a file that holds slow tests alone counts as passed.
    """
    root = Path(__file__).absolute().parent.parent
    sys.path.insert(0, str(root))
    import mtmoe

    # tasks/ and launch/ install inside the package; here they lie beside it.
    mtmoe.__path__.append(str(root))
    status = pytest.main(
        ["-p", "no:cacheprovider", f"--rootdir={root}", "-c", f"{root}/pyproject.toml"]
        + [str(root / name) for name in sys.argv[1:]]
    )
    return 0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else int(status)


if __name__ == "__main__":
    sys.exit(main())
