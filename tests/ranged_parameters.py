"""Everything that gin can set, and which of it are numbers."""

import importlib
import typing

import gin
import tensorflow as tf

from mtmoe.config.registry import Configurable, import_rooms
from mtmoe.ranges import ranged_parameters

MODEL = {"vocab_size": 64, "d_model": 8, "d_ff": 16, "num_heads": 2, "d_kv": 4}
STEP = {"step": tf.constant(0)}
REQUIRED = {
    "DecoderOnly": MODEL | {"num_layers": 1},
    "EncoderOnly": MODEL | {"num_layers": 1},
    "PatchEmbedding": {"channels": 1},
    "EncoderDecoder": MODEL | {"num_encoder_layers": 1, "num_decoder_layers": 1},
    "HashRouter": {"vocab_size": 8},
    "MixtureOfExperts": {"num_experts": 4},
    "constant_learning_rate": STEP,
    "cosine_decay": STEP | {"base_learning_rate": 0.1, "total_steps": 5},
    "ext5_c4_rate": {"task": None},
    "inverse_square_root": STEP,
    "linear_decay": STEP | {"base_learning_rate": 0.1, "total_steps": 5},
    "linear_warmup_and_cooldown": STEP | {"total_steps": 5},
    "train": {
        "mixture": "m",
        "model": None,
        "optimizer": None,
        "schedule": None,
        "batch_size": 2,
        "lengths": {"inputs": 8, "targets": 8},
        "steps": 1,
    },
}


def configurables() -> list[Configurable]:
    """Returns ours, by whole names: Mesh TensorFlow has schedules of the same names."""
    import_rooms()
    importlib.import_module("mtmoe.tasks.exmix.mixtures")
    registry = gin.config._REGISTRY
    ours = [
        Configurable(name, entry.wrapped)
        for name, entry in registry.items()
        if (entry.wrapped.__module__ or "").startswith("mtmoe.")
    ]
    return sorted(ours, key=lambda one: one.selector)


def short(selector: str) -> str:
    """Returns the name without its module, as errors give it."""
    return selector.rpartition(".")[2]


def settable(one: Configurable) -> set[str]:
    denied = gin.config._REGISTRY.get_match(one.selector).denylist or ()
    return set(one.parameters) - set(denied)


def is_number(annotation) -> bool:
    parts = typing.get_args(annotation)
    return annotation in (int, float) or any(map(is_number, parts))


CONFIGURABLES = configurables()
RANGED = [
    (one.selector, name, annotation)
    for one in CONFIGURABLES
    for name, annotation in sorted(ranged_parameters(one.function).items())
    if name in settable(one) and typing.get_origin(annotation) is not dict
]


def make(selector: str, **values: object) -> object:
    """Makes the object of a configurable, or calls it, with all that it requires."""
    required = REQUIRED.get(short(selector), {})
    return gin.get_configurable(selector)(**(required | values))
