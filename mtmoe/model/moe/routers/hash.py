"""Hash routing: the expert follows from the token's id, and nothing is learned."""

from __future__ import annotations

import dataclasses
import functools
import heapq
import pathlib

import gin
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mtmoe.errors import ConfigError, UnknownNameError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.random import name_key
from mtmoe.model.moe.routers.interface import Router, RouterInput, RouterOutput
from mtmoe.model.moe.routers.unscored import unscored_output
from mtmoe.ranges import Count, Seed, check_fields

ASSIGNMENTS = ("random", "balanced", "balanced_by_rank")


@gin.configurable
@dataclasses.dataclass(frozen=True)
class HashRouter(Router):
    """expert = table[token id], weight 1.

    Hash layers (Roller et al. 2021), section 3.1. Assignments of ids to experts:

    * "random": independent and uniform, another one for every layer;
    * "balanced": from the most frequent id to the rarest, each to the expert with the
      fewest occurrences so far. The frequencies are counts in `frequencies_file`;
    * "balanced_by_rank": the same for counts in proportion to 1 / (id + 1), Zipf's law
      for a vocabulary sorted by frequency, as those of SentencePiece's unigram model
      nearly are.

    Attributes:
      vocab_size: number of ids, at least the model's.
      assignment: see above.
      frequencies_file: one whole number a line, line i + 1 how often id i occurs in the
        training data.
      seed: of the random assignment.
    """

    vocab_size: Count
    assignment: str = "random"
    frequencies_file: str | None = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Checks the ranges, and that there are counts for who needs them."""
        check_fields(self)
        if self.assignment not in ASSIGNMENTS:
            raise UnknownNameError(
                "assignment", self.assignment, ASSIGNMENTS, "HashRouter.assignment"
            )
        if (self.assignment == "balanced") != (self.frequencies_file is not None):
            raise ConfigError(
                'HashRouter.frequencies_file goes with HashRouter.assignment "balanced"'
                f" and with no other, got {self.frequencies_file!r} and "
                f"{self.assignment!r}; without counts there is balanced_by_rank"
            )

    def table(self, num_experts: int, layer: str) -> NDArray[np.int32]:
        """Returns the expert of every id, the same on every machine.

        Args:
          num_experts: number of experts.
          layer: the layer's name, key of the random assignment.

        Raises:
          ConfigError: the file is not there, or does not hold one count an id.
        """
        if self.assignment == "random":
            return random_table(self.vocab_size, num_experts, f"{self.seed} {layer}")
        return balanced_table(self.vocab_size, num_experts, self.frequencies_file)

    @property
    def num_matrices(self) -> int:
        """None: nothing is learned."""
        return 0

    def check_vocabulary(self, vocab_size: int, model: str, field: str) -> None:
        """Checks that every token id has an expert."""
        if self.vocab_size < vocab_size:
            raise ConfigError(
                f"HashRouter.vocab_size of {model}.{field} is {self.vocab_size:,},"
                f" it must be at least {model}.vocab_size, {vocab_size:,}: "
                "every token id needs an expert"
            )

    def __call__(self, context: GraphContext, inputs: RouterInput) -> RouterOutput:
        """Sends every token to the expert of its id."""
        table = self.table(inputs.experts.size, context.full_name("router"))
        experts = inputs.experts

        def look_up(ids: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            expert = tf.gather(tf.constant(table), ids)
            return expert, tf.one_hot(expert, experts.size) * mask[..., tf.newaxis]

        expert, first_choice = mtf.slicewise(
            look_up,
            [inputs.ids, inputs.nonpadding],
            output_shape=[inputs.ids.shape, inputs.scores_shape],
            output_dtype=[tf.int32, tf.float32],
            splittable_dims=inputs.ids.shape.dims,
            grad_function=0,
            name="hash_ids",
        )
        return unscored_output(context, inputs, expert, first_choice)


def random_table(vocab_size: int, num_experts: int, key: str) -> NDArray[np.int32]:
    """Returns a uniform expert for every id, a pure function of `key`.

    The hash is SplitMix64 (Steele et al. 2014), which no release of a library changes.
    """
    low, high = name_key(0, key)
    golden = np.uint64(0x9E3779B97F4A7C15)
    z = np.arange(1, vocab_size + 1, dtype=np.uint64) * golden
    z += np.uint64(high << 32 | low)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    # The upper half, taken from [0, 2^32) to [0, num_experts).
    upper = z >> np.uint64(32)
    return (upper * np.uint64(num_experts) >> np.uint64(32)).astype(np.int32)


@functools.cache
def balanced_table(
    vocab_size: int, num_experts: int, frequencies_file: str | None
) -> NDArray[np.int32]:
    """Returns an expert for every id, such that all see about as many tokens.

    Args:
      vocab_size: number of ids.
      num_experts: number of experts.
      frequencies_file: see `HashRouter`; Zipf's law by id without one.

    Raises:
      ConfigError: the file is not there, or does not hold one count an id.
    """
    if frequencies_file is None:
        counts = 1.0 / np.arange(1, vocab_size + 1)
    else:
        counts = _read_counts(frequencies_file, vocab_size)
    table = np.zeros(vocab_size, np.int32)
    loads = [(0.0, expert) for expert in range(num_experts)]
    for token in np.argsort(-counts, kind="stable"):
        load, expert = loads[0]
        table[token] = expert
        heapq.heapreplace(loads, (load + float(counts[token]), expert))
    table.flags.writeable = False
    return table


def _read_counts(path: str, vocab_size: int) -> NDArray[np.float64]:
    """The counts of a file of one count a line."""
    try:
        lines = pathlib.Path(path).read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"HashRouter.frequencies_file {path} cannot be read: {error}"
        ) from error
    if len(lines) != vocab_size:
        raise ConfigError(
            f"HashRouter.frequencies_file {path} has {len(lines)} counts, "
            f"HashRouter.vocab_size is {vocab_size}: it must have one for every id"
        )
    for number, line in enumerate(lines, 1):
        if not line.isdecimal():
            raise ConfigError(
                f"{path}:{number}: {line!r} is not a count; "
                "HashRouter.frequencies_file has one whole number a line"
            )
    return np.array(lines, np.float64)
