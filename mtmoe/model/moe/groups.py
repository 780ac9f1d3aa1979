"""Routing groups on a mesh: the same ones on every layout.

Groups are made of whole neighbouring rows of the whole batch. Where a layout splits the
batch between groups, every processor routes its own. Where it cuts through groups (more
parts than groups, or rows that are split over their length), the rows are gathered
first, so that every processor sees whole groups and comes to the same assignment; the
experts' slots are then split over the processors that gathered, so that the experts'
own work is still done once. What is computed does not depend on the layout, only what
is sent does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.outer import OUTER_BATCH, all_parts, own_part


@dataclasses.dataclass(frozen=True)
class RowGroups:
    """How rows [batch, length] become groups [groups, group], and back.

    Attributes:
      batch: the rows.
      length: the positions of a row.
      groups: the groups: the dimension `batch`, or `batch_unsplit` where the layout
        cuts through groups and the rows are gathered.
      group: the positions of a group.
      gathered: names of the dimensions of the rows, `batch` or `length` or both, that
        the layout splits and that are gathered.
      outer: how many outer parts of the batch are gathered too, 1 for none; see
        `mtmoe.mesh.outer`.
    """

    batch: mtf.Dimension
    length: mtf.Dimension
    groups: mtf.Dimension
    group: mtf.Dimension
    gathered: tuple[str, ...]
    outer: int = 1

    @classmethod
    def make(
        cls,
        batch: mtf.Dimension,
        length: mtf.Dimension,
        rows_per_group: int,
        layout: Layout,
        outer_parts: int = 1,
    ) -> RowGroups:
        """Groups rows of a shape.

        Args:
          batch: the rows.
          length: the positions of a row.
          rows_per_group: rows of a group, a divisor of all rows.
          layout: which dimensions are split.
          outer_parts: how many such parts are computed side by side.
        """
        outer = outer_parts if batch.size % rows_per_group else 1
        count = batch.size * outer // rows_per_group
        gathered = []
        if outer > 1 or count % layout.splits("batch"):
            gathered.append("batch")
        if layout.splits("length") > 1:
            gathered.append("length")
        name = "batch_unsplit" if "batch" in gathered else "batch"
        return cls(
            batch,
            length,
            mtf.Dimension(name, count),
            mtf.Dimension("group", rows_per_group * length.size),
            tuple(gathered),
            outer,
        )

    def of_rows(self, x: mtf.Tensor) -> mtf.Tensor:
        """[batch, length, ...] -> [groups, group, ...]."""
        rest = x.shape.dims[2:]
        if self.gathered:
            x = mtf.reshape(x, mtf.Shape([*self._whole, *rest]))
        if self.outer > 1:
            x = all_parts(x, x.shape.dims[0], self.outer)
        return mtf.reshape(x, mtf.Shape([self.groups, self.group, *rest]))

    def to_rows(self, x: mtf.Tensor) -> mtf.Tensor:
        """[groups, group, ...] -> [batch, length, ...]."""
        rest = x.shape.dims[2:]
        batch, length = self._whole
        if self.outer > 1:
            all_rows = mtf.Dimension(batch.name, batch.size * self.outer)
            x = mtf.reshape(x, mtf.Shape([all_rows, length, *rest]))
            x = own_part(x, all_rows, self.outer)
        elif self.gathered:
            x = mtf.reshape(x, mtf.Shape([batch, length, *rest]))
        return mtf.reshape(x, mtf.Shape([self.batch, self.length, *rest]))

    def context(self, context: GraphContext) -> GraphContext:
        """Returns the context of what is computed of all groups: noise and all."""
        if self.outer == 1:
            return context
        whole = dataclasses.replace(
            context, microbatch=None, microbatches=1, outer_parts=1
        )
        whole.__dict__["noise_step"] = context.noise_step  # one tensor for all noise
        return whole

    @property
    def _whole(self) -> list[mtf.Dimension]:
        """The rows' dimensions under names that no layout splits."""
        return [
            mtf.Dimension(f"{dim.name}_unsplit", dim.size)
            if dim.name in self.gathered
            else dim
            for dim in (self.batch, self.length)
        ]


