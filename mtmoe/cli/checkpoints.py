r"""Lists, verifies, compares and averages the checkpoints of a model folder.

    mtmoe checkpoints list --model_dir=runs/mine
    mtmoe checkpoints verify --model_dir=runs/mine
    mtmoe checkpoints verify 800 1000 --model_dir=runs/mine
    mtmoe checkpoints diff 800 1000 --model_dir=runs/mine
    mtmoe checkpoints diff runs/mine runs/other --output_file=diff.csv
    mtmoe checkpoints average 800 900 1000 --model_dir=runs/mine --output_dir=runs/mean
    mtmoe checkpoints average --last=3 --model_dir=runs/mine --output_dir=runs/mean

`verify` reads every byte of the steps, of all by default; so does `list`, unless told
--noverify. A step of `diff` may be a folder too: a model folder, of which the newest
checkpoint counts, or checkpoints/step_N. `average` writes a model folder with the mean
of the parameters, which evaluate, predict, export and train.initial_checkpoint take.

Exit status: 0 done, and all that was verified is intact; 1 a checkpoint is damaged; 2 a
mistake in what was given.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from mtmoe.cli.number_flags import define_number
from mtmoe.cli.shared_flags import chosen_action
from mtmoe.cli.terminal import table
from mtmoe.errors import CheckpointError, MtmoeError, UnknownNameError
from mtmoe.ranges import Count, Natural
from mtmoe.report.wording import compact

if TYPE_CHECKING:
    from mtmoe.checkpoint.difference import Difference
    from mtmoe.checkpoint.reader import CheckpointReader

FLAGS = flags.FLAGS
ACTIONS = ("list", "verify", "diff", "average")
DAMAGED_STATUS = 1
CSV_HEADINGS = ("variable", "shape", "dtype", "max_abs", "relative_norm", "note")
# Flags that one action alone takes.
_OWNERS = {
    "verify": "list",
    "rows": "diff",
    "output_file": "diff",
    "output_dir": "average",
    "last": "average",
}


def define_flags() -> None:
    """Defines the flags of `mtmoe checkpoints`."""
    flags.DEFINE_string("model_dir", None, "a model folder")
    flags.DEFINE_boolean("verify", True, "list: whether to read every byte")
    define_number("rows", 40, "diff: rows of the table; 0 for all", Natural)
    flags.DEFINE_string("output_file", None, "diff: also write all rows as CSV")
    flags.DEFINE_string("output_dir", None, "average: a new folder")
    define_number("last", None, "average: this many newest checkpoints", Count)


def run(argv: list[str]) -> int:
    """Runs one of the actions; returns the exit status.

    Raises:
      MtmoeError: a flag, a step or a folder cannot be used.
    """
    usage = f"usage: mtmoe checkpoints {' | '.join(ACTIONS)} [STEP ...]"
    action, names = chosen_action(argv, ACTIONS, usage)
    for name, owner in _OWNERS.items():
        if FLAGS[name].present and action != owner:
            raise MtmoeError(f"--{name} is a flag of mtmoe checkpoints {owner} alone")
    if action == "list":
        return _list(names)
    if action == "verify":
        return _verify(names)
    return _diff(names) if action == "diff" else _average(names)


def _list(names: Sequence[str]) -> int:
    from mtmoe.checkpoint.overview import DAMAGED, checkpoint_facts, unfinished

    if names:
        raise MtmoeError("usage: mtmoe checkpoints list --model_dir=DIR [--noverify]")
    directory = _directory()
    facts = [checkpoint_facts(directory, s, FLAGS.verify) for s in _there(directory)]
    rows = [
        [
            f"{fact.step:,}",
            fact.written,
            compact(fact.bytes) + "B",
            str(fact.shards or ""),
            " ".join(
                f"{name} {fact.versions[name]}"
                for name in ("mtmoe", "python", "numpy", "tensorflow")
                if name in fact.versions
            ),
            fact.state,
        ]
        for fact in facts
    ]
    headings = ["step", "written", "size", "shards", "written with", "state"]
    print(table(headings, rows, right=[0, 2, 3]))
    damaged = [fact for fact in facts if fact.state == DAMAGED]
    for fact in damaged:
        print(f"step {fact.step:,}: {fact.reason}")
    for name in unfinished(directory):
        print(f"{name}: unfinished; the next start of training removes it")
    total = compact(sum(fact.bytes for fact in facts))
    print(f"\n{len(facts):,} checkpoints, {len(damaged):,} damaged, {total}B")
    return DAMAGED_STATUS if damaged else 0


def _verify(names: Sequence[str]) -> int:
    from mtmoe.checkpoint.overview import INTACT, checkpoint_facts

    directory = _directory()
    steps = [_step(name, directory) for name in names] or _there(directory)
    damaged = 0
    for step in steps:
        fact = checkpoint_facts(directory, step)
        if fact.state == INTACT:
            size = compact(fact.bytes)
            print(f"step {step:,}: intact, {size}B in {fact.seconds:.1f} s", flush=True)
        else:
            damaged += 1
            print(f"step {step:,}: damaged: {fact.reason}", flush=True)
    return DAMAGED_STATUS if damaged else 0


def _diff(names: Sequence[str]) -> int:
    from mtmoe.checkpoint.difference import differences

    if len(names) != 2:
        raise MtmoeError(
            "usage: mtmoe checkpoints diff A B [--model_dir=DIR]; A and B are steps of "
            "the model folder, or folders"
        )
    first, second = map(_reader, names)
    found = differences(first, second)
    if FLAGS.output_file:
        _write_csv(Path(FLAGS.output_file), found)
    print(f"A: {first.folder}\nB: {second.folder}")
    differing = [row for row in found if not row.equal]
    if not differing:
        print(f"all {len(found):,} variables are equal")
        return 0
    shown = differing[: FLAGS.rows or None]
    cells = [
        [row.name, _shape(row), _number(row.max_abs), _number(row.relative_norm)]
        if not row.note
        else [row.name, _shape(row), "", row.note]
        for row in shown
    ]
    headings = ["variable", "shape", "max |B - A|", "||B - A|| / ||A||"]
    print(table(headings, cells, right=[2]))
    if more := len(differing) - len(shown):
        print(f"... {more:,} more; --rows=0 shows all")
    print(f"\n{len(differing):,} of {len(found):,} variables differ")
    return 0


def _average(names: Sequence[str]) -> int:
    from mtmoe.startup.importing import import_tensorflow

    if not FLAGS.output_dir or bool(names) == bool(FLAGS.last):
        raise MtmoeError(
            "usage: mtmoe checkpoints average --model_dir=DIR --output_dir=NEW, and "
            "either steps or --last=N"
        )
    directory = _directory()
    there = _there(directory)
    steps = [_step(name, directory) for name in names]
    if FLAGS.last:
        if not 2 <= FLAGS.last <= len(there):
            raise MtmoeError(
                f"--last={FLAGS.last}: a mean is of two checkpoints at least, and "
                f"{FLAGS.model_dir} has {len(there)}: steps {there}"
            )
        steps = there[-FLAGS.last :]
    if any(_is_old(directory / f"step_{step}") for step in steps):
        import_tensorflow()
    from mtmoe.surgery.average import average_checkpoints

    output_dir = Path(FLAGS.output_dir)
    done = average_checkpoints(Path(FLAGS.model_dir), steps, output_dir)
    print(
        f"{output_dir}: step {done.step:,}, the mean of steps "
        f"{', '.join(f'{step:,}' for step in sorted(steps))}; {done.parameters:,} "
        f"parameters; {done.left_out:,} variables of the optimizer are left out"
    )
    return 0


def _directory() -> Path:
    if not FLAGS.model_dir:
        raise MtmoeError("--model_dir is missing: which model folder?")
    model_dir = Path(FLAGS.model_dir)
    directory = model_dir / "checkpoints"
    if not directory.is_dir():
        raise CheckpointError(
            f"{model_dir} has no folder checkpoints; --model_dir is a model folder, as "
            "mtmoe train writes it"
        )
    return directory


def _there(directory: Path) -> list[int]:
    from mtmoe.checkpoint import store

    found = store.steps(directory)
    if not found:
        raise CheckpointError(f"{directory} has no checkpoints")
    return found


def _step(name: str, directory: Path) -> int:
    there = _there(directory)
    if name not in map(str, there):
        raise UnknownNameError(
            "step", name, map(str, there), f"{directory} has {there}"
        )
    return int(name)


def _reader(name: str) -> CheckpointReader:
    """Opens a step of --model_dir, or a folder."""
    from mtmoe.checkpoint.manifest import MANIFEST_NAME
    from mtmoe.checkpoint.reader import CheckpointReader
    from mtmoe.startup.importing import import_tensorflow

    path = Path(name)
    if name.isdecimal():
        folder = _directory() / f"step_{_step(name, _directory())}"
    elif (path / "checkpoints").is_dir():
        folder = path / "checkpoints" / f"step_{_there(path / 'checkpoints')[-1]}"
    elif (path / MANIFEST_NAME).is_file():
        folder = path
    elif FLAGS.model_dir and not path.exists():
        there = map(str, _there(_directory()))
        raise UnknownNameError(
            "step or folder", name, there, f"of {FLAGS.model_dir}, or a folder"
        )
    else:
        raise CheckpointError(
            f"{name} is neither a step, nor a model folder, nor a folder with a "
            f"{MANIFEST_NAME}"
        )
    if _is_old(folder):
        import_tensorflow()
    return CheckpointReader(folder, finite=False)


def _is_old(folder: Path) -> bool:
    """Returns whether TensorFlow reads it."""
    return (folder / "variables.index").is_file()


def _write_csv(path: Path, rows: Sequence[Difference]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_HEADINGS)
    for row in rows:
        numbers = ["", ""] if row.note else [repr(row.max_abs), repr(row.relative_norm)]
        writer.writerow([row.name, _shape(row), row.dtype, *numbers, row.note])
    path.write_text(stream.getvalue(), encoding="utf-8")


def _shape(row: Difference) -> str:
    return "x".join(map(str, row.shape)) or "1"


def _number(value: float) -> str:
    return f"{value:.3g}"
