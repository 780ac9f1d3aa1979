"""What a lowered program takes and gives; imports no TensorFlow.

Plain data: a program can be kept, or handed to another process and compiled there.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any


@dataclasses.dataclass(frozen=True)
class Argument:
    """An array that goes into a program or comes out of it.

    Attributes:
      name: its name.
      dimensions: name of each dimension.
      shape: its size, of the whole array.
      dtype: NumPy's name of the dtype.
      split: for each dimension the mesh dimension that splits it, or None.
    """

    name: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    split: tuple[str | None, ...]


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a program takes and gives; plain data.

    Attributes:
      name: the function's name.
      mesh: name and size of each mesh dimension; processors are numbered in row-major
        order.
      features: what it is called with and uses, in order; a whole array may be given in
        another shape that holds the same numbers in the same order.
      variables: in order; each one an argument.
      trainable: names of the variables that are parameters.
      updated: names of the variables whose new values are results, in order.
      outputs: the other results, in order, whole on every processor.
      counters: what the lowering counted: (name, amount).
    """

    name: str
    mesh: tuple[tuple[str, int], ...]
    features: tuple[Argument, ...]
    variables: tuple[Argument, ...]
    trainable: tuple[str, ...]
    updated: tuple[str, ...]
    outputs: tuple[Argument, ...]
    counters: tuple[tuple[str, int], ...]

    def to_json(self) -> str:
        """Returns the signature as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Signature:
        """Reads what `to_json` wrote."""
        content = json.loads(text)
        for name in ("features", "variables", "outputs"):
            content[name] = tuple(_argument(fields) for fields in content[name])
        for name in ("mesh", "counters"):
            content[name] = tuple(tuple(pair) for pair in content[name])
        for name in ("trainable", "updated"):
            content[name] = tuple(content[name])
        return cls(**content)


def _argument(fields: dict[str, Any]) -> Argument:
    for name in ("dimensions", "shape", "split"):
        fields[name] = tuple(fields[name])
    return Argument(**fields)


@dataclasses.dataclass(frozen=True)
class Program:
    """A function as StableHLO: all that is needed to compile it.

    Attributes:
      stablehlo: the module, MLIR bytecode or text; its `main` takes the step and the
        processor's number, int32 scalars, then one slice a feature and a variable, and
        gives the outputs, then one slice an updated variable.
      signature: what these are.
    """

    stablehlo: bytes
    signature: Signature