@dataclasses.dataclass(frozen=True)
class ExpertSlots:
    """How the slots of all experts are dealt out to the processors, and gathered again.

    Attributes:
      unsplit: the dimensions as they come: groups, experts and capacity.
      split: the same dimensions as the experts see them.
      padded: slots of an expert, those included that make them divide evenly.
      outer: how many outer parts of the batch share the slots, 1 for none.
    """

    unsplit: tuple[mtf.Dimension, ...]
    split: tuple[mtf.Dimension, ...]
    padded: int
    outer: int = 1

    @classmethod
    def make(cls, slots: mtf.Shape, rows: RowGroups, layout: Layout) -> ExpertSlots:
        """Chooses what is split.

        Args:
          slots: groups, experts_unsplit, expert_capacity.
          rows: how they were grouped.
          layout: which dimensions are split.
        """
        groups, unsplit, capacity = slots.dims
        experts = mtf.Dimension("experts", unsplit.size)
        inner = groups
        if layout.axis("experts") in {layout.axis(groups.name)} - {None}:
            inner = mtf.Dimension("batch_unsplit", groups.size)
        free = [n for n in rows.gathered if layout.axis(n) != layout.axis("experts")]
        padded, room = capacity.size, capacity
        if rows.outer > 1:  # each part its own slots, numbered as rows are for noise
            padded = math.ceil(capacity.size / rows.outer) * rows.outer
            inner = mtf.Dimension("groups", groups.size)
            room = mtf.Dimension("batch_unsplit", padded // rows.outer)
        elif free:  # its axis has nothing else to do: it takes a share of the slots
            ways = layout.splits(free[0])
            padded = math.ceil(capacity.size / ways) * ways
            room = mtf.Dimension(free[0], padded)
        split = (inner, experts, room)
        return cls((groups, unsplit, capacity), split, padded, rows.outer)

    def to_experts(self, x: mtf.Tensor) -> mtf.Tensor:
        """Deals out what experts are given.

        [groups, experts_unsplit, expert_capacity, d] -> [experts, groups, slots, d].
        An all-to-all where groups and experts share a mesh axis; where rows were
        gathered each processor keeps its share and nothing is sent.
        """
        groups, unsplit, capacity = self.unsplit
        inner, experts, room = self.split
        d_model = x.shape.dims[-1]
        if self.padded > capacity.size:
            x = mtf.pad(x, [0, self.padded - capacity.size], capacity.name)
        if self.outer > 1:
            x = own_part(x, x.shape.dims[2], self.outer)
        x = mtf.reshape(x, [inner, experts, room, d_model])
        return mtf.transpose(x, mtf.Shape([experts, inner, room, d_model]))

    def from_experts(self, y: mtf.Tensor) -> mtf.Tensor:
        """Gathers what experts have made: `to_experts`, the other way."""
        groups, unsplit, capacity = self.unsplit
        inner, experts, room = self.split
        output = y.shape.dims[-1]
        y = mtf.transpose(y, mtf.Shape([inner, experts, room, output]))
        whole = mtf.Dimension(capacity.name, self.padded // self.outer)
        y = mtf.reshape(y, [groups, unsplit, whole, output])
        if self.outer > 1:
            y = all_parts(y, whole, self.outer)
        if self.padded > capacity.size:
            y = mtf.slice(y, 0, capacity.size, capacity.name)
        return y


def gathering_notices(
    rows: int, groups: Iterable[tuple[str, int, int]], layout: Layout
) -> list[str]:
    """Returns what it costs that the layout cuts through groups, if it does.

    Args:
      rows: rows of a microbatch, or of the batch where it is in one piece.
      groups: of each kind of layers what it is called, the rows of a group and the
        positions of a row.
      layout: which dimensions are split.
    """
    ways = layout.splits("batch") * layout.splits(OUTER_BATCH)
    cut = {
        where: (rows // rows_per_group, rows_per_group, length)
        for where, rows_per_group, length in groups
        if rows // rows_per_group % ways and rows % ways == 0
    }
    if not cut:
        return []
    told = " and ".join(
        f"{count} routing group(s) of {together} rows in the {where}"
        for where, (count, together, _) in cut.items()
    )
    fits = rows // ways * min(length for _, _, length in cut.values())
    return [
        f"the layout splits {rows} rows into {ways} parts, which cannot share {told} "
        "evenly: the layers of experts gather their rows, with the same results. "
        f"MixtureOfExperts.group_size = {fits} would spare that; groups, and so "
        "results, are then others on every layout"
    ]
