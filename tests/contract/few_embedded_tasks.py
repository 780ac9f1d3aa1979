"""A handful of the embedded supervised tasks, as one mixture."""

from __future__ import annotations

import mtmoe.tasks.embedded.classification
import mtmoe.tasks.embedded.language_id
import mtmoe.tasks.embedded.names  # noqa: F401  (all three register tasks)
from mtmoe.data.mixing.mixtures import register_weighted_mixture

TASKS = (
    "embedded.script_of_text.de",
    "embedded.territory_code.fr",
    "embedded.language_name.sw",
    "embedded.command_domain.de",
)

register_weighted_mixture("few_embedded", dict.fromkeys(TASKS, 1.0))
"""All alike."""
