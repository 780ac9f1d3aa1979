"""Instruction rows: tasks whose definition is part of the inputs."""

from __future__ import annotations

import functools

import seqio

from mtmoe.data.metrics.generation import rouge
from mtmoe.tasks.exmix.rows import register_row
from mtmoe.tasks.exmix.text_steps import drop_blank, text_pair

register_row(
    "natural_instructions",
    seqio.TfdsDataSource("natural_instructions:1.0.1", splits=("train",)),
    family="other",
    origin="TFDS natural_instructions 1.0.1",
    licence="Apache 2.0; each task's own data besides",
    preprocessors=(
        functools.partial(drop_blank, keys=("definition", "input", "output")),
        functools.partial(
            text_pair,
            name="natural_instructions",
            parts={"definition": "definition", "input": "input"},
            targets="output",
        ),
    ),
    metrics=(functools.partial(rouge, keys=("rougeL",)),),
    metric_names=("rougeL",),
    note="Over a thousand tasks, some not in English. Later than ExMix.",
)
