"""A page of web text, by what it is known, and which split it belongs to."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

HELD_OUT_ONE_IN = 1000
"""One page in so many is validation text where a layout has no validation split."""

_SCHEME = re.compile(r"https?:\/\/(www\.)?")
_TRACKING = re.compile(r"\?(utm_|ref|feed).*")


@dataclass(frozen=True)
class WebPage:
    """One document.

    Attributes:
      text: the text.
      identity: its normalised URL, or the text itself where the layout has no URLs.
    """

    text: str
    identity: str

    @property
    def digest(self) -> bytes:
        """MD5 of the identity, 16 bytes."""
        return md5(self.identity)

    @property
    def is_held_out(self) -> bool:
        """Whether mC4's rule makes the page validation text: md5(URL) % 1000 = 0."""
        return int.from_bytes(self.digest, "big") % HELD_OUT_ONE_IN == 0


def web_page(text: str, url: str = "") -> WebPage:
    """Makes a page of a text and its URL, if it has one."""
    return WebPage(text, normalized_url(url) if url else text)


def normalized_url(url: str) -> str:
    """Returns a URL as C4 compares them.

    Without scheme, `www.`, the tails `?utm_`, `?ref` and `?feed`, and slashes at the
    end (`tensorflow_datasets.text.c4_utils.normalize_url`).
    """
    return _TRACKING.sub("", _SCHEME.sub("", url)).rstrip("/")


def md5(text: str) -> bytes:
    """Returns the MD5 of a text in UTF-8: the hash all of C4's rules go by."""
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).digest()
