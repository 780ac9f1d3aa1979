"""Says whether this machine can run mtmoe, and how to mend what is missing.

It lists the versions of everything mtmoe needs, packages that overwrote one another,
the shims in force, devices, the corpora found, the cache folder and the free disk.
Nothing is downloaded or written. The exit status is 0 when mtmoe is usable and 1 when
something essential is missing.

Example:
  mtmoe doctor
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mtmoe
from mtmoe.cli import installation
from mtmoe.data.ground.cache import cache_directory
from mtmoe.engine.hardware.cores import num_cores
from mtmoe.engine.hardware.plugins import Plugin
from mtmoe.errors import CorpusError, HardwareError

OLDEST_PYTHON = (3, 10)

# What the quick start writes, rounded up: token cache, checkpoints, report.
LOW_DISK_BYTES = 2 * 1024**3

# How long JAX may take to open the devices; a TPU takes 10 seconds.
SECONDS_FOR_DEVICES = 60.0
DEVICES_HELP = "end the process that holds the devices, or: export JAX_PLATFORMS=cpu"
# Where in the cache folder compiled programs are kept.
COMPILED = "compiled"
PLUGINS = {"tpu": "libtpu", "cuda12": "jax-cuda12-plugin"}

# Imports that fail on a damaged installation although every package is there.
IMPORTS = ("mtmoe.mesh.compat", "seqio", "t5.data", "sentencepiece")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
      text: what was found.
      mend: the command that mends it; empty when nothing is wrong.
      is_essential: whether mtmoe is unusable until it is mended.
    """

    text: str
    mend: str = ""
    is_essential: bool = False

    @property
    def mark(self) -> str:
        """How the line begins: `ok`, `note` or `FAIL`."""
        if self.is_essential:
            return "FAIL"
        return "note" if self.mend else "ok"


def broken(text: str, mend: str = "") -> Finding:
    """What makes mtmoe unusable until it is mended."""
    return Finding(text, mend, is_essential=True)


def define_flags() -> None:
    """Defines nothing: the command has no flags of its own."""


def run(argv: Sequence[str]) -> int:
    """Prints what was found; returns 0 when mtmoe is usable, else 1."""
    del argv
    # TensorFlow's own start-up lines would stand between ours.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sections: dict[str, Callable[[], list[Finding]]] = {
        "machine": check_machine,
        "packages": check_packages,
        "shared folders": check_mixes,
        "imports": check_imports,
        "shims": check_shims,
        "devices": check_devices,
        "corpora": check_corpora,
        "storage": check_storage,
    }
    findings: list[Finding] = []
    print(f"mtmoe {mtmoe.__version__} in {Path(mtmoe.__file__).parent}")
    for title, check in sections.items():
        found = check()
        findings += found
        print(f"\n{title}")
        for finding in found:
            print(f"  {finding.mark:<5}{finding.text}")
            if finding.mend:
                print(f"       mend: {finding.mend}")
    missing = sum(finding.is_essential for finding in findings)
    print("\nmtmoe is usable." if not missing else f"\n{missing} to mend before use.")
    return 1 if missing else 0


def check_machine() -> list[Finding]:
    """Python and the processor."""
    allowed = ".".join(map(str, OLDEST_PYTHON))
    is_old = sys.version_info < OLDEST_PYTHON
    python = Finding(
        f"Python {platform.python_version()} ({sys.executable})",
        mend=f"install Python {allowed} or newer" if is_old else "",
        is_essential=is_old,
    )
    return [python, Finding(f"{platform.platform()}, {num_cores()} cores")]


def check_packages() -> list[Finding]:
    """Every requirement of mtmoe against what is installed."""
    try:
        requirements = importlib.metadata.requires("mtmoe") or []
        from packaging.requirements import Requirement
    except (importlib.metadata.PackageNotFoundError, ModuleNotFoundError) as error:
        return [broken(str(error), "pip install .")]
    return [
        check_requirement(requirement.name, str(requirement.specifier), version)
        for requirement in map(Requirement, requirements)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        for version in [installation.installed_version(requirement.name)]
    ]


def check_requirement(name: str, wanted: str, version: str | None) -> Finding:
    """One requirement, a range of versions, against what is installed, if anything."""
    from packaging.specifiers import SpecifierSet

    fits = version is not None and SpecifierSet(wanted).contains(
        version, prereleases=True
    )
    if fits:
        return Finding(f"{name} {version}")
    return broken(
        f"{name} {version or 'is not installed'}; wanted: {wanted}",
        f"pip install --no-deps '{name}{wanted}'",
    )


def check_mixes() -> list[Finding]:
    """Packages whose files another distribution may have overwritten."""
    found = [describe_mix(mix) for mix in installation.mixes()]
    return found or [Finding("no package was installed over another")]


