"""Which files of a folder count, and which of them are two copies of one.

One rule for web text, for folders of text and for patterns of file names:

* Hidden files and folders (`.DS_Store`, `._sw.txt`, `.cache/`), what editors and
  downloads leave behind (`sw.txt~`, `#sw.txt#`, `sw.txt.swp`, `.bak`, `.orig`, `.tmp`,
  `.part` ...), `Thumbs.db`, `desktop.ini` and `__MACOSX/` are passed over.
* So are papers that lie beside data: `README.txt`, `LICENSE.txt`, `CITATION.txt` ...
* Of the others the ending decides, in capitals or not.
* A file that is there twice, packed and unpacked, is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import tensorflow as tf

from mtmoe.errors import CorpusError

_LEFT_BEHIND = re.compile(
    r"(?:^|/)(?:\.[^/]*|__macosx|thumbs\.db|desktop\.ini|#[^/]*#|~\$[^/]*)(?:/|$)"
    r"|~$"
    r"|\.(?:swp|swo|bak|orig|rej|tmp|temp|part|partial|crdownload|incomplete|lock)$"
)
_PAPERS = re.compile(
    r"(?:^|/)(?:readme|licen[cs]e|copying|notice|citation|attribution|changelog"
    r"|checksums?|sha256sums?|md5sums?)(?:[._-][^/]*)?$"
)
_PACKED = re.compile(r"\.(?:gz|zst)$", re.IGNORECASE)


def counts(name: str) -> bool:
    """Whether a file may hold data, by its name relative to the folder that is read."""
    lower = name.lower()
    return not (_LEFT_BEHIND.search(lower) or _PAPERS.search(lower))


def unpacked_name(name: str) -> str:
    """Returns a file's name without `.gz` or `.zst`."""
    return _PACKED.sub("", name)


def refuse_copies(copies: Iterable[tuple[object, str]], advice: str) -> None:
    """Raises CorpusError, naming both, if two files are the same one.

    Args:
      copies: what tells a file from all others, and its path.
      advice: what to do, for the error's text.
    """
    seen: dict[object, str] = {}
    for key, path in copies:
        other = seen.setdefault(key, path)
        if other != path:
            raise CorpusError(
                f"{other} and {path} are two copies of one file; {advice}"
            )


def files_of_pattern(pattern: str) -> list[str]:
    """Returns the files that a name, or a pattern with `*`, stands for, sorted.

    A file that is named counts whatever its name is.

    Raises:
      CorpusError: a file is there packed and unpacked.
    """
    paths = sorted(tf.io.gfile.glob(pattern))
    if paths == [pattern]:
        return paths
    paths = [path for path in paths if counts(path.rpartition("/")[2])]
    refuse_copies(((unpacked_name(path), path) for path in paths), "remove one of them")
    return paths
