"""The training loop, read from top to bottom.

A batch is a pure function of (seed, step), and so is a step's noise: the whole state of
a run is its variables and the number of steps done. So a run that was interrupted, in
whatever way, goes on from its newest checkpoint to the same weights, bit for bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mtmoe.checkpoint import store
from mtmoe.checkpoint.pieces import Piece
from mtmoe.checkpoint.restore import load_initial_values
from mtmoe.checkpoint.saver import AsyncSaver
from mtmoe.config.load import CONFIG_NAME
from mtmoe.data.batches.training import TrainingBatches
from mtmoe.data.rows.cached import task_vocabulary
from mtmoe.data.tasks.registry import get_task, register
from mtmoe.engine.processes.alone import Processes
from mtmoe.engine.processes.current import check_alike, current
from mtmoe.engine.profile import FOLDER, Profile, ProfiledSteps
from mtmoe.engine.program import MeshFunction, MeshProgram
from mtmoe.errors import CheckpointError, ConfigError
from mtmoe.model.parts import expert_layer_names
from mtmoe.train.alarms import Alarms
from mtmoe.train.guard import NonFiniteError, check_metrics, check_variable
from mtmoe.train.metrics import MetricsLog, NoLog, Window
from mtmoe.train.model_folder import ModelFolder
from mtmoe.train.progress import Chrono, TrainingProgress
from mtmoe.train.provenance import PROVENANCE_NAME, DataRecord, provenance_text
from mtmoe.train.settings import TrainingRun
from mtmoe.train.signals import StopSignal
from mtmoe.train.step import step_features


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How a call of `train` ended.

    Attributes:
      step: steps done in all.
      exit_status: 0 when all steps are done, else what a shell reports for the signal
        that ended it: 130 for Ctrl-C, 143 for SIGTERM.
    """

    step: int
    exit_status: int


def train(
    model_dir: Path | str,
    run: TrainingRun,
    config_text: str,
    command: str,
    notices: Sequence[str] = (),
    profiled: ProfiledSteps | None = None,
) -> TrainingResult:
    """Trains, or goes on training, until all steps are done or a signal comes.

    Args:
      model_dir: the model folder; made once nothing can be wrong any more.
      run: what to train.
      config_text: becomes the folder's `config.gin`.
      command: the command line, for the record.
      notices: what to say before the first step.
      profiled: steps to write a trace of, the first process's, into the folder
        `profile`.

    Raises:
      MtmoeError: anything that is the user's to mend.
    """
    folder, progress = ModelFolder(model_dir), TrainingProgress(run.steps)
    processes = current()
    if processes.is_first:
        folder.check()
    done = _steps_done(folder, processes)
    if done >= run.steps:
        progress.say(f"{folder.path} is trained: step {done:,} of {run.steps:,}")
        return TrainingResult(done, 0)
    if profiled is not None:
        profiled.check(done, run.steps)

    with progress.phase("reading the text"):
        register()
        batches = run.batches()
        _check_vocabulary(batches, run)
        data = DataRecord.of(batches)
    check_alike(_facts(config_text, data))
    with progress.phase("building the model"):
        program = MeshProgram(run.layout, run.seed, run.precision)
        step_function = program.function(
            run.step_builder(len(batches.languages)),
            step_features(run.lengths, run.batch_size),
            name="train_step",
            training=True,
        )
    if run.initial_checkpoint is not None and not done:
        with progress.phase(f"starting from {run.initial_checkpoint}"):
            load_initial_values(run.initial_checkpoint, program)
    for notice in notices:
        progress.say(notice)
    progress.say(
        f"{program.parameter_count():,} parameters, {len(batches.task_names)} tasks, "
        f"{run.steps:,} steps of {run.batch_size} "
        f"{'examples' if run.packing is None else 'packed rows'}"
    )
    if len(batches.stages) > 1:
        for stage in batches.stages:
            reached = "" if stage.start_step < run.steps else " (not in this run)"
            progress.say(f"from step {stage.start_step:,}: {stage.mixture}{reached}")

    if step_function.own_rows is not None:
        batches = batches.of_rows(*step_function.own_rows)
    with folder.locked() if processes.is_first else contextlib.nullcontext():
        if processes.is_first:
            folder.write(CONFIG_NAME, config_text)
        session = _Session(folder, run, program, batches, data, command, progress)
        with (
            StopSignal(processes.request_stop) as stop,
            contextlib.closing(session.log),
            session.saver,
            Profile(
                folder.path / FOLDER, profiled if processes.is_first else None
            ) as profile,
        ):
            received = session.run(step_function, stop, profile)
    if session.step < run.steps:
        progress.say(
            f"stopped after step {session.step:,}, which is saved; "
            "the same command goes on from there"
        )
        return TrainingResult(session.step, 128 + received)
    progress.say(f"trained: step {session.step:,}, in {folder.path}")
    return TrainingResult(session.step, 0)


