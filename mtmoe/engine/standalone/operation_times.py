"""The time of each kind of operation and of each layer, from JAX's profiler.

The profiler's trace names the instructions of the compiled program; the program's own
text says of each what it is and which layer it comes from.
"""

from __future__ import annotations

import collections
import dataclasses
import gzip
import json
import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

# %name = shape opcode(operands), ..., metadata={op_name="..."}
_INSTRUCTION = re.compile(
    r"^\s*(?:ROOT )?%?(?P<name>[\w.\-]+) = (?:\([^=]*?\)|\S+) (?P<opcode>[\w\-]+)\("
)
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?(?P<name>[\w.\-]+) .*\{$")
_MATRIX_CALL = re.compile(r'custom_call_target="[^"]*(?:gemm|matmul|dot|conv)', re.I)
_CALLS = re.compile(r"(?:calls|to_apply|body)=%?([\w.\-]+)")
_OP_NAME = re.compile(r'op_name="([^"]*)"')
_LAYER = re.compile(r"(?:encoder|decoder)/layer_\d+/\w+")

# What a fusion is called by: the costliest kind that is in it.
_KINDS = (
    ("collectives", ("all-reduce", "all-gather", "all-to-all", "reduce-scatter")),
    ("collectives", ("collective-permute", "ragged-all-to-all")),
    ("matrix products", ("dot", "convolution", "matrix-call")),
    ("gathers and scatters", ("gather", "scatter", "dynamic-update-slice")),
    ("sorts", ("sort", "topk")),
    ("reductions", ("reduce", "reduce-window")),
    ("loops", ("while", "conditional")),
    ("custom calls", ("custom-call",)),
)
# A fusion of these alone moves numbers and computes none.
_MOVES = frozenset(
    "bitcast broadcast concatenate constant copy dynamic-slice fusion iota pad "
    "parameter reshape reverse slice transpose tuple get-tuple-element".split()
)
MOVES_KIND = "copies and transposes"
OTHER_KIND, OTHER_LAYER = "elementwise", "other"
_SHOWN = 12


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction of a compiled program: what it computes, and where in the model.

    Attributes:
      layer: `encoder/layer_000/moe` and the like, or the part of the step.
      op_name: its whole name in the model.
    """

    kind: str
    layer: str
    op_name: str


@dataclasses.dataclass(frozen=True)
class OperationTimes:
    """Seconds of device time by kind and layer, over all devices and steps."""

    by_kind: Mapping[str, float]
    by_layer: Mapping[str, float]

    def text(self, steps: int) -> str:
        """Returns a table, for the number of profiled steps times devices."""
        if not self.by_kind:
            return "the profiler of this JAX names no operations of this device"
        lines = []
        for title, times in (("kind", self.by_kind), ("layer", self.by_layer)):
            total = sum(times.values()) or 1.0
            lines.append(f"time by {title}, of {total / steps * 1e3:.2f} ms a step:")
            ordered = sorted(times.items(), key=lambda item: -item[1])
            shown = ordered if title == "kind" else ordered[:_SHOWN]
            lines += [
                f"  {seconds / steps * 1e3:9.3f} ms {seconds / total:6.1%}  {name}"
                for name, seconds in shown
            ]
            if len(ordered) > len(shown):
                rest = sum(seconds for _, seconds in ordered[_SHOWN:])
                lines.append(
                    f"  {rest / steps * 1e3:9.3f} ms {rest / total:6.1%}  "
                    f"{len(ordered) - _SHOWN} others"
                )
        return "\n".join(lines)


def instructions(program: str) -> dict[str, Instruction]:
    """Returns the instructions in a compiled program's text, by name."""
    opcodes: dict[str, set[str]] = {}
    calls: dict[str, set[str]] = collections.defaultdict(set)
    lines: list[tuple[str, str, str, list[str]]] = []
    computation = ""
    for line in program.splitlines():
        if match := _INSTRUCTION.match(line):
            name, opcode = match["name"], match["opcode"]
            if opcode == "custom-call" and _MATRIX_CALL.search(line):
                opcode = "matrix-call"  # of a library, such as cuBLAS
            opcodes.setdefault(computation, set()).add(opcode)
            called = _CALLS.findall(line)
            calls[computation].update(called)
            op_name = _OP_NAME.search(line)
            lines.append((name, opcode, op_name[1] if op_name else "", called))
        elif match := _COMPUTATION.match(line):
            computation = match["name"]

    def contained(opcode: str, called: list[str]) -> set[str]:
        found = {opcode} - {"fusion", "call"}
        if not found:
            waiting, seen = list(called), set()
            while waiting:
                one = waiting.pop()
                if one not in seen:
                    seen.add(one)
                    found |= opcodes.get(one, set())
                    waiting += calls[one]
        return found

    return {
        name: Instruction(
            _kind(contained(opcode, called)), layer_of(op_name), plain_name(op_name)
        )
        for name, opcode, op_name, called in lines
    }


def _kind(opcodes: set[str]) -> str:
    plain = {re.sub(r"-(start|done)$", "", opcode) for opcode in opcodes}
    for kind, members in _KINDS:
        if plain & set(members):
            return kind
    return MOVES_KIND if plain <= _MOVES else OTHER_KIND


def plain_name(op_name: str) -> str:
    """Returns the name an operation has in the model, without what wraps it."""
    name = op_name.split(";")[0]
    parts = [
        part
        for part in name.split("/")
        if part not in ("PartitionedCall", "mesh_program") and "(" not in part
    ]
    return "/".join(parts)


def layer_of(op_name: str) -> str:
    """Returns the layer an operation belongs to, or the part of the step.

    The backward pass and the optimizer's update of a layer have names of their own.
    """
    name = plain_name(op_name)
    if not name:
        return OTHER_LAYER
    match = _LAYER.search(name)
    layer = match[0] if match else re.sub(r"_\d+$", "", name.split("/")[0])
    if match and name.startswith("adafactor"):
        return "optimizer"
    return f"{layer} (backward)" if "/gradients/" in name else layer


def operation_times(folder: Path, program: str) -> OperationTimes:
    """Adds up the newest trace in a folder of `jax.profiler`, of a program's text."""
    known = instructions(program)
    by_kind: dict[str, float] = collections.defaultdict(float)
    by_layer: dict[str, float] = collections.defaultdict(float)
    for name, seconds in self_times(read_events(folder), known):
        by_kind[known[name].kind] += seconds
        by_layer[known[name].layer] += seconds
    return OperationTimes(by_kind, by_layer)


def instruction_of(event: Mapping[str, Any], known: Container[str]) -> str | None:
    """Returns the instruction that an event of a trace is about, if any."""
    if event.get("ph") != "X":
        return None
    name = str((event.get("args") or {}).get("hlo_op", event.get("name")))
    return name if name in known else None


def self_times(
    events: Iterable[Mapping[str, Any]], known: Container[str]
) -> list[tuple[str, float]]:
    """Returns name and seconds of each instruction that was run.

    The seconds are without those of instructions that ran within it, as in a loop.
    """
    rows: dict[Any, list[Mapping[str, Any]]] = collections.defaultdict(list)
    for event in events:
        if instruction_of(event, known) is not None:
            rows[event.get("pid"), event.get("tid")].append(event)
    found: list[tuple[str, float]] = []
    for row in rows.values():
        row.sort(key=lambda event: (event["ts"], -event["dur"]))
        open_: list[tuple[float, int]] = []  # end, place in `found`
        for event in row:
            begin, seconds = event["ts"], event["dur"] * 1e-6
            while open_ and open_[-1][0] <= begin:
                open_.pop()
            if open_:
                name, whole = found[open_[-1][1]]
                found[open_[-1][1]] = name, max(0.0, whole - seconds)
            open_.append((begin + event["dur"], len(found)))
            found.append((str(instruction_of(event, known)), seconds))
    return found


def read_events(folder: Path) -> list[dict[str, Any]]:
    """Returns the events of the newest trace below a folder.

    Raises:
      FileNotFoundError: there is none.
    """
    traces = sorted(folder.rglob("*.trace.json.gz"), key=lambda p: p.stat().st_mtime)
    if not traces:
        raise FileNotFoundError(f"{folder} has no *.trace.json.gz")
    with gzip.open(traces[-1], "rt") as file:
        events: list[dict[str, Any]] = json.load(file)["traceEvents"]
    return events