def describe_mix(mix: installation.Mix) -> Finding:
    """Says whose files lie in a folder that several distributions wrote to."""
    twins = ", ".join(mix.twins)
    if mix.is_harmless:
        return Finding(
            f"{mix.wanted} {mix.version} lies over {twins}; every file is "
            f"{mix.wanted}'s, nothing to do"
        )
    if not mix.version:
        return broken(f"{twins} is installed in place of {mix.wanted}", mix.mend)
    count = len(mix.overwritten)
    files = "file is" if count == 1 else "files are"
    return Finding(
        f"{mix.wanted} {mix.version} is mixed with {twins}: "
        f"{count} {files} not its own, the first is {mix.overwritten[0]}",
        mix.mend,
        is_essential=True,
    )


def check_imports() -> list[Finding]:
    """Whether the packages that break most easily import."""
    findings = []
    for name in IMPORTS:
        try:
            importlib.import_module(name)
        except Exception as error:  # any failure of a third party's import counts
            findings.append(
                broken(
                    f"import {name}: {type(error).__name__}: {error}",
                    "pip install --no-deps --force-reinstall -r requirements.lock",
                )
            )
        else:
            findings.append(Finding(f"import {name}"))
    return findings


def check_shims() -> list[Finding]:
    """What is supplied to Mesh TensorFlow because TensorFlow no longer has it."""
    try:
        from mtmoe.mesh.compat import SHIMS
    except Exception as error:  # reported in full by check_imports
        return [broken(f"unknown: {type(error).__name__}")]
    return [
        Finding(f"{shim.name} ({shim.reason})") for shim in SHIMS if shim.needed()
    ] or [Finding("none needed")]


def check_devices() -> list[Finding]:
    """The devices a run would use, and the packages that reach them."""
    from mtmoe.engine.hardware import attached
    from mtmoe.engine.hardware.plugins import plugins

    installed = [plugin for plugin in plugins().values() if plugin.version]
    findings = [describe_plugin(plugin) for plugin in installed]
    try:
        found = attached.find_devices(seconds=SECONDS_FOR_DEVICES)
    except HardwareError as error:
        return [*findings, broken(str(error), DEVICES_HELP)]
    for devices in found:
        memory = devices.memory_bytes
        room = f", {memory / 1024**3:.2f} GiB each" if memory else ""
        findings.append(
            Finding(f"{devices.count} x {devices.platform} ({devices.kind}){room}")
        )
    platforms = {devices.platform for devices in found}
    for kind, extra, there in (
        ("tpu", "tpu", attached.attached_tpus()),
        ("gpu", "cuda12", attached.attached_gpus()),
    ):
        if there and kind not in platforms:
            names = ", ".join(f"{count} x {name}" for name, count in there)
            findings.append(
                Finding(
                    f"{names} plugged in, and JAX does not see it",
                    plugins()[PLUGINS[extra]].install,
                )
            )
    return findings


def describe_plugin(plugin: Plugin) -> Finding:
    """Says whether a package that reaches an accelerator goes with jax."""
    if plugin.fits:
        return Finding(f"{plugin.name} {plugin.version}, which goes with jax")
    wanted = f"wants {plugin.wanted}" if plugin.wanted else "has no use for it"
    return Finding(
        f"{plugin.name} {plugin.version} does not go with the installed jax, which "
        f"{wanted}",
        plugin.install,
        is_essential=True,
    )


def check_corpora() -> list[Finding]:
    """The packages whose text makes up the embedded corpus."""
    from mtmoe.data.sources.embedded.corpus import PACKAGES

    findings = []
    for package in PACKAGES:
        try:
            installed = package.locate()
        except CorpusError as error:
            findings.append(broken(str(error), package.mend))
            continue
        if installed is None:
            text = f"{package.name} is missing"
            if package.is_optional:
                text += "; training goes on without its text"
            findings.append(Finding(text, package.mend, not package.is_optional))
        else:
            findings.append(
                Finding(f"{package.name} {installed.version} in {installed.root}")
            )
    return findings


def check_storage() -> list[Finding]:
    """The cache folder and the room on its disk."""
    folder = cache_directory()
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        return [
            broken(
                f"the cache folder {folder} cannot be written",
                "export MTMOE_CACHE=/a/folder/you/can/write",
            )
        ]
    free = shutil.disk_usage(existing).free
    mend = "free some room, or: export MTMOE_CACHE=/a/folder/on/a/larger/disk"
    return [
        Finding(f"cache folder {folder}"),
        Finding(f"compiled programs in {folder / COMPILED}"),
        Finding(
            f"{free / 1024**3:.1f} GiB free", mend if free < LOW_DISK_BYTES else ""
        ),
    ]
