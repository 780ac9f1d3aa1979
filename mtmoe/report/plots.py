"""The report's charts, as SVG text."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from mtmoe.report import svg
from mtmoe.report.results import LanguageResult
from mtmoe.report.wording import number_or_dash, percent

_LEFT = 46.0
_COLUMN = 11.0
_STRIP_WIDTH, _STRIP_HEIGHT = 190.0, 18.0
_PANEL_WIDTH, _PANEL_HEIGHT = 400.0, 230.0


def curve_panel(
    title: str, steps: Sequence[float], values: Sequence[float], from_zero: bool = False
) -> str:
    """Returns a titled panel with axes for finite values over training steps."""
    low = 0.0 if from_zero else min(values)
    high = max(values)
    if high <= low:
        high = low + (abs(low) or 1.0)
    margin = 0.0 if from_zero else 0.05 * (high - low)
    x = svg.Scale(0.0, max(steps), _LEFT, _PANEL_WIDTH - 14)
    y = svg.Scale(low - margin, high + 0.05 * (high - low), _PANEL_HEIGHT - 40, 34)
    body = [svg.text(0, 16, title, "panel-title")]
    body += svg.horizontal_grid(y, x.start, x.end, 4)
    for value in svg.ticks(x.low, x.high, 5):
        label = svg.tick_label(value)
        body.append(svg.text(x(value), _PANEL_HEIGHT - 22, label, extra=svg.MIDDLE))
    points = list(zip(map(x, steps), map(y, values), strict=True))
    center = (x.start + x.end) / 2
    body += [
        svg.line(x.start, y.start, x.end, y.start, "axis"),
        svg.text(center, _PANEL_HEIGHT - 5, "training step", extra=svg.MIDDLE),
        svg.polyline(points, "curve"),
        svg.circle(*points[-1], 3, "model"),
    ]
    last = f"{title}, {values[-1]:.4g} at step {steps[-1]:g}"
    return svg.drawing(_PANEL_WIDTH, _PANEL_HEIGHT, body, last, "panel")


def strip(result: LanguageResult, highest: float) -> str:
    """Returns the small graphic of one table row.

    A dot with its interval for the model, a tick for the language's own unigram model,
    a hollow diamond for the mixture-wide one, on a scale from 0 to `highest`.
    """
    x = svg.Scale(0.0, highest, 6.0, _STRIP_WIDTH - 6.0)
    middle = _STRIP_HEIGHT / 2
    body = [svg.line(x.start, middle, x.end, middle, "rail")]
    body += _marks(result, lambda bits: (x(bits), middle), (0.0, 6.0))
    return svg.drawing(_STRIP_WIDTH, _STRIP_HEIGHT, body, describe(result), "strip")


def describe(result: LanguageResult) -> str:
    """Returns a result as a sentence, for tooltips and screen readers."""
    interval = result.bits_per_byte
    between = f" (95 % interval {interval.low:.2f} to {interval.high:.2f})"
    if math.isnan(interval.low):
        between = ""
    return (
        f"{result.name}: {interval.value:.2f} bits per byte{between}; own unigram "
        f"{number_or_dash(result.language_unigram_bits_per_byte, 2)}, mixture unigram "
        f"{number_or_dash(result.mixture_unigram_bits_per_byte, 2)}"
    )


def overview(results: Sequence[LanguageResult]) -> str:
    """Returns the chart of all languages, best first, with both baselines."""
    ordered = sorted(results, key=lambda result: result.bits_per_byte.value)
    columns = _Columns([result.language for result in ordered], top=12, bottom=222)
    y = svg.Scale(0.0, highest_bits(results), columns.bottom, columns.top)
    body = columns.axes(y)
    for i, result in enumerate(ordered):
        x = columns.middle(i)
        body += _marks(result, lambda bits: (x, y(bits)), (4.5, 0.0))  # noqa: B023
        body.append(columns.tooltip(i, describe(result)))
    return columns.drawing(body, "Bits per byte of every language, best first")


def data_chart(results: Sequence[LanguageResult]) -> str:
    """Returns share of data and epochs of every language, largest share first."""
    ordered = sorted(results, key=lambda result: -(result.share or 0.0))
    names = [result.language for result in ordered]
    share = _Columns(names, top=26, bottom=140)
    epochs = _Columns(names, top=222, bottom=336)
    body = _bars(share, [100 * (r.share or 0.0) for r in ordered], "share")
    body += _bars(epochs, [r.epochs or 0.0 for r in ordered], "epochs")
    body.append(svg.text(0, 14, "Share of training examples, %", "panel-title"))
    body.append(svg.text(0, 210, "Epochs over its text", "panel-title"))
    for i, result in enumerate(ordered):
        tip = f"{result.name}: not a task of the training mixture"
        if result.share is not None:
            tip = (
                f"{result.name}: {percent(result.share, 2)} of the examples, "
                f"{number_or_dash(result.epochs, 1)} epochs"
            )
        body += [share.tooltip(i, tip), epochs.tooltip(i, tip)]
    return epochs.drawing(body, "Share of training data and epochs by language")


def highest_bits(results: Sequence[LanguageResult]) -> float:
    """Returns the upper end of the common scale for bits per byte."""
    return 1.03 * max(
        bits
        for result in results
        for bits in (
            result.bits_per_byte.value,
            result.mixture_unigram_bits_per_byte,
            result.language_unigram_bits_per_byte,
            result.bits_per_byte.high,
        )
        if not math.isnan(bits)
    )


@dataclasses.dataclass(frozen=True)
class _Columns:
    """A frame with one narrow column a language and its code below."""

    names: Sequence[str]
    top: float
    bottom: float

    @property
    def width(self) -> float:
        return _LEFT + _COLUMN * len(self.names) + 8

    def middle(self, i: int) -> float:
        return _LEFT + _COLUMN * (i + 0.5)

    def axes(self, y: svg.Scale) -> list[str]:
        right = _LEFT + _COLUMN * len(self.names)
        body = svg.horizontal_grid(y, _LEFT, right, 5)
        body.append(svg.line(_LEFT, self.bottom, right, self.bottom, "axis"))
        for i, name in enumerate(self.names):
            body.append(
                svg.vertical_text(self.middle(i) + 3.5, self.bottom + 6, name, "code")
            )
        return body

    def tooltip(self, i: int, content: str) -> str:
        height = self.bottom - self.top
        x = _LEFT + _COLUMN * i
        return svg.rectangle(x, self.top, _COLUMN, height, "hover", title=content)

    def drawing(self, body: list[str], title: str) -> str:
        names_height = svg.code_height(self.names)
        return svg.drawing(
            self.width, self.bottom + names_height, body, title, "columns"
        )


def _bars(columns: _Columns, values: Sequence[float], style: str) -> list[str]:
    y = svg.Scale(0.0, 1.03 * max(max(values), 1e-9), columns.bottom, columns.top)
    body = columns.axes(y)
    for i, value in enumerate(values):
        x = columns.middle(i) - 0.36 * _COLUMN
        height = columns.bottom - y(value)
        bar = (x, y(value), 0.72 * _COLUMN, height)
        body.append(svg.rectangle(*bar, f"bar {style}"))
    return body


def _marks(
    result: LanguageResult,
    place: Callable[[float], tuple[float, float]],
    tick: tuple[float, float],
) -> list[str]:
    """Returns a result's marks: both baselines, the interval and the model's dot.

    Args:
      result: what to draw.
      place: takes bits per byte; returns their pixels.
      tick: half the extent of the tick for the own unigram model.
    """
    marks = []
    if not math.isnan(result.mixture_unigram_bits_per_byte):
        x, y = place(result.mixture_unigram_bits_per_byte)
        start = f"M{svg.number(x)} {svg.number(y - 4)}"
        marks.append(f'<path class="mixture" d="{start}l4 4-4 4-4-4z"/>')
    if not math.isnan(result.language_unigram_bits_per_byte):
        x, y = place(result.language_unigram_bits_per_byte)
        across, up = tick
        marks.append(svg.line(x - across, y - up, x + across, y + up, "own"))
    bits = result.bits_per_byte
    if not math.isnan(bits.low):
        marks.append(svg.line(*place(bits.low), *place(bits.high), "interval"))
    marks.append(svg.circle(*place(bits.value), 2.8, "model"))
    return marks