@dataclasses.dataclass
class _Session:
    """One process's part of a run."""

    _folder: ModelFolder
    _run: TrainingRun
    _program: MeshProgram
    _batches: TrainingBatches
    _data: DataRecord
    _command: str
    _progress: TrainingProgress

    def __post_init__(self) -> None:
        """Restores the newest checkpoint, if there is one."""
        folder, batches = self._folder, self._batches
        self._processes = current()
        self.step = _steps_done(folder, self._processes)
        self.saver = AsyncSaver(
            folder.checkpoints, self._run.keep, self.step, self._processes
        )
        metadata = self._restore() if self.step else {}
        self._chrono = Chrono(metadata.get("seconds", 0.0))
        self._window = Window(
            batches.languages,
            expert_layer_names(self._run.model),
            metadata.get("window"),
            self._processes,
        )
        batches.bad_records.restore(metadata.get("bad_records", {}))
        first = self._processes.is_first
        self.log = MetricsLog(folder.path, self.step) if first else NoLog()
        self._alarms = Alarms(self._run.facts())
        for line in self.log.lines():
            self._alarms.note(line)

    def run(
        self, step_function: MeshFunction, stop: StopSignal, profile: Profile
    ) -> int:
        """Trains until all steps are done or a signal has come, and saves.

        Returns:
          The number of the signal, 0 if none ended it.
        """
        run, progress, chrono = self._run, self._progress, self._chrono
        first = self.step
        self._processes.begin_steps(first)
        self._write_provenance(self._provenance())
        for batch in self._batches.iterate(first):
            features = batch.with_languages(self._batches.task_language)
            profile.before(self.step + 1)
            if self.step == first:
                with progress.phase("compiling, first step"):
                    outputs = step_function(self.step, **features)
                    float(outputs["loss"])  # waits for it
                chrono.start()
            else:
                outputs = step_function(self.step, **features)
            self._window.add(outputs, batch, timed=self.step > first)
            self.step += 1
            if profile.ends_with(self.step):
                with chrono.pause():
                    progress.say(profile.end(outputs, step_function.executable))

            last = self.step == run.steps
            received = self._received(stop)
            if last or self.step % run.log_every == 0:
                self._write_metrics()
            if self.step == first + 1:  # it compiled, and is not timed
                progress.begin(self.step, chrono.seconds)
            else:
                progress.step(self.step, chrono.seconds)
            ends = last or bool(received)
            self.saver.check()
            if ends or self.step % run.checkpoint_every == 0:
                with chrono.pause():
                    self._save()
            if ends:
                self.saver.wait()
                return received
        raise AssertionError("batches never end")

    def _received(self, stop: StopSignal) -> int:
        """Returns the signal that ends the run after this step, 0 if none does."""
        if self._processes.count == 1:
            return stop.received or 0
        return self._processes.stop_at(self.step) or 0

    def _restore(self) -> Mapping[str, Any]:
        """Sets the variables; returns the checkpoint's metadata."""
        with self._progress.phase(f"restoring step {self.step:,}"):
            reader = store.open(self._folder.checkpoints, self.step)
            metadata = reader.metadata
            if "data" not in metadata:
                raise CheckpointError(
                    f"{reader.folder} holds parameters alone, without the optimizer's "
                    "state: no run can go on from it. Start one in another --model_dir "
                    f'with train.initial_checkpoint = "{self._folder.path}".'
                )
            if metadata["data"] != self._data.fingerprint:
                raise CheckpointError(
                    "the text, the vocabulary or the way batches are made of them is "
                    f"not the one of step {self.step}: going on would mix two data "
                    "sets. Compare `sources`, `vocabulary` and `versions` of "
                    f"{self._folder.path / PROVENANCE_NAME} with what `mtmoe doctor` "
                    "finds, or take another --model_dir."
                )
            shapes = {name: shape for name, (shape, _) in reader.variables.items()}
            self._program.fill(shapes, reader.read)
        return metadata

    def _write_metrics(self) -> None:
        self._check_finite()
        metrics = self._window.close(self._chrono.seconds)
        self._gather_bad_records()
        if len(self._batches.stages) > 1:
            metrics["stage"] = self._batches.stage(self.step - 1)
        if damaged := self._batches.bad_records.counts:
            metrics["damaged_records"] = dict(sorted(damaged.items()))
        if warnings := self._alarms.note({"step": self.step, **metrics}):
            metrics["warnings"] = warnings
            for warning in warnings:
                self._progress.say(f"mtmoe: warning: {warning}")
        self.log.write(self.step, metrics)
        self._progress.metrics(metrics)

    def _save(self) -> None:
        """Copies the state after this step; a thread checks and writes the copy."""
        self._check_finite()
        self.log.synchronize()
        self._gather_bad_records()
        metadata = {
            "seed": self._run.seed,
            "data": self._data.fingerprint,
            "sources": list(self._data.sources),
            "vocabulary": self._data.vocabulary,
            "seconds": self._chrono.seconds,
            "window": self._window.state(),
            "bad_records": self._batches.bad_records.state(),
        }
        step, provenance = self.step, self._provenance()

        def check(name: str, value: npt.NDArray[Any]) -> None:
            check_variable(step, self.saver.saved, name, value)

        self.saver.save(
            step,
            lambda: (Piece(*part) for part in self._program.slices()),
            metadata,
            check,
            then=lambda: self._write_provenance(provenance),
        )

    def _gather_bad_records(self) -> None:
        """Counts the damaged records that other processes met."""
        if self._processes.count > 1:
            records = self._batches.bad_records
            records.take_over(self._processes.gather("bad_records", records.state()))

    def _check_finite(self) -> None:
        """Checks every step since the last line of the log."""
        steps = self._window.values()
        for step, metrics in enumerate(steps, start=self.step - len(steps) + 1):
            try:
                check_metrics(step, metrics, self.saver.saved)
            except NonFiniteError:
                self.saver.wait()  # the error says what the last good checkpoint is
                check_metrics(step, metrics, self.saver.saved)

    def _write_provenance(self, text: str) -> None:
        if self._processes.is_first:
            self._folder.write(PROVENANCE_NAME, text)

    def _provenance(self) -> str:
        return provenance_text(
            self._data,
            self._command,
            self._run.seed,
            self._program.parameter_count(),
            self._batches.mean_shares(self.step),
            self._batches.epochs(self.step),
        )


