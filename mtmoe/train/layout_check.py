"""Whether a layout says something about the graph of a step, and can be had."""

from __future__ import annotations

from typing import NamedTuple

from mtmoe.errors import nearest_names
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout


class LayoutProblem(NamedTuple):
    """What is wrong with a layout.

    Attributes:
      message: in words.
      field: the field of `Layout` that it is in.
    """

    message: str
    field: str


def layout_problems(layout: Layout, graph: mtf.Graph) -> list[LayoutProblem]:
    """Returns what is wrong with a layout of a graph.

    A rule for a dimension that no tensor has splits nothing; processors along a mesh
    dimension that no rule names all do the same work; a dimension must divide evenly,
    and two of one tensor cannot be split along the same mesh dimension.

    Args:
      layout: the layout.
      graph: the graph of a training step.
    """
    rules = layout.rule_pairs
    mesh = {dim.name: dim.size for dim in layout.mesh_dimensions.dims}
    shapes = {
        tuple(x.shape.dims) for operation in graph.operations for x in operation.outputs
    }
    sizes: dict[str, set[int]] = {}
    for shape in shapes:
        for dim in shape:
            sizes.setdefault(dim.name, set()).add(dim.size)
    problems = []
    for name, axis in rules:
        if name not in sizes:
            near = nearest_names(name, sizes)
            hint = f"did you mean {' or '.join(near)}?" if near else "it has "
            have = "" if near else ", ".join(sorted(sizes))
            problems.append(
                LayoutProblem(
                    f"Layout.layout_rules: no tensor of this run has a dimension "
                    f"{name!r}, so nothing would be split over {axis!r}; {hint}{have}",
                    "layout_rules",
                )
            )
        for size in sorted(sizes.get(name, ())):
            if size % mesh[axis]:
                problems.append(
                    LayoutProblem(
                        f"Layout.layout_rules: dimension {name!r} of size {size} does "
                        f"not divide over the {mesh[axis]} processors of {axis!r}",
                        "layout_rules",
                    )
                )
    named = {axis for _, axis in rules}
    problems += [
        LayoutProblem(
            f"Layout.mesh_shape: no rule names the mesh dimension {axis!r}, so its "
            f"{size} processors would all do the same work",
            "mesh_shape",
        )
        for axis, size in mesh.items()
        if axis not in named and size > 1
    ]
    return problems + _both_along_one(dict(rules), shapes)


def _both_along_one(
    rules: dict[str, str], shapes: set[tuple[mtf.Dimension, ...]]
) -> list[LayoutProblem]:
    """Two dimensions of one tensor that would be split over the same processors."""
    pairs = set()
    for shape in shapes:
        split = [dim.name for dim in shape if dim.name in rules]
        for number, name in enumerate(split):
            for other in split[:number]:
                if rules[name] == rules[other]:
                    pairs.add((*sorted((name, other)), rules[name]))
    return [
        LayoutProblem(
            f"Layout.layout_rules: {one!r} and {other!r} are dimensions of one tensor "
            f"and cannot both be split over {axis!r}",
            "layout_rules",
        )
        for one, other, axis in sorted(pairs)
    ]
