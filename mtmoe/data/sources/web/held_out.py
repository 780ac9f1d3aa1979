"""Which pages of a language are validation text where the layout has no such files.

mC4's rule holds out a page if the MD5 of its identity is 0 modulo 1,000. Of a language
with few pages it would hold out none or next to none; there a larger share is held out:
the pages of least (MD5 modulo 1,000, MD5), which are those of mC4's rule and the next.
The rule looks at identities alone, so that equal pages never fall into both splits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from mtmoe.data.ground.cache import cache_directory, write_atomically
from mtmoe.data.sources.web.pages import HELD_OUT_ONE_IN, WebPage

FEW_PAGES = 20_000
"""A language with more different pages is split by mC4's rule alone."""

_WANTED = 20  # pages of validation text: what mC4's rule gives of FEW_PAGES
_LARGEST_SHARE = 10  # one page in so many at most

_Order = tuple[int, bytes]


@dataclass(frozen=True)
class HeldOut:
    """A rule that holds pages out.

    Attributes:
      last: MD5 modulo 1,000 and MD5 of the last page that is held out, in their order.
      num_pages: different pages of the language; None of a language with many.
    """

    last: _Order
    num_pages: int | None = None

    def __contains__(self, page: WebPage) -> bool:
        """Whether a page is validation text."""
        return _order(page.digest) <= self.last

    @property
    def is_mc4s(self) -> bool:
        """Whether the rule is mC4's."""
        return self.last == MC4_RULE.last


MC4_RULE = HeldOut((0, b"\xff" * 16))


def held_out(pages: Iterable[WebPage], content: str) -> HeldOut:
    """Returns the rule for a language; what it takes to know is kept on disk.

    Args:
      pages: all pages of the language; read as far as there are few.
      content: names them, without their being read.
    """
    digest = hashlib.sha256(f"held out 1\n{content}".encode()).hexdigest()
    path = cache_directory() / "web_text" / f"held-out-{digest[:32]}.json"
    try:
        kept = json.loads(path.read_text("utf-8"))
        residue, md5 = kept["last"]
        return HeldOut((int(residue), bytes.fromhex(md5)), kept["num_pages"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or of a killed process on a disk that failed: made again
    rule = rule_of(pages)
    facts = {
        "last": [rule.last[0], rule.last[1].hex()],
        "num_pages": rule.num_pages,
    }
    write_atomically(path, json.dumps(facts).encode("utf-8"))
    return rule


def rule_of(pages: Iterable[WebPage]) -> HeldOut:
    """Returns the rule for a language's pages.

    Of n different pages a tenth is held out, at least one and at most 20, or more where
    mC4's rule takes more; of one page alone none.
    """
    digests: set[bytes] = set()
    for page in pages:
        digests.add(page.digest)
        if len(digests) > FEW_PAGES:
            return MC4_RULE
    count = len(digests)
    wanted = min(max(count // _LARGEST_SHARE, 1), _WANTED)
    in_order = sorted(map(_order, digests))
    by_mc4s_rule = sum(residue == 0 for residue, _ in in_order)
    if wanted <= by_mc4s_rule < count or not count:
        return HeldOut(MC4_RULE.last, count)
    last = in_order[wanted - 1] if count > 1 else (-1, b"")
    return HeldOut(last, count)


def _order(digest: bytes) -> _Order:
    return int.from_bytes(digest, "big") % HELD_OUT_ONE_IN, digest