def _steps_done(folder: ModelFolder, processes: Processes) -> int:
    """Returns the newest checkpoint's step, 0 without one; the same everywhere.

    Raises:
      ConfigError: processes see different checkpoints.
    """
    newest = max(store.steps(folder.checkpoints), default=0)
    found = processes.gather("steps_done", newest)
    for index, step in enumerate(found):
        if step != found[0]:
            raise ConfigError(
                f"{folder.path} has a checkpoint of step {found[0]} for "
                f"{processes.name(0)}, of step {step} for {processes.name(index)}: "
                "--model_dir must be one folder that all of them see"
            )
    return store.latest(folder.checkpoints, processes) or 0


def _facts(config_text: str, data: DataRecord) -> dict[str, str]:
    """Returns what must be the same in every process."""
    versions = {
        f"version of {name}": importlib.metadata.version(name)
        for name in ("mtmoe", "jax", "tensorflow")
    }
    return {
        **versions,
        "config": config_text,
        "vocabulary": data.vocabulary,
        "text": data.content,
        "data": data.fingerprint,
    }


def _check_vocabulary(batches: TrainingBatches, run: TrainingRun) -> None:
    """Checks that every token has a row in the model's embedding."""
    size = task_vocabulary(get_task(batches.task_names[0])).vocab_size
    if run.model.logits.vocab_size < size:
        raise ConfigError(run.too_few_rows(size))
