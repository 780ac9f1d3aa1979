"""A program as files: what is written, and that JAX alone runs it."""

import dataclasses
import gzip
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mtmoe.engine import standalone
from mtmoe.engine.export import (
    LARGEST_ARRAYS,
    Expectation,
    ProgramExportError,
    described,
    write_program,
)
from mtmoe.engine.program import MeshProgram
from mtmoe.engine.standalone import operation_times
from mtmoe.engine.standalone.initial_values import draw
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import InitialValue
from mtmoe.mesh.initializers import Constant, TruncatedNormal, WholeInitializer
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.random import name_key

BATCH, WIDTH = mtf.Dimension("batch", 4), mtf.Dimension("d_model", 6)
OUT = mtf.Dimension("out", 2)
SIGNATURE = {"x": tf.TensorSpec([4, 6], tf.float32)}
STEPS = 3
TOLERANCE = {"cpu": 1e-5, "other": 1e-2}

# Runs a folder's script where neither mtmoe nor TensorFlow can be imported.
WITHOUT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("mtmoe", "tensorflow", "mesh_tensorflow"):
            raise ImportError(f"{name} is not to be imported")

sys.meta_path.insert(0, Refuse())
import runpy
folder = sys.argv[1]
sys.path.insert(0, folder)
sys.argv = ["run_program.py", *sys.argv[1:]]
runpy.run_path(f"{folder}/run_program.py", run_name="__main__")
"""


@dataclasses.dataclass(frozen=True)
class Ramp(WholeInitializer):
    """An initializer of a user's."""

    def whole(self, shape, key):
        return np.linspace(-1.0, 1.0, int(np.prod(shape)), dtype=np.float32).reshape(
            shape
        )


def build(context, features):
    """One layer, its squares as loss, and gradient descent."""
    x = context.import_tensor(features["x"], mtf.Shape([BATCH, WIDTH]))
    with context.scope("encoder/layer_000/feed_forward"):
        kernel = context.variable(
            "kernel", mtf.Shape([WIDTH, OUT]), TruncatedNormal(0.5)
        )
        bias = context.variable("bias", mtf.Shape([OUT]), Ramp())
        y = mtf.tanh(mtf.einsum([x, kernel], output_shape=[BATCH, OUT]) + bias)
        loss = mtf.reduce_mean(mtf.square(y))
    variables = context.mesh.graph.trainable_variables
    gradients = mtf.gradients([loss], [v.outputs[0] for v in variables])
    updates = [
        mtf.assign(v, v.outputs[0] - 0.3 * g)
        for v, g in zip(variables, gradients, strict=True)
    ]
    return {"loss": loss, "y": y}, updates


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder, its losses, and the step, which is for two devices."""
    folder = tmp_path_factory.mktemp("export") / "step"
    program = MeshProgram(Layout("data:2", "batch:data"), seed=5)
    step = program.function(build, SIGNATURE, "train_step", training=True)
    generator = np.random.default_rng(0)
    batches = [
        {"x": generator.normal(size=(4, 6)).astype(np.float32)} for _ in range(STEPS)
    ]
    losses = [float(step(i, **batch)["loss"]) for i, batch in enumerate(batches)]
    facts = {
        "note": "a step",
        "precision": "float32",
        "tokens_per_step": 4.0,
        "model_flops_per_step": 288,
    }
    write_program(folder, step.program, batches, Expectation(losses, TOLERANCE), facts)
    return folder, losses, step


def run(folder, *arguments):
    """The exit status and what was printed."""
    arguments = [str(folder), "--devices=2", "--steps=2", *arguments]
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_jax_alone_runs_it_to_the_same_losses(exported):
    folder, losses, _ = exported
    status, told = run(folder, "--profile")
    assert status == 0, told
    assert "they agree" in told and f"{losses[2]:.6f}" in told
    for what in ("compiled in", "step: median", "tokens/s", "matrix products"):
        assert what in told
    assert "encoder/layer_000/feed_forward" in told


def test_other_losses_are_told(exported, tmp_path):
    folder, losses, step = exported
    other = tmp_path / "other"
    wrong = Expectation([*losses[:2], losses[2] * 1.001], TOLERANCE)
    batches = [
        {"x": np.load(folder / f"batches/{i}/x.npy").reshape(4, 6)}
        for i in range(STEPS)
    ]
    content = json.loads((folder / "program.json").read_text())
    write_program(
        other, step.program, batches, wrong, content | {"expected_losses": wrong.losses}
    )
    status, told = run(other)
    assert status == 1 and "THEY DIFFER" in told, told


@pytest.fixture
def portable_program(monkeypatch):
    """The script's module, imported as the script does it."""
    monkeypatch.syspath_prepend(str(Path(standalone.__file__).parent))
    return importlib.import_module("portable_program")


