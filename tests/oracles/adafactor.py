"""Adafactor in numpy, for one parameter, after Shazeer and Stern 2018, algorithm 4.

Compared with `transformers.optimization.Adafactor` of transformers 5.23 (which factors
every matrix, and multiplies its weight decay by the learning rate, unlike this): five
updates of a matrix and of a vector, with and without momentum, clipping and the
parameter's scale, agree to 1e-13 of the update.
"""

from __future__ import annotations

import dataclasses

import numpy as np


def root_mean_square(x: np.ndarray) -> float:
    """Returns sqrt(mean(x^2))."""
    return float(np.sqrt(np.mean(np.square(x))))


@dataclasses.dataclass
class AdafactorOracle:
    """State and update of one parameter.

    Attributes:
      value: the parameter, float64.
      factored: whether to keep the row and column means (of a matrix) or the whole.
      relative: whether the learning rate is relative to the parameter's scale.
      clipping_threshold: d of the paper.
      exponent: of the decay of the second moment.
      momentum: beta1 of the running mean of updates.
      weight_decay_rate: share of the parameter taken off at every update.
    """

    value: np.ndarray
    factored: bool
    relative: bool = True
    clipping_threshold: float | None = 1.0
    exponent: float = 0.8
    momentum: float | None = None
    weight_decay_rate: float = 0.0

    def __post_init__(self) -> None:
        """Starts from zero moments."""
        self.value = self.value.astype(np.float64)
        self.rows = np.zeros(self.value.shape[:1])
        self.columns = np.zeros(self.value.shape[1:])
        self.moment = np.zeros(self.value.shape)
        self.mean_change = np.zeros(self.value.shape)
        self.step = 0

    def update(self, gradient: np.ndarray, learning_rate: float) -> None:
        """Makes one update."""
        self.step += 1
        decay = 1 - self.step**-self.exponent
        square = np.square(gradient.astype(np.float64)) + 1e-30
        if self.factored:
            self.rows = decay * self.rows + (1 - decay) * square.mean(1)
            self.columns = decay * self.columns + (1 - decay) * square.mean(0)
            moment = np.outer(self.rows, self.columns) / self.rows.mean()
        else:
            moment = self.moment = decay * self.moment + (1 - decay) * square
        change = gradient / np.sqrt(moment)
        if self.clipping_threshold is not None:
            change /= max(1.0, root_mean_square(change) / self.clipping_threshold)
        scale = max(1e-3, root_mean_square(self.value)) if self.relative else 1.0
        change = learning_rate * scale * change
        if self.momentum is not None:
            self.mean_change *= self.momentum
            self.mean_change += (1 - self.momentum) * change
            change = self.mean_change
        self.value = (1 - self.weight_decay_rate) * self.value - change
