"""config.json to an `EncoderDecoder` and back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mtmoe.errors import CheckpointError, ConfigError, UnknownNameError
from mtmoe.model.encoder_decoder import EncoderDecoder
from mtmoe.model.moe.capacity import Capacity
from mtmoe.model.moe.feedforward import SparseFeedForward
from mtmoe.model.moe.mixture import MixtureOfExperts
from mtmoe.model.moe.routers.switch import SwitchRouter
from mtmoe.model.normalization import RMSNorm
from mtmoe.model.parts import expert_layer_names, stacks_of
from mtmoe.model.positions.relative import Buckets
from mtmoe.model.stack import Stack
from mtmoe.ranges import Count, NonNegative, Rate, check_number

# Their capacity is a number of tokens of one sequence, no factor. At inference ours
# drops nothing; this is more than any sequence has, and costs them nothing.
EXPERT_CAPACITY = 1_000_000

# Their activation and ours. Their `gelu_new`, and T5's `gated-gelu`, is the
# approximation by tanh that T5 was trained with.
_ACTIVATIONS = {
    "relu": "relu",
    "gelu_new": "gelu",
    "gelu": "gelu_exact",
    "silu": "silu",
    "gated-gelu": "geglu",
    "gated-silu": "swiglu",
}

# What changes how a model is trained and not what it computes; not exported.
_TRAINED_WITH = {
    "EncoderDecoder": {"initialization_scale", "moe"},
    "MixtureOfExperts": {
        "capacity",
        "dispatch",
        "dropout_rate",
        "group_size",
        "priority",
        "router",
    },
}
_ROUTER = re.compile(r"(encoder|decoder)\.block\.(\d+)\.layer\.\d+\.mlp\.router\.")


@dataclasses.dataclass(frozen=True)
class Family:
    """One of their three model types.

    Attributes:
      model_type: what config.json calls it.
      architecture: their class.
      feed_forward: their name of the module inside a feed-forward layer.
      activation_key: where config.json has the activation.
      ties_by_config: whether `tie_word_embeddings` decides if tables are shared; the
        other classes always share those that the file does not hold apart.
    """

    model_type: str
    architecture: str
    feed_forward: str
    activation_key: str
    ties_by_config: bool = False

    @property
    def activations(self) -> tuple[str, ...]:
        """Activations its class has, by their names."""
        gated = self.activation_key == "feed_forward_proj"
        return tuple(
            name for name in _ACTIVATIONS if gated or not name.startswith("gated")
        )


FAMILIES = {
    family.model_type: family
    for family in (
        Family(
            "t5", "T5ForConditionalGeneration", "DenseReluDense", "feed_forward_proj"
        ),
        Family(
            "mt5", "MT5ForConditionalGeneration", "DenseReluDense", "feed_forward_proj"
        ),
        Family(
            "switch_transformers",
            "SwitchTransformersForConditionalGeneration",
            "mlp",
            "dense_act_fn",
            ties_by_config=True,
        ),
    )
}


def family_of(config: Mapping[str, Any]) -> Family:
    """Returns the family of a config.json.

    Raises:
      UnknownNameError: it is of another model type.
    """
    name = str(config.get("model_type"))
    if name not in FAMILIES:
        raise UnknownNameError("model_type", name, FAMILIES, "config.json")
    return FAMILIES[name]


def logits_are_scaled(config: Mapping[str, Any]) -> bool:
    """Whether the decoder's output is multiplied by d_model^-0.5 before the logits.

    In T5 and Switch Transformers `tie_word_embeddings` says so, and T5's newer configs,
    where that is always true, say it apart. mT5 never scales.
    """
    family = family_of(config)
    if family.model_type == "mt5":
        return False
    tied = bool(config.get("tie_word_embeddings", True))
    return bool(config.get("scale_decoder_outputs", tied))


def model_of(
    config: Mapping[str, Any], tensor_names: Iterable[str], tied: bool
) -> EncoderDecoder:
    """Returns the model that a config.json describes.

    Args:
      config: its content.
      tensor_names: names of all tensors; they say which layers are sparse.
      tied: whether the logits share the embedding table.

    Raises:
      CheckpointError: the model has something that ours does not.
      ConfigError: a number is missing or out of range.
    """
    family = family_of(config)
    _check_fixed(config)
    activation = str(config.get(family.activation_key, "relu"))
    if activation not in family.activations:
        where = f"{family.activation_key} in config.json"
        raise UnknownNameError("activation", activation, family.activations, where)
    layers = _number(config, "num_layers", None, Count)
    sparse = {(stack, int(layer)) for stack, layer in _router_layers(tensor_names)}
    sizes = ("vocab_size", "d_model", "d_ff", "num_heads", "d_kv")
    fields = {name: _number(config, name, None, Count) for name in sizes} | {
        "num_decoder_layers": _number(config, "num_decoder_layers", layers, Count),
        "dropout_rate": _dropout_rate(config),
        "relative_position_buckets": _number(
            config, "relative_attention_num_buckets", 32, Buckets
        ),
        "relative_position_max_distance": _number(
            config, "relative_attention_max_distance", 128, Count
        ),
        "moe": _experts(config) if sparse else None,
    }
    try:
        model = EncoderDecoder(
            num_encoder_layers=layers,
            activation=_ACTIVATIONS[activation],
            tied_embeddings=tied,
            **fields,
        )
    except ConfigError as error:  # numbers that do not go together
        raise CheckpointError(f"config.json: {error}") from error
    return _with_sparse_layers(model, sparse) if sparse else model


def config_of(model: EncoderDecoder, family: Family) -> dict[str, Any]:
    """Returns the config.json of a model, but for `special_ids`.

    Raises:
      ConfigError: the family cannot express the model; the message says what.
    """
    theirs = {_ACTIVATIONS[name]: name for name in family.activations}
    if model.activation not in theirs:
        raise UnknownNameError(
            f"activation of {family.architecture}",
            model.activation,
            theirs,
            "EncoderDecoder.activation; a model with it cannot be exported",
        )
    config: dict[str, Any] = {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "is_encoder_decoder": True,
        "dtype": "float32",
        "vocab_size": model.vocab_size,
        "d_model": model.d_model,
        "d_kv": model.d_kv,
        "d_ff": model.d_ff,
        "num_layers": model.num_encoder_layers,
        "num_decoder_layers": model.num_decoder_layers,
        "num_heads": model.num_heads,
        "relative_attention_num_buckets": model.relative_position_buckets,
        "relative_attention_max_distance": model.relative_position_max_distance,
        "dropout_rate": model.dropout_rate,
        "layer_norm_epsilon": RMSNorm().epsilon,
        family.activation_key: theirs[model.activation],
        # mT5's logits are never tied in our sense; see `token_tables`.
        "tie_word_embeddings": model.tied_embeddings and family.model_type != "mt5",
    }
    if expert_layer_names(model):
        config |= _switch_config(model)
    _check_expressible(model, config)
    return config


def _number(config: Mapping[str, Any], name: str, default: Any, allowed: Any) -> Any:
    """Returns a number of config.json, or `default` where it is null or not there.

    Raises:
      RangeError: it is none, or out of range.
    """
    value = config.get(name)
    value = default if value is None else value
    check_number(f"config.json: {name}", value, allowed)
    return value


def _check_fixed(config: Mapping[str, Any]) -> None:
    """Refuses what has no counterpart in our model, where it is not as always."""
    fixed = {
        "layer_norm_epsilon": (RMSNorm().epsilon,),
        "pad_token_id": (0,),
        "decoder_start_token_id": (0, None),
        "router_bias": (False,),
    }
    for name, allowed in fixed.items():
        value = config.get(name, allowed[0])
        if value not in allowed:
            raise CheckpointError(
                f"config.json: {name} is {value!r}; import takes {allowed[0]!r} only"
            )


def _router_layers(tensor_names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in tensor_names:
        if match := _ROUTER.match(name):
            yield match[1], match[2]


def _experts(config: Mapping[str, Any]) -> MixtureOfExperts:
    return MixtureOfExperts(
        num_experts=_number(config, "num_experts", None, Count),
        router=SwitchRouter(
            jitter_epsilon=_number(config, "router_jitter_noise", 0.01, Rate),
            balance_loss_weight=_number(
                config, "router_aux_loss_coef", 0.001, NonNegative
            ),
            z_loss_weight=_number(config, "router_z_loss_coef", 0.001, NonNegative),
        ),
        capacity=Capacity(),
        dropout_rate=_dropout_rate(config),
    )


def _dropout_rate(config: Mapping[str, Any]) -> float:
    return float(_number(config, "dropout_rate", 0.1, Rate))


def _with_sparse_layers(
    model: EncoderDecoder, sparse: Collection[tuple[str, int]]
) -> EncoderDecoder:
    """Returns the model with the spacing of the layers that have a router.

    Raises:
      CheckpointError: no spacing gives exactly these layers.
    """
    for every in range(1, max(model.num_encoder_layers, model.num_decoder_layers) + 1):
        spaced = dataclasses.replace(model, expert_layer_every=every)
        if sparse == {
            (stack.name, layer)
            for stack in stacks_of(spaced)
            for layer in _sparse(stack)
        }:
            return spaced
    raise CheckpointError(
        f"the sparse layers are {sorted(sparse)}; import takes every n-th layer of "
        "encoder and decoder, the n-th being the first"
    )


def _check_expressible(model: EncoderDecoder, config: Mapping[str, Any]) -> None:
    """Checks that what is read from the config again computes the same.

    Raises:
      ConfigError: a field would get another value; it is named.
    """
    routers = [
        f"{stack.name}.block.{layer}.layer.0.mlp.router."
        for stack in stacks_of(model)
        for layer in _sparse(stack)
    ]
    again = model_of(config, routers, model.tied_embeddings)
    _compare(_as_read(model), again)
    if model.moe is not None and again.moe is not None:
        _compare(model.moe, again.moe)


def _as_read(model: EncoderDecoder) -> EncoderDecoder:
    """Returns the same model with defaults for all that says no more than they do."""
    changes: dict[str, Any] = {}
    if not expert_layer_names(model):
        changes = {
            field.name: field.default
            for field in dataclasses.fields(model)
            if "expert" in field.name or field.name.endswith("moe")
        }
    if model.expert_d_ff == model.d_ff:
        changes["expert_d_ff"] = None
    if model.expert_activation == model.activation:
        changes["expert_activation"] = None
    return dataclasses.replace(model, **changes)


def _compare(ours: Any, again: Any) -> None:
    name = type(ours).__name__
    for field in dataclasses.fields(ours):
        value, read = getattr(ours, field.name), getattr(again, field.name)
        if value != read and field.name not in _TRAINED_WITH[name]:
            raise ConfigError(
                f"{name}.{field.name} is {value!r}; transformers has no such model: "
                f"export takes {read!r} there"
            )


def _sparse(stack: Stack) -> list[int]:
    return [
        number
        for number, entry in enumerate(stack.entries)
        if any(isinstance(r.sublayer, SparseFeedForward) for r in entry.block)
    ]


def _switch_config(model: EncoderDecoder) -> dict[str, Any]:
    moe = model.moe
    if moe is None or not isinstance(moe.router, SwitchRouter):
        raise ConfigError(
            "Switch Transformers of transformers have SwitchRouter in feed-forward "
            "networks; a model with other experts cannot be exported"
        )
    config: dict[str, Any] = {
        "num_experts": moe.num_experts,
        "expert_capacity": EXPERT_CAPACITY,
        "router_bias": False,
        "router_dtype": "float32",
        "router_jitter_noise": moe.router.jitter_epsilon,
        "router_aux_loss_coef": moe.router.balance_loss_weight,
        "router_z_loss_coef": moe.router.z_loss_weight,
    }
    for stack in stacks_of(model):
        sparse = _sparse(stack)
        config[f"num_sparse_{stack.name}_layers"] = len(sparse)
        config[f"{stack.name}_sparse_step"] = _sparse_step(stack, sparse)
    return config


def _sparse_step(stack: Stack, sparse: list[int]) -> int:
    """Returns the step that makes the same layers sparse in their stack.

    Raises:
      ConfigError: there is none.
    """
    for step in range(len(stack.entries) + 1):
        # Their rule, word for word; 0 is no sparse layer at all.
        theirs = [
            layer
            for layer in range(len(stack.entries))
            if step > 0 and (layer % step == 1 or step == 1)
        ]
        if theirs == sparse:
            return step
    raise ConfigError(
        f"Switch Transformers of transformers cannot have layers {sparse} of the "
        f"{stack.name} sparse: it takes every layer, or layers 1, 1 + n, 1 + 2n, ... "
        "Export takes models with expert_layer_every 1 or 2"
    )
