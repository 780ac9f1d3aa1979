"""Keyed randomness without state: integers in, 64 well-mixed bits out.

Every random choice of the data path is `fold(words...)` of what identifies it, so it is
the same in any process, at any time, in any order. The mixing function is the
finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
number generators", figure 15).
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

UInt64Array = npt.NDArray[np.uint64]
Words = npt.ArrayLike

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def fold(*words: Words) -> UInt64Array:
    """Hashes integer words into one uint64 each; the words broadcast.

    Args:
      *words: integers or integer arrays of broadcastable shapes, order matters.

    Returns:
      uint64 array of the broadcast shape.
    """
    return fold_onto(np.zeros((), np.uint64), *words)


def fold_onto(state: Words, *words: Words) -> UInt64Array:
    """Goes on with a hash: `fold_onto(fold(a, b), c)` is `fold(a, b, c)`.

    Args:
      state: what `fold` gave for the words before.
      *words: further words, as `fold` takes them.

    Returns:
      uint64 array of the broadcast shape.
    """
    folded = _as_uint64(state)
    for word in words:  # arrays wrap around in silence
        folded = _mix((folded + _GOLDEN_GAMMA) ^ _mix(_as_uint64(word)))
    shape = np.broadcast_shapes(np.shape(state), *(np.shape(word) for word in words))
    return folded if folded.shape == shape else folded.reshape(shape)


def name_key(name: str) -> int:
    """Returns 64 bits that stand for a name, the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:8], "little")


def _as_uint64(word: Words) -> UInt64Array:
    return np.atleast_1d(np.asarray(word)).astype(np.uint64)


def _mix(x: UInt64Array) -> UInt64Array:
    x = (x ^ (x >> _SHIFTS[0])) * _MULTIPLIERS[0]
    x = (x ^ (x >> _SHIFTS[1])) * _MULTIPLIERS[1]
    return x ^ (x >> _SHIFTS[2])
