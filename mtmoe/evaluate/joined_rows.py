"""Examples for a decoder alone: inputs and targets in one row.

Legend: E examples, L inputs length, T targets length, R places of a row.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mtmoe.data.evaluation.examples import EvaluationExamples
from mtmoe.data.ground.token_rows import padded_sizes


@dataclasses.dataclass(frozen=True)
class JoinedRows:
    """One example a row: its inputs, and directly behind them its targets.

    Attributes:
      features: what the evaluation step takes, [E, R] each.
      first_target: int64 [E], the place of the first target.
    """

    features: dict[str, NDArray[np.generic]]
    first_target: NDArray[np.int64]

    def of_targets(
        self, values_ER: NDArray[np.generic], length: int
    ) -> NDArray[np.generic]:
        """Returns the values [E, R] at the targets' places [E, T]; 0 elsewhere."""
        scored_ER = self.features["targets_loss_weights"] != 0
        values_ER = np.where(scored_ER, values_ER, 0)
        places_ET = self.first_target[:, np.newaxis] + np.arange(length)
        room = max(0, int(places_ET.max(initial=0)) + 1 - values_ER.shape[1])
        padded = np.pad(values_ER, ((0, 0), (0, room)))
        return np.take_along_axis(padded, places_ET, axis=1)


def join_rows(examples: EvaluationExamples, length: int) -> JoinedRows:
    """Puts examples into rows of R places, as `TrainingBatches` does.

    Raises:
      ValueError: an example has more tokens than a row has places.
    """
    inputs_E, targets_E = (
        padded_sizes(ids) for ids in (examples.inputs, examples.targets)
    )
    if np.any(inputs_E + targets_E > length):
        most = int(np.max(inputs_E + targets_E))
        raise ValueError(f"{most} tokens of an example in a row of {length}")
    places_R = np.arange(length)
    inputs_E1, ends_E1 = inputs_E[:, np.newaxis], (inputs_E + targets_E)[:, np.newaxis]
    is_input_ER = places_R < inputs_E1
    is_target_ER = (places_R >= inputs_E1) & (places_R < ends_E1)
    tokens_ER = np.where(
        is_input_ER,
        _taken(examples.inputs, places_R[np.newaxis]),
        np.where(is_target_ER, _taken(examples.targets, places_R - inputs_E1), 0),
    )
    return JoinedRows(
        {
            "targets": tokens_ER.astype(np.int32),
            "targets_segments": (places_R < ends_E1).astype(np.int32),
            "targets_prefix": is_input_ER.astype(np.int32),
            "targets_loss_weights": is_target_ER.astype(np.float32),
        },
        inputs_E,
    )


def _taken(
    tokens_EL: NDArray[np.int32], places_ER: NDArray[np.int64]
) -> NDArray[np.int32]:
    """The tokens at some places; any token where there is no such place."""
    shape = (len(tokens_EL), places_ER.shape[1])
    inside_ER = np.clip(np.broadcast_to(places_ER, shape), 0, tokens_EL.shape[1] - 1)
    return np.take_along_axis(tokens_EL, inside_ER, axis=1)
