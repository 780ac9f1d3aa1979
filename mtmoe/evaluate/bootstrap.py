"""Ratios of sums with percentile bootstrap intervals over groups of examples.

Legend: E examples, G groups, R resamples, B resamples of a block, K columns.

Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979. The unit that is drawn
again is the group (a text chunk), because several maskings of one chunk depend on each
other: drawing examples would make the interval too narrow.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtmoe.ranges import Between, Count, Seed, check_fields

Numbers = NDArray[np.float64] | NDArray[np.int64]
Ratio = tuple[Numbers, Numbers]

_BLOCK_WEIGHTS = 1 << 21
"""Most weights that are held at a time."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """The ratio over all examples and its interval, NaN with one group only."""

    value: float
    low: float
    high: float


class Estimate(NamedTuple):
    """A ratio over all examples with its interval, and over each resample [R]."""

    interval: Interval
    replicates: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn.

    Attributes:
      num_resamples: R, resamples drawn.
      confidence: mass between the two ends of the interval.
      seed: with a task's name, the key of that task's generator.
    """

    num_resamples: Count = 1000
    confidence: Between = 0.95
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self)

    def resamples(self, name: str, groups_E: NDArray[np.int32]) -> Resamples:
        """Returns the resamples of one task, to be shared by all its metrics.

        Groups are any integers; another task's examples change nothing here.
        """
        _, index_E = np.unique(groups_E, return_inverse=True)
        return Resamples(
            index=index_E,
            num_groups=int(index_E.max()) + 1 if index_E.size else 0,
            num_resamples=self.num_resamples,
            key=(self.seed, name),
            confidence=self.confidence,
        )


@dataclasses.dataclass(frozen=True)
class Resamples:
    """Resamples of one task's groups, drawn in blocks whenever they are needed.

    The draws of a block follow those of the one before, so that they do not depend on
    the size of blocks, and memory does not depend on the number of groups.

    Attributes:
      index: [E], the group of each example, from 0.
      num_groups: G, the number of groups.
      num_resamples: R, the number of resamples.
      key: seed and name of the generator.
      confidence: mass between the two ends of an interval.
    """

    index: NDArray[np.intp]
    num_groups: int
    num_resamples: int
    key: tuple[int, str]
    confidence: float

    def weights(self) -> Iterator[NDArray[np.int64]]:
        """Yields how often each resample drew each group, [B, G]; rows sum to G."""
        generator = keyed_generator(*self.key)
        even_G = np.full(self.num_groups, 1.0 / max(self.num_groups, 1))
        block = max(1, _BLOCK_WEIGHTS // max(self.num_groups, 1))
        for first in range(0, self.num_resamples, block):
            size = min(block, self.num_resamples - first)
            yield generator.multinomial(self.num_groups, even_G, size)

    def estimates(self, ratios: Mapping[str, Ratio]) -> dict[str, Estimate]:
        """Returns sum(numerator) / sum(denominator) by name, all of the same draws.

        Both are [E], and every group's denominator must be positive.
        """
        sums_GK = np.stack(
            [self._by_group(x_E) for ratio in ratios.values() for x_E in ratio], axis=1
        )
        drawn_RK = np.concatenate(
            [weights_BG.astype(np.float64) @ sums_GK for weights_BG in self.weights()]
        )
        estimates = {}
        for number, name in enumerate(ratios):
            over, under = 2 * number, 2 * number + 1
            replicates_R = drawn_RK[:, over] / drawn_RK[:, under]
            value = sums_GK[:, over].sum() / sums_GK[:, under].sum()
            ends = (float("nan"), float("nan"))
            if self.num_groups > 1:
                ends = percentiles(replicates_R, self.confidence)
            estimates[name] = Estimate(Interval(float(value), *ends), replicates_R)
        return estimates

    def ratio(self, numerator_E: Numbers, denominator_E: Numbers) -> Interval:
        """Returns one ratio's interval; see `estimates`."""
        return self.estimates({"": (numerator_E, denominator_E)})[""].interval

    def _by_group(self, values_E: Numbers) -> NDArray[np.float64]:
        sums_G: NDArray[np.float64] = np.zeros(self.num_groups)
        np.add.at(sums_G, self.index, values_E)
        return sums_G


def percentiles(
    replicates_R: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """Returns the two percentiles with `confidence` of the replicates between them."""
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(replicates_R, [tail, 100.0 - tail])
    return float(low), float(high)


def keyed_generator(seed: int, name: str) -> np.random.Generator:
    """Returns a generator that is a pure function of (seed, name).

    Philox, so that the stream is the same on every machine.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(digest[:16], "big")))
