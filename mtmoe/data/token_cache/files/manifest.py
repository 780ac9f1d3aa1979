"""What a cached split holds, and where it lies.

A directory `ROOT/<task>/<split>-<fingerprint[:16]>` holds the files of the shards and,
written last, `MANIFEST.json`. Without that file it is no cache.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtmoe.data.token_cache.files.pages import PAGE_EXAMPLES, PAGE_TOKENS, token_width
from mtmoe.data.token_cache.files.shard_facts import (
    UNSAFE_IN_NAMES,
    ShardFacts,
    checked_fields,
)
from mtmoe.data.token_cache.files.storage import (
    Location,
    file_size,
    join,
    read_file,
    write_file,
)
from mtmoe.errors import ManifestError

FORMAT_VERSION = 1
MANIFEST_NAME = "MANIFEST.json"
KINDS = ("text", "examples")

# Written where there is something to say, which is seldom.
_SPLIT_FIELDS = {
    "format": int,
    "task": str,
    "split": str,
    "kind": str,
    "features": list,
    "vocab_size": int,
    "token_width": int,
    "fingerprint": str,
    "facts": dict,
    "versions": dict,
    "examples": int,
    "tokens": int,
    "smallest_token": int,
    "largest_token": int,
    "shards": list,
}
_FINGERPRINT = re.compile(r"[0-9a-f]{16,}")


@dataclass(frozen=True)
class SplitManifest:
    """A complete cache of one split of a task.

    Attributes:
      task: name of the task.
      split: name of the split.
      kind: "text" or "examples".
      features: names of the features, in the order of a page; one of a text.
      vocab_size: tokens of the vocabulary, sentinels included.
      fingerprint: digest (hexadecimal) of all that decides the tokens.
      facts: what the digest was made of, as JSON has it.
      versions: versions of the packages that made it.
      shards: the shards, in order; at least one, and not all empty.
    """

    task: str
    split: str
    kind: str
    features: tuple[str, ...]
    vocab_size: int
    fingerprint: str
    facts: Mapping[str, Any]
    versions: Mapping[str, str]
    shards: tuple[ShardFacts, ...]

    @property
    def token_width(self) -> int:
        """Bytes of a token in the files."""
        return token_width(self.vocab_size)

    @property
    def num_examples(self) -> int:
        """Examples, or documents of a text."""
        return sum(shard.examples for shard in self.shards)

    @property
    def num_tokens(self) -> int:
        """Tokens of all features."""
        return sum(shard.tokens for shard in self.shards)

    @property
    def num_bytes(self) -> int:
        """Bytes of all files but the manifest."""
        return sum(shard.bytes + shard.index_bytes for shard in self.shards)

    @property
    def num_left_out(self) -> int:
        """Bad examples of the source that are not here."""
        return sum(shard.left_out for shard in self.shards)

    @property
    def num_empty(self) -> dict[str, int]:
        """Examples without tokens, by feature; features without such are left out."""
        counts: Counter[str] = Counter()
        for shard in self.shards:
            counts.update(shard.empty)
        return dict(counts)

    @property
    def smallest_token(self) -> int:
        """The smallest token of all."""
        found = [shard.smallest_token for shard in self.shards]
        return min(token for token in found if token is not None)

    @property
    def largest_token(self) -> int:
        """The largest token of all."""
        found = [shard.largest_token for shard in self.shards]
        return max(token for token in found if token is not None)

    def to_json(self) -> dict[str, Any]:
        """Returns the manifest as JSON has it, with totals."""
        return {
            "format": FORMAT_VERSION,
            "task": self.task,
            "split": self.split,
            "kind": self.kind,
            "features": list(self.features),
            "vocab_size": self.vocab_size,
            "fingerprint": self.fingerprint,
            "facts": dict(self.facts),
            "versions": dict(self.versions),
            **self._derived(),
            "shards": [shard.to_json() for shard in self.shards],
        }

    def _derived(self) -> dict[str, int]:
        """Returns what is written for the reader, and follows from the rest."""
        return {
            "token_width": self.token_width,
            "examples": self.num_examples,
            "tokens": self.num_tokens,
            "smallest_token": self.smallest_token,
            "largest_token": self.largest_token,
        }

    @classmethod
    def from_json(cls, value: Any) -> SplitManifest:
        """Reads what `to_json` gave.

        Raises:
          ManifestError: a field is missing, unknown, of another type or impossible, or
            the format is another one.
        """
        written = value.get("format") if isinstance(value, dict) else None
        if written != FORMAT_VERSION:
            raise ManifestError(
                f"format {written!r}; this version of mtmoe reads {FORMAT_VERSION}"
            )
        fields = checked_fields("a manifest", value, _SPLIT_FIELDS)
        shards = tuple(ShardFacts.from_json(shard) for shard in fields["shards"])
        manifest = cls(
            **{
                field.name: fields[field.name]
                for field in dataclasses.fields(cls)
                if field.name not in ("features", "shards")
            },
            features=tuple(fields["features"]),
            shards=shards,
        )
        manifest.check()
        for name, derived in manifest._derived().items():
            if fields[name] != derived:
                raise ManifestError(
                    f"{name} is {fields[name]}, but what follows from the rest is "
                    f"{derived}"
                )
        return manifest

    def check(self) -> None:
        """Raises ManifestError if this cannot be the manifest of any cache."""
        split_directory("", self.task, self.split, self.fingerprint)
        if self.kind not in KINDS:
            raise ManifestError(f"kind {self.kind!r} is none of {', '.join(KINDS)}")
        if not _are_names(self.features) or (
            self.kind == "text" and len(self.features) != 1
        ):
            raise ManifestError(f"{self.kind} with features {list(self.features)}")
        for shard in self.shards:
            shard.check()
            self._check_pages(shard)
        if self.num_examples == 0:
            raise ManifestError("it holds no examples")
        if self.num_tokens == 0:
            raise ManifestError("it holds no tokens")
        for token in (self.smallest_token, self.largest_token):
            if not 0 <= token < self.vocab_size:
                raise ManifestError(
                    f"token {token} is outside the vocabulary of {self.vocab_size} "
                    "tokens"
                )

    def _check_pages(self, shard: ShardFacts) -> None:
        if self.kind == "text":
            pages = -(-shard.tokens // PAGE_TOKENS)
            sizes = 0
        else:
            pages = -(-shard.examples // PAGE_EXAMPLES)
            sizes = shard.examples * len(self.features)
        if shard.pages != pages:
            raise ManifestError(
                f"shard {shard.name}: {shard.examples} examples and {shard.tokens} "
                f"tokens are {pages} pages, not {shard.pages}"
            )
        if shard.index_bytes != 12 * pages + 4 * sizes:
            raise ManifestError(
                f"shard {shard.name}: an index of {shard.index_bytes} bytes"
            )


def split_directory(root: Location, task: str, split: str, fingerprint: str) -> str:
    """Returns the directory of a split's cache, `ROOT/<task>/<split>-<fingerprint>`.

    Paths are strings, so that the root may be `gs://...`; `storage.join` joins them.

    Args:
      root: the directory that holds the caches of all tasks.
      task: name of a task.
      split: name of a split.
      fingerprint: its digest, at least 16 hexadecimal digits; the first 16 are used.

    Raises:
      ManifestError: a name cannot be a directory of its own.
    """
    for kind, name in (("task", task), ("split", split)):
        if not name or name in (".", "..") or UNSAFE_IN_NAMES.search(name):
            raise ManifestError(
                f"{kind} {name!r} cannot be kept under its name: it must be neither "
                "empty nor '.' nor '..', and have no '/', '\\' or NUL"
            )
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ManifestError(
            f"fingerprint {fingerprint!r} is not 16 or more hexadecimal digits"
        )
    return join(root, task, f"{split}-{fingerprint[:16]}")


def write_manifest(directory: Location, manifest: SplitManifest) -> None:
    """Makes a directory a cache, if the files in it are those of the manifest.

    Raises:
      ManifestError: the manifest is not valid, or a file is missing or of another size.
    """
    path = join(directory, MANIFEST_NAME)
    try:
        manifest.check()
    except ManifestError as error:
        raise ManifestError(f"{path} is not written: {error}") from error
    _check_files(directory, manifest)
    text = json.dumps(manifest.to_json(), ensure_ascii=False, indent=1)
    write_file(path, (text + "\n").encode("utf-8"))


def load_manifest(directory: Location) -> SplitManifest:
    """Reads a manifest and checks that the files are there, with their sizes.

    Raises:
      FileNotFoundError: the directory holds no manifest.
      ManifestError: it cannot be used; the message names the file and what is wrong.
    """
    path = join(directory, MANIFEST_NAME)
    content = read_file(path)
    try:
        manifest = SplitManifest.from_json(json.loads(content))
    except (ManifestError, ValueError) as error:  # ValueError: not JSON, or not UTF-8
        raise ManifestError(f"{path}: {error}") from error
    _check_files(directory, manifest)
    return manifest


def _check_files(directory: Location, manifest: SplitManifest) -> None:
    for shard in manifest.shards:
        for name, size in (
            (shard.name, shard.bytes),
            (shard.index_name, shard.index_bytes),
        ):
            found = file_size(join(directory, name))
            if found != size:
                there = "is missing" if found is None else f"has {found} bytes"
                raise ManifestError(
                    f"{join(directory, name)} {there}; the manifest says {size} bytes"
                )


def _are_names(features: tuple[Any, ...]) -> bool:
    named = all(isinstance(name, str) and name for name in features)
    return named and 0 < len(set(features)) == len(features)
