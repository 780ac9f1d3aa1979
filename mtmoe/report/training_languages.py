"""How each language did in training: loss, experts, dropped tokens, damaged data.

All of it is from metrics.jsonl, as far as the run logged it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mtmoe.report import svg
from mtmoe.report.results import language_name, means
from mtmoe.report.svg import escape
from mtmoe.report.wording import percent

SPANS = 30
"""Points of a curve, at most: one line of the log has few tokens of a language."""

HEADINGS = ("language", "code", "first", "last", "change", "busiest expert", "dropped")
_WIDTH = 150.0
_HEIGHT = 46.0
_EDGE = 3.0


@dataclasses.dataclass(frozen=True)
class LanguageCurve:
    """Training loss of one language over the run.

    Attributes:
      code: the language's code.
      name: its English name.
      steps: last step of each span in which the language was trained on, ascending.
      losses: nats per target token there, the mean over the span's log lines.
      expert_load: tokens of the busiest expert over the mean, in the last span; None
        for a dense model.
      dropped_fraction: share of its tokens, in all layers of experts, without room at
        an expert, in the last span; None for a dense model.
    """

    code: str
    name: str
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    expert_load: float | None
    dropped_fraction: float | None

    @property
    def points(self) -> Iterator[tuple[int, float]]:
        """Steps and losses together."""
        return zip(self.steps, self.losses, strict=True)

    @property
    def change(self) -> float:
        """Last loss minus the first."""
        return self.losses[-1] - self.losses[0]


def language_curves(training: Sequence[Mapping[str, Any]]) -> tuple[LanguageCurve, ...]:
    """Returns the curves in metrics.jsonl's objects, the highest last loss first."""
    losses = _by_span(training, "language_loss")
    loads = _by_span(training, "language_expert_load")
    drops = _by_span(training, "language_dropped_fraction")
    curves = [
        LanguageCurve(
            code,
            language_name(code),
            tuple(by_step),
            tuple(by_step.values()),
            _last(loads, code),
            _last(drops, code),
        )
        for code, by_step in losses.items()
    ]
    return tuple(sorted(curves, key=lambda curve: (-curve.losses[-1], curve.code)))


def span_steps(training: Sequence[Mapping[str, Any]]) -> int:
    """Returns how many steps a point of a curve stands for, rounded."""
    return round(training[-1]["step"] / min(SPANS, len(training)))


def language_section(
    curves: Sequence[LanguageCurve], training: Sequence[Mapping[str, Any]]
) -> str:
    """Returns the section of the page; empty for a run without losses by language."""
    if not curves:
        return ""
    x = svg.Scale(0.0, training[-1]["step"], _EDGE, _WIDTH - _EDGE)
    highest = max(max(curve.losses) for curve in curves)
    lowest = min(min(curve.losses) for curve in curves)
    y = svg.Scale(lowest, highest, _HEIGHT - _EDGE, _EDGE)
    mean = _polyline(_mean_curve(curves), x, y, "rail-curve")
    note = ""
    if any(curve.expert_load is not None for curve in curves):
        note = (
            " Beside them the load of a language's busiest expert over the mean, at "
            "the end"
        )
        if any(curve.dropped_fraction is not None for curve in curves):
            note += ", and the share of its tokens that no expert had room for"
        note += "."
    cells = "\n".join(_cell(curve, mean, x, y) for curve in curves)
    return (
        '<section id="training-languages" class="panel-box">\n'
        "<h2>Loss by language during training</h2>\n"
        '<p class="note">Nats per target token of the training batches, each point the '
        f"mean over {span_steps(training):,} steps; the highest last loss comes first. "
        f"One scale for all, from {lowest:.2f} to {highest:.2f}; grey is the mean over "
        f"the languages.{note}</p>\n"
        f'<div class="multiples" tabindex="0">\n{cells}\n</div>\n</section>'
    )


