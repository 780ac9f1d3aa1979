"""A StableHLO program as a function of JAX, on every device of a mesh.

JAX traces nothing of the model. A primitive stands for the whole program, and its
lowering inlines our module; `jit` and `shard_map` around it supply what PJRT needs:
sharded arrays, donated buffers, asynchronous dispatch, a cache of compiled programs,
several processes. JAX 0.4.35 and later will do.

A signature has the fields of `mtmoe.mesh.signature.Signature`.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import func, stablehlo
from jax.interpreters import mlir
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_program = Primitive("mesh_program")
_program.multiple_results = True


@dataclasses.dataclass(frozen=True)
class _Module:
    """A program as a parameter of the primitive, and a processor's results."""

    stablehlo: bytes = dataclasses.field(repr=False)
    is_artifact: bool
    results: tuple[tuple[tuple[int, ...], str], ...]

    def parse(self, context: Any) -> Any:
        if self.is_artifact:
            return stablehlo.deserialize_portable_artifact(context, self.stablehlo)
        with context:
            return ir.Module.parse(self.stablehlo)


@_program.def_abstract_eval
def _abstract(*arguments: Any, module: _Module) -> list[Any]:
    del arguments
    return [
        jax.core.ShapedArray(shape, np.dtype(dtype)) for shape, dtype in module.results
    ]


def _inline(context: Any, *arguments: Any, module: _Module) -> list[Any]:
    """Merges the program's module into the one being lowered, and calls it."""
    target = context.module_context
    source = module.parse(target.context)
    name = mlir.merge_mlir_modules(
        target.module, "mesh_program", source, dst_symtab=target.symbol_table
    )
    symbol = target.symbol_table[name]
    call = func.CallOp(symbol.type.results, ir.FlatSymbolRefAttr.get(name), arguments)
    return list(call.results)


mlir.register_lowering(_program, _inline)


def lower(
    stablehlo: bytes, signature: Any, mesh: Mesh, is_artifact: bool = False
) -> Any:
    """Lowers a program for the devices of a mesh, which need not exist here.

    The function takes the step, `processor_numbers`, a list of features, a list of the
    updated variables, which are donated, and a list of the others; it returns the
    outputs and the updated variables.

    Args:
      stablehlo: the module: MLIR bytecode or text, or a portable artifact.
      signature: what it takes and gives.
      mesh: the devices, axes named as in the signature.
      is_artifact: whether the module is a portable artifact.
    """
    updated, kept = groups(signature)
    order = {a.name: i for i, a in enumerate([*updated, *kept])}
    count = len(signature.outputs)
    results = [(tuple(a.shape), a.dtype) for a in signature.outputs]
    results += [(slice_shape(a, mesh), a.dtype) for a in updated]
    module = _Module(stablehlo, is_artifact, tuple(results))

    def call(step, processor, features, donated, constant):  # type: ignore[no-untyped-def]
        given = [*donated, *constant]
        variables = [given[order[a.name]] for a in signature.variables]
        values = _program.bind(
            step, processor.reshape(()), *features, *variables, module=module
        )
        return values[:count], values[count:]

    call.__name__ = signature.name
    whole, each = PartitionSpec(), PartitionSpec(mesh.axis_names)
    arrays = [signature.features, updated, kept]
    specs = [[partition_spec(a) for a in group] for group in arrays]
    on_mesh = _shard_map(call, mesh, (whole, each, *specs), ([whole] * count, specs[1]))
    return jax.jit(on_mesh, donate_argnums=(3,)).lower(
        jax.ShapeDtypeStruct((), np.int32, sharding=NamedSharding(mesh, whole)),
        jax.ShapeDtypeStruct(
            (mesh.size,), np.int32, sharding=NamedSharding(mesh, each)
        ),
        *([_abstract_array(a, mesh) for a in group] for group in arrays),
    )


def _shard_map(function: Any, mesh: Mesh, in_specs: Any, out_specs: Any) -> Any:
    if hasattr(jax, "shard_map"):
        return jax.shard_map(
            function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
        )
    from jax.experimental.shard_map import shard_map  # JAX before 0.6

    return shard_map(
        function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_rep=False
    )


def _abstract_array(argument: Any, mesh: Mesh) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(
        tuple(argument.shape),
        np.dtype(argument.dtype),
        sharding=sharding(argument, mesh),
    )


def groups(signature: Any) -> tuple[list[Any], list[Any]]:
    """Returns the variables that are updated, in the results' order, and the others."""
    others = {argument.name: argument for argument in signature.variables}
    return [others.pop(name) for name in signature.updated], list(others.values())


@functools.lru_cache(maxsize=8)
def processor_numbers(mesh: Mesh) -> jax.Array:
    """Returns an array that gives each device its processor's number."""
    numbers = np.arange(mesh.size, dtype=np.int32)
    every = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    return jax.make_array_from_callback((mesh.size,), every, lambda i: numbers[i])


def partition_spec(argument: Any) -> PartitionSpec:
    """Returns how an argument is split, as JAX writes it."""
    return PartitionSpec(*argument.split)


def sharding(argument: Any, mesh: Mesh) -> NamedSharding:
    """Returns how an argument lies on the devices of a mesh, as JAX writes it."""
    return NamedSharding(mesh, partition_spec(argument))


def slice_shape(argument: Any, mesh: Mesh) -> tuple[int, ...]:
    """Returns the shape of a processor's slice of an argument."""
    return tuple(
        size if axis is None else size // mesh.shape[axis]
        for size, axis in zip(argument.shape, argument.split, strict=True)
    )
