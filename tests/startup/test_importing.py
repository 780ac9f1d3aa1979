"""TensorFlow and SeqIO are imported without what nothing here uses."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import types

import pytest

from mtmoe.startup import importing
from mtmoe.startup.importing import import_tensorflow

CODE = """
import sys
from mtmoe.startup.importing import import_tensorflow
import_tensorflow()
assert {"tensorflow", "seqio"} <= sys.modules.keys()
late = {"pandas", "sklearn", "pyglove", "tensorflow_text"}
assert not late & sys.modules.keys()
import mtmoe.train.loop, mtmoe.train.check
assert not late & sys.modules.keys()

import tensorflow as tf
from seqio import dataset_providers, vocabularies
tunable = dataset_providers.pg.hyper.HyperPrimitive
tokens = vocabularies.tf_text.WhitespaceTokenizer().tokenize(["two words"])
assert tokens.to_list() == [[b"two", b"words"]]
import pandas, pyglove, sklearn, tensorflow_text
assert pyglove.hyper.HyperPrimitive is tunable
print(*(module.__name__ for module in (pandas, pyglove, sklearn, tensorflow_text)))
"""


def test_what_few_need_is_imported_when_it_is_used_and_nothing_is_said():
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "pandas pyglove sklearn tensorflow_text\n", done.stderr
    assert not done.stderr


def test_what_is_imported_already_stays(monkeypatch):
    there = {name: types.ModuleType(name) for name in ("pandas", "pyglove")}
    for name, module in there.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    import_tensorflow()
    assert sys.modules["tensorflow"]
    monkeypatch.setattr(gc, "freeze", lambda: None)
    import_tensorflow.__wrapped__()
    assert {name: sys.modules[name] for name in there} == there
    assert "sklearn" not in sys.modules


def test_a_second_call_freezes_nothing_more(monkeypatch):
    import_tensorflow()
    monkeypatch.setattr(gc, "freeze", lambda: pytest.fail("frozen again"))
    import_tensorflow()


def test_whoever_walks_through_all_modules_loads_nothing(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with importing._imported_when_used(("colorsys",)):
        import colorsys
    assert "colorsys" not in sys.modules
    assert getattr(colorsys, "__file__", None) is None
    assert "colorsys" not in sys.modules
    assert colorsys.rgb_to_yiq(0.0, 0.0, 0.0) == (0.0, 0.0, 0.0)
    assert "colorsys" in sys.modules
    with pytest.raises(AttributeError, match="no_such_name"):
        colorsys.no_such_name  # noqa: B018
