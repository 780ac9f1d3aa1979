"""Experts that take every token, at the cost of the tokens there are.

Room for every token in every expert would cost as much as running all tokens through
all experts. Here tokens are sorted by expert and cut into blocks of tokens of one
expert; a loop runs over the blocks that hold a token, reading the weights of one expert
at a time. Only the last block of an expert may be partly empty, so that at most
experts * (block - 1) rows are computed in vain; experts that no token chose are not
read. After MegaBlocks (Gale et al. 2022), which sorts and pads in the same way.

Nothing of this has a gradient or is split over a mesh.

Shape suffixes: A assignments of tokens to experts, E experts, N blocks, R rows of a
block, D d_model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.groupwise import groupwise
from mtmoe.mesh.initializers import Initializer
from mtmoe.mesh.update import take_at, write_at
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.routers.interface import RouterOutput

LARGEST_BLOCK = 128
"""Rows of a block at most: enough for a matrix product to run at full speed."""
SMALLEST_BLOCK = 8
"""Rows of a block at least, if there are as many assignments."""


@dataclasses.dataclass(frozen=True)
class OneExpert(GraphContext):
    """A context in which the weights of all experts are those of one of them.

    Attributes:
      experts: the experts.
      number: int32 scalar, which one it is.
    """

    experts: mtf.Dimension | None = None
    number: mtf.Tensor | None = None

    def variable(
        self,
        name: str,
        shape: mtf.Shape,
        initializer: Initializer,
        trainable: bool = True,
        dtype: tf.DType | None = None,
    ) -> mtf.Tensor:
        """Returns the expert's part of a variable that has the experts first."""
        of_all = super().variable(
            name, [self.experts, *mtf.Shape(shape).dims], initializer, trainable, dtype
        )
        return mtf.reshape(take_at(of_all, self.experts, self.number), mtf.Shape(shape))


def block_size(num_assignments: int, num_experts: int) -> int:
    """Returns the rows of a block: the mean load of an expert, within bounds."""
    mean = num_assignments // num_experts
    return min(num_assignments, max(SMALLEST_BLOCK, min(LARGEST_BLOCK, mean)))


