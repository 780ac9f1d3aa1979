"""The whole encoder-decoder forward pass in numpy, in float64, one example at a time.

Written from the papers, not from the model: no masks (padding is cut off, the future is
sliced away), no batch, heads in a loop.

Shape suffixes: L length, N memory length, M d_model, H heads, K d_kv.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from oracles.routing_numpy import route, switch_layer

from mtmoe.model.encoder_decoder import EncoderDecoder

Array = NDArray[np.float64]


class NumpyModel:
    """Evaluates `model` with the variables of a program, capacity included."""

    def __init__(self, model: EncoderDecoder, variables: Mapping[str, np.ndarray]):
        self.model = model
        self.v = {name: value.astype(np.float64) for name, value in variables.items()}

    def logits(self, inputs_BL: np.ndarray, targets_BT: np.ndarray) -> list[Array]:
        """Logits of each example's target tokens, [number of tokens, vocab]."""
        encoded = self._stack(
            "encoder",
            [self.v["embedding"][row[row != 0]] for row in inputs_BL],
            inputs_BL.shape[1],
            None,
        )
        shifted = np.pad(targets_BT, [(0, 0), (1, 0)])[:, :-1]
        decoded = self._stack(
            "decoder",
            [
                self.v["embedding"][row[target != 0]]
                for row, target in zip(shifted, targets_BT, strict=True)
            ],
            targets_BT.shape[1],
            encoded,
        )
        if self.model.tied_embeddings:
            scale = 1.0 / math.sqrt(self.model.d_model)
            return [y * scale @ self.v["embedding"].T for y in decoded]
        return [y @ self.v["logits"] for y in decoded]

    def _stack(
        self, name: str, xs: list[Array], padded: int, memory: list[Array] | None
    ) -> list[Array]:
        causal = name == "decoder"
        num_layers = getattr(self.model, f"num_{name}_layers")
        every = self.model.expert_layer_every if self.model.moe else 0
        for i in range(num_layers):
            scope = f"{name}/layer_{i:03d}"
            for b, x in enumerate(xs):
                y = self._norm(f"{scope}/self_attention_norm", x)
                bias = self._position_bias(name, len(x), causal)
                x = x + self._attend(f"{scope}/self_attention", y, y, bias, causal)
                if memory is not None:
                    y = self._norm(f"{scope}/cross_attention_norm", x)
                    x = x + self._attend(
                        f"{scope}/cross_attention", y, memory[b], None, False
                    )
                xs[b] = x
            ys = [self._norm(f"{scope}/feed_forward_norm", x) for x in xs]
            if every and (i + 1) % every == 0:
                ys = self._switch(f"{scope}/moe", ys, padded)
            else:
                ys = [self._dense(f"{scope}/feed_forward", y) for y in ys]
            xs = [x + y for x, y in zip(xs, ys, strict=True)]
        return [self._norm(f"{name}/final_norm", x) for x in xs]

    def _norm(self, scope: str, x_LM: Array) -> Array:
        mean_square = np.square(x_LM).mean(-1, keepdims=True)
        return x_LM / np.sqrt(mean_square + 1e-6) * self.v[f"{scope}/scale"]

    def _position_bias(self, stack: str, length: int, causal: bool) -> Array:
        table = self.v[f"{stack}/relative_position_bias"]
        return np.array(
            [
                [
                    table[
                        relative_bucket(
                            key - query,
                            not causal,
                            self.model.relative_position_buckets,
                            self.model.relative_position_max_distance,
                        )
                    ]
                    for key in range(length)
                ]
                for query in range(length)
            ]
        )

    def _attend(
        self,
        scope: str,
        x_LM: Array,
        memory_NM: Array,
        bias: Array | None,
        causal: bool,
    ) -> Array:
        q, k, v, o = (self.v[f"{scope}/{name}"] for name in "qkvo")
        out = np.zeros_like(x_LM)
        for h in range(self.model.num_heads):
            keys_NK, values_NK = memory_NM @ k[:, h], memory_NM @ v[:, h]
            for i, x_M in enumerate(x_LM):
                seen = i + 1 if causal else len(memory_NM)
                scores = keys_NK[:seen] @ (x_M @ q[:, h])
                if bias is not None:
                    scores = scores + bias[i, :seen, h]
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                out[i] += (weights @ values_NK[:seen]) @ o[h]
        return out

    def _dense(self, scope: str, x_LM: Array) -> Array:
        hidden = x_LM @ self.v[f"{scope}/wi"]
        if self.model.activation == "geglu":
            gate = x_LM @ self.v[f"{scope}/wi_gate"]
            cubic = gate + 0.044715 * gate**3
            hidden *= 0.5 * gate * (1 + np.tanh(math.sqrt(2 / math.pi) * cubic))
        else:
            hidden = np.maximum(hidden, 0)
        return hidden @ self.v[f"{scope}/wo"]

    def _switch(self, scope: str, ys: list[Array], padded: int) -> list[Array]:
        """The layer over one group that holds the whole batch, padding put back."""
        moe = self.model.moe
        assert moe is not None and moe.group_size >= padded * len(ys)
        batch = np.zeros([len(ys), padded, self.model.d_model])
        mask = np.zeros([len(ys), padded], bool)
        for b, y in enumerate(ys):
            batch[b, : len(y)] = y
            mask[b, : len(y)] = True
        x_GSM = batch.reshape([1, -1, self.model.d_model])
        factor = moe.capacity.evaluation_factor
        assert factor is not None
        capacity = math.ceil(x_GSM.shape[1] * factor / moe.num_experts)
        router = self.v[f"{scope}/router"]
        routing = route(x_GSM, router, mask.reshape([1, -1]), capacity)
        out = switch_layer(
            x_GSM,
            routing,
            self.v[f"{scope}/experts/wi"],
            self.v[f"{scope}/experts/wo"],
        ).reshape(batch.shape)
        return [row[: len(y)] for row, y in zip(out, ys, strict=True)]


def relative_bucket(
    distance: int, bidirectional: bool, num_buckets: int, max_distance: int
) -> int:
    """T5's bucket of key - query, by its definition, one distance at a time."""
    first = 0
    if bidirectional:
        num_buckets //= 2
        if distance > 0:
            first = num_buckets
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = num_buckets // 2
    if distance < exact:
        return first + distance
    growth = math.log(distance / exact) / math.log(max_distance / exact)
    # A hair of slack: powers of two fall on an edge, where rounding decides.
    wider = exact + int(growth * (num_buckets - exact) + 1e-6)
    return first + min(wider, num_buckets - 1)
