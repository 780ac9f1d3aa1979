"""Greedy decoding of a Switch model, beside transformers' `generate` with a cache.

    python benchmarks/decode.py --peer_python=/path/to/python

Encoder and decoder of `--layers` layers each, every other feed-forward network one of
experts, random weights, `--batch` rows of `--inputs` tokens, exactly `--tokens` tokens
each (no end mark can be chosen). Both run in turns in one process each, with the same
number of threads; the median of `--runs` calls after one to warm up. The peer needs
torch and transformers, in an environment of its own if need be.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO, Any

import numpy as np

SIZES = {
    "d_model": 256,
    "d_ff": 1024,
    "heads": 4,
    "d_kv": 64,
    "layers": 4,
    "experts": 16,
    "vocab": 8192,
    "batch": 8,
    "inputs": 256,
    "tokens": 64,
}


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer_python", default=sys.executable)
    parser.add_argument("--no_peer", action="store_true")
    parser.add_argument("--role", choices=["main", "peer"], default="main")
    return parser.parse_args()


def random_inputs(args: argparse.Namespace) -> np.ndarray:
    """Returns int32 [batch, inputs], no padding, no end mark."""
    generator = np.random.default_rng(0)
    return generator.integers(2, args.vocab, [args.batch, args.inputs], np.int32)


def common_fields(args: argparse.Namespace) -> dict[str, int]:
    """Returns the sizes that both models have under the same name."""
    return {
        "vocab_size": args.vocab,
        "d_model": args.d_model,
        "d_ff": args.d_ff,
        "num_heads": args.heads,
        "d_kv": args.d_kv,
        "num_decoder_layers": args.layers,
    }


def our_model(args: argparse.Namespace) -> Callable[[], np.ndarray]:
    """Compiles the model; returns a call that decodes the batch."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from mtmoe.startup.memory import keep_freed_memory

    keep_freed_memory()  # as the commands do, before TensorFlow starts threads
    import tensorflow as tf

    from mtmoe.engine.program import MeshProgram
    from mtmoe.model.decoding.generate import generation_builder
    from mtmoe.model.decoding.strategies import Greedy
    from mtmoe.model.encoder_decoder import EncoderDecoder
    from mtmoe.model.moe.mixture import MixtureOfExperts

    # The last token is the end mark, and its row of the logits is pushed far down.
    model = EncoderDecoder(
        **common_fields(args),
        num_encoder_layers=args.layers,
        moe=MixtureOfExperts(args.experts) if args.experts else None,
        tied_embeddings=False,
        initialization_scale=1.0,
    )
    program = MeshProgram()
    generate = program.function(
        generation_builder(model, Greedy(), args.tokens, eos_id=args.vocab - 1),
        {
            "inputs": tf.TensorSpec([args.batch, args.inputs], tf.int32),
            "example_keys": tf.TensorSpec([args.batch], tf.int32),
        },
        "generate",
    )
    started = time.perf_counter()
    generate.executable  # noqa: B018  (compiled when asked for)
    print(
        f"built and lowered in {generate.program.seconds:.1f} s, compiled in "
        f"{time.perf_counter() - started:.1f} s"
    )
    inputs, keys = random_inputs(args), np.arange(args.batch, dtype=np.int32)

    def call() -> np.ndarray:
        return np.asarray(generate(0, inputs=inputs, example_keys=keys)["tokens"])

    return call


def peer_model(args: argparse.Namespace) -> Callable[[], Any]:
    """Makes transformers' model of the same sizes; returns a call that decodes."""
    import torch
    from transformers import (
        SwitchTransformersConfig,
        SwitchTransformersForConditionalGeneration,
    )

    config = SwitchTransformersConfig(
        **common_fields(args),
        num_layers=args.layers,
        num_sparse_encoder_layers=args.layers // 2,
        num_sparse_decoder_layers=args.layers // 2,
        num_experts=args.experts,
        expert_capacity=args.batch * args.inputs,
        dropout_rate=0.0,
        router_jitter_noise=0.0,
    )
    torch.manual_seed(0)
    model = SwitchTransformersForConditionalGeneration(config).eval()
    inputs = torch.tensor(random_inputs(args), dtype=torch.long)

    def call() -> Any:
        with torch.no_grad():
            return model.generate(
                inputs,
                decoder_start_token_id=0,
                do_sample=False,
                use_cache=True,
                min_new_tokens=args.tokens,
                max_new_tokens=args.tokens,
            )

    return call


def serve(args: argparse.Namespace) -> None:
    """The peer's process: decodes once for each line it reads, and says how long."""
    import torch
    import transformers

    call = peer_model(args)
    started = time.perf_counter()
    shape = list(call().shape)
    facts = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "first_call": time.perf_counter() - started,
        "shape": shape,
    }
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        call()
        print(time.perf_counter() - started, flush=True)


def start_peer(args: argparse.Namespace) -> subprocess.Popen[str]:
    """Starts this file again under the peer's interpreter."""
    flags = [f"--{name}={getattr(args, name)}" for name in SIZES]
    return subprocess.Popen(
        [args.peer_python, os.path.abspath(__file__), "--role=peer", *flags],
        # The peer runs as it is started from a shell, without our tunables.
        env={k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(peer: subprocess.Popen[str]) -> float:
    """Lets the peer decode once; returns its seconds."""
    assert isinstance(peer.stdin, IO) or peer.stdin is not None
    assert peer.stdout is not None
    peer.stdin.write("\n")
    peer.stdin.flush()
    return float(peer.stdout.readline())


def main() -> None:
    """Measures both in turns and prints the ratio."""
    args = arguments()
    if args.role == "peer":
        serve(args)
        return
    from mtmoe.startup.memory import restart_with_tunables

    restart_with_tunables()  # as the commands do
    peer = None if args.no_peer else start_peer(args)
    facts: dict[str, Any] = {}
    if peer is not None:
        assert peer.stdout is not None
        facts = json.loads(peer.stdout.readline())
    import tensorflow as tf

    call = our_model(args)
    started = time.perf_counter()
    tokens = call()
    first_call = time.perf_counter() - started
    assert tokens.shape == (args.batch, args.tokens) and np.all(tokens > 0)
    ours, theirs = [], []
    for _ in range(args.runs):
        started = time.perf_counter()
        call()
        ours.append(time.perf_counter() - started)
        if peer is not None:
            theirs.append(ask(peer))
    print(f"cores {os.cpu_count()}, TensorFlow {tf.__version__}, peer {facts}")
    print("sizes", {name: getattr(args, name) for name in SIZES})
    count = args.batch * args.tokens
    seconds = statistics.median(ours)
    print(
        f"mtmoe         {seconds:7.3f} s  {count / seconds:8.0f} tokens/s  "
        f"(first call {first_call:.1f} s)  {[round(x, 3) for x in ours]}"
    )
    if peer is not None:
        other = statistics.median(theirs)
        print(
            f"transformers  {other:7.3f} s  {count / other:8.0f} tokens/s  "
            f"{[round(x, 3) for x in theirs]}"
        )
        print(f"ratio {other / seconds:.2f}")
        assert peer.stdin is not None
        peer.stdin.close()
        peer.wait()


if __name__ == "__main__":
    main()