def most_blocks(num_assignments: int, num_experts: int, size: int) -> int:
    """Returns the number of blocks there may be, however tokens choose."""
    return min(num_assignments, (num_assignments + num_experts * (size - 1)) // size)


def run_in_blocks(
    context: GraphContext, x: mtf.Tensor, routed: RouterOutput, expert: FeedForward
) -> mtf.Tensor:
    """Runs the experts that each token chose, and adds up what they give.

    Args:
      context: graph being built.
      x: [batch, group, d_model].
      routed: who chose whom; every choice has a slot.
      expert: one expert's network.

    Returns:
      [batch, group, d_model], or the network's other output instead of d_model;
      exactly 0 where a token chose no expert.
    """
    slots, d_model = routed.slots, x.shape.dims[-1]
    assert slots.slot_of_token is not None, "experts chose: there are no choices"
    output = expert.output or d_model
    num_experts, num_assignments = slots.experts_dim.size, slots.slot_of_token.size
    num_choices = slots.choice_dim.size if slots.choice_dim else 1
    rows = mtf.Dimension("rows", block_size(num_assignments, num_experts))
    blocks = mtf.Dimension(
        "blocks", most_blocks(num_assignments, num_experts, rows.size)
    )
    one = mtf.Shape([])
    row_of_token, assignment_of_row, expert_of_block, count = groupwise(
        lambda slot: plan_blocks(
            slot // slots.capacity_dim.size, num_experts, blocks.size, rows.size
        ),
        [slots.slot_of_token],
        [
            (slots.slot_of_token.shape, tf.int32),
            (mtf.Shape([blocks, rows]), tf.int32),
            (mtf.Shape([blocks]), tf.int32),
            (one, tf.int32),
        ],
        splittable_dims=[],
        name="plan_blocks",
    )
    experts = mtf.Dimension("experts", num_experts)
    # A block's row as the network sees it: [batch=1, length=rows, d_model].
    taken_shape = mtf.Shape([mtf.Dimension("batch", 1), rows, d_model])

    def step(number: mtf.Tensor, done: mtf.Tensor) -> Sequence[mtf.Tensor]:
        tokens = take_at(assignment_of_row, blocks, number)
        taken = mtf.slicewise(
            lambda x, tokens: _take_tokens(x, tokens, num_choices),
            [x, tokens],
            output_shape=taken_shape,
            output_dtype=x.dtype,
            splittable_dims=[],
            grad_function=0,
            name="take_block",
        )
        which = mtf.reshape(take_at(expert_of_block, blocks, number), one)
        fields = {f.name: getattr(context, f.name) for f in dataclasses.fields(context)}
        inner = OneExpert(**fields | {"experts": experts, "number": which})
        with context.scope("experts"):
            y = expert(inner, taken)
        y = mtf.reshape(y, mtf.Shape([mtf.Dimension("blocks", 1), rows, output]))
        return [number + 1, write_at(done, y, blocks, number)]

    _, y = mtf.while_loop(
        lambda number, _: mtf.less(number, count),
        step,
        [
            mtf.zeros(context.mesh, one, tf.int32),
            mtf.zeros(context.mesh, mtf.Shape([blocks, rows, output]), x.dtype),
        ],
    )
    return mtf.slicewise(
        lambda y, row, weights: _weighted_rows(
            y, row, weights, slots.choice_dim is not None
        ),
        [y, row_of_token, routed.weights],
        output_shape=x.shape - d_model + output,
        output_dtype=x.dtype,
        splittable_dims=[],
        grad_function=0,
        name="combine_blocks",
    )


def plan_blocks(
    expert: tf.Tensor, num_experts: int, num_blocks: int, size: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Sorts assignments into blocks.

    Args:
      expert: int32 of any shape, the expert of each assignment; `num_experts` for none.
      num_experts: E.
      num_blocks: N, room for blocks.
      size: R, rows of a block.

    Returns:
      Of each assignment its row, counted over all blocks, or N * R if it has none, in
      the shape of `expert`; of each row its assignment or A [N, R]; of each block its
      expert [N]; and how many blocks hold an assignment.
    """
    expert_A = tf.reshape(expert, [-1])
    num_assignments = expert_A.shape[0]
    order_A = tf.argsort(expert_A, stable=True)
    is_own_AE = expert_A[:, tf.newaxis] == tf.range(num_experts)
    count_E = tf.reduce_sum(tf.cast(is_own_AE, tf.int32), axis=0)
    blocks_E = (count_E + size - 1) // size
    first_E = tf.cumsum(count_E, exclusive=True)  # in sorted order
    first_block_E = tf.cumsum(blocks_E, exclusive=True)
    total = tf.reduce_sum(blocks_E)

    # From blocks to assignments. Block n holds ranks r = (n - the expert's first block)
    # * R and on among its expert's assignments, which lie side by side in sorted order.
    block_N = tf.range(num_blocks)
    expert_N = tf.searchsorted(tf.cumsum(blocks_E), block_N, side="right")
    expert_N = tf.minimum(expert_N, num_experts - 1)
    rank_N = (block_N - tf.gather(first_block_E, expert_N)) * size
    rank_NR = rank_N[:, tf.newaxis] + tf.range(size)
    is_row_NR = rank_NR < tf.gather(count_E, expert_N)[:, tf.newaxis]
    is_row_NR &= (block_N < total)[:, tf.newaxis]
    place_NR = tf.gather(first_E, expert_N)[:, tf.newaxis] + rank_NR
    assignment_NR = tf.where(
        is_row_NR,
        tf.gather(order_A, tf.where(is_row_NR, place_NR, 0)),
        num_assignments,
    )

    # And back. Sorting the order gives each assignment's place in it.
    rank_A = tf.argsort(order_A) - tf.gather(first_E, _known(expert_A, num_experts))
    row_A = tf.gather(first_block_E, _known(expert_A, num_experts)) * size + rank_A
    row_A = tf.where(expert_A < num_experts, row_A, num_blocks * size)
    return tf.reshape(row_A, expert.shape), assignment_NR, expert_N, total


def _known(expert_A: tf.Tensor, num_experts: int) -> tf.Tensor:
    return tf.minimum(expert_A, num_experts - 1)


def _take_tokens(x: tf.Tensor, assignment_1R: tf.Tensor, num_choices: int) -> tf.Tensor:
    """The tokens of a block's assignments [1, R, D]; zeros in rows without one."""
    num_groups, group, d_model = x.shape
    of_group = num_choices * group
    token_1R = assignment_1R // of_group * group + assignment_1R % group
    is_row_1R = assignment_1R < num_groups * of_group
    rows_1RD = tf.gather(tf.reshape(x, [-1, d_model]), tf.where(is_row_1R, token_1R, 0))
    return tf.where(is_row_1R[..., tf.newaxis], rows_1RD, tf.zeros([], x.dtype))


def _weighted_rows(
    y_NRD: tf.Tensor, row: tf.Tensor, weights: tf.Tensor, has_choices: bool
) -> tf.Tensor:
    """The rows of each token's assignments, added up by weight in float32."""
    num_rows, d_model = y_NRD.shape[0] * y_NRD.shape[1], y_NRD.shape[2]
    is_row = row < num_rows
    rows = tf.gather(tf.reshape(y_NRD, [-1, d_model]), tf.where(is_row, row, 0))
    weights = tf.where(is_row, weights, 0.0)[..., tf.newaxis]
    rows = tf.where(is_row[..., tf.newaxis], tf.cast(rows, tf.float32) * weights, 0.0)
    if has_choices:  # [batch, choice, group, d_model]
        rows = tf.reduce_sum(rows, axis=1)
    return tf.cast(rows, y_NRD.dtype)
