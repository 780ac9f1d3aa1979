"""Ratios of sums with percentile bootstrap intervals over groups of examples.

Legend: E examples, G groups, R resamples.

Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979. The unit that is drawn
again is the group (a text chunk), because several maskings of one chunk depend on each
other: drawing examples would make the interval too narrow.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from mtmoe.ranges import Between, Count, Seed, check_fields

Numbers = NDArray[np.float64] | NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with its interval.

    Attributes:
      value: the ratio over all examples.
      low: lower end of the interval, NaN when there is one group only.
      high: upper end of the interval, NaN when there is one group only.
    """

    value: float
    low: float
    high: float


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

        Args:
          name: the task; another task's examples change nothing here.
          groups_E: the group of each example, any integers.
        """
        _, index_E = np.unique(groups_E, return_inverse=True)
        num_groups = int(index_E.max()) + 1 if index_E.size else 0
        generator = keyed_generator(self.seed, name)
        weights_RG = generator.multinomial(
            num_groups,
            np.full(num_groups, 1.0 / max(num_groups, 1)),
            self.num_resamples,
        )
        return Resamples(index_E, weights_RG.astype(np.float64), self.confidence)


@dataclasses.dataclass(frozen=True)
class Resamples:
    """Resamples of one task's groups.

    Attributes:
      index: [E], the group of each example, from 0.
      weights: [R, G], how often each resample drew each group; rows sum to G.
      confidence: mass between the two ends of an interval.
    """

    index: NDArray[np.intp]
    weights: NDArray[np.float64]
    confidence: float

    @property
    def num_groups(self) -> int:
        """G, the number of groups."""
        return self.weights.shape[1]

    def replicates(
        self, numerator_E: Numbers, denominator_E: Numbers
    ) -> NDArray[np.float64]:
        """Returns sum(numerator) / sum(denominator) of every resample, shape [R]."""
        return (self.weights @ self._by_group(numerator_E)) / (
            self.weights @ self._by_group(denominator_E)
        )

    def ratio(self, numerator_E: Numbers, denominator_E: Numbers) -> Interval:
        """Returns sum(numerator) / sum(denominator) with its interval.

        Every group's denominator must be positive.
        """
        value = float(self._by_group(numerator_E).sum() / denominator_E.sum())
        if self.num_groups < 2:
            return Interval(value, float("nan"), float("nan"))
        low, high = percentiles(
            self.replicates(numerator_E, denominator_E), self.confidence
        )
        return Interval(value, low, high)

    def _by_group(self, values_E: Numbers) -> NDArray[np.float64]:
        sums_G = np.zeros(self.num_groups)
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
