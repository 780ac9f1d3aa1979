"""The report's charts, as SVG text."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from mtmoe.report import svg
from mtmoe.report.results import LanguageResult
from mtmoe.report.wording import number_or_dash, percent

_LEFT = 46.0
_COLUMN = 11.0
_STRIP_WIDTH = 190.0
_STRIP_HEIGHT = 18.0
_MIDDLE = 'text-anchor="middle"'
_ANCHOR_END = 'text-anchor="end"'


@dataclasses.dataclass(frozen=True)
class Curve:
    """One quantity over training steps.

    Attributes:
      title: what stands above the panel.
      steps: where it was logged.
      values: its values there, finite.
      from_zero: whether the vertical axis starts at 0.
    """

    title: str
    steps: Sequence[float]
    values: Sequence[float]
    from_zero: bool = False


def curve_panel(curve: Curve, width: float = 400.0, height: float = 230.0) -> str:
    """Returns a panel with axes for one curve."""
    low = 0.0 if curve.from_zero else min(curve.values)
    high = max(curve.values)
    if high <= low:
        high = low + (abs(low) or 1.0)
    margin = 0.0 if curve.from_zero else 0.05 * (high - low)
    x = svg.Scale(0.0, max(curve.steps), _LEFT, width - 14)
    y = svg.Scale(low - margin, high + 0.05 * (high - low), height - 40, 34)
    body = [svg.text(0, 16, curve.title, "panel-title")]
    for value in svg.ticks(y.low, y.high, 4):
        body.append(svg.line(x.start, y(value), x.end, y(value), "grid"))
        body.append(
            svg.text(
                x.start - 7, y(value) + 4, svg.tick_label(value), "label", _ANCHOR_END
            )
        )
    for value in svg.ticks(x.low, x.high, 5):
        body.append(
            svg.text(x(value), height - 22, svg.tick_label(value), "label", _MIDDLE)
        )
    body.append(svg.line(x.start, y.start, x.end, y.start, "axis"))
    body.append(
        svg.text((x.start + x.end) / 2, height - 5, "training step", "label", _MIDDLE)
    )
    points = " ".join(
        f"{svg.number(x(step))},{svg.number(y(value))}"
        for step, value in zip(curve.steps, curve.values, strict=True)
    )
    body.append(f'<polyline class="curve" points="{points}"/>')
    body.append(
        f'<circle class="model" cx="{svg.number(x(curve.steps[-1]))}" '
        f'cy="{svg.number(y(curve.values[-1]))}" r="3"/>'
    )
    last = f"{curve.title}, {curve.values[-1]:.4g} at step {curve.steps[-1]:g}"
    return svg.drawing(width, height, body, last, "panel")


def strip(result: LanguageResult, highest: float) -> str:
    """Returns the small graphic of one table row.

    A dot with its interval for the model, a tick for the language's own unigram model,
    a hollow diamond for the mixture-wide one, on a scale from 0 to `highest`.
    """
    x = svg.Scale(0.0, highest, 6.0, _STRIP_WIDTH - 6.0)
    middle = _STRIP_HEIGHT / 2
    body = [svg.line(x.start, middle, x.end, middle, "rail")]
    if not math.isnan(result.mixture_unigram_bits_per_byte):
        body.append(_diamond(x(result.mixture_unigram_bits_per_byte), middle))
    if not math.isnan(result.language_unigram_bits_per_byte):
        own = x(result.language_unigram_bits_per_byte)
        body.append(svg.line(own, middle - 6, own, middle + 6, "own"))
    if not math.isnan(result.bits_per_byte.low):
        body.append(
            svg.line(
                x(result.bits_per_byte.low),
                middle,
                x(result.bits_per_byte.high),
                middle,
                "interval",
            )
        )
    body.append(_dot(x(result.bits_per_byte.value), middle))
    return svg.drawing(_STRIP_WIDTH, _STRIP_HEIGHT, body, describe(result), "strip")


def describe(result: LanguageResult) -> str:
    """Returns a result as a sentence, for tooltips and screen readers."""
    interval = result.bits_per_byte
    between = (
        ""
        if math.isnan(interval.low)
        else f" (95 % interval {interval.low:.2f} to {interval.high:.2f})"
    )
    return (
        f"{result.name}: {interval.value:.2f} bits per byte{between}; own unigram "
        f"{number_or_dash(result.language_unigram_bits_per_byte, 2)}, mixture unigram "
        f"{number_or_dash(result.mixture_unigram_bits_per_byte, 2)}"
    )


def overview(results: Sequence[LanguageResult]) -> str:
    """Returns the chart of all languages, best first, beside both baselines."""
    ordered = sorted(results, key=lambda result: result.bits_per_byte.value)
    columns = _Columns([result.language for result in ordered], top=12, bottom=222)
    y = svg.Scale(0.0, highest_bits(results), columns.bottom, columns.top)
    body = columns.axes(y)
    for i, result in enumerate(ordered):
        x = columns.middle(i)
        if not math.isnan(result.mixture_unigram_bits_per_byte):
            body.append(_diamond(x, y(result.mixture_unigram_bits_per_byte)))
        if not math.isnan(result.language_unigram_bits_per_byte):
            own = y(result.language_unigram_bits_per_byte)
            body.append(svg.line(x - 4.5, own, x + 4.5, own, "own"))
        if not math.isnan(result.bits_per_byte.low):
            body.append(
                svg.line(
                    x,
                    y(result.bits_per_byte.low),
                    x,
                    y(result.bits_per_byte.high),
                    "interval",
                )
            )
        body.append(_dot(x, y(result.bits_per_byte.value)))
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
            epochs_seen = "–" if result.epochs is None else f"{result.epochs:.1f}"
            tip = (
                f"{result.name}: {percent(result.share, 2)} of the examples, "
                f"{epochs_seen} epochs"
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
        body = []
        for value in svg.ticks(y.low, y.high, 5):
            body.append(svg.line(_LEFT, y(value), right, y(value), "grid"))
            body.append(
                svg.text(
                    _LEFT - 7, y(value) + 4, svg.tick_label(value), "label", _ANCHOR_END
                )
            )
        body.append(svg.line(_LEFT, self.bottom, right, self.bottom, "axis"))
        for i, name in enumerate(self.names):
            body.append(
                svg.vertical_text(self.middle(i) + 3.5, self.bottom + 6, name, "code")
            )
        return body

    def tooltip(self, i: int, content: str) -> str:
        return (
            f'<rect class="hover" x="{svg.number(_LEFT + _COLUMN * i)}" '
            f'y="{svg.number(self.top)}" width="{svg.number(_COLUMN)}" '
            f'height="{svg.number(self.bottom - self.top)}">'
            f"<title>{svg.escape(content)}</title></rect>"
        )

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
        body.append(
            f'<rect class="bar {style}" x="{svg.number(x)}" '
            f'y="{svg.number(y(value))}" width="{svg.number(0.72 * _COLUMN)}" '
            f'height="{svg.number(columns.bottom - y(value))}"/>'
        )
    return body


def _dot(x: float, y: float) -> str:
    return f'<circle class="model" cx="{svg.number(x)}" cy="{svg.number(y)}" r="2.8"/>'


def _diamond(x: float, y: float) -> str:
    return (
        f'<path class="mixture" d="M{svg.number(x)} {svg.number(y - 4)}l4 4-4 4-4-4z"/>'
    )
