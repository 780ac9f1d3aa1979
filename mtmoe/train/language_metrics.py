"""Loss and expert load of each language, summed over the steps between log lines.

Shape suffixes: G languages, Y Switch layers, E experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# A step's outputs that are summed; the model may give none or some of them.
SUMMED = {
    "language_loss": np.float64,
    "language_tokens": np.int64,
    "language_experts": np.int64,
}
_DIGITS = 4  # of what is logged: a line holds a hundred languages


class LanguageSums:
    """Sums of the outputs named in `SUMMED`.

    Steps are added one after the other, in float64, so that the sum does not depend on
    how often a run was interrupted between them.
    """

    def __init__(
        self, languages: Sequence[str], state: Mapping[str, Any] | None = None
    ):
        """Starts empty, or as `state` of an earlier process has it.

        Args:
          languages: codes, in the order of the outputs.
          state: what `state()` gave.
        """
        self._languages = tuple(languages)
        self._sums: dict[str, npt.NDArray[Any]] = {
            name: np.asarray(value, SUMMED[name])
            for name, value in (state or {}).items()
        }

    def add(self, outputs: Mapping[str, npt.ArrayLike]) -> None:
        """Adds a step's outputs; all steps have the same ones.

        Args:
          outputs: `language_loss` [G], in nats, `language_tokens` [G] and
            `language_experts` [Y, G, E], or those of them there are.
        """
        for name, value in outputs.items():
            array = np.asarray(value)
            if SUMMED[name] is np.int64:
                array = np.rint(array)
            array = array.astype(SUMMED[name])
            self._sums[name] = self._sums[name] + array if name in self._sums else array

    def state(self) -> dict[str, Any]:
        """Returns what a later process needs to go on with it, as plain JSON."""
        return {name: value.tolist() for name, value in self._sums.items()}

    def metrics(self) -> dict[str, dict[str, float]]:
        """Returns the metrics of the languages that had tokens, by code.

        `language_loss`: nats per target token. `language_expert_load`: tokens whose
        first choice is the busiest expert over the mean of all experts, averaged over
        the layers that had tokens of the language; 1 is even.
        """
        metrics = {}
        if "language_loss" in self._sums:
            tokens_G = self._sums["language_tokens"]
            loss_G = self._sums["language_loss"] / np.maximum(tokens_G, 1)
            metrics["language_loss"] = self._by_code(loss_G, tokens_G > 0)
        if "language_experts" in self._sums:
            counts_YGE = self._sums["language_experts"]
            total_YG = counts_YGE.sum(axis=2)
            load_YG = counts_YGE.max(axis=2) * counts_YGE.shape[2]
            load_YG = load_YG / np.maximum(total_YG, 1)
            layers_G = np.count_nonzero(total_YG, axis=0)
            load_G = load_YG.sum(axis=0) / np.maximum(layers_G, 1)
            metrics["language_expert_load"] = self._by_code(load_G, layers_G > 0)
        return metrics

    def _by_code(
        self, values_G: npt.NDArray[Any], is_seen_G: npt.NDArray[np.bool_]
    ) -> dict[str, float]:
        return {
            code: round(float(value), _DIGITS)
            for code, value, is_seen in zip(
                self._languages, values_G, is_seen_G, strict=True
            )
            if is_seen
        }
