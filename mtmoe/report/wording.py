"""The report's sentences and number formats, shared by the page and the Markdown."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from mtmoe.languages import scripts

# Scripts of mC4 that CLDR names otherwise: Bangla, Simplified, Korean.
_SCRIPTS = {"Beng": "Bengali", "Hans": "Han", "Kore": "Hangul"}

DEFINITIONS = (
    (
        "Held-out text",
        "Text of the split named above, which training never saw. A text is cut into "
        "chunks; each chunk is masked several times by span corruption.",
    ),
    (
        "Text tokens",
        "Masked tokens that stand for text: not padding, not the end mark, not the "
        "sentinels that number the blanks.",
    ),
    (
        "Bits per byte",
        "The model's loss summed over text tokens, in bits, divided by the UTF-8 bytes "
        "of the text behind them. Comparable across vocabularies; across scripts keep "
        "in mind that a letter takes one byte in Latin and two or three in others.",
    ),
    (
        "95 % interval",
        "Percentile bootstrap over text chunks (all maskings of a chunk are drawn "
        "together): what other held-out text of the same kind may have given. It does "
        "not cover training again from another seed.",
    ),
    (
        "Mixture unigram",
        "Bits per byte of a model that knows only how often each token occurs in the "
        "training text of all languages, weighted as the model sees them. A model "
        "above it has learnt nothing about this language.",
    ),
    (
        "Own unigram",
        "The same from the language's own training text (Witten-Bell smoothed with the "
        "mixture's). A model below it uses context, not just the language's frequent "
        "tokens.",
    ),
    (
        "Accuracy",
        "Share of text tokens predicted exactly, the true tokens before them given.",
    ),
    (
        "Loss",
        "Nats per target token, the end mark and sentinels included, as in training.",
    ),
    (
        "Loss during training",
        "The same of the training batches, each language's own target tokens alone. A "
        "language's supervised tasks are part of it.",
    ),
    (
        "Mean",
        "Averages over languages give every language the same weight.",
    ),
    (
        "Dropped fraction",
        "Share of held-out tokens, over all Switch layers, that found their expert "
        "full and passed the layer by.",
    ),
    (
        "Expert load",
        "Tokens whose first choice is the busiest expert over the mean of all experts; "
        "1 is perfectly even. Averaged over Switch layers, all languages together.",
    ),
    (
        "Share and epochs",
        "Share of the training examples drawn from a language, and how often its "
        "training text was gone through by then.",
    ),
)
"""What each number of the report means."""


@dataclasses.dataclass(frozen=True)
class Card:
    """One headline number: `value` with `of` in small, its label, a line of detail."""

    value: str
    of: str
    label: str
    detail: str


def verdict(summary: Mapping[str, Any]) -> str:
    """Returns the report in one sentence."""
    languages = summary["languages"]
    return (
        f"After {summary['evaluated_step']:,} steps the model needs fewer bits per "
        f"byte than the mixture-wide unigram model in "
        f"{summary['languages_below_mixture_unigram']} of {languages} languages, and "
        f"fewer than the language's own unigram model in "
        f"{summary['languages_below_language_unigram']}."
    )


def context_line(summary: Mapping[str, Any]) -> str:
    """Returns what was evaluated, in one line."""
    steps = summary["evaluated_steps"]
    chosen = "" if len(steps) == 1 else f" (the latest of {len(steps)} evaluated)"
    what = f"Mixture {summary['mixture']}, split {summary['split']}"
    if summary["text_dir"] is not None:
        what = f"Text folder {summary['text_dir']}"
    return (
        f"{what}, checkpoint of step {summary['evaluated_step']:,}{chosen}, "
        f"seed {summary['seed']}."
    )


def cards(summary: Mapping[str, Any]) -> tuple[Card, ...]:
    """Returns the headline numbers, most important first."""
    of_languages = f"of {summary['languages']}"
    interval = summary["mean_bits_per_byte_interval"]
    load = summary["expert_load_max_over_mean"]
    between = (
        f"95 % interval {interval[0]:.3f} to {interval[1]:.3f}"
        if interval
        else "averaged over languages"
    )
    return (
        Card(str(summary["languages"]), "", "languages evaluated", "on held-out text"),
        Card(f"{summary['mean_bits_per_byte']:.3f}", "", "mean bits per byte", between),
        Card(
            str(summary["languages_below_mixture_unigram"]),
            of_languages,
            "below the mixture unigram",
            "its mean is "
            + number_or_dash(summary["mean_mixture_unigram_bits_per_byte"], 3),
        ),
        Card(
            str(summary["languages_below_language_unigram"]),
            of_languages,
            "below their own unigram",
            "its mean is "
            + number_or_dash(summary["mean_language_unigram_bits_per_byte"], 3),
        ),
        Card(
            percent(summary["dropped_fraction"], 2),
            "",
            "tokens dropped",
            "in evaluation, all Switch layers",
        ),
        Card(
            "–" if load is None else f"{load:.2f}",
            "" if load is None else "×",
            "busiest expert over the mean",
            "1 is perfectly even",
        ),
        Card(
            compact(summary["training_tokens"]),
            "tokens",
            f"trained in {summary['steps']:,} steps",
            f"{compact(summary['parameters'])} parameters",
        ),
        Card(
            duration(summary["training_seconds"]),
            "",
            "training time",
            f"{compact(summary['tokens_per_second'])} tokens a second",
        ),
    )


def number_or_dash(value: float | None, digits: int) -> str:
    """Returns 0.123 as "0.12", a dash where there is no number (None or NaN)."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def script_name(code: str) -> str:
    """Returns the English name of an ISO 15924 script, or the code."""
    return _SCRIPTS.get(code) or scripts.script_name(code)


def percent(fraction: float | None, digits: int) -> str:
    """Returns 0.123 as "12.3 %", a dash for None."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f} %"


def compact(count: float) -> str:
    """Returns a count with three digits: 950, 12.3 k, 4.56 M."""
    for size, suffix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            scaled = count / size
            digits = 2 if scaled < 10 else 1 if scaled < 100 else 0
            return f"{scaled:.{digits}f}{suffix}"
    return f"{count:.0f}"


def duration(seconds: float) -> str:
    """Returns seconds as "42 s", "7 min 30 s" or "3 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
