"""Milliseconds of one Switch layer beside a dense feed-forward network, by experts.

Forward and backward, the optimizer left out. The Switch layer as in training, with its
default settings: router with jitter, its losses in the objective, statistics, dispatch,
capacity factor 1.25. The dense network is as large as one expert and sees the same
4,096 tokens; another one sees as many rows as the experts have slots, a quarter more,
which are the multiplications of the sparse layer without any routing. And the experts
alone are measured, on slots that are full already: no layer that routes can be faster.

The gradients of the input and of all weights are assigned to variables: XLA writes them
there in place, and nothing reads them once more, as a sum that stands for them would,
which at 128 experts is a pass over 268 MB.

All take turns, call by call, so that what else the machine does falls on all alike, and
the medians are compared. The Switch layer of `transformers` (PyTorch, eager, room for
all tokens) does so in a process of its own, beside a dense layer of its own.

    python benchmarks/moe_layer.py [--experts=8,16,32,64,128] [--runs=15] [--nopeer]
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from mtmoe.engine.program import MeshFunction, MeshProgram
from mtmoe.mesh.build import Build, Built
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.features import Features
from mtmoe.mesh.initializers import zeros
from mtmoe.model.features import Tokens
from mtmoe.model.feedforward import FeedForward
from mtmoe.model.moe.layer import MixtureOfExperts, MixtureOfExpertsLayer
from mtmoe.model.routing import RoutingSummary, summarize_routing
from mtmoe.startup.memory import keep_freed_memory, restart_with_tunables

_EXPERTS = flags.DEFINE_list("experts", ["8", "16", "32", "64", "128"], "How many.")
_RUNS = flags.DEFINE_integer("runs", 15, "Calls timed of each layer.", 5)
_PEER = flags.DEFINE_bool("peer", True, "Whether transformers' layer is measured too.")
_CHILD = flags.DEFINE_bool("child", False, "Used by this script.")

D_MODEL, D_FF, LENGTH, ROWS = 256, 1024, 256, 16

# Layers are called by their number of experts, experts alone by that and a suffix, and
# the two without any so:
DENSE, DENSE_SLOTS = "dense", "dense_slots"
_SLOTS = "_slots"

# What is asked of ours: at most so many times the dense layer at these numbers of
# experts, and any number at most so many times another.
_MOST_TO_DENSE, _LIMITED = 1.25, ("16", "128")
_MOST_SPREAD = 1.15


def random_rows(layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns a layer's input and the gradient of its output, normal float32.

    Args:
      layer: its name; one on slots takes a quarter more rows.

    Returns:
      Two arrays [rows, LENGTH, D_MODEL].
    """
    rows = ROWS * 5 // 4 if layer.endswith(_SLOTS) else ROWS
    generator = np.random.default_rng(0)
    x, d_y = generator.standard_normal([2, rows, LENGTH, D_MODEL], np.float32)
    return x, d_y


class Ours:
    """The layers of this repository, each an XLA-compiled function."""

    def __init__(self, layers: Sequence[str]):
        """Builds the layers; each is compiled when first called.

        Args:
          layers: their names.
        """
        program = MeshProgram()
        self._functions: dict[str, MeshFunction] = {}
        self._features: dict[str, dict[str, np.ndarray]] = {}
        for layer in layers:
            arrays = dict(zip(("x", "d_y"), random_rows(layer), strict=True))
            self._features[layer] = arrays
            signature = {
                name: tf.TensorSpec(array.shape, tf.float32)
                for name, array in arrays.items()
            }
            self._functions[layer] = program.function(
                _builder(layer), signature, layer, training=True
            )

    def call(self, layer: str) -> None:
        """Runs a layer forward and backward."""
        outputs = self._functions[layer](0, **self._features[layer])
        np.asarray(outputs["objective"])


