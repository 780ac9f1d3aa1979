"""An import of a module that has moved says where it is now."""

import importlib

import pytest

from mtmoe.config.statements import read_text
from mtmoe.data.tasks.registry import register
from mtmoe.errors import ConfigError
from mtmoe.moved import MOVED, new_name


def is_there(name):
    """Whether a module, or what a module has of that name, can be imported."""
    module, _, attribute = name.rpartition(".")
    if attribute in vars(importlib.import_module(module)):
        return True
    importlib.import_module(name)
    return True


@pytest.mark.parametrize("new", sorted(set(MOVED.values())))
def test_what_has_moved_is_where_the_error_says(new):
    assert is_there(f"mtmoe.{new}")


@pytest.mark.parametrize("old", sorted(MOVED))
def test_the_old_name_is_an_error_that_has_the_new_one(old):
    said = f"^mtmoe.{old} is now mtmoe.{MOVED[old]}; change the import$"
    package, _, name = f"mtmoe.{old}".rpartition(".")
    for statement in (f"import mtmoe.{old}", f"from {package} import {name}"):
        with pytest.raises(ModuleNotFoundError, match=said):
            exec(statement, {})


def test_what_a_package_held_is_found_in_the_new_one():
    assert (
        new_name("mtmoe.data.embedded.splits") == "mtmoe.data.sources.embedded.splits"
    )
    assert new_name("mtmoe.data.sources.text") == "mtmoe.data.sources.text"
    assert new_name("data.registry") == "data.registry"


def test_names_that_never_were_are_an_error_of_pythons():
    with pytest.raises(ModuleNotFoundError, match="^No module named"):
        importlib.import_module("mtmoe.data.nothing")


def test_a_task_module_with_an_old_import_is_told_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "of_before.py").write_text(
        "from mtmoe.data.registration import register_task\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError) as caught:
        register(["of_before"])
    assert str(caught.value).splitlines()[0] == (
        "task module 'of_before' cannot be imported: ModuleNotFoundError: "
        "mtmoe.data.registration is now mtmoe.data.tasks.registration; change the "
        f"import ({tmp_path}/of_before.py:1)"
    )


def test_gin_files_of_before_import_what_has_moved():
    (statement,) = read_text("import mtmoe.data.registry\n", "config.gin")
    assert statement.module == "mtmoe.data.tasks.registry"
