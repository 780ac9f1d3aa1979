"""XLA's options for each kind of device, and what a user makes of them.

One table, `TABLE`, says which options are set for which devices, why, and by whose
advice. `Engine.xla_options` of a config adds to it, changes it, or removes options:

    Engine.xla_options = {
        "xla_tpu_scoped_vmem_limit_kib": 81920,
        "xla_tpu_enable_async_all_to_all": None,  # XLA's default
    }

Before a program is compiled, a small one is compiled with the same options (30 ms). An
option of the table that this version of XLA does not have is dropped with a message;
one that a user wrote is an error. Options named after another kind of device are
ignored, so that one config serves a laptop and a TPU.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping
from typing import Any

import gin
import jax
import jaxlib.version
import numpy as np
from jax.errors import JaxRuntimeError
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mtmoe.engine.hardware.generations import generation_of
from mtmoe.errors import ConfigError, UnknownNameError, did_you_mean

Value = bool | int | float | str


@dataclasses.dataclass(frozen=True)
class XlaOption:
    """An option that is set unless the user says otherwise.

    Attributes:
      kinds: of devices: "cpu", "gpu", or the name of a TPU's generation.
      source: who recommends it.
    """

    name: str
    value: Value
    kinds: frozenset[str]
    reason: str
    source: str


TABLE = (
    XlaOption(
        "xla_disable_hlo_passes",
        "tree_reduction_rewriter",
        frozenset({"cpu"}),
        "The pass turns every sum over more than 32 numbers into a windowed one, which "
        "a CPU runs number by number, ten times and more slower (norms, softmax, "
        "second moments). Its aim, accurate sums over millions, mean_over has itself.",
        "measured; docs/performance.md",
    ),
    XlaOption(
        "xla_cpu_experimental_ynn_fusion_type",
        "",
        frozenset({"cpu"}),
        "No YNNPACK. It would get matrix products and sums. With few experts a step "
        "takes 8 to 11 % longer with it, with 128 as long as without; large sums take "
        "two to three times as long.",
        "measured; docs/performance.md",
    ),
    XlaOption(
        "xla_cpu_copy_insertion_use_region_analysis",
        True,
        frozenset({"cpu"}),
        "Without it XLA copies every donated variable once more before it is updated, "
        "1 GB a step with 128 experts.",
        "measured; docs/performance.md",
    ),
    XlaOption(
        "xla_gpu_enable_latency_hiding_scheduler",
        True,
        frozenset({"gpu"}),
        "Collectives start early and run during computation.",
        "docs.jax.dev, GPU performance tips",
    ),
    XlaOption(
        "xla_tpu_enable_async_all_to_all",
        True,
        frozenset({"v5p"}),
        "An all-to-all holds up the core by default; with it, sending tokens to "
        "experts is started and awaited apart. v5e refuses it on slices above 4x4 "
        "(limited ICI), TPU7x was tried on 2x2x1 alone, v4 and v6e ignore it.",
        "compiled programs of libtpu 0.0.42.1 with and without",
    ),
)

# Prefixes of names that belong to one platform alone.
_PLATFORMS = {"xla_cpu_": "cpu", "xla_gpu_": "gpu", "xla_tpu_": "tpu", "xla_jf_": "tpu"}

# How XLA names the option it refuses: unknown, or the value is of another type.
_REFUSED = re.compile(
    r"No such compile option: '(?P<unknown>[^']*)'"
    r"|While setting option (?P<a>\S+), |into flag (?P<b>\S+?):"
)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Engine:
    """How programs are compiled.

    Attributes:
      xla_options: XLA's options by name, added to the table's or replacing them; None
        removes one of the table's.
    """

    xla_options: Mapping[str, Value | None] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the names and the values.

        Raises:
          ConfigError: a value is of another type, or a name starts with dashes.
          UnknownNameError: an option to remove is not in the table.
        """
        for name, value in self.xla_options.items():
            if not isinstance(value, Value | None):
                raise ConfigError(
                    f"Engine.xla_options: {name} is {value!r}; it must be a number, "
                    "True, False, a text, or None to leave it out"
                )
            if value is None and name not in {option.name for option in TABLE}:
                raise UnknownNameError(
                    "option to leave out",
                    name,
                    [option.name for option in TABLE],
                    "Engine.xla_options",
                )
            if name.startswith("--"):
                raise ConfigError(
                    f"Engine.xla_options: {name!r} is written without dashes here: "
                    f"{name.lstrip('-').partition('=')[0]!r}"
                )


