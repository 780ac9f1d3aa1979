"""The few pieces every drawing of the report is made of.

Colours are CSS classes, so that one drawing serves the light and the dark page. All
text passes through `escape`.
"""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Iterable, Sequence

END, MIDDLE = 'text-anchor="end"', 'text-anchor="middle"'
"""Where a text's point is, if not at its start."""


def escape(text: object) -> str:
    """Returns text safe inside HTML and SVG, attributes included."""
    return html.escape(str(text), quote=True)


def number(value: float) -> str:
    """Returns a coordinate with at most one decimal, as short as it can be."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


@dataclasses.dataclass(frozen=True)
class Scale:
    """A linear map from data, `low` to `high`, to pixels, `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Returns the pixel of a value."""
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Returns about `count` round values in a range: 1, 2, 5 times a power of ten."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    values = (round(i * step, 12) for i in range(first, last + 1))
    return [min(max(value, low), high) for value in values]  # despite rounding


def tick_label(value: float) -> str:
    """Returns an axis label: 1.5, 0.002, 12k, 3M."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """Returns a straight line of a CSS class."""
    return (
        f'<line class="{style}" x1="{number(x1)}" y1="{number(y1)}" '
        f'x2="{number(x2)}" y2="{number(y2)}"/>'
    )


def circle(x: float, y: float, radius: float, style: str) -> str:
    """Returns a circle of a CSS class."""
    return (
        f'<circle class="{style}" cx="{number(x)}" cy="{number(y)}" '
        f'r="{number(radius)}"/>'
    )


def rectangle(
    x: float,
    y: float,
    width: float,
    height: float,
    style: str,
    opacity: str = "",
    title: str = "",
) -> str:
    """Returns a rectangle, by its upper left corner; the pointer shows its title."""
    shade = f' fill-opacity="{opacity}"' if opacity else ""
    return (
        f'<rect class="{style}" x="{number(x)}" y="{number(y)}" '
        f'width="{number(width)}" height="{number(height)}"{shade}'
        + (f"><title>{escape(title)}</title></rect>" if title else "/>")
    )


def polyline(points: Iterable[tuple[float, float]], style: str) -> str:
    """Returns a curve of a CSS class through points in pixels."""
    listed = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return f'<polyline class="{style}" points="{listed}"/>'


def text(
    x: float, y: float, content: object, style: str = "label", extra: str = ""
) -> str:
    """Returns escaped text that starts at a point, or is placed by attributes."""
    return (
        f'<text class="{style}" x="{number(x)}" y="{number(y)}" {extra}>'
        f"{escape(content)}</text>"
    )


def vertical_text(
    x: float, y: float, content: object, style: str, extra: str = END
) -> str:
    """Returns text that reads upwards; by default it ends at the point."""
    turn = f'transform="rotate(-90 {number(x)} {number(y)})" {extra}'
    return text(x, y, content, style, turn.strip())


def horizontal_grid(y: Scale, left: float, right: float, count: int) -> list[str]:
    """Returns some `count` lines at round values of a vertical axis, and labels."""
    drawn = []
    for value in ticks(y.low, y.high, count):
        drawn.append(line(left, y(value), right, y(value), "grid"))
        drawn.append(text(left - 7, y(value) + 4, tick_label(value), extra=END))
    return drawn


def code_height(names: Sequence[str]) -> float:
    """Returns the pixels that the longest of some names takes under its column."""
    return 12.0 + 6.0 * max(len(name) for name in names)


def drawing(
    width: float, height: float, body: list[str], title: str, style: str = ""
) -> str:
    """Returns an SVG element that scales with the page, with a title for readers.

    It stays near its natural size, so that letters are legible and columns narrow.
    """
    return (
        f'<svg class="{style}" viewBox="0 0 {number(width)} {number(height)}" '
        f'style="--natural: {number(width)}px" '
        f'role="img" aria-label="{escape(title)}">' + "".join(body) + "</svg>"
    )