def test_damaged_and_missing_files(exported, portable_program, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(exported[0], other)
    portable_program.check_files(other)
    (other / "batches/0/x.npy").write_bytes(b"0")
    with pytest.raises(portable_program.ProgramError, match=r"x\.npy is damaged"):
        portable_program.PortableProgram(other)
    (other / "README.txt").unlink()
    with pytest.raises(portable_program.ProgramError, match=r"not a whole one.*README"):
        portable_program.check_files(other)


def test_fewer_devices_than_processors(exported, portable_program, monkeypatch):
    monkeypatch.setattr(portable_program.jax, "device_count", lambda: 1)
    wanted = r"for 2 devices, here are 1 .*--devices=2"
    with pytest.raises(portable_program.ProgramError, match=wanted):
        portable_program.PortableProgram(exported[0])


def test_files(exported):
    folder, _, step = exported
    content = json.loads((folder / "program.json").read_text())
    manifest = json.loads((folder / "MANIFEST.json").read_text())["files"]
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == set(manifest) | {"MANIFEST.json"}
    assert len((folder / "README.txt").read_text().splitlines()) == 3
    kinds = {name: entry["kind"] for name, entry in content["variables"].items()}
    assert kinds == {
        "encoder/layer_000/feed_forward/kernel": "truncated_normal",
        "encoder/layer_000/feed_forward/bias": "array",
    }
    artifact = gzip.decompress((folder / "program.stablehlo.gz").read_bytes())
    assert b"StableHLO_v1.7.0" in artifact[:100]
    with pytest.raises(ProgramExportError, match="exists already"):
        write_program(folder, step.program, [], Expectation([], TOLERANCE), {})


def test_initial_values_are_those_of_the_program(exported):
    folder, _, step = exported
    entries = json.loads((folder / "program.json").read_text())["variables"]
    for argument in step.program.signature.variables:
        initial = step.program.initial_values[argument.name]
        begin = [size // 2 for size in argument.shape]
        size = [s - b for s, b in zip(argument.shape, begin, strict=True)]
        np.testing.assert_array_equal(
            draw(folder, entries[argument.name], begin, size),
            initial.initializer.part(argument.shape, initial.key, begin, size),
        )


@pytest.mark.parametrize("shape", [(), (7,), (3, 40_000), (2, 3, 4)])
def test_drawing_by_numpy_is_drawing_by_the_initializer(shape, tmp_path):
    for initializer in (TruncatedNormal(0.3), Constant(0.25)):
        initial = InitialValue(initializer, name_key(1, "v"))
        drawn = draw(tmp_path, described(initial), [0] * len(shape), shape)
        np.testing.assert_array_equal(drawn, initializer(shape, initial.key))


def test_large_arrays_are_refused(exported, tmp_path):
    folder, _, step = exported
    (bias,) = (a for a in step.program.signature.variables if a.name.endswith("bias"))
    large = dataclasses.replace(bias, shape=(LARGEST_ARRAYS // 4 + 1,))
    signature = dataclasses.replace(step.program.signature, variables=(large,))
    program = dataclasses.replace(step.program, signature=signature)
    with pytest.raises(ProgramExportError, match=r"Ramp\(\), which only Python can"):
        write_program(tmp_path / "x", program, [], Expectation([], TOLERANCE), {})
    assert not list(tmp_path.iterdir())


_NAME = "jit(step)/mesh_program/PartitionedCall"
HLO = f"""\
HloModule jit_step, is_scheduled=true

%fused (p: f32[4]) -> f32[4] {{
  %p = f32[4]{{0}} parameter(0)
  %c = f32[4]{{0}} copy(%p)
}}

%body (t: (f32[4], s32[])) -> (f32[4], s32[]) {{
  %dot.1 = f32[4]{{0}} dot(%a, %b), metadata={{op_name="{_NAME}/encoder/layer_001/moe/experts/einsum"}}
}}

ENTRY %main (x: f32[4]) -> (f32[4]) {{
  %fusion.2 = f32[4]{{0}} fusion(%x), kind=kLoop, calls=%fused, metadata={{op_name="{_NAME}/decoder/layer_000/self_attention/gradients/transpose"}}
  %while.3 = (f32[4]{{0}}, s32[]) while(%t), condition=%cond, body=%body
  %all-reduce-start = f32[4]{{0}} all-reduce-start(%x), to_apply=%sum
  ROOT %add.4 = f32[4]{{0}} add(%x, %x), metadata={{op_name="{_NAME}/adafactor/encoder/layer_001/moe/kernel/sub"}}
}}
"""  # noqa: E501


def test_kind_and_layer_of_instructions():
    known = operation_times.instructions(HLO)
    assert {n: (known[n].kind, known[n].layer) for n in known if n not in "pc"} == {
        "dot.1": ("matrix products", "encoder/layer_001/moe"),
        "fusion.2": (
            "copies and transposes",
            "decoder/layer_000/self_attention (backward)",
        ),
        "while.3": ("loops", "other"),
        "all-reduce-start": ("collectives", "other"),
        "add.4": ("elementwise", "optimizer"),
    }
    assert known["dot.1"].op_name == "encoder/layer_001/moe/experts/einsum"


def test_time_of_a_loop_is_that_of_what_is_in_it():
    def event(name, ts, dur, tid=1, **args):
        return {"ph": "X", "name": name, "ts": ts, "dur": dur, "tid": tid, "args": args}

    events = [
        event("while.3", 0, 100),
        event("?", 10, 30, hlo_op="dot.1"),
        event("dot.1", 50, 20),
        event("add.4", 100, 5),
        event("add.4", 20, 7, tid=2),
        event("end: dot.1", 70, 9),
    ]
    times = operation_times.self_times(events, operation_times.instructions(HLO))
    total = {}
    for name, seconds in times:
        total[name] = total.get(name, 0) + round(seconds * 1e6)
    assert total == {"while.3": 50, "dot.1": 50, "add.4": 12}