def device_family(device: Any) -> str:
    """Returns what `TABLE` calls a device: "cpu", "gpu", or a TPU's generation."""
    platform = _platform(device)
    if platform != "tpu":
        return platform
    generation = generation_of(device.device_kind)
    return generation.name if generation else "tpu"


def _platform(device: Any) -> str:
    return "gpu" if device.platform in ("cuda", "rocm") else str(device.platform)


def xla_options(mesh: Mesh, engine: Engine | None = None) -> dict[str, Value]:
    """Returns the options to compile with for the devices of a mesh.

    Args:
      mesh: the devices, those of a topology too.
      engine: what the user wants; the config's by default.

    Raises:
      ConfigError: XLA does not know an option that the user wrote, or not that value.
    """
    device = _own_device(mesh)
    family, platform = device_family(device), _platform(device)
    wanted = (engine or Engine()).xla_options
    options = {o.name: o.value for o in TABLE if family in o.kinds}
    for name, value in wanted.items():
        owner = next((p for s, p in _PLATFORMS.items() if name.startswith(s)), platform)
        if value is None:
            options.pop(name, None)
        elif owner == platform:
            options[name] = value
    return _accepted(options, device, wanted)


def _own_device(mesh: Mesh) -> Any:
    """A device that this process may compile for."""
    devices = list(mesh.devices.flat)
    own = [d for d in devices if d.process_index == jax.process_index()]
    return (own or devices)[0]


_verdicts: dict[tuple[Any, ...], frozenset[str]] = {}


def _accepted(
    options: dict[str, Value], device: Any, wanted: Mapping[str, Value | None]
) -> dict[str, Value]:
    """Drops what XLA refuses, tried once for each set of options."""
    key = (device.platform, device.device_kind, *sorted(options.items()))
    if key not in _verdicts:
        _verdicts[key] = _refused(options, device, wanted)
    return {name: v for name, v in options.items() if name not in _verdicts[key]}


def _refused(
    options: dict[str, Value], device: Any, wanted: Mapping[str, Value | None]
) -> frozenset[str]:
    place = NamedSharding(Mesh(np.array([device]), ("x",)), PartitionSpec())
    argument = jax.ShapeDtypeStruct((8,), np.float32, sharding=place)
    small = jax.jit(lambda x: x + 1).lower(argument)
    left, refused = dict(options), set()
    while left:
        try:
            small.compile(compiler_options=left)
            break
        except JaxRuntimeError as error:
            match = _REFUSED.search(str(error))
            name = match and (match["unknown"] or match["a"] or match["b"])
            if not match or name not in left:
                raise
            where = (
                f"XLA for {device.device_kind} (jaxlib {jaxlib.version.__version__})"
            )
            if wanted.get(name) is not None:
                raise ConfigError(
                    _complaint(name, left[name], where, bool(match["unknown"]))
                ) from error
            print(
                f"mtmoe: {where} does not have the option {name}; it is left out",
                file=sys.stderr,
            )
            refused.add(name)
            del left[name]
    return frozenset(refused)


def _complaint(name: str, value: Value, where: str, is_unknown: bool) -> str:
    if not is_unknown:
        return (
            f"Engine.xla_options: {name} is {value!r}, and {where} takes no such value "
            "for it; switches are True or False"
        )
    hint = did_you_mean(name, [option.name for option in TABLE], count=1)
    return f"Engine.xla_options: {where} has no option {name!r}{hint}"
