"""The sortable table of languages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from mtmoe.report import plots
from mtmoe.report.results import LanguageResult
from mtmoe.report.svg import escape
from mtmoe.report.wording import number_or_dash, percent, script_name

_HEADINGS = (
    ("Language", ""),
    ("Bits per byte, 95 % interval", "num"),
    ("Beside the baselines", "num graphic"),
    ("Own unigram", "num"),
    ("Mixture unigram", "num"),
    ("Accuracy", "num"),
    ("Share", "num"),
    ("Epochs", "num"),
    ("Dropped", "num"),
    ("Script", ""),
    ("Family", ""),
)


def table_head() -> str:
    """Returns the cells of the heading row."""
    return "\n".join(
        f'<th class="{style}" scope="col"><button type="button">{title}</button></th>'
        for title, style in _HEADINGS
    )


def table_rows(results: Sequence[LanguageResult]) -> str:
    """Returns the rows, by name; each cell carries the value it is sorted by."""
    highest = plots.highest_bits(results)
    ordered = sorted(results, key=lambda result: result.name)
    return "\n".join(_row(result, highest) for result in ordered)


def options(pairs: Iterable[tuple[str, str]]) -> str:
    """Returns the options of a filter from (value, name) pairs, by name."""
    named = sorted(set(pairs), key=lambda pair: pair[1])
    return "".join(
        f'<option value="{escape(value)}">{escape(name)}</option>'
        for value, name in named
    )


def _row(result: LanguageResult, highest: float) -> str:
    script = script_name(result.script)
    words = f"{result.name} {result.language} {script} {result.family}".lower()
    verdict = "below" if result.below_own else "above"
    verdict += "" if result.below_mixture else " mixture"
    return (
        f'<tr data-search="{escape(words)}" data-script="{escape(result.script)}" '
        f'data-family="{escape(result.family)}" data-verdict="{verdict}">'
        f"{_name(result)}{_bits(result)}{_graphic(result, highest)}"
        f"{_baseline(result.language_unigram_bits_per_byte, result.below_own)}"
        f"{_baseline(result.mixture_unigram_bits_per_byte, result.below_mixture)}"
        f"{_number(result.accuracy, percent(result.accuracy, 1))}"
        f"{_number(result.share, percent(result.share, 2))}"
        f"{_number(result.epochs, number_or_dash(result.epochs, 1))}"
        f"{_number(result.dropped_fraction, percent(result.dropped_fraction, 1))}"
        f"{_cell(script, escape(script))}{_cell(result.family, escape(result.family))}"
        "</tr>"
    )


def _cell(key: str | float, content: str, style: str = "", title: str = "") -> str:
    """Returns a cell with the value that it is sorted by; only the key is escaped."""
    key = escape(key) if isinstance(key, str) else f"{key:.6f}"
    kind = f' class="{style}"' if style else ""
    title = f' title="{title}"' if title else ""
    return f'<td{kind} data-sort="{key}"{title}>{content}</td>'


def _name(result: LanguageResult) -> str:
    code = f'<span class="aside">{escape(result.language)}</span>'
    return _cell(result.name, f"<bdi>{escape(result.name)}</bdi> {code}")


def _bits(result: LanguageResult) -> str:
    bits = result.bits_per_byte
    between = "" if math.isnan(bits.low) else f"{bits.low:.2f}–{bits.high:.2f}"
    shown = f'<b>{bits.value:.2f}</b> <span class="aside">{between}</span>'
    return _cell(bits.value, shown, "num")


def _graphic(result: LanguageResult, highest: float) -> str:
    gain = 0.0
    if not math.isnan(result.language_unigram_bits_per_byte):
        gain = result.bits_per_byte.value - result.language_unigram_bits_per_byte
    return _cell(gain, plots.strip(result, highest), "graphic")


def _baseline(value: float, below: bool) -> str:
    if math.isnan(value):
        return _number(None, "–")
    style = "beaten" if below else "unbeaten"
    word = "the model needs fewer bits" if below else "the model needs no fewer bits"
    return _cell(value, f"{value:.2f}", f"num {style}", word)


def _number(value: float | None, shown: str) -> str:
    return _cell(-1.0 if value is None else value, escape(shown), "num")
