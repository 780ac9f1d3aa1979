"""Lowered programs, kept from one process to the next.

A program is kept under a digest of everything it depends on: what its build function
does and closes over, the features, layout, seed and precision, gin's bindings, and all
code (`kept.fingerprint`, `kept.sources`). Where one of them is not known for sure,
nothing is kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import time
from collections.abc import Mapping

import gin
import tensorflow as tf

from mtmoe.engine.compile import apart
from mtmoe.engine.kept import cache
from mtmoe.engine.kept.fingerprint import NoFingerprintError, describe
from mtmoe.engine.kept.sources import ChangedSourceError, digest
from mtmoe.engine.kept.turns import turn
from mtmoe.mesh.build import Build
from mtmoe.mesh.lowered import LoweredProgram, ProgramOptions, lower

_log = logging.getLogger(__name__)


def lowered_program(
    build: Build,
    signature: Mapping[str, tf.TensorSpec],
    name: str,
    options: ProgramOptions,
) -> LoweredProgram:
    """Lowers a function, or reads what another process made of the same one.

    Arguments and errors are those of `mtmoe.mesh.lowered.lower`.
    """
    if cache.programs is None:
        return lower(build, signature, name, options)
    try:
        key = program_key(build, signature, name, options)
    except (NoFingerprintError, ChangedSourceError) as error:
        _log.info("%s is not kept: %s", name, error)
        return lower(build, signature, name, options, apart.expect)
    path = cache.programs / f"{key}.program"
    started = time.monotonic()
    program = cache.read(path, LoweredProgram)
    if program is None:
        with turn(path):  # the processes of a run all want it at once
            program = cache.read(path, LoweredProgram)  # another was first
            if program is None:
                program = lower(build, signature, name, options, apart.expect)
                cache.write(path, program)
                return program
    return dataclasses.replace(program, seconds=time.monotonic() - started)


def program_key(
    build: Build,
    signature: Mapping[str, tf.TensorSpec],
    name: str,
    options: ProgramOptions,
) -> str:
    """Returns a digest of everything the lowered function depends on.

    Raises:
      NoFingerprintError: it depends on something that has no fingerprint.
      ChangedSourceError: a source file changed since this process read it.
    """
    parts = [
        describe([name, dict(signature), options, build]),
        gin.config_str(),  # read by configurables that are called while building
        digest(),
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()
