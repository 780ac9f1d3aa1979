"""What a perfect score is, metric by metric.

All metrics are on t5's scale: 0 to 100, 100 for a perfect prediction. The exceptions
are named here.
"""

from __future__ import annotations

ERROR_RATES = frozenset(
    {"character_error_rate", "phoneme_error_rate", "mean_squared_error"}
)
"""Metrics of which less is better; perfect is 0."""


def perfect_score(metric: str) -> float:
    """Returns the value of a metric when every prediction is its target."""
    return 0.0 if metric in ERROR_RATES else 100.0
