"""Compiles and runs a lowered program through JAX: the one file that knows its insides.

JAX traces nothing of the model. A primitive stands for the whole program, and its
lowering inlines our module; `jit` and `shard_map` around it bring what PJRT needs to
run it on every device of a mesh: sharded arrays, donated buffers, asynchronous
dispatch, a cache of what was compiled, several processes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import func
from jax.interpreters import mlir
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Compiled

from mtmoe.engine.cache import mended
from mtmoe.engine.kept_executables import kept_executable
from mtmoe.mesh.signature import Argument, Program, Signature
from mtmoe.startup.garbage import without_garbage_collection

_program = Primitive("mesh_program")
_program.multiple_results = True


@dataclasses.dataclass(frozen=True)
class _Module:
    """A program as a parameter of the primitive; equal only to itself."""

    stablehlo: bytes = dataclasses.field(repr=False)
    results: tuple[tuple[tuple[int, ...], str], ...]


@_program.def_abstract_eval
def _abstract(*arguments: Any, module: _Module) -> list[Any]:
    del arguments
    return [
        jax.core.ShapedArray(shape, np.dtype(dtype)) for shape, dtype in module.results
    ]


def _inline(context: Any, *arguments: Any, module: _Module) -> list[Any]:
    """Merges the program's module into the one being lowered, and calls it."""
    target = context.module_context
    with target.context:
        source = ir.Module.parse(module.stablehlo)
    name = mlir.merge_mlir_modules(
        target.module, "mesh_program", source, dst_symtab=target.symbol_table
    )
    symbol = target.symbol_table[name]
    call = func.CallOp(symbol.type.results, ir.FlatSymbolRefAttr.get(name), arguments)
    return list(call.results)


mlir.register_lowering(_program, _inline)


class Executable:
    """A program compiled for the devices of a mesh."""

    def __init__(self, signature: Signature, mesh: Mesh, compiled: Any):
        """Keeps what `compile_program` made."""
        self.signature, self.mesh, self.compiled = signature, mesh, compiled

    def __call__(
        self,
        step: int,
        features: Sequence[jax.Array],
        variables: Mapping[str, jax.Array],
    ) -> tuple[list[jax.Array], dict[str, jax.Array]]:
        """Starts the program; results are arrays that may still be computed.

        Args:
          step: the step number.
          features: one array a feature, laid out as the signature says.
          variables: by name. Those that the program updates are donated: their arrays
            cannot be used any more.

        Returns:
          The outputs in order, and the new values of the updated variables.
        """
        donated = [variables[name] for name in self.signature.updated]
        updated = set(self.signature.updated)
        kept = [
            variables[argument.name]
            for argument in self.signature.variables
            if argument.name not in updated
        ]
        outputs, values = self.compiled(
            np.int32(step), processor_numbers(self.mesh), list(features), donated, kept
        )
        return outputs, dict(zip(self.signature.updated, values, strict=True))


def compile_program(
    program: Program, mesh: Mesh, options: Mapping[str, Any] | None = None
) -> Executable:
    """Compiles a program for the devices of a mesh, which need not be there.

    Args:
      program: what to compile.
      mesh: the devices, axes named as in the program's signature.
      options: XLA's, by name.
    """
    with without_garbage_collection(), mended(f"jit_{program.signature.name}"):
        compiled = kept_executable(program, mesh, dict(options or {}), compile_here)
    return Executable(program.signature, mesh, compiled)


def compile_here(program: Program, mesh: Mesh, options: Mapping[str, Any]) -> Compiled:
    """Compiles a program in this process, whatever is kept of it."""
    arguments = _abstract_arguments(program.signature, mesh)
    lowered = _jitted(program, mesh).lower(*arguments)
    compiled: Compiled = lowered.compile(compiler_options=dict(options))
    return compiled


def _jitted(program: Program, mesh: Mesh) -> Any:
    signature = program.signature
    updated = [a for a in signature.variables if a.name in set(signature.updated)]
    updated.sort(key=lambda a: signature.updated.index(a.name))
    kept = [a for a in signature.variables if a.name not in set(signature.updated)]
    order = {a.name: i for i, a in enumerate([*updated, *kept])}
    module = _Module(
        program.stablehlo,
        tuple((a.shape, a.dtype) for a in signature.outputs)
        + tuple((slice_shape(a, mesh), a.dtype) for a in updated),
    )

    def call(step, processor, features, donated, constant):  # type: ignore[no-untyped-def]
        given = [*donated, *constant]
        variables = [given[order[a.name]] for a in signature.variables]
        results = _program.bind(
            step, processor.reshape(()), *features, *variables, module=module
        )
        return results[: len(signature.outputs)], results[len(signature.outputs) :]

    call.__name__ = signature.name
    whole = PartitionSpec()
    specs = [[partition_spec(a) for a in group] for group in (updated, kept)]
    return jax.jit(
        jax.shard_map(
            call,
            mesh=mesh,
            in_specs=(
                whole,
                PartitionSpec(mesh.axis_names),
                [partition_spec(a) for a in signature.features],
                *specs,
            ),
            out_specs=([whole] * len(signature.outputs), specs[0]),
            check_vma=False,
        ),
        donate_argnums=(3,),
    )


def _abstract_arguments(signature: Signature, mesh: Mesh) -> tuple[Any, ...]:
    def abstract(argument: Argument) -> Any:
        return jax.ShapeDtypeStruct(
            argument.shape, np.dtype(argument.dtype), sharding=sharding(argument, mesh)
        )

    by_name = {a.name: a for a in signature.variables}
    updated = [by_name.pop(name) for name in signature.updated]
    every = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    return (
        jax.ShapeDtypeStruct(
            (), np.int32, sharding=NamedSharding(mesh, PartitionSpec())
        ),
        jax.ShapeDtypeStruct((mesh.size,), np.int32, sharding=every),
        [abstract(a) for a in signature.features],
        [abstract(a) for a in updated],
        [abstract(a) for a in by_name.values()],
    )


@functools.lru_cache(maxsize=8)
def processor_numbers(mesh: Mesh) -> jax.Array:
    """Returns an array that gives each device its processor's number."""
    numbers = np.arange(mesh.size, dtype=np.int32)
    every = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    return jax.make_array_from_callback((mesh.size,), every, lambda i: numbers[i])


def partition_spec(argument: Argument) -> PartitionSpec:
    """Says in JAX's words how an argument is split."""
    return PartitionSpec(*argument.split)


def sharding(argument: Argument, mesh: Mesh) -> NamedSharding:
    """Says in JAX's words how an argument lies on the devices of a mesh."""
    return NamedSharding(mesh, partition_spec(argument))


def slice_shape(argument: Argument, mesh: Mesh) -> tuple[int, ...]:
    """Returns the shape of a processor's slice of an argument."""
    return tuple(
        size if axis is None else size // mesh.shape[axis]
        for size, axis in zip(argument.shape, argument.split, strict=True)
    )
