"""Whether a layout can lay a graph out; if not, which numbers stand against it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mtmoe.errors import LayoutError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout, indivisible


def check_fit(layout: Layout, graph: mtf.Graph, name: str) -> None:
    """Refuses a layout that a graph, of a function of this name, cannot be laid out by.

    Raises:
      LayoutError: see `misfits`; the message has all of them.
    """
    if layout.size > 1 and (found := misfits(layout, graph)):
        raise LayoutError("\n".join(f"{name}: {message}" for message in found))


def misfits(layout: Layout, graph: mtf.Graph) -> list[str]:
    """Returns what is against a layout of a graph, a sentence each.

    A dimension that does not divide, two dimensions of one tensor along the same mesh
    dimension, a dimension that an operation needs whole. The graph may be lowered.
    """
    rules = dict(layout.rule_pairs)  # of mesh dimensions of one processor too
    shapes = {
        tuple(x.shape.dims) for operation in graph.operations for x in operation.outputs
    }
    return [
        *_indivisible(layout, rules, shapes),
        *_both_along_one(rules, shapes),
        *_needed_whole(rules, graph),
    ]


def _indivisible(
    layout: Layout, rules: dict[str, str], shapes: set[tuple[mtf.Dimension, ...]]
) -> Iterator[str]:
    sizes: dict[str, set[int]] = {}
    for shape in shapes:
        for dim in shape:
            sizes.setdefault(dim.name, set()).add(dim.size)
    for name, axis in rules.items():
        ways = layout.splits(name)
        for size in sorted(sizes.get(name, ())):
            if size % ways:
                yield f"dimension {indivisible(name, size, axis, ways)}"


def _both_along_one(
    rules: dict[str, str], shapes: set[tuple[mtf.Dimension, ...]]
) -> Iterator[str]:
    """Two dimensions of one tensor that would be split over the same processors."""
    pairs: dict[tuple[str, str, str], str] = {}
    for shape in shapes:
        split = [dim.name for dim in shape if dim.name in rules]
        for number, name in enumerate(split):
            for other in split[:number]:
                if rules[name] == rules[other]:
                    one, two = sorted((name, other))
                    text = " ".join(dim.name for dim in shape)
                    pair = (one, two, rules[name])
                    pairs[pair] = min(text, pairs.get(pair, text))
    for (one, two, axis), shape_text in sorted(pairs.items()):
        yield (
            f"{one!r} and {two!r} are dimensions of one tensor, [{shape_text}], "
            f"and cannot both be split over {axis!r}; leave one of the two rules out, "
            "or give it a mesh dimension of its own"
        )


def _needed_whole(rules: dict[str, str], graph: mtf.Graph) -> Iterator[str]:
    users: dict[str, set[str]] = {}
    for operation in graph.operations:
        for name in operation.unsplittable_dims:
            if name in rules:
                kind = re.sub(r"(_\d+)+$", "", operation.name.rpartition("/")[2])
                users.setdefault(name, set()).add(kind)
    for name, kinds in sorted(users.items()):
        yield (
            f"{name!r} cannot be split (over {rules[name]!r}): "
            f"{', '.join(sorted(kinds)[:3])} work on the whole of it; leave its rule "
            "out"
        )
