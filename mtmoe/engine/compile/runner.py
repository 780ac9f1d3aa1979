"""Compiles a lowered program for the devices of a mesh, and runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.stages import Compiled

from mtmoe.engine.compile.kept_executables import kept_executable
from mtmoe.engine.kept.cache import mended
from mtmoe.engine.standalone.mesh_call import groups, lower, processor_numbers
from mtmoe.mesh.signature import Program, Signature
from mtmoe.startup.garbage import without_garbage_collection


class Executable:
    """A program compiled for the devices of a mesh."""

    def __init__(self, signature: Signature, mesh: Mesh, compiled: Any):
        """Keeps what `compile_program` made."""
        self.signature, self.mesh, self.compiled = signature, mesh, compiled
        self._donated, self._kept = groups(signature)

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
            cannot be used afterwards.

        Returns:
          The outputs in order, and the new values of the updated variables.
        """
        outputs, values = self.compiled(
            np.int32(step),
            processor_numbers(self.mesh),
            list(features),
            [variables[argument.name] for argument in self._donated],
            [variables[argument.name] for argument in self._kept],
        )
        return outputs, dict(zip(self.signature.updated, values, strict=True))


def compile_program(
    program: Program, mesh: Mesh, options: Mapping[str, Any] | None = None
) -> Executable:
    """Compiles a program for the devices of a mesh, which need not exist here."""
    with without_garbage_collection(), mended(f"jit_{program.signature.name}"):
        compiled = kept_executable(program, mesh, dict(options or {}), compile_here)
    return Executable(program.signature, mesh, compiled)


def compile_here(program: Program, mesh: Mesh, options: Mapping[str, Any]) -> Compiled:
    """Compiles a program in this process, without looking for a kept executable."""
    lowered = lower(program.stablehlo, program.signature, mesh)
    compiled: Compiled = lowered.compile(compiler_options=dict(options))
    return compiled
