"""In which dtype a model computes: three settings by name.

| name | variables | activations | router |
|---|---|---|---|
| `float32` | float32 | float32 | float32 |
| `bfloat16_selective` | float32 | bfloat16 | float32 |
| `bfloat16` | float32 | bfloat16 | bfloat16 |

Selective precision is the Switch Transformer's (Fedus et al. 2022, section 2.4): the
router alone stays in float32, so that a rounding does not decide which expert a token
goes to, and only bfloat16 crosses between devices. `bfloat16` is there to show what
that is worth; the paper's own run of it diverged (table 2).

Whatever the name, these are float32: variables and their updates, the statistics of a
norm, softmax, logits and loss, the gradient of the embedding, and all that is reported.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from mtmoe.errors import UnknownNameError


@dataclasses.dataclass(frozen=True)
class Precision:
    """Dtypes of a model, by a name for configs; its variables are float32 always.

    Attributes:
      name: what it is called in a config.
      activation_dtype: of activations, and of variables where they are read.
      router_dtype: of a router's variables, logits and all that follows from them.
    """

    name: str
    activation_dtype: tf.DType
    router_dtype: tf.DType


_PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32", tf.float32, tf.float32),
        Precision("bfloat16_selective", tf.bfloat16, tf.float32),
        Precision("bfloat16", tf.bfloat16, tf.bfloat16),
    )
}


def named_precision(name: str) -> Precision:
    """Returns the precision of a name.

    Raises:
      UnknownNameError: it is not one of those of the table above.
    """
    if name not in _PRECISIONS:
        raise UnknownNameError("precision", name, _PRECISIONS, "train.precision")
    return _PRECISIONS[name]
