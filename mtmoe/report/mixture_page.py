"""The plan of a mixture as one HTML file that opens offline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mtmoe.data.mixing.plan_rows import BASES, MixturePlan, PlanRow
from mtmoe.languages import SEVERAL_LANGUAGES, row_language
from mtmoe.report import html, svg
from mtmoe.report.svg import escape
from mtmoe.report.wording import compact, percent

_ROW = 17.0
_TOP = 40.0
_NAME_END, _SHARE_END = 260.0, 610.0
_EPOCHS_START, _SIZE_START, _WIDTH = 660.0, 920.0, 1000.0
_LETTERS = 40


def mixture_page(plan: MixturePlan) -> str:
    """Returns the text of the page; every value in it is escaped."""
    return html.page(
        "mixture.html",
        title=escape(f"{plan.mixture}: mtmoe mixture plan"),
        heading=escape(plan.mixture),
        lede=escape(_lede(plan)),
        meta=escape(
            f"Tokens are those of inputs (at most {plan.lengths['inputs']}) and "
            f"targets (at most {plan.lengths['targets']}) in a batch, without padding."
        ),
        cards=_cards(plan),
        limit=escape(f"{plan.max_epochs:g}"),
        languages=_chart(plan, plan.languages, "Share and epochs by language"),
        tasks=_chart(plan, plan.tasks, "Share and epochs by task"),
        warnings=_warnings(plan),
        policies=html.definitions(_mixing(plan)),
        bases=html.definitions(BASES.items()),
    )


def _lede(plan: MixturePlan) -> str:
    repeated = sum(map(plan.is_repeated, plan.tasks))
    if not repeated:
        seen = f"No task is known to be seen more than {plan.max_epochs:g} times."
    else:
        verb = "is" if repeated == 1 else "are"
        seen = (
            f"{repeated:,} of {plan.total.num_tasks:,} tasks {verb} seen more than "
            f"{plan.max_epochs:g} times."
        )
    return f"{compact(round(plan.total.tokens))} tokens of {plan.mixture}. {seen}"


def _cards(plan: MixturePlan) -> str:
    total, unknown = plan.total, len(plan.unknown_epochs)
    languages = _counted(len(plan.languages), "language")
    per_example = f"of {total.tokens_per_example:.0f} tokens on average"
    unsized = f"size of {_counted(unknown, 'task')} unknown" if unknown else ""
    cards = (
        (f"{total.num_tasks:,}", "tasks", f"in {languages}"),
        (compact(total.examples), "examples", per_example),
        (_known(total.epochs, "{:.2f}"), "epochs over all of it", unsized),
        (_known(total.bytes_per_token, "{:.2f}"), "bytes a token", ""),
    )
    return "\n".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(label)}</span>'
        f"<i>{escape(detail)}</i></div>"
        for value, label, detail in cards
    )


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


def _known(value: float | None, form: str) -> str:
    return "unknown" if value is None else form.format(value)


@dataclass(frozen=True)
class _EpochScale:
    """Passes over the data on a logarithmic axis of whole powers of ten."""

    low: int
    high: int

    @classmethod
    def of(cls, values: Sequence[float]) -> _EpochScale:
        positive = [value for value in values if value > 0] or [1.0]
        low = math.floor(math.log10(min(positive)))
        high = math.ceil(math.log10(max(positive)))
        return cls(low, max(high, low + 1))

    def __call__(self, value: float) -> float:
        scale = svg.Scale(self.low, self.high, _EPOCHS_START, _SIZE_START - 20)
        return scale(math.log10(value))


def _chart(plan: MixturePlan, rows: Sequence[PlanRow], title: str) -> str:
    bottom = _TOP + _ROW * len(rows)
    largest = max(max(row.share_of_tokens, row.share_of_examples) for row in rows)
    share = svg.Scale(0.0, 100 * largest, _NAME_END, _SHARE_END)
    known = [row.epochs for row in rows if row.epochs is not None]
    epochs = _EpochScale.of([*known, plan.max_epochs])
    body = [
        svg.text(_NAME_END, 14, "Share, %", "panel-title"),
        svg.text(_EPOCHS_START, 14, "Epochs", "panel-title"),
        svg.text(_SIZE_START, 14, "Size", "panel-title"),
    ]
    for value in svg.ticks(0.0, 100 * largest, 5):
        body += _grid(share(value), bottom, svg.tick_label(value))
    for power in range(epochs.low, epochs.high + 1):
        body += _grid(epochs(10.0**power), bottom, svg.tick_label(10.0**power))
    limit = epochs(plan.max_epochs)
    body.append(svg.line(limit, _TOP - 4, limit, bottom, "limit"))
    for number, row in enumerate(rows):
        body += _row(plan, row, _TOP + _ROW * number, share, epochs)
    return svg.drawing(_WIDTH, bottom + 6, body, title, "bars")


def _grid(x: float, bottom: float, label: str) -> list[str]:
    return [
        svg.line(x, _TOP - 4, x, bottom, "grid"),
        svg.text(x, _TOP - 9, label, "label", svg.MIDDLE),
    ]


def _row(
    plan: MixturePlan, row: PlanRow, top: float, share: svg.Scale, epochs: _EpochScale
) -> list[str]:
    middle = top + _ROW / 2
    x, across = share(100 * row.share_of_tokens), share(100 * row.share_of_examples)
    pale = " estimate" if row.is_estimate("tokens_per_example") else ""
    body = [
        svg.text(_NAME_END - 8, middle + 4, _label(row), "name", svg.END),
        svg.rectangle(_NAME_END, top + 3, x - _NAME_END, _ROW - 6, f"bar share{pale}"),
        svg.line(across, top + 1.5, across, top + _ROW - 1.5, "share-examples"),
    ]
    if row.epochs is None:
        body.append(svg.text(_EPOCHS_START, middle + 4, "unknown", "label"))
    elif row.epochs > 0:
        kind = " repeated" if plan.is_repeated(row) else ""
        pale = " estimate" if row.is_estimate("epochs") else ""
        dot = epochs(row.epochs)
        body += [
            svg.line(_EPOCHS_START, middle, dot, middle, f"epochs-line{kind}"),
            svg.circle(dot, middle, 4, f"epochs-dot{kind}{pale}"),
        ]
    body.append(svg.text(_SIZE_START, middle + 4, row.size, "label"))
    body.append(svg.rectangle(0, top, _WIDTH, _ROW, "hover", title=_tooltip(row)))
    return body


def _label(row: PlanRow) -> str:
    """Returns a language's name and code, or the end of a task's long name."""
    if row.name in (row.language, SEVERAL_LANGUAGES.code):
        return f"{row_language(row.name).name} · {row.name}"
    return row.name if len(row.name) <= _LETTERS else "…" + row.name[1 - _LETTERS :]


def _tooltip(row: PlanRow) -> str:
    return (
        f"{row.name}: {percent(row.share_of_examples, 2)} of the examples, "
        f"{percent(row.share_of_tokens, 2)} of the tokens ({compact(row.tokens)}); "
        f"{row.tokens_per_example:.0f} tokens an example "
        f"({BASES[row.bases['tokens_per_example']]}); epochs "
        f"{_known(row.epochs, '{:,.2f}')} ({BASES[row.bases['epochs']]}); bytes a "
        f"token {_known(row.bytes_per_token, '{:.2f}')} "
        f"({BASES[row.bases['bytes_per_token']]})"
    )


def _warnings(plan: MixturePlan) -> str:
    if not plan.warnings:
        return "<p>None that is known to be.</p>"
    items = "".join(f"<li>{escape(warning)}</li>" for warning in plan.warnings)
    return f'<ul class="warnings">{items}</ul>'


def _mixing(plan: MixturePlan) -> list[tuple[str, str]]:
    facts = list(plan.policies.items())
    if len(plan.stages) > 1:
        facts += [
            (
                f"From step {stage.start_step:,}",
                f"{stage.mixture}: {compact(round(stage.tokens))} tokens"
                if stage.tokens
                else f"{stage.mixture}: not reached with this budget",
            )
            for stage in plan.stages
        ]
    return facts
