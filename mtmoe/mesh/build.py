"""What a function of a mesh program is built by."""

from __future__ import annotations

from collections.abc import Callable

from mtmoe.mesh.compat import mtf
from mtmoe.mesh.context import GraphContext
from mtmoe.mesh.features import Features

Built = tuple[dict[str, mtf.Tensor], list[mtf.Operation]]
Build = Callable[[GraphContext, Features], Built]
