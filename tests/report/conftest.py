"""A synthetic model folder for the report's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_folder import write_model_folder


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic model folder; tests must not change it."""
    return write_model_folder(tmp_path_factory.mktemp("model") / "run")
