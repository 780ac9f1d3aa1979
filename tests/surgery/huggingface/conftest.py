"""SentencePiece models to export and import with."""

import pytest
from oracles.spiece_models import t5_model


@pytest.fixture
def spiece_model() -> bytes:
    """A small model of T5's kind, without sentinels."""
    return t5_model()