def language_rows(curves: Sequence[LanguageCurve]) -> list[tuple[str, ...]]:
    """Returns a line a language, under `HEADINGS`, by name."""
    return [
        (
            curve.name,
            curve.code,
            f"{curve.losses[0]:.3f}",
            f"{curve.losses[-1]:.3f}",
            f"{curve.change:+.3f}",
            _load(curve),
            _dropped(curve),
        )
        for curve in sorted(curves, key=lambda curve: curve.name)
    ]


def damage_line(training: Sequence[Mapping[str, Any]]) -> str:
    """Returns a sentence about damaged data that was passed over; empty if none was."""
    records = training[-1].get("damaged_records", {})
    rows = training[-1].get("damaged_rows", {})
    if not records and not rows:
        return ""
    return (
        f"Damaged records passed over: {_counts(records)}. "
        f"Training examples left empty by that: {_counts(rows)}."
    )


def warning_lines(training: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Returns what the run warned of, in order, each with its step."""
    return tuple(
        f"Step {line['step']:,}: {warning}."
        for line in training
        for warning in line.get("warnings", ())
    )


def _counts(by_task: Mapping[str, int]) -> str:
    if not by_task:
        return "0"
    parts = ", ".join(f"{task} {by_task[task]:,}" for task in sorted(by_task))
    return f"{sum(by_task.values()):,} ({parts})"


def _by_span(
    training: Sequence[Mapping[str, Any]], key: str
) -> dict[str, dict[int, float]]:
    """Returns code -> last step of a span -> mean over its lines that have it."""
    last = training[-1]["step"]
    spans: dict[int, list[Mapping[str, Any]]] = {}
    for number, record in enumerate(training):
        span = number
        if len(training) > SPANS:
            span = math.ceil(record["step"] / last * SPANS)
        spans.setdefault(span, []).append(record)
    curves: dict[str, dict[int, float]] = {}
    for records in spans.values():
        pairs = (pair for record in records for pair in record.get(key, {}).items())
        for code, mean in means(pairs).items():
            curves.setdefault(code, {})[records[-1]["step"]] = mean
    return curves


def _mean_curve(curves: Sequence[LanguageCurve]) -> list[tuple[int, float]]:
    """Returns (step, mean over the languages trained on there), ascending."""
    return sorted(means(point for curve in curves for point in curve.points).items())


def _cell(curve: LanguageCurve, mean: str, x: svg.Scale, y: svg.Scale) -> str:
    step, loss = curve.steps[-1], curve.losses[-1]
    body = [
        mean,
        _polyline(curve.points, x, y, "curve"),
        svg.circle(x(step), y(loss), 2.4, "model"),
    ]
    title = (
        f"{curve.name}: {curve.losses[0]:.2f} nats per token up to step "
        f"{curve.steps[0]:,}, {loss:.2f} at step {step:,}"
    )
    routing = [_load(curve)] if curve.expert_load is not None else []
    routing += [_dropped(curve)] if curve.dropped_fraction is not None else []
    load = f"<i>{escape(', '.join(routing))}</i>" if routing else ""
    return (
        f"<figure><figcaption><bdi>{escape(curve.name)}</bdi> "
        f'<span class="aside">{escape(curve.code)}</span></figcaption>'
        f"{svg.drawing(_WIDTH, _HEIGHT, body, title, 'multiple')}"
        f"<p><span>{curve.losses[0]:.2f} → <b>{loss:.2f}</b></span>{load}</p></figure>"
    )


def _polyline(
    points: Iterable[tuple[int, float]], x: svg.Scale, y: svg.Scale, style: str
) -> str:
    return svg.polyline(((x(step), y(value)) for step, value in points), style)


def _last(values: Mapping[str, Mapping[int, float]], code: str) -> float | None:
    """A language's value in the last span that has one."""
    by_step = list(values.get(code, {}).values())
    return by_step[-1] if by_step else None


def _load(curve: LanguageCurve) -> str:
    return "–" if curve.expert_load is None else f"{curve.expert_load:.1f} ×"


def _dropped(curve: LanguageCurve) -> str:
    return percent(curve.dropped_fraction, 1)
