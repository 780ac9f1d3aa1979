"""The errors mtmoe raises on bad input.

Every message says what was got, what is allowed, the nearest valid name and, where
there is a file, the file and line. The command line prints the message alone, without
a traceback, and exits with status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MtmoeError(Exception):
    """Base of every error caused by what the user gave, not by a defect of ours."""


class ConfigError(MtmoeError):
    """A gin file or binding that cannot be used as it stands."""


class RangeError(ConfigError):
    """A number that is outside the range its parameter has.

    Attributes:
      name: the parameter, such as "EncoderDecoder.dropout_rate".
      got: its value.
      allowed: what it must be, in words.
    """

    def __init__(self, name: str, got: object, allowed: str):
        """Builds the message.

        Args:
          name: the parameter, as gin or the command line names it.
          got: its value.
          allowed: what it must be, in words: "a number from 0 to 1".
        """
        self.name = name
        self.got = got
        self.allowed = allowed
        super().__init__(f"{name} is {got!r}; it must be {allowed}")

    def __reduce__(self) -> tuple[type[RangeError], tuple[str, object, str]]:
        """Lets the error cross from one process to another."""
        return type(self), (self.name, self.got, self.allowed)


class CorpusError(MtmoeError):
    """Training or evaluation text that is missing, unreadable or empty."""


class EmptySplitError(CorpusError):
    """A split with nothing in it: its file is absent, or holds no text or examples."""


class CheckpointError(MtmoeError):
    """A model folder or checkpoint that is absent, damaged or of another config."""


class LayoutError(MtmoeError):
    """A mesh shape or layout the model or the devices cannot satisfy."""


class HardwareError(MtmoeError):
    """Devices, drivers or compilers that are absent or do not fit one another."""


class UnknownNameError(MtmoeError):
    """A name that is in no registry; the message carries the nearest valid ones.

    Attributes:
      kind: what the name was meant to name, e.g. "language code".
      name: the name as it was given.
      nearest: valid names that look like it, best first.
    """

    def __init__(self, kind: str, name: str, valid: Iterable[str], where: str = ""):
        """Builds the message.

        Args:
          kind: what the name was meant to name.
          name: the name as it was given.
          valid: every name that would have been accepted.
          where: optional "file:line" or flag the name came from.
        """
        self.kind = kind
        self.name = name
        self.nearest = nearest_names(name, valid)
        message = f"unknown {kind} {name!r}{_meant(self.nearest)}"
        if where:
            message += f" ({where})"
        super().__init__(message)


class ManifestError(MtmoeError):
    """A token cache that is unfinished, or whose files are not those it names."""


class DamagedRecordError(MtmoeError):
    """One record of a file that cannot be read.

    Attributes:
      path: the file.
      offset: byte of the file where the record begins.
      reason: what is wrong with it.
    """

    def __init__(self, path: str, offset: int, reason: str):
        """Builds the message.

        Args:
          path: the file.
          offset: byte of the file where the record begins.
          reason: what is wrong with it.
        """
        self.path = path
        self.offset = offset
        self.reason = reason
        super().__init__(f"damaged record in {path} at byte {offset}: {reason}")

    def __reduce__(self) -> tuple[type[DamagedRecordError], tuple[str, int, str]]:
        """Lets the error cross from one process to another."""
        return type(self), (self.path, self.offset, self.reason)


class DamagedDataError(MtmoeError):
    """More damaged records in a task than its quota."""


class UserCodeError(MtmoeError):
    """A function of the user's that raised something, or gave what cannot be used."""


class UnnamedContentError(ConfigError):
    """A source or step of which nobody can tell when its content changes."""


def nearest_names(name: str, valid: Iterable[str], count: int = 5) -> list[str]:
    """Returns at most `count` members of `valid` that look like `name`, best first."""
    by_lower = {candidate.lower(): candidate for candidate in sorted(valid)}
    close = difflib.get_close_matches(name.lower(), by_lower, n=count, cutoff=0.5)
    return [by_lower[match] for match in close]


def did_you_mean(name: str, valid: Iterable[str], count: int = 5) -> str:
    """Returns "; did you mean A or B?" with the nearest names, "" if there is none."""
    return _meant(nearest_names(name, valid, count))


def _meant(nearest: list[str]) -> str:
    return f"; did you mean {' or '.join(nearest)}?" if nearest else ""
