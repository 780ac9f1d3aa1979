"""Communication between processors, as StableHLO inside a TensorFlow graph.

TensorFlow has no operation that talks to the other devices of a PJRT program. But it
inlines a StableHLO module that an XlaCallModule operation carries, so each collective
here is such a module of one instruction.

A group is a list of processors that exchange something; every processor is in one.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

Groups = Sequence[Sequence[int]]

_NAMES = {
    "bfloat16": "bf16",
    "float16": "f16",
    "float32": "f32",
    "int32": "i32",
    "int8": "i8",
    "uint32": "ui32",
    "uint8": "ui8",
}
_OPERATIONS = {"SUM": "add", "MAX": "maximum", "MIN": "minimum"}
# With version 5 of XlaCallModule the module may be StableHLO.
_CALL_VERSION = 5


def all_reduce(x: tf.Tensor, groups: Groups, operation: str, channel: int) -> tf.Tensor:
    """Reduces a tensor of static shape over a group, by "SUM", "MAX" or "MIN".

    Here as below, `channel` is a number that no other collective of the program has.
    """
    return _one_operand(
        x,
        x.shape.as_list(),
        f'"stablehlo.all_reduce"(%x0) <{{'
        f"{_replica_groups(groups)}, {_handle(channel)}, use_global_device_ids}}> "
        f"{_reduction(_OPERATIONS[operation], x.dtype)}",
    )


def all_gather(x: tf.Tensor, groups: Groups, axis: int, channel: int) -> tf.Tensor:
    """Puts the slices of a group one behind the other along an axis."""
    shape = x.shape.as_list()
    shape[axis] *= len(groups[0])
    return _one_operand(
        x,
        shape,
        f'"stablehlo.all_gather"(%x0) <{{all_gather_dim = {axis} : i64, '
        f"{_replica_groups(groups)}, {_handle(channel)}, use_global_device_ids}}>",
    )


def reduce_scatter(x: tf.Tensor, groups: Groups, axis: int, channel: int) -> tf.Tensor:
    """Sums over a group; each processor keeps its part along an axis."""
    shape = x.shape.as_list()
    shape[axis] //= len(groups[0])
    return _one_operand(
        x,
        shape,
        f'"stablehlo.reduce_scatter"(%x0) <{{scatter_dimension = {axis} : i64, '
        f"{_replica_groups(groups)}, {_handle(channel)}, use_global_device_ids}}> "
        f"{_reduction('add', x.dtype)}",
    )


def ordered_all_reduce(
    x: tf.Tensor, groups: Groups, channel: Callable[[], int]
) -> tf.Tensor:
    """Sums as `all_reduce` does, in the order of the processors of a group.

    Numbers are exchanged and summed up by what is computed on a processor, so the bits
    do not depend on how a transport sums (a ring begins each part at another one). As
    many bytes move as in a ring. `channel` gives numbers of channels.
    """
    count, size = len(groups[0]), x.shape.num_elements()
    part = -(-size // count)
    flat = tf.pad(tf.reshape(x, [size]), [[0, part * count - size]])
    parts = all_to_all(tf.reshape(flat, [count, part]), groups, 0, 0, channel())
    summed = all_gather(tf.reduce_sum(parts, axis=0), groups, 0, channel())
    return tf.reshape(summed[:size], x.shape)


def ordered_reduce_scatter(
    x: tf.Tensor, groups: Groups, axis: int, channel: int
) -> tf.Tensor:
    """Sums as `reduce_scatter` does, in the order of the processors of a group."""
    parts = all_to_all(x[tf.newaxis], groups, axis + 1, 0, channel)
    return tf.reduce_sum(parts, axis=0)


def all_to_all(
    x: tf.Tensor, groups: Groups, split_axis: int, concat_axis: int, channel: int
) -> tf.Tensor:
    """Cuts a slice along an axis, deals the parts out, joins what comes in."""
    count, shape = len(groups[0]), x.shape.as_list()
    shape[split_axis] //= count
    shape[concat_axis] *= count
    return _one_operand(
        x,
        shape,
        f'"stablehlo.all_to_all"(%x0) <{{split_dimension = {split_axis} : i64, '
        f"concat_dimension = {concat_axis} : i64, split_count = {count} : i64, "
        f"{_replica_groups(groups)}, {_handle(channel)}}}>",
    )


def collective_permute(
    x: tf.Tensor, pairs: Sequence[tuple[int, int]], channel: int
) -> tf.Tensor:
    """Sends a slice from the first to the second of each pair; zeros elsewhere."""
    rows = [list(pair) for pair in pairs]
    return _one_operand(
        x,
        x.shape.as_list(),
        f'"stablehlo.collective_permute"(%x0) <{{source_target_pairs = dense<{rows}> : '
        f"tensor<{len(rows)}x2xi64>, {_handle(channel)}}}>",
    )


def join(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Puts the elements of tensors of one dtype one behind the other.

    As one TensorFlow operation, where reshapes and a concatenation would be two a
    tensor, each of which takes a millisecond to lower.
    """
    dtype, lines, flat = tensors[0].dtype, [], []
    for number, x in enumerate(tensors):
        flat.append(_type([x.shape.num_elements()], dtype))
        lines.append(
            f"%r{number} = stablehlo.reshape %x{number} : "
            f"({_type(x.shape, dtype)}) -> {flat[-1]}"
        )
    shape = [sum(x.shape.num_elements() for x in tensors)]
    rows = ", ".join(f"%r{number}" for number in range(len(tensors)))
    lines.append(
        f"%y0 = stablehlo.concatenate {rows}, dim = 0 : "
        f"({', '.join(flat)}) -> {_type(shape, dtype)}"
    )
    (joined,) = _module(tensors, [shape], lines)
    return joined


