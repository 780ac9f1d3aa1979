"""What is known about the configured vocabulary before anything is fitted."""

from __future__ import annotations

from typing import NamedTuple

from mtmoe.config.in_force import Called, InForce
from mtmoe.config.registry import find
from mtmoe.data.vocabulary.configured import (
    configured_vocabulary,
    num_sentinels,
    vocabulary_behind,
)

_FITTED = "embedded_vocabulary"
_KEPT = ("byte_vocabulary", "sentencepiece_vocabulary")


class KnownVocabulary(NamedTuple):
    """How many ids a vocabulary has, and how many of them sentinels, if known."""

    size: int | None
    num_sentinels: int | None


def known_vocabulary(force: InForce) -> KnownVocabulary:
    """Returns what is known without fitting; a vocabulary's file is read.

    Raises:
      ConfigError: the file is missing, or is none mtmoe can use.
    """
    root = Called((), "configured_vocabulary")
    bound = force.parameters(root)
    factory = Called((), _FITTED)
    for callee, key, _ in force.called_by(root):
        if key is not None and key == bound.get("factory"):
            factory = callee
    if factory.selector == _FITTED:
        size, extra = (_value(force, factory, name) for name in ("size", "extra_ids"))
        return KnownVocabulary(size + extra, extra)
    if factory.selector in _KEPT:
        vocabulary = vocabulary_behind(configured_vocabulary())
        return KnownVocabulary(vocabulary.vocab_size, num_sentinels(vocabulary))
    return KnownVocabulary(None, None)


def _value(force: InForce, called: Called, parameter: str) -> int:
    key = force.parameters(called).get(parameter)
    if key is not None:
        return int(force.resolve(force.bindings[key].value))
    return int(find(called.selector).parameters[parameter].default)
