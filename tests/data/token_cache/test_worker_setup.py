"""What a worker is told, and that it is then where its parent is."""

from __future__ import annotations

import gin
import pytest

from mtmoe.data.tasks import registry
from mtmoe.data.token_cache.runners.worker_setup import WorkerSetup
from mtmoe.data.vocabulary.configured import configured_vocabulary
from mtmoe.errors import ConfigError

CONFIG = """
FACTORY = @byte_vocabulary
byte_vocabulary.extra_ids = 7
configured_vocabulary.factory = %FACTORY
"""


@pytest.fixture(autouse=True)
def own_modules(monkeypatch):
    monkeypatch.setattr(registry, "_imported", [])


def test_names_what_the_configuration_needs():
    registry.register(["mtmoe.tasks.embedded.span_corruption"])
    gin.parse_config(CONFIG)
    setup = WorkerSetup.of_this_process()
    assert setup.task_modules == ("mtmoe.tasks.embedded.span_corruption",)
    assert "mtmoe.data.vocabulary.configured" in setup.configured_modules
    assert "mtmoe.train.settings" not in setup.configured_modules
    assert WorkerSetup.of_this_process("import json").gin_config == "import json"


def test_applying_puts_it_in_force():
    gin.parse_config(CONFIG)
    setup = WorkerSetup.of_this_process()
    size = configured_vocabulary().vocab_size
    WorkerSetup(setup.task_modules, setup.configured_modules, "").apply()
    assert gin.config_str().strip() == ""
    setup.apply()
    assert configured_vocabulary().vocab_size == size == 256 + 3 + 7
    setup.apply()  # once more changes nothing
    assert configured_vocabulary().vocab_size == size


def test_what_is_missing_is_an_error():
    with pytest.raises(ConfigError, match="'no_such_module'"):
        WorkerSetup(("no_such_module",), (), "").apply()
    with pytest.raises(ValueError, match="no_such_function"):
        WorkerSetup((), (), "no_such_function.x = 1").apply()
    with pytest.raises(ImportError, match="no_such_module"):
        WorkerSetup((), ("no_such_module",), "").apply()
