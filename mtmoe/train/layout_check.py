"""Whether a layout says something about the graph of a step, and can be had."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from mtmoe.errors import nearest_names
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.fit import misfits
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.outer import OUTER_BATCH
from mtmoe.train.optimizers.split_state import OPTIMIZER_STATE

DIMENSIONS = (
    "batch",
    OUTER_BATCH,
    "length",
    "experts",
    "d_ff",
    "heads",
    "d_kv",
    "vocab",
    "d_model",
    OPTIMIZER_STATE,
)
"""What a layout may name; docs/layouts.md says what each splits."""


class LayoutProblem(NamedTuple):
    """What is wrong with a layout, and the field of `Layout` that it is in."""

    message: str
    field: str


def layout_problems(layout: Layout, graph: mtf.Graph) -> list[LayoutProblem]:
    """Returns what is wrong with a layout of a run, whose training step is the graph.

    Beside what `misfits` finds: a rule for what is no dimension of any run; and
    processors that would all do the same work, since no rule splits anything of this
    run over them. A rule for a dimension that this model has not, as `experts` in a
    dense one, is none of it: layouts are written for many models.
    """
    problems, known = [], []
    for name, axis in layout.rule_pairs:
        if name in DIMENSIONS:
            known.append((name, axis))
            continue
        near = nearest_names(name, DIMENSIONS)
        hint = f"did you mean {' or '.join(near)}?" if near else "a layout can split "
        problems.append(
            LayoutProblem(
                f"Layout.layout_rules: no tensor of this run has a dimension {name!r} "
                f"that can be split, so nothing would be split over {axis!r}; {hint}"
                + ("" if near else ", ".join(DIMENSIONS)),
                "layout_rules",
            )
        )
    dims = {
        dim.name for op in graph.operations for x in op.outputs for dim in x.shape.dims
    }
    busy = {axis for name, axis in known if name in dims}
    for dimension in layout.mesh_dimensions.dims:
        axis, size = dimension.name, dimension.size
        if size == 1 or axis in busy:
            continue
        absent = [name for name, other in known if other == axis]
        why = f"no rule names the mesh dimension {axis!r}"
        if absent:
            why = (
                f"this model has no {' and no '.join(map(repr, absent))}, all that is "
                f"split over the mesh dimension {axis!r}"
            )
        elif any(other == axis for _, other in layout.rule_pairs):
            continue  # said above
        problems.append(
            LayoutProblem(
                f"Layout.mesh_shape: {why}, so its {size} processors would all do the "
                f"same work; set it to 1 or leave it out",
                "mesh_shape",
            )
        )
    valid = ";".join(f"{name}:{axis}" for name, axis in known)
    fitting = dataclasses.replace(layout, layout_rules=valid)
    return problems + [
        LayoutProblem(f"Layout.layout_rules: {message}", "layout_rules")
        for message in misfits(fitting, graph)
    ]
