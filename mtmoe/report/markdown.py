"""The report as Markdown, for terminals, pull requests and mail."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mtmoe.report.folder import SOURCE_HEADINGS, ModelFolder
from mtmoe.report.results import LanguageResult
from mtmoe.report.supervised import HEADINGS, TITLES, SupervisedGroup, cells
from mtmoe.report.training_languages import (
    HEADINGS as CURVE_HEADINGS,
)
from mtmoe.report.training_languages import (
    damage_line,
    language_curves,
    language_rows,
    span_steps,
    warning_lines,
)
from mtmoe.report.wording import (
    DEFINITIONS,
    cards,
    context_line,
    number_or_dash,
    percent,
    script_name,
    verdict,
)

_SPECIAL = "\\`*_{}[]<>#|"
_LANGUAGE_HEADINGS = (
    *("language", "code", "script", "family", "bits per byte", "95 % interval"),
    *("own unigram", "mixture unigram", "accuracy", "share", "epochs"),
)


def markdown_page(
    folder: ModelFolder,
    results: Sequence[LanguageResult],
    supervised: Sequence[SupervisedGroup],
    summary: Mapping[str, Any],
) -> str:
    """Returns the text of report.md."""
    lines = [f"# {plain(folder.name)}: mtmoe language report", ""]
    lines += [plain(verdict(summary)), "", plain(context_line(summary)), ""]
    lines += [f"* {plain(note)}" for note in summary["notes"]]
    lines += [""] if summary["notes"] else []
    lines += _table(
        ("number", "what", ""),
        [
            (f"{card.value} {card.of}".strip(), card.label, card.detail)
            for card in cards(summary)
        ],
        "rll",
    )
    lines += ["", "## Languages", ""]
    lines += _table(
        _LANGUAGE_HEADINGS,
        [_language(result) for result in sorted(results, key=lambda r: r.name)],
        "llllrrrrrrr",
    )
    for warning in folder.evaluation.get("warnings", ()):
        lines += ["", plain(warning)]
    for labels, title in TITLES.items():
        groups = [group for group in supervised if group.labels == labels]
        if groups:
            lines += ["", f"## Supervised tasks: {title.lower()}", ""]
            lines += _table(HEADINGS, [cells(group) for group in groups], "llrrrrlll")
    lines += _training(folder)
    lines += ["", "## How each number is defined", ""]
    lines += [f"* **{term}**: {plain(meaning)}" for term, meaning in DEFINITIONS]
    lines += ["", "## Provenance", ""]
    lines += [f"* command: {plain(folder.provenance['command'])}"]
    lines += [
        f"* {plain(name)} {plain(version)}"
        for name, version in sorted(folder.provenance["versions"].items())
    ]
    lines += [""]
    lines += _table(SOURCE_HEADINGS, folder.sources(), "llrrl")
    return "\n".join(lines) + "\n"


def _training(folder: ModelFolder) -> list[str]:
    """Returns the losses by language, warnings, and a line about damaged data."""
    lines = []
    if curves := language_curves(folder.training):
        lines += ["", "## Loss by language during training", ""]
        lines += [
            "Nats per target token: first and last mean over "
            f"{span_steps(folder.training):,} steps.",
            "",
        ]
        lines += _table(CURVE_HEADINGS, language_rows(curves), "llrrrr")
    for note in (*warning_lines(folder.training), damage_line(folder.training)):
        lines += ["", plain(note)] if note else []
    return lines


def plain(content: object) -> str:
    """Returns text that Markdown renders as it stands, on one line."""
    text = " ".join(str(content).split())
    return "".join("\\" + letter if letter in _SPECIAL else letter for letter in text)


def _language(result: LanguageResult) -> tuple[str, ...]:
    bits = result.bits_per_byte
    return (
        result.name,
        result.language,
        script_name(result.script),
        result.family,
        f"{bits.value:.3f}",
        "" if math.isnan(bits.low) else f"{bits.low:.3f}–{bits.high:.3f}",
        number_or_dash(result.language_unigram_bits_per_byte, 3),
        number_or_dash(result.mixture_unigram_bits_per_byte, 3),
        percent(result.accuracy, 1),
        percent(result.share, 2),
        number_or_dash(result.epochs, 1),
    )


def _table(
    heading: Sequence[str], rows: Sequence[Sequence[str]], sides: str
) -> list[str]:
    rule = ["---:" if side == "r" else "---" for side in sides]
    lines = [heading, rule]
    return ["| " + " | ".join(line) + " |" for line in lines] + [
        "| " + " | ".join(plain(cell) for cell in row) + " |" for row in rows
    ]