def _builder(layer: str) -> Build:
    """Makes the build function of one layer, forward and backward."""

    def build(context: GraphContext, features: Features) -> Built:
        rows, length, d_model = features["x"].shape
        if layer.endswith(_SLOTS) and layer != DENSE_SLOTS:
            experts = int(layer.removesuffix(_SLOTS))
            slots = rows * length // experts
            sizes = {"experts": experts, "slots": slots, "d_model": d_model}
        else:
            sizes = {"batch": rows, "length": length, "d_model": d_model}
        shape = mtf.Shape([mtf.Dimension(*size) for size in sizes.items()])
        x, d_y = (context.import_tensor(features[name], shape) for name in ("x", "d_y"))
        summary = None
        network = FeedForward(D_FF, initialization_scale=0.1)
        with context.scope(f"layer_{layer}"):
            if layer.isdecimal():
                y, summary = _switch(context, x, network, int(layer))
            else:
                y = network(context, x, [d for d in shape if d.name == "experts"])
            objective = mtf.reduce_sum(y * d_y)
            if summary is not None:
                objective += summary.balance_loss + summary.z_loss
            kept = _keep_gradients(context, objective, x)
        outputs = {} if summary is None else vars(summary)
        return {"objective": objective} | outputs, kept

    return build


def _switch(
    context: GraphContext, x: mtf.Tensor, network: FeedForward, num_experts: int
) -> tuple[mtf.Tensor, RoutingSummary]:
    """Applies a Switch layer to rows without padding."""
    shape = mtf.Shape(x.shape.dims[:-1])
    tokens = Tokens(mtf.ones(x.mesh, shape, tf.int32), mtf.ones(x.mesh, shape))
    config = MixtureOfExperts(num_experts, group_size=ROWS * LENGTH)
    layer = MixtureOfExpertsLayer(config, network)
    y, routing = layer(context, x, tokens, "switch")
    return y, summarize_routing([routing])


def _keep_gradients(
    context: GraphContext, objective: mtf.Tensor, x: mtf.Tensor
) -> list[mtf.Operation]:
    """Assigns the gradients of the input and of all weights to variables."""
    weights = [variable.outputs[0] for variable in context.mesh.graph.all_variables]
    gradients = mtf.gradients([objective], [x, *weights])
    return [
        mtf.assign(
            context.variable(f"gradient_{i}", gradient.shape, zeros, trainable=False),
            gradient,
        )
        for i, gradient in enumerate(gradients)
    ]


class Peer:
    """The Switch layers of `transformers`, in a process of their own."""

    def __init__(self, experts: Sequence[str]):
        """Starts it.

        Args:
          experts: of the layers that it has beside the dense ones.
        """
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--child", f"--experts={','.join(experts)}"],
            # The peer runs as it is started from a shell, without our tunables.
            env={k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.versions = self._answer()

    def call(self, layer: str) -> None:
        """Makes it run a layer forward and backward."""
        assert self._process.stdin
        print(layer, file=self._process.stdin, flush=True)
        self._answer()

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended with {self._process.wait()}")
        return line.strip()


def child(layers: Sequence[str]) -> None:
    """The peer's process: runs the layer of each line that comes in."""
    import torch
    import transformers
    from transformers.models.switch_transformers import (
        modeling_switch_transformers as switch,
    )

    def module(layer: str) -> torch.nn.Module:
        config = transformers.SwitchTransformersConfig(
            d_model=D_MODEL,
            d_ff=D_FF,
            num_experts=int(layer) if layer.isdecimal() else 1,
            expert_capacity=LENGTH,
            dropout_rate=0.0,
        )
        if layer.isdecimal():
            return switch.SwitchTransformersSparseMLP(config)
        return switch.SwitchTransformersDenseActDense(config)

    modules = {layer: module(layer).train() for layer in layers}
    rows = {
        layer: [torch.from_numpy(array) for array in random_rows(layer)]
        for layer in layers
    }
    print(
        f"transformers {transformers.__version__}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads",
        flush=True,
    )
    for line in sys.stdin:
        layer = line.strip()
        modules[layer].zero_grad()
        x, d_y = rows[layer]
        x.grad = None
        # The jitter is multiplied into the input in place, which must not be a leaf.
        modules[layer](x.requires_grad_().clone()).backward(d_y)
        print("done", flush=True)


def measure(
    systems: Mapping[str, Ours | Peer], layers: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, list[float]]]:
    """Lets the layers of all systems take turns.

    Args:
      systems: by name.
      layers: names of each system's.

    Returns:
      Milliseconds of each call, by system and layer.
    """
    times: dict[str, dict[str, list[float]]] = {
        name: {layer: [] for layer in layers[name]} for name in systems
    }
    turns = [(name, layer) for name, taken in times.items() for layer in taken]
    for run in range(-2, _RUNS.value):  # twice to compile and to warm up
        for name, layer in turns:
            started = time.perf_counter()
            systems[name].call(layer)
            if run >= 0:
                times[name][layer].append((time.perf_counter() - started) * 1e3)
    return times


