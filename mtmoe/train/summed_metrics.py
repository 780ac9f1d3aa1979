"""Loss and routing by language and by layer, summed over the steps between log lines.

Shape suffixes: G languages, Y layers of experts, E experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]

# A step's outputs that are summed; the model may give none or some of them.
SUMMED = {
    "language_loss": np.float64,
    "language_tokens": np.int64,
    "language_experts": np.int64,
    "language_dropped": np.float64,
    "language_entropy": np.float64,
    "layer_tokens": np.int64,
    "layer_experts": np.int64,
    "layer_dropped": np.float64,
    "layer_entropy": np.float64,
    "layer_log_z_square": np.float64,
}
_DIGITS = 4  # of what is logged: a line holds a hundred languages


class SummedMetrics:
    """Sums of the outputs named in `SUMMED`.

    Steps are added one after the other, in float64, so that the sum does not depend on
    how often a run was interrupted between them.
    """

    def __init__(
        self,
        languages: Sequence[str],
        layers: Sequence[str],
        state: Mapping[str, Any] | None = None,
    ):
        """Starts empty, or as `state()` of an earlier process has it.

        Languages, by code, and layers of experts are in the order of the outputs.
        """
        self._languages = tuple(languages)
        self._layers = tuple(layers)
        self._sums: dict[str, npt.NDArray[Any]] = {
            name: np.asarray(value, SUMMED[name])
            for name, value in (state or {}).items()
        }

    def add(self, outputs: Mapping[str, npt.ArrayLike]) -> None:
        """Adds a step's outputs, those of `SUMMED` there are; in all steps the same."""
        for name, value in outputs.items():
            array = np.asarray(value)
            if SUMMED[name] is np.int64:
                array = np.rint(array)
            array = array.astype(SUMMED[name])
            self._sums[name] = self._sums[name] + array if name in self._sums else array

    def state(self) -> dict[str, Any]:
        """Returns what a later process needs to go on with it, as plain JSON."""
        return {name: value.tolist() for name, value in self._sums.items()}

    def metrics(self) -> dict[str, Any]:
        """Returns the metrics of the languages and layers that had tokens.

        By language code: `language_loss`, nats per target token;
        `language_expert_load`, tokens whose first choice is the busiest expert over the
        mean of all experts, averaged over the layers that had tokens of the language;
        `language_dropped_fraction` and `language_router_entropy`, means over the tokens
        of all layers. `layer_routing`, by layer: `load_max_over_mean`,
        `dropped_fraction`, `entropy` in nats, and `z`, the mean square of a token's
        log-sum-exp of router logits.
        """
        sums = self._sums
        metrics: dict[str, Any] = {}
        if "language_loss" in sums:
            tokens_G = sums["language_tokens"]
            loss_G = _ratio(sums["language_loss"], tokens_G)
            metrics["language_loss"] = self._by_code(loss_G, tokens_G > 0)
        if "language_experts" in sums:
            metrics |= self._language_routing(sums["language_experts"])
        if "layer_experts" in sums:
            metrics["layer_routing"] = self._layer_routing()
        return metrics

    def _language_routing(
        self, counts_YGE: npt.NDArray[np.int64]
    ) -> dict[str, dict[str, float]]:
        tokens_YG = counts_YGE.sum(axis=2)
        layers_G = np.count_nonzero(tokens_YG, axis=0)
        routed_G = tokens_YG.sum(axis=0)
        values = {
            "language_expert_load": _ratio(_load(counts_YGE).sum(axis=0), layers_G)
        }
        for output, name in (
            ("language_dropped", "language_dropped_fraction"),
            ("language_entropy", "language_router_entropy"),
        ):
            if output in self._sums:
                values[name] = _ratio(self._sums[output].sum(axis=0), routed_G)
        return {
            name: self._by_code(value_G, layers_G > 0)
            for name, value_G in values.items()
        }

    def _layer_routing(self) -> dict[str, dict[str, float]]:
        sums = self._sums
        tokens_Y = sums["layer_tokens"]
        values = {
            "load_max_over_mean": _load(sums["layer_experts"]),
            "dropped_fraction": _ratio(sums["layer_dropped"], tokens_Y),
            "entropy": _ratio(sums["layer_entropy"], tokens_Y),
            "z": _ratio(sums["layer_log_z_square"], tokens_Y),
        }
        return {
            layer: {name: _rounded(value_Y[y]) for name, value_Y in values.items()}
            for y, layer in enumerate(self._layers)
            if tokens_Y[y] > 0
        }

    def _by_code(
        self, values_G: FloatArray, is_seen_G: npt.NDArray[np.bool_]
    ) -> dict[str, float]:
        return {
            code: _rounded(value)
            for code, value, is_seen in zip(
                self._languages, values_G, is_seen_G, strict=True
            )
            if is_seen
        }


def _load(counts: npt.NDArray[np.int64]) -> FloatArray:
    """The busiest expert's tokens over the mean, over the last axis; 0 without any."""
    return _ratio(counts.max(axis=-1) * counts.shape[-1], counts.sum(axis=-1))


def _ratio(sums: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> FloatArray:
    return sums / np.maximum(counts, 1)


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)
