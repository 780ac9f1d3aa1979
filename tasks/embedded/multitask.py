"""All embedded tasks together: span corruption and the supervised ones.

embedded.<kind>        one kind of supervised task, every language alike
embedded.supervised    all kinds, every kind alike
embedded.multitask     half span corruption, half supervised, by examples
"""

from __future__ import annotations

from mtmoe.data.mixing.mixtures import register_weighted_mixture
from mtmoe.tasks.embedded import (
    classification,
    dialogue,
    language_id,
    morphology,
    names,
    numbers,
    prose,
    span_corruption,
    translation,
)

KINDS = (
    *translation.KINDS,
    *names.KINDS,
    *language_id.KINDS,
    *classification.KINDS,
    *dialogue.KINDS,
    *morphology.KINDS,
    *numbers.KINDS,
    *prose.KINDS,
)
"""Every kind of supervised embedded task."""


def _register() -> None:
    members = {}
    for kind in KINDS:
        names_of_tasks = [f"embedded.{kind.name}.{code}" for code in kind.languages]
        name = f"embedded.{kind.name}"
        if kind.languages != ("",):
            register_weighted_mixture(name, dict.fromkeys(names_of_tasks, 1.0))
        members[name] = 1.0
    register_weighted_mixture("embedded.supervised", members)
    register_weighted_mixture(
        "embedded.multitask",
        {span_corruption.MIXTURE: 1.0, "embedded.supervised": 1.0},
    )


_register()
