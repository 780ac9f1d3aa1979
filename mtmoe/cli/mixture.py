"""Shows what a mixture will feed a model, before an hour is spent on it.

    mtmoe mixture plan embedded.span_corruption --tokens=1e8
    mtmoe mixture plan mc4 --tokens=1e12 --output_file=mc4.csv --output_file=mc4.html
    mtmoe mixture plan --gin_file=runs/quickstart.gin

Share of examples and of tokens, epochs, bytes a token, by language and by task, for a
budget of tokens (inputs and targets, padding left out). With a --gin_file that sets
them, mixture, lengths, batch size and steps are those of the run. `~` marks estimates,
`?` what nobody knows, and `size` says whether how much there is was counted, estimated
or published; docs/mixing.md says what each number rests on.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mtmoe.cli.number_flags import define_number
from mtmoe.cli.shared_flags import chosen_action, define_task_flags, register_tasks
from mtmoe.cli.terminal import one_line, table
from mtmoe.errors import MtmoeError
from mtmoe.ranges import Count, Natural, Positive
from mtmoe.report.wording import compact, percent
from mtmoe.startup.importing import import_tensorflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mtmoe.data.mixing.plan_rows import MixturePlan, PlanRow

FLAGS = flags.FLAGS
ACTIONS = ("plan",)
DEFAULT_TOKENS = 1e9
_HEADINGS = (
    "of examples",
    "of tokens",
    "tokens",
    "tokens/example",
    "epochs",
    "size",
    "bytes/token",
)


def define_flags() -> None:
    """Defines the flags of `mtmoe mixture`."""
    define_task_flags()
    define_number(
        "tokens",
        None,
        "the budget; by default the run's steps, or 1e9 without a run",
        Positive,
    )
    define_number("inputs", None, "length of inputs; the run's, or 512", Count)
    define_number("targets", None, "length of targets; the run's, or 114", Count)
    define_number("batch_size", None, "examples in a step; the run's by default", Count)
    define_number("max_epochs", 4.0, "warn of data repeated more than this", Positive)
    define_number("rows", 20, "rows of a table; 0 for all", Natural)
    flags.DEFINE_multi_string(
        "output_file", [], "write it all as .csv or as .html; may be repeated"
    )


def run(argv: list[str]) -> int:
    """Prints the plan of a mixture, and writes its files.

    Raises:
      MtmoeError: a flag, a name or a rate cannot be used.
    """
    usage = "usage: mtmoe mixture plan [NAME] [--tokens=1e9] [--output_file=F.csv]"
    _, names = chosen_action(argv, ACTIONS, usage)
    if len(names) > 1:
        raise MtmoeError(usage)
    for name in FLAGS.output_file:
        if Path(name).suffix not in (".csv", ".html"):
            raise MtmoeError(f"--output_file={name}: allowed are .csv and .html")
    import_tensorflow()
    configured = _configure()
    name = names[0] if names else configured.get("mixture")
    if not name:
        raise MtmoeError(f"{usage}; NAME may be left out if a --gin_file sets it")
    plan = _plan(name, configured)
    _print(plan)
    for output in map(Path, FLAGS.output_file):
        _write(plan, output)
        print(output)
    for warning in plan.warnings:
        print(f"mtmoe: warning: {warning}", file=sys.stderr)
    return 0


def _configure() -> dict[str, Any]:
    """Loads config and tasks; returns what the config says of the run."""
    config = register_tasks()
    if config is None:
        return {}
    return {
        key: ast.literal_eval(config.bindings[f"train.{key}"])
        for key in ("mixture", "lengths", "batch_size", "steps")
        if f"train.{key}" in config.bindings
    }


def _plan(name: str, configured: dict[str, Any]) -> MixturePlan:
    from mtmoe.data.mixing.plan import mixture_plan

    lengths = {"inputs": 512, "targets": 114, **configured.get("lengths", {})}
    for feature in lengths:
        if FLAGS[feature].value is not None:
            lengths[feature] = FLAGS[feature].value
    steps = configured.get("steps") if FLAGS.tokens is None else None
    tokens = DEFAULT_TOKENS if FLAGS.tokens is None and steps is None else FLAGS.tokens
    return mixture_plan(
        name,
        lengths,
        tokens=tokens,
        batch_size=FLAGS.batch_size or configured.get("batch_size"),
        steps=steps,
        max_epochs=FLAGS.max_epochs,
    )


def _print(plan: MixturePlan) -> None:
    lengths = f"{plan.lengths['inputs']} inputs and {plan.lengths['targets']} targets"
    about = _mark(plan.total, "tokens_per_example")
    print(
        f"{plan.mixture}: {plan.total.num_tasks:,} tasks, {plan.total.tokens:,.0f} "
        f"tokens in {about}{plan.total.examples:,.0f} examples of at most {lengths}"
    )
    for mixture, policy in plan.policies.items():
        print(f"  {mixture}: {one_line(policy, 150)}")
    if len(plan.stages) > 1:
        for stage in plan.stages:
            reached = f"{stage.steps:,.0f} steps, {stage.tokens:,.0f} tokens"
            print(
                f"  from step {stage.start_step:,}: {stage.mixture}, "
                + (reached if stage.tokens else "not reached with this budget")
            )
    print()
    print(_table("language", plan.languages, plan.total))
    if len(plan.tasks) > 1:
        print()
        print(_table("task", plan.tasks, plan.total))
    unknown = plan.unknown_epochs
    if unknown:
        shown = ", ".join(unknown[:5]) + (" ..." if len(unknown) > 5 else "")
        tasks = "1 task" if len(unknown) == 1 else f"{len(unknown):,} tasks"
        print(f"\nhow much there is of {tasks} is not known: {shown}")


def _table(kind: str, rows: Sequence[PlanRow], total: PlanRow) -> str:
    """Returns the first rows, what is left out in one row, and the total."""
    shown = rows[: FLAGS.rows or None]
    about = _mark(total, "tokens_per_example")
    cells = [[one_line(row.name, 44), *_cells(row, about)] for row in shown]
    left_out = rows[len(shown) :]
    if left_out:
        of_examples = sum(row.share_of_examples for row in left_out)
        of_tokens = sum(row.share_of_tokens for row in left_out)
        cells.append(
            [
                f"... {len(left_out):,} more",
                percent(of_examples, 2),
                about + percent(of_tokens, 2),
                about + compact(sum(row.tokens for row in left_out)),
                *[""] * 4,
            ]
        )
    cells.append(["total", *_cells(total, "")])
    return table([kind, *_HEADINGS], cells, right=range(1, len(_HEADINGS) + 1))


def _cells(row: PlanRow, about: str) -> list[str]:
    return [
        percent(row.share_of_examples, 2),
        about + percent(row.share_of_tokens, 2),
        about + compact(round(row.tokens)),
        _number(row, "tokens_per_example", 0),
        _number(row, "epochs", 2),
        row.size,
        _number(row, "bytes_per_token", 2),
    ]


def _number(row: PlanRow, name: str, decimals: int) -> str:
    value = getattr(row, name)
    if value is None:
        return "?"
    text = f"{value:.2g}" if decimals and value < 1 else f"{value:,.{decimals}f}"
    return _mark(row, name) + text


def _mark(row: PlanRow, number: str) -> str:
    return "~" if row.is_estimate(number) else ""


def _write(plan: MixturePlan, path: Path) -> None:
    from mtmoe.report.mixture_page import mixture_page
    from mtmoe.report.mixture_table import mixture_csv

    text = mixture_csv(plan) if path.suffix == ".csv" else mixture_page(plan)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