def report(name: str, times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Prints a row a layer of one system.

    Args:
      name: the system's.
      times: milliseconds of each call, by layer.

    Returns:
      Median milliseconds by layer.
    """
    medians = {layer: statistics.median(taken) for layer, taken in times.items()}
    fewest = next(layer for layer in times if layer.isdecimal())
    print(
        f"\n{name:12}     ms  (least to most)  to {DENSE}  to {DENSE_SLOTS}  "
        f"to {fewest} experts"
    )
    for layer, taken in times.items():
        median = medians[layer]
        print(
            f"{layer:12} {median:6.1f}  ({min(taken):5.1f} to {max(taken):5.1f})  "
            f"{median / medians[DENSE]:8.2f}  {median / medians[DENSE_SLOTS]:14.2f}  "
            f"{median / medians[fewest]:12.2f}"
        )
    return medians


def judge(what: str, ratio: float, limit: float) -> None:
    """Prints a ratio of ours beside what it may be."""
    verdict = "met" if ratio <= limit else "MISSED"
    print(f"{what}: {ratio:.2f} (wanted at most {limit}: {verdict})")


def main(argv: list[str]) -> None:
    """Measures all layers, and prints tables and limits."""
    del argv
    experts = _EXPERTS.value
    layers = [DENSE, DENSE_SLOTS, *experts]
    if _CHILD.value:
        child(layers)
        return
    limited = [layer for layer in _LIMITED if layer in experts]
    alone = [f"{layer}{_SLOTS}" for layer in limited]
    logging.set_verbosity(logging.ERROR)
    restart_with_tunables()  # as training does
    keep_freed_memory()
    systems: dict[str, Ours | Peer] = {"ours": Ours([*layers, *alone])}
    versions = f"TensorFlow {tf.__version__}"
    peer = Peer(experts) if _PEER.value else None
    if peer is not None:
        systems["transformers"] = peer
        versions += f", {peer.versions}"
    print(
        f"Python {platform.python_version()}, {versions}; {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; {ROWS * LENGTH:,} tokens, d_model {D_MODEL}, d_ff "
        f"{D_FF}, float32; medians of {_RUNS.value} calls in turn"
    )
    tf.get_logger().setLevel("ERROR")  # compiling a layer is not "retracing"
    times = measure(systems, {"ours": [*layers, *alone], "transformers": layers})
    medians = {name: report(name, times[name]) for name in systems}
    print()
    ours = medians["ours"]
    for layer in limited:
        for dense in (DENSE, DENSE_SLOTS):
            judge(
                f"{layer} experts to {dense}", ours[layer] / ours[dense], _MOST_TO_DENSE
            )
        to_alone = ours[layer] / ours[f"{layer}{_SLOTS}"]
        print(f"{layer} experts to their products alone: {to_alone:.2f}")
    flat = [ours[layer] for layer in experts]
    judge("slowest number of experts to fastest", max(flat) / min(flat), _MOST_SPREAD)
    if peer is not None:
        peer.close()
        for layer in layers:
            ratio = medians["transformers"][layer] / ours[layer]
            print(f"{layer}: ours is {ratio:.2f} x as fast as transformers")


if __name__ == "__main__":
    app.run(main)
