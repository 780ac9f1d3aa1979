"""Language identification as C4 had it: CLD3, by the package `cld3-py`."""

from __future__ import annotations

import functools
import os
import sys
from typing import Any, NamedTuple

from mtmoe.errors import ConfigError

# TensorFlow Datasets' c4_utils.detect_languages: CLD3 is not made for short documents,
# and what stands behind the first 10,000 bytes hardly matters.
_MIN_BYTES = 100
_MAX_BYTES = 10_000


class Identification(NamedTuple):
    """What CLD3 says of a text.

    Attributes:
      code: mC4's code of the language; `hr` and `bs` besides.
      probability: from 0 to 1.
      is_reliable: whether CLD3 itself would rely on it.
    """

    code: str
    probability: float
    is_reliable: bool


def identify(text: str) -> Identification:
    """Returns the language CLD3 takes a text for.

    Raises:
      ConfigError: cld3-py is not installed.
    """
    result = _identifier().FindLanguage(text)
    return Identification(result.language, result.probability, result.is_reliable)


@functools.cache
def _identifier() -> Any:
    flags = sys.getdlopenflags()
    # cld3-py and TensorFlow each bring a protobuf of their own. Loaded the usual way
    # after TensorFlow, CLD3 would call TensorFlow's and crash the process.
    sys.setdlopenflags(flags | getattr(os, "RTLD_DEEPBIND", 0))
    try:
        import gcld3
    except ModuleNotFoundError as error:
        raise ConfigError(
            "language identification needs the package cld3-py: "
            "pip install 'mtmoe[cleaning]'; or leave it out with "
            "Mc4Filter.language_threshold = None"
        ) from error
    finally:
        sys.setdlopenflags(flags)
    return gcld3.NNetLanguageIdentifier(
        min_num_bytes=_MIN_BYTES, max_num_bytes=_MAX_BYTES
    )
