"""The forward pass of every kind of model in numpy, in float64, one example at a time.

Written from the papers, not from the models: no masks (padding is cut off, what may not
be seen is left out), no batch, heads in a loop.

Shape suffixes: L length, N memory length, M d_model, H heads, K d_kv.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from oracles.routing_numpy import route

from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.t5 import T5Fields

Array = NDArray[np.float64]

Sees = Callable[[int], Sequence[int]]
"""From a query's place to the places it sees."""


class NumpyModel:
    """Evaluates `model` with the variables of a program, capacity included."""

    def __init__(self, model: T5Fields, variables: Mapping[str, np.ndarray]):
        self.model = model
        self.v = {name: value.astype(np.float64) for name, value in variables.items()}

    def logits(self, inputs_BL: np.ndarray, targets_BT: np.ndarray) -> list[Array]:
        """Logits of each example's target tokens, [number of tokens, vocab]."""
        inputs = [row[row != 0] for row in inputs_BL]
        encoded = self._stack(
            "encoder",
            [self.v["embedding"][ids] for ids in inputs],
            [_all(len(ids)) for ids in inputs],
            inputs_BL.shape[1],
            None,
        )
        shifted = np.pad(targets_BT, [(0, 0), (1, 0)])[:, :-1]
        decoder = [
            row[target != 0] for row, target in zip(shifted, targets_BT, strict=True)
        ]
        decoded = self._stack(
            "decoder",
            [self.v["embedding"][ids] for ids in decoder],
            [_causal] * len(decoder),
            targets_BT.shape[1],
            encoded,
        )
        return self._vocabulary(decoded)

    def encoder_alone(self, inputs_BL: np.ndarray) -> list[Array]:
        """Logits of an encoder alone at each input token, [number of tokens, vocab]."""
        inputs = [row[row != 0] for row in inputs_BL]
        encoded = self._stack(
            "encoder",
            [self.v["embedding"][ids] for ids in inputs],
            [_all(len(ids)) for ids in inputs],
            inputs_BL.shape[1],
            None,
        )
        return self._vocabulary(encoded)

    def language_model(
        self, examples: Sequence[np.ndarray], prefixes: Sequence[int], padded: int
    ) -> list[Array]:
        """Logits of a decoder alone for each token of examples without padding.

        Args:
          examples: token ids.
          prefixes: how many tokens of each all of it may see, before it writes them.
          padded: places of a row of the model.
        """
        shifted = [np.concatenate([[0], ids[:-1]]) for ids in examples]
        decoded = self._stack(
            "decoder",
            [self.v["embedding"][ids] for ids in shifted],
            # The place after a prefix is where its last token is read.
            [
                _with_prefix(prefix + 1, len(ids))
                for prefix, ids in zip(prefixes, examples, strict=True)
            ],
            padded,
            None,
        )
        return self._vocabulary(decoded)

    def _vocabulary(self, decoded: list[Array]) -> list[Array]:
        if self.model.tied_embeddings:
            scale = 1.0 / math.sqrt(self.model.d_model)
            return [y * scale @ self.v["embedding"].T for y in decoded]
        return [y @ self.v["logits"] for y in decoded]

    def _stack(
        self,
        name: str,
        xs: list[Array],
        sees: list[Sees],
        padded: int,
        memory: list[Array] | None,
    ) -> list[Array]:
        model = self.model
        num_layers = getattr(model, f"num_{name}_layers", None) or model.num_layers
        every = model.expert_layer_every
        xs = [x + self._absolute_positions(name, len(x)) for x in xs]
        for i in range(num_layers):
            scope = f"{name}/layer_{i:03d}"
            sparse = every > 0 and (i + 1) % every == 0
            ys = [self._norm(f"{scope}/self_attention_norm", x) for x in xs]
            projected = self._self_projections(scope, ys, padded, sparse)
            for b, (x, (q, k, v)) in enumerate(zip(xs, projected, strict=True)):
                bias = self._position_bias(name, scope, len(x))
                x = x + self._attend(f"{scope}/self_attention", q, k, v, bias, sees[b])
                if memory is not None:
                    y = self._norm(f"{scope}/cross_attention_norm", x)
                    cross = f"{scope}/cross_attention"
                    q = self._query(cross, y)
                    k, v = (self._heads(cross, kind, memory[b]) for kind in "kv")
                    x = x + self._attend(cross, q, k, v, None, _all(len(memory[b])))
                xs[b] = x
            dense = not (sparse and model.moe)
            if not dense:
                ys = [self._norm(f"{scope}/feed_forward_norm", x) for x in xs]
                ys = self._experts(f"{scope}/moe", ys, padded, model.moe)
                xs = [x + y for x, y in zip(xs, ys, strict=True)]
            if dense or model.dense_after_experts:
                kind = "feed_forward" if dense else "dense_feed_forward"
                ys = [self._norm(f"{scope}/{kind}_norm", x) for x in xs]
                ys = [self._network(f"{scope}/{kind}", y) for y in ys]
                xs = [x + y for x, y in zip(xs, ys, strict=True)]
        return [self._norm(f"{name}/final_norm", x) for x in xs]

    def _norm(self, scope: str, x_LM: Array) -> Array:
        if self.model.normalization == "layer_norm":
            x_LM = x_LM - x_LM.mean(-1, keepdims=True)
            y = x_LM / np.sqrt(np.square(x_LM).mean(-1, keepdims=True) + 1e-5)
            return y * self.v[f"{scope}/scale"] + self.v[f"{scope}/bias"]
        mean_square = np.square(x_LM).mean(-1, keepdims=True)
        return x_LM / np.sqrt(mean_square + 1e-6) * self.v[f"{scope}/scale"]

    def _absolute_positions(self, stack: str, length: int) -> Array:
        width = self.model.d_model
        if self.model.positions == "learned":
            return self.v[f"{stack}/position_embedding"][:length]
        table = np.zeros([length, width])
        if self.model.positions == "sinusoidal":
            for place in range(length):
                for pair in range(0, width, 2):
                    angle = place / 10000 ** (pair / width)
                    table[place, pair] = math.sin(angle)
                    table[place, pair + 1] = math.cos(angle)
        return table

    def _position_bias(self, stack: str, scope: str, length: int) -> Array | None:
        holder = {
            "relative_bias": stack,
            "relative_bias_per_layer": f"{scope}/self_attention",
        }.get(self.model.positions)
        if holder is None:
            return None
        table = self.v[f"{holder}/relative_position_bias"]
        return np.array(
            [
                [
                    table[
                        relative_bucket(
                            key - query,
                            stack == "encoder",
                            self.model.relative_position_buckets,
                            self.model.relative_position_max_distance,
                        )
                    ]
                    for key in range(length)
                ]
                for query in range(length)
            ]
        )

    def _self_projections(
        self, scope: str, ys: list[Array], padded: int, sparse: bool
    ) -> list[tuple[Array, Array, Array]]:
        """Queries, keys and values [L, H, K] of each example."""
        model, inner = self.model, f"{scope}/self_attention"
        if not (sparse and model.attention_moe):
            return [
                (
                    self._query(inner, y),
                    self._heads(inner, "k", y),
                    self._heads(inner, "v", y),
                )
                for y in ys
            ]
        made = self._experts(f"{inner}/moe", ys, padded, model.attention_moe)
        heads = [y.reshape(len(y), 2, model.num_heads, model.d_kv) for y in made]
        scale = math.sqrt(model.d_kv)
        return [(y[:, 0] / scale, y[:, 1], y[:, 1]) for y in heads]

    def _heads(self, scope: str, name: str, x_LM: Array) -> Array:
        y = np.tensordot(x_LM, self.v[f"{scope}/{name}"], 1)
        return y + self.v[f"{scope}/{name}_bias"] if self.model.use_bias else y

    def _query(self, scope: str, x_LM: Array) -> Array:
        q = self._heads(scope, "q", x_LM)
        return q / math.sqrt(self.model.d_kv) if self.model.scale_attention else q

    def _attend(
        self,
        scope: str,
        q_LHK: Array,
        k_NHK: Array,
        v_NHK: Array,
        bias: Array | None,
        sees: Sees,
    ) -> Array:
        out = np.zeros([len(q_LHK), self.model.d_model])
        for h in range(self.model.num_heads):
            for i, q_K in enumerate(q_LHK[:, h]):
                seen = list(sees(i))
                scores = k_NHK[seen, h] @ q_K
                if bias is not None:
                    scores = scores + bias[i, seen, h]
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                out[i] += (weights @ v_NHK[seen, h]) @ self.v[f"{scope}/o"][h]
        return out + self.v[f"{scope}/o_bias"] if self.model.use_bias else out

    def _network(self, scope: str, x_LM: Array, expert: int | None = None) -> Array:
        """A dense feed-forward network, or one expert."""
        name = self.model.activation
        if expert is not None and self.model.expert_activation is not None:
            name = self.model.expert_activation

        def project(kind: str, x: Array) -> Array:
            weights = self.v[f"{scope}/{kind}"]
            y = x @ (weights if expert is None else weights[expert])
            if self.model.use_bias:
                bias = self.v[f"{scope}/{kind}_bias"]
                y = y + (bias if expert is None else bias[expert])
            return y

        if name in ("geglu", "swiglu"):
            act = {"geglu": "gelu", "swiglu": "silu"}[name]
            hidden = activation(act, project("wi_gate", x_LM)) * project("wi", x_LM)
        else:
            hidden = activation(name, project("wi", x_LM))
        return project("wo", hidden)

    def _experts(
        self, scope: str, ys: list[Array], padded: int, moe: MixtureOfExperts | None
    ) -> list[Array]:
        """The layer over one group that holds the whole batch, padding put back."""
        assert moe is not None and moe.group_size is not None
        assert moe.group_size >= padded * len(ys)
        batch = np.zeros([len(ys), padded, self.model.d_model])
        mask = np.zeros([len(ys), padded], bool)
        for b, y in enumerate(ys):
            batch[b, : len(y)] = y
            mask[b, : len(y)] = True
        x_GSM = batch.reshape([1, -1, self.model.d_model])
        factor = moe.capacity.evaluation_factor
        capacity = x_GSM.shape[1]
        if factor is not None:
            capacity = math.ceil(x_GSM.shape[1] * factor / moe.num_experts)
        router = self.v[f"{scope}/router"]
        routing = route(x_GSM, router, mask.reshape([1, -1]), capacity)
        outputs: dict[tuple[int, int], Array] = {}
        for g, s in zip(*np.nonzero(routing.kept), strict=True):
            y = self._network(
                f"{scope}/experts", x_GSM[g, s], int(routing.expert[g, s])
            )
            outputs[divmod(int(s), padded)] = routing.gate[g, s] * y
        width = len(next(iter(outputs.values())))
        return [
            np.array([outputs.get((b, i), np.zeros(width)) for i in range(len(y))])
            for b, y in enumerate(ys)
        ]


def activation(name: str, x: Array) -> Array:
    """An activation by its formula."""
    if name == "relu":
        return np.maximum(x, 0)
    if name == "silu":
        return x / (1 + np.exp(-x))
    if name == "gelu_exact":
        return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    assert name == "gelu"
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _all(length: int) -> Sees:
    return lambda place: range(length)


def _causal(place: int) -> range:
    return range(place + 1)


def _with_prefix(prefix: int, length: int) -> Sees:
    return lambda place: range(max(place + 1, min(prefix, length)))


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
