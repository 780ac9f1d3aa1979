"""Experts by language: which expert a language's tokens choose first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from mtmoe.evaluate.records import ExpertRow
from mtmoe.report import svg
from mtmoe.report.results import LanguageResult

LEVELS = 12
"""Shades of the map, the lightest of which is not drawn."""

_LEFT = 64.0
_TOP = 84.0
_CELL = 10.6
_ROW = 15.0
_GAP = 6.0


@dataclasses.dataclass(frozen=True)
class _Column:
    result: LanguageResult
    x: float


def expert_shares(
    rows: Sequence[ExpertRow],
) -> dict[str, dict[str, list[float]]]:
    """Returns layer -> language -> share of each expert, layers in the file's order."""
    shares: dict[str, dict[str, list[float]]] = {}
    for row in sorted(rows, key=lambda row: row.expert):
        shares.setdefault(row.layer, {}).setdefault(row.language, []).append(row.share)
    order = dict.fromkeys(row.layer for row in rows)
    return {layer: shares[layer] for layer in order}


def heat_map(
    layer: str,
    shares: Mapping[str, Sequence[float]],
    results: Sequence[LanguageResult],
    group: Callable[[LanguageResult], str],
) -> str:
    """Returns the map of one layer: a column a language, a row an expert.

    Args:
      layer: the layer's name, for readers.
      shares: share of each expert by language; a language's shares sum to 1.
      results: the languages to draw.
      group: languages of one group are neighbours; the largest group comes first.
    """
    columns, groups, width = _arrange(
        [r for r in results if r.language in shares], group
    )
    num_experts = max(len(shares[column.result.language]) for column in columns)
    darkest = max(max(shares[column.result.language]) for column in columns)
    bottom = _TOP + _ROW * num_experts
    body = _cells(columns, shares, darkest)
    for expert in range(num_experts):
        y = _TOP + _ROW * (expert + 0.5) + 4
        body.append(svg.text(_LEFT - 8, y, f"expert {expert}", extra=svg.END))
    for name, start, end in groups:
        body.append(svg.line(start, _TOP - 5, end - 1, _TOP - 5, "axis"))
        body.append(_group_name(name, start, end))
    for column in columns:
        x = column.x + _CELL / 2 + 3.5
        body.append(svg.vertical_text(x, bottom + 5, column.result.language, "code"))
        body.append(_tooltip(column, shares[column.result.language], bottom))
    title = f"Share of each expert in {layer} by language"
    height = bottom + svg.code_height([column.result.language for column in columns])
    return svg.drawing(width, height, body, title, "columns")


def scale_legend(shares: Mapping[str, Sequence[float]]) -> str:
    """Returns the legend of one layer's shades: none, uniform and the largest share."""
    darkest = max(max(values) for values in shares.values())
    uniform = 1.0 / max(len(values) for values in shares.values())
    x = svg.Scale(0.0, darkest, 22.0, 262.0)
    step = darkest / (LEVELS - 1)
    width = x(step) - x(0.0) + 0.2
    body = [
        svg.rectangle(x(step * (level - 1)), 4, width, 12, "cell", _opacity(level))
        for level in range(1, LEVELS)
    ]
    body.append(svg.text(8, 14, "0", "label"))
    body.append(svg.text(x.end + 6, 14, f"{100 * darkest:.0f} %", "label"))
    body.append(svg.line(x(uniform), 1, x(uniform), 19, "axis"))
    name = f"{100 * uniform:.3g} % if even"
    body.append(svg.text(x(uniform) - 4, 32, name, "label"))
    return svg.drawing(340.0, 36, body, "Scale of the heat map", "legend-scale")


def _arrange(
    results: Sequence[LanguageResult], group: Callable[[LanguageResult], str]
) -> tuple[list[_Column], list[tuple[str, float, float]], float]:
    """Returns columns side by side by group, the groups' extents, and the width."""
    members: dict[str, list[LanguageResult]] = {}
    for result in sorted(results, key=lambda result: result.name):
        members.setdefault(group(result), []).append(result)
    columns, groups, x = [], [], _LEFT
    for name in sorted(members, key=lambda name: (-len(members[name]), name)):
        start = x
        for result in members[name]:
            columns.append(_Column(result, x))
            x += _CELL
        groups.append((name, start, x))
        x += _GAP
    return columns, groups, x + 4


def _cells(
    columns: Sequence[_Column],
    shares: Mapping[str, Sequence[float]],
    darkest: float,
) -> list[str]:
    """Returns one path a shade, which keeps a map of many cells small."""
    paths: dict[int, list[str]] = {}
    for column in columns:
        for expert, share in enumerate(shares[column.result.language]):
            level = round((LEVELS - 1) * share / darkest)
            if level:
                paths.setdefault(level, []).append(
                    f"M{svg.number(column.x)} {svg.number(_TOP + _ROW * expert)}"
                )
    box = f"h{_CELL - 0.8:.1f}v{_ROW - 0.8:.1f}h-{_CELL - 0.8:.1f}z"
    return [
        f'<path class="cell" fill-opacity="{_opacity(level)}" '
        f'd="{"".join(start + box for start in starts)}"/>'
        for level, starts in sorted(paths.items())
    ]


def _opacity(level: int) -> str:
    return f"{level / (LEVELS - 1):.2f}"


def _group_name(name: str, start: float, end: float) -> str:
    if end - start >= 6.6 * len(name):
        return svg.text((start + end) / 2, _TOP - 11, name, extra=svg.MIDDLE)
    return svg.vertical_text((start + end) / 2 + 3.5, _TOP - 10, name, "code", "")


def _tooltip(column: _Column, shares: Sequence[float], bottom: float) -> str:
    best = sorted(range(len(shares)), key=lambda expert: -shares[expert])[:3]
    parts = ", ".join(
        f"expert {expert} {100 * shares[expert]:.0f} %" for expert in best
    )
    content = f"{column.result.name}: {parts}"
    height = bottom - _TOP + 48
    return svg.rectangle(column.x, _TOP, _CELL, height, "hover", title=content)
