"""Shows which tasks are registered, what is in them, and whether they are sound.

    mtmoe tasks list    # languages put together
    mtmoe tasks list --family=translation --language=sw --format=csv
    mtmoe tasks show embedded.translate_udhr_to_en.sw
    mtmoe tasks preview embedded.translate_udhr_to_en.sw --num_examples=2
    mtmoe tasks preview embedded.span_corruption --packed    # rows of a training batch
    mtmoe tasks verify my_task --task_module=my_tasks

`--task_module` adds a module of yours (docs/register_a_task.md). `verify` reads every
example of what is on this machine and exits with status 1 if something is wrong;
without a name it checks every task of the module.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
from collections import Counter
from typing import TYPE_CHECKING

from absl import flags

from mtmoe.cli.number_flags import define_number
from mtmoe.cli.quiet import without_sentencepiece_notes
from mtmoe.cli.shared_flags import chosen_action, define_task_flags, register_tasks
from mtmoe.cli.terminal import isolated, one_line, table
from mtmoe.errors import MtmoeError
from mtmoe.progress import Progress
from mtmoe.ranges import Count, Natural
from mtmoe.startup.importing import import_tensorflow

if TYPE_CHECKING:
    import seqio

    from mtmoe.data.batches.preview import PackedRow, PreviewExample
    from mtmoe.data.tasks.verify import Verification

FLAGS = flags.FLAGS
ACTIONS = ("list", "show", "preview", "verify")
FAILED_STATUS = 1
_PREVIEWED = 3


def define_flags() -> None:
    """Defines the flags of `mtmoe tasks`."""
    define_task_flags()
    flags.DEFINE_string("family", "", "list: only this family of tasks")
    flags.DEFINE_string("language", "", "list: only this language, by any usual code")
    flags.DEFINE_string("metric", "", "list: only tasks measured by this metric")
    flags.DEFINE_string("labels", "", "list: only gold, rule or self(-supervised)")
    flags.DEFINE_enum("format", "table", ["table", "names", "csv"], "list: how")
    flags.DEFINE_string("split", "", "preview, verify: the split; the first by default")
    define_number(
        "num_examples",
        None,
        "preview: how many (3); verify: only the first (all; 50 of web text and "
        "of what TensorFlow Datasets has)",
        Count,
    )
    flags.DEFINE_boolean("packed", False, "preview: rows of the first packed batch")
    define_number(
        "inputs", 512, "preview, verify: length of inputs; 0: a decoder alone", Natural
    )
    define_number("targets", 114, "preview, verify: length of targets", Count)


def run(argv: list[str]) -> int:
    """Runs one of the actions.

    Raises:
      MtmoeError: a flag, a name or a task's data cannot be used.
    """
    usage = "usage: mtmoe tasks list | show | preview | verify [NAME]"
    action, names = chosen_action(argv, ACTIONS, usage)
    import_tensorflow()
    register_tasks()
    if action in ("show", "preview") and len(names) != 1:
        raise MtmoeError(f"usage: mtmoe tasks {action} NAME")
    if action == "list":
        return _list(names)
    if action == "show":
        return _show(names[0])
    with without_sentencepiece_notes():
        return _verify(names) if action == "verify" else _preview(names[0])


def _list(names: list[str]) -> int:
    from mtmoe.data.tasks.catalogue import TaskFilter, select_tasks

    if len(names) > 1:
        raise MtmoeError("usage: mtmoe tasks list [BEGINNING_OF_NAME] [--family=F ...]")
    tasks = select_tasks(
        TaskFilter(
            family=FLAGS.family,
            language=FLAGS.language,
            metric=FLAGS.metric,
            labels=FLAGS.labels,
            prefix=names[0] if names else "",
        )
    )
    if FLAGS.format == "names":
        print("\n".join(task.name for task in tasks))
    elif FLAGS.format == "csv":
        print(_csv(tasks), end="")
    else:
        _print_table(tasks)
    return 0


def _print_table(tasks: tuple[seqio.Task, ...]) -> None:
    from mtmoe.data.tasks.catalogue import group_tasks, mixtures

    groups = group_tasks(tasks)
    rows = [
        [
            group.name,
            str(len(group.tasks)) if len(group.tasks) > 1 else group.card.language,
            group.card.family,
            group.card.labels,
            one_line(" ".join(group.metrics), 36),
            one_line(group.card.origin, 40),
        ]
        for group in groups
    ]
    headings = ["task", "languages", "family", "labels", "metrics", "origin"]
    print(table(headings, rows))
    families = Counter(group.card.family for group in groups)
    print(
        f"\n{len(tasks):,} tasks ({len(groups):,} with their languages put together; "
        + ", ".join(f"{count} {family}" for family, count in families.most_common())
        + f"), {len(mixtures()):,} mixtures"
    )


def _csv(tasks: tuple[seqio.Task, ...]) -> str:
    from mtmoe.data.tasks.card import TaskCard, task_card
    from mtmoe.data.tasks.catalogue import registered_at

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    fields = [field.name for field in dataclasses.fields(TaskCard)]
    writer.writerow(["task", *fields, "registered_at"])
    for task in tasks:
        card = dataclasses.asdict(task_card(task))
        card["metrics"] = " ".join(card["metrics"])
        cells = ["" if card[field] is None else card[field] for field in fields]
        writer.writerow([task.name, *cells, registered_at(task)])
    return stream.getvalue()


def _show(name: str) -> int:
    import seqio

    from mtmoe.data.tasks.catalogue import registered_at
    from mtmoe.data.tasks.registry import get_mixture_or_task

    provider = get_mixture_or_task(name)
    facts = (
        _task_facts(provider)
        if isinstance(provider, seqio.Task)
        else _mixture_facts(provider)
    )
    facts["registered at"] = registered_at(provider) or "not found"
    width = max(map(len, facts))
    for key, value in facts.items():
        if value:
            print(f"{key:{width}}  {value}")
    return 0


def _task_facts(task: seqio.Task) -> dict[str, str]:
    from mtmoe.data.tasks.card import FAMILIES, task_card
    from mtmoe.data.tasks.catalogue import aliases_of, mixtures_with
    from mtmoe.languages import row_language

    card = task_card(task)
    return {
        "task": task.name,
        "family": f"{card.family}: {FAMILIES[card.family]}",
        "language": f"{card.language} ({row_language(card.language).name})"
        if card.language
        else "",
        "labels": card.labels,
        "origin": card.origin,
        "licence": card.licence,
        "certainty": card.certainty,
        "splits": ", ".join(task.splits),
        "training examples": f"{card.train_examples:,}" if card.train_examples else "",
        "steps": " > ".join(_step_name(step) for step in task.preprocessors),
        "metrics": ", ".join(card.metrics),
        "verified": card.verified,
        "note": card.note,
        "also known as": ", ".join(aliases_of(task.name)),
        "in mixtures": ", ".join(mixtures_with(task.name)),
    }


def _mixture_facts(mixture: seqio.Mixture) -> dict[str, str]:
    members = list(mixture.rate_per_task_name)
    shown = ", ".join(members[:12])
    more = f" and {len(members) - 12:,} more" if len(members) > 12 else ""
    return {
        "mixture": mixture.name,
        "members": shown + more,
        "tasks": f"{len(mixture.tasks):,}",
        "splits": ", ".join(sorted(mixture.splits)),
        "what it feeds": f"mtmoe mixture plan {mixture.name}",
    }


def _preview(name: str) -> int:
    from mtmoe.data.batches.preview import preview_examples, preview_packed
    from mtmoe.data.tasks.registry import get_mixture_or_task

    lengths = _lengths()
    split = FLAGS.split or _first_split(get_mixture_or_task(name))
    count = FLAGS.num_examples or _PREVIEWED
    if FLAGS.packed:
        rows = preview_packed(name, split, count, lengths)
        for number, row in enumerate(rows):
            _print_packed(number, row, lengths)
        return 0
    for example in preview_examples(name, split, count, lengths):
        _print_example(example)
    return 0


def _lengths() -> dict[str, int]:
    lengths = {"inputs": FLAGS.inputs, "targets": FLAGS.targets}
    return lengths if FLAGS.inputs else {"targets": FLAGS.targets}


def _print_example(example: PreviewExample) -> None:
    for name, text in example.text.items():
        print(f"{name:8} {isolated(one_line(text))}")
        if name in example.pieces:
            cut = example.pieces[name]
            print(f"{'':8} {len(cut)} tokens: {_cut(cut)}")
    print()


def _print_packed(number: int, row: PackedRow, lengths: dict[str, int]) -> None:
    print(f"row {number}: {len(row.segments)} examples")
    for segment in row.segments:
        print(f"  ┌ {segment.task}")
        for feature, cut in segment.pieces.items():
            print(f"  │ {feature:8} {len(cut):4} tokens: {_cut(cut)}")
    for feature, padding in row.padding.items():
        print(f"  {feature}: {lengths[feature] - padding} of {lengths[feature]} filled")
    print()


def _cut(pieces: tuple[str, ...]) -> str:
    return " ".join(isolated(one_line(piece)) for piece in pieces)


def _verify(names: list[str]) -> int:
    """Checks tasks, one after the other; a task that fails stops no other."""
    from mtmoe.data.tasks.registry import get_task

    failed = 0
    for task in [get_task(name) for name in names or _tasks_of_own_modules()]:
        for split in [FLAGS.split] if FLAGS.split else list(task.splits):
            failed += not _is_sound(task, split)
            sys.stdout.flush()
    return FAILED_STATUS if failed else 0


class _Seen(Progress):
    """Counts examples, of which it is not known how many there are."""

    def _line(self, done: int, elapsed: float, left: float | None) -> str:
        return f"{self._what}: {done:,} examples so far"


def _is_sound(task: seqio.Task, split: str) -> bool:
    """Checks a split and prints what came of it."""
    from mtmoe.data.ground.user_code import described
    from mtmoe.data.tasks.verify import verify_task

    seen = _Seen(f"{task.name} {split}", total=0)
    try:
        found = verify_task(task, split, FLAGS.num_examples, _lengths(), seen.show)
    except MtmoeError as error:
        print(f"FAIL {task.name} {split}: {error}")
        return False
    except Exception as error:  # of any kind: the next task is looked at all the same
        print(f"FAIL {task.name} {split}: {described(error)}")
        return False
    _print_verification(found)
    return not found.problems


def _tasks_of_own_modules() -> list[str]:
    """Returns the tasks registered by the modules of `--task_module`."""
    from mtmoe.data.tasks.catalogue import registered_at, select_tasks

    if not FLAGS.task_module:
        raise MtmoeError("usage: mtmoe tasks verify NAME ... or --task_module=MODULE")
    files = {sys.modules[module].__file__ for module in FLAGS.task_module}
    return [
        task.name
        for task in select_tasks()
        if registered_at(task).rpartition(":")[0] in files
    ]


def _print_verification(found: Verification) -> None:
    verdict = "FAIL" if found.problems else "ok  "
    inputs, targets = found.inputs_lengths, found.targets_lengths
    if found.is_whole:
        count = f"{found.num_examples:,} examples"
    elif found.num_available is None:
        count = f"the first {found.num_examples:,} examples"
    else:
        count = f"{found.num_examples:,} of {found.num_available:,} examples"
    if found.num_left_out:
        count += f" ({found.num_left_out:,} bad ones left out)"
    scored = ""
    if found.scores and found.num_scored < found.num_examples:
        scored = f" (metrics of the first {found.num_scored:,})"
    print(
        f"{verdict} {found.task} {found.split}: {count}, "
        f"inputs {inputs[0]:.0f} tokens (at most {inputs[1]}), "
        f"targets {targets[0]:.0f} (at most {targets[1]})"
        + "".join(f", {name} {value:g}" for name, value in found.scores.items())
        + scored
    )
    for problem in found.problems:
        print(f"     {problem}")


def _first_split(provider: seqio.Task | seqio.Mixture) -> str:
    splits = list(provider.splits)
    return "train" if "train" in splits else splits[0]


def _step_name(step: object) -> str:
    function = getattr(step, "func", step)
    return getattr(function, "__name__", type(function).__name__)
