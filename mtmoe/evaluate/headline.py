"""Which tasks' scores may be averaged into one number."""

from __future__ import annotations

from collections.abc import Mapping


def headline_tasks(labels: Mapping[str, str]) -> list[str]:
    """Returns the tasks whose scores may be averaged into one headline number.

    They are the self-supervised ones (and those whose labels are not said); without
    any the gold ones, without those the rule ones: never two kinds together.
    """
    for kinds in (("self", ""), ("gold",), ("rule",)):
        chosen = [name for name, kind in labels.items() if kind in kinds]
        if chosen:
            return chosen
    return []