def cut(x: tf.Tensor, shapes: Sequence[Sequence[int]]) -> list[tf.Tensor]:
    """Takes apart what `join` has made of tensors of some shapes."""
    dtype, lines, begin = x.dtype, [], 0
    for number, shape in enumerate(shapes):
        end = begin + math.prod(shape)
        flat = _type([end - begin], dtype)
        lines.append(
            f"%r{number} = stablehlo.slice %x0 [{begin}:{end}] : "
            f"({_type(x.shape, dtype)}) -> {flat}"
        )
        lines.append(
            f"%y{number} = stablehlo.reshape %r{number} : "
            f"({flat}) -> {_type(shape, dtype)}"
        )
        begin = end
    return _module([x], shapes, lines)


def channels() -> Callable[[], int]:
    """Returns a function that gives the numbers from 1 on, one a call."""
    return functools.partial(next, itertools.count(1))


def _one_operand(x: tf.Tensor, shape: list[int], operation: str) -> tf.Tensor:
    """Adds a module of one instruction."""
    types = f"({_type(x.shape, x.dtype)}) -> {_type(shape, x.dtype)}"
    (y,) = _module([x], [shape], [f"%y0 = {operation} : {types}"])
    return y


def _module(
    operands: Sequence[tf.Tensor], shapes: Sequence[Sequence[int]], lines: Sequence[str]
) -> list[tf.Tensor]:
    """Adds a module that computes %y0, %y1 ... of these shapes from %x0, %x1 ..."""
    dtype = operands[0].dtype
    given = ", ".join(f"%x{n}: {_type(x.shape, dtype)}" for n, x in enumerate(operands))
    types = ", ".join(_type(shape, dtype) for shape in shapes)
    results = ", ".join(f"%y{number}" for number in range(len(shapes)))
    body = "\n".join(lines)
    text = f"""module {{ func.func public @main({given}) -> ({types}) {{
    {body}
    return {results} : {types}
    }} }}"""
    return list(
        xla.call_module(
            operands,
            version=_CALL_VERSION,
            module=text.encode(),
            Tout=[dtype] * len(shapes),
            Sout=[tf.TensorShape(shape) for shape in shapes],
            platforms=[],
        )
    )


def _reduction(operation: str, dtype: tf.DType) -> str:
    """The region of a collective that reduces."""
    scalar = _type([], dtype)
    return f"""({{
     ^bb0(%a: {scalar}, %b: {scalar}):
       %c = stablehlo.{operation} %a, %b : {scalar}
       stablehlo.return %c : {scalar}
    }})"""


def _type(shape: Sequence[int], dtype: tf.DType) -> str:
    sizes = "".join(f"{size}x" for size in shape)
    return f"tensor<{sizes}{_NAMES[dtype.name]}>"


def _handle(channel: int) -> str:
    return f"channel_handle = #stablehlo.channel_handle<handle = {channel}, type = 1>"


def _replica_groups(groups: Groups) -> str:
    rows = [[int(processor) for processor in group] for group in groups]
    return f"replica_groups = dense<{rows}> : tensor<{len(rows)}x{len(rows[0])}xi64>"
