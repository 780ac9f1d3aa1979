"""Tasks of made-up text, and a run of a tiny model on them: seconds on a CPU."""

from __future__ import annotations

import functools
import random

import seqio

from mtmoe.data.mixing.stages import register_staged_mixture
from mtmoe.data.objectives.objective import TokenObjective
from mtmoe.data.objectives.prefix_lm import PrefixLM
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task, register_text_task

_GIN = """
register.task_modules = ["tiny_training"]
configured_vocabulary.factory = @byte_vocabulary
train:
  mixture = "{mixture}"
  model = @{model}()
  optimizer = @Adafactor()
  schedule = @inverse_square_root
  batch_size = 4
  lengths = {lengths}
  steps = 12
  log_every = 4
  checkpoint_every = 5
inverse_square_root.warmup_steps = 400
{model}:
  vocab_size = 384
  d_model = 16
  d_ff = 32
  num_heads = 2
  d_kv = 8
  expert_layer_every = 1
  dropout_rate = 0.1
  moe = @MixtureOfExperts()
MixtureOfExperts.num_experts = 2
"""

GIN = (
    _GIN.format(
        mixture="tiny",
        model="EncoderDecoder",
        lengths={"inputs": 32, "targets": 16},
    )
    + """EncoderDecoder.num_encoder_layers = 1
EncoderDecoder.num_decoder_layers = 1
"""
)

# A decoder alone, which is built in half the time.
DECODER_GIN = (
    _GIN.format(
        mixture="tiny.prefix_lm",
        model="DecoderOnly",
        lengths={"targets": 32},
    )
    + "DecoderOnly.num_layers = 1\n"
)


def documents(seed: int, split: str) -> list[str]:
    """Returns forty texts of sixty words out of thirty, the same for a seed."""
    words = random.Random(f"{seed} {split}")
    lexicon = [
        "".join(words.choices("abcdefgh", k=words.randint(2, 6))) for _ in range(30)
    ]
    return [" ".join(words.choices(lexicon, k=60)) for _ in range(40)]


def pairs(split: str) -> list[dict[str, str]]:
    """Returns two hundred short examples, several of which fit into a row."""
    words = random.Random(split)
    return [
        {
            "inputs": "".join(words.choices("abcdefgh", k=words.randint(1, 12))),
            "targets": words.choice("yn"),
        }
        for _ in range(200)
    ]


def _register(
    name: str, seed: int, language: str, objective: TokenObjective | None = None
) -> str:
    source = TextSource(functools.partial(documents, seed))
    card = TaskCard(family="pretraining", language=language, labels="self")
    return register_text_task(name, source, objective or SpanCorruption(), card)


seqio.MixtureRegistry.add(
    "tiny",
    [_register("tiny.a", 1, "de"), _register("tiny.b", 2, "sw")],
    default_rate=1.0,
)
seqio.MixtureRegistry.add(
    "tiny.prefix_lm",
    [
        _register("tiny.prefix_lm.a", 1, "de", PrefixLM()),
        _register("tiny.prefix_lm.b", 2, "sw", PrefixLM()),
    ],
    default_rate=1.0,
)
register_task("tiny.pairs", PairSource(pairs), TaskCard(family="other"))
seqio.MixtureRegistry.add("tiny.mixed", ["tiny.a", "tiny.pairs"], default_rate=1.0)
register_staged_mixture("tiny.staged", [(0, "tiny.a"), (6, "tiny")])
