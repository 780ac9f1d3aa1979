"""Exports the training step of a run, with its first batches and losses."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtmoe import __version__
from mtmoe.data.batches.training import TrainingBatches
from mtmoe.data.tasks.registry import register
from mtmoe.engine.export import (
    Expectation,
    ProgramExportError,
    check_is_new,
    write_program,
)
from mtmoe.engine.hardware.topologies import named_topology
from mtmoe.engine.program import MeshProgram
from mtmoe.mesh.lowered import ProgramOptions, lower
from mtmoe.mesh.precision import named_precision
from mtmoe.model.sizes import count_parameters, forward_flops
from mtmoe.train.settings import TrainingRun
from mtmoe.train.step import step_features

# Largest relative difference of a loss. float32 on another version or make of CPU adds
# up in another order; GPUs and TPUs multiply float32 with 8 to 11 bits of mantissa by
# default. A router's near ties go the other way then, which moves the loss a little.
TOLERANCES = {
    "float32": {"cpu": 1e-4, "other": 1e-2},
    "bfloat16": {"cpu": 5e-3, "other": 2e-2},
}

Features = dict[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class ProgramExport:
    """What to export of a run.

    Attributes:
      num_batches: first batches of the run to write.
      random_tokens: whether rows are filled with random tokens instead of the run's
        text, of which nothing is read then.
      with_losses: whether the steps are run here, for the losses to expect.
      hardware: name of the TPU slice that the program is for; None: not said.
    """

    num_batches: int = 3
    random_tokens: bool = False
    with_losses: bool = True
    hardware: str | None = None


@dataclasses.dataclass(frozen=True)
class ExportedProgram:
    """What was exported; losses, of the first steps, are in nats per target token."""

    parameters: int
    devices: int
    losses: Sequence[float]


def export_program(
    folder: Path, run: TrainingRun, export: ProgramExport
) -> ExportedProgram:
    """Writes the training step of a run as a program that needs JAX alone.

    Args:
      folder: where to; it must not exist.
      run: the run; its layout is the program's.
      export: what to write of it.

    Raises:
      ProgramExportError: the folder exists, the run does not start from its seed, or
        the hardware has another number of devices than the layout.
      HardwareError: there is no such hardware.
      MtmoeError: the run's data cannot be used.
    """
    check_is_new(folder)
    if run.initial_checkpoint is not None:
        raise ProgramExportError(
            f"train.initial_checkpoint is {run.initial_checkpoint!r}, but an exported "
            "program makes its variables from the seed; add "
            "--gin_param='train.initial_checkpoint=None'"
        )
    devices = run.layout.mesh_dimensions.size
    _check_hardware(export.hardware, devices)
    batches, num_languages = _first_batches(run, export)
    build = run.step_builder(num_languages)
    features = step_features(run.lengths, run.batch_size)
    losses: list[float] = []
    if export.with_losses:
        mesh_program = MeshProgram(run.layout, run.seed, run.precision)
        step = mesh_program.function(build, features, name="train_step", training=True)
        losses = [
            float(step(number, **batch)["loss"]) for number, batch in enumerate(batches)
        ]
    # Made for no device in particular, so with products that are exact on all.
    options = ProgramOptions(run.layout, run.seed, True, named_precision(run.precision))
    program = lower(build, features, "train_step", options)
    kind = "float32" if run.precision == "float32" else "bfloat16"
    write_program(
        folder,
        program,
        batches,
        Expectation(losses, TOLERANCES[kind]),
        _facts(run, export, batches),
    )
    return ExportedProgram(count_parameters(run.model).total, devices, losses)


def _check_hardware(hardware: str | None, devices: int) -> None:
    if hardware is None:
        return
    topology = named_topology(hardware)
    if topology.num_devices != devices:
        raise ProgramExportError(
            f"--hardware={hardware} has {topology.num_devices} devices, the layout has "
            f"{devices} processors; set Layout.mesh_shape so that its sizes multiply "
            f"to {topology.num_devices}, or name a slice of {devices} devices"
        )


def _first_batches(
    run: TrainingRun, export: ProgramExport
) -> tuple[list[Features], int]:
    """Returns the features of the first steps, and how many languages are counted."""
    if export.random_tokens:
        batches = [_random_batch(run, number) for number in range(export.num_batches)]
        return batches, 0
    register()
    data: TrainingBatches = run.batches()
    stream = data.iterate(0)
    batches = [
        next(stream).with_languages(data.task_language)
        for _ in range(export.num_batches)
    ]
    return batches, len(data.languages)


def _random_batch(run: TrainingRun, number: int) -> Features:
    """Full rows of ids from 3 on, by NumPy's generator of the seed and the step."""
    generator = np.random.default_rng([run.seed, number])
    batch: Features = {}
    for name, spec in step_features(run.lengths, run.batch_size).items():
        _, _, kind = name.partition("_")
        if kind:
            value = {"segments": 1, "language": -1, "prefix": 0, "loss_weights": 1}
            batch[name] = np.full(spec.shape, value[kind], spec.dtype.as_numpy_dtype)
        else:
            ids = generator.integers(3, run.model.logits.vocab_size, tuple(spec.shape))
            batch[name] = ids.astype(np.int32)
    return batch


def _facts(
    run: TrainingRun,
    export: ProgramExport,
    batches: Sequence[Features],
) -> dict[str, Any]:
    parameters = count_parameters(run.model).total
    devices = run.layout.mesh_dimensions.size
    lengths = (run.lengths.get("inputs", 0), run.lengths["targets"])
    flops = 3 * run.batch_size * forward_flops(run.model, *lengths).total
    data = "random tokens" if export.random_tokens else run.mixture
    where = export.hardware or f"{devices} device{'s' if devices > 1 else ''}"
    return {
        "note": f"training step of {type(run.model).__name__}, {parameters:,} "
        f"parameters, {run.precision}, {run.batch_size} rows of {dict(run.lengths)} "
        f"of {data}, for {where}",
        "layout": {
            "mesh_shape": run.layout.mesh_shape,
            "layout_rules": run.layout.layout_rules,
        },
        "hardware": export.hardware,
        "seed": run.seed,
        "precision": run.precision,
        "parameters": parameters,
        "tokens_per_step": float(np.mean([_num_tokens(batch) for batch in batches])),
        "model_flops_per_step": flops,
        "data": data,
        "versions": {"mtmoe": __version__}
        | {
            name: importlib.metadata.version(name)
            for name in ("tensorflow", "mesh-tensorflow", "jax", "jaxlib")
        },
    }


def _num_tokens(batch: Features) -> int:
    return sum(
        int(np.count_nonzero(array))
        for name, array in batch.items()
        if name.endswith("_segments")
    )
