"""Recognises what a folder of web text holds, by the names of its files."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import gin
import tensorflow as tf

from mtmoe.data.sources.file_names import counts, refuse_copies, unpacked_name
from mtmoe.data.sources.files import CONTAINERS
from mtmoe.data.sources.web import prepared
from mtmoe.data.sources.web.layouts import (
    ENGLISH_C4,
    MULTILINGUAL,
    PLAIN,
    TFDS,
    Layout,
)
from mtmoe.errors import CorpusError, UnknownNameError, nearest_names
from mtmoe.languages import LANGUAGES, language

VARIABLE = "MTMOE_WEB_TEXT"
DATASETS = ("mc4", "c4")
SPLITS = ("train", "validation")

_DATA_ENDING = re.compile(
    r"\.(?:parquet|(?:jsonl|ndjson)(?:\.gz|\.zst)?|json\.(?:gz|zst))$", re.IGNORECASE
)
_ANY_ENDING = re.compile(
    rf"\.(?:{'|'.join(CONTAINERS)})(?:\.gz|\.zst)?$", re.IGNORECASE
)
_ANY_C4_FILE = re.compile(r"(?:^|/)c4-[a-z-]+\.[^/]*\.json\.gz$", re.IGNORECASE)
_SPLIT_NAMES = {"valid": "validation", "val": "validation", "dev": "validation"}
_SHOWN = 5

Files = Mapping[str, tuple[str, ...]]


@gin.configurable
def web_text_directory(path: str = "") -> str:
    """Returns the folder that holds the user's web text.

    Args:
      path: the folder, local or `gs://...`; `$MTMOE_WEB_TEXT` if empty, "" if neither
        is given.
    """
    return path or os.environ.get(VARIABLE, "")


@gin.configurable
def web_text_part(name: str = "") -> str:
    """Returns which part of a corpus is read where the folder has several.

    Args:
      name: MADLAD-400's `clean` or `noisy`, HPLT's `cleaned` or `deduplicated`; if
        empty the part there is, and of several the clean one.
    """
    return name


@dataclass(frozen=True, eq=False)
class WebTextFolder:
    """What a folder holds.

    Attributes:
      directory: the folder.
      layout: how its files are named.
      part: which part of the corpus is read, "" if it has no parts.
      files: files by language (`mtmoe.languages`) and split: mC4's languages first.
      other_codes: the publisher's codes that are no language's.
    """

    directory: str
    layout: Layout
    part: str
    files: Mapping[str, Files]
    other_codes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The layout's name, with the part in use."""
        return f"{self.layout.name} ({self.part})" if self.part else self.layout.name

    def files_of(self, code: str) -> Files:
        """Returns the files of a language by split.

        Raises:
          CorpusError: there are none; the message has the languages there are.
        """
        if code in self.files:
            return self.files[code]
        nearest = nearest_names(code, self.files)
        raise CorpusError(
            f"{self.directory}: {self.title} has no text in {code!r} "
            f"({language(code).name}) here"
            + (f"; nearest: {', '.join(nearest)}" if nearest else "")
            + f"; languages in it: {_some(list(self.files), 150) or 'none'}"
            + (
                f"; other codes: {_some(self.other_codes, 20)}"
                if self.other_codes
                else ""
            )
        )


def open_folder(directory: str, dataset: str = "mc4", part: str = "") -> WebTextFolder:
    """Recognises a folder; the answer is kept for the life of the process.

    Args:
      directory: the folder, local or `gs://...`; empty if none is given.
      dataset: `mc4` (text in many languages) or `c4` (English C4).
      part: see `web_text_part`.

    Raises:
      CorpusError: no folder, a layout that is not known, or several at once.
    """
    if dataset not in DATASETS:
        raise ValueError(f"dataset {dataset!r} is none of {', '.join(DATASETS)}")
    if not directory:
        raise CorpusError(
            f"no folder of web text is given; set ${VARIABLE}, or in gin "
            f"web_text_directory.path; it may hold {_layouts_wanted(dataset)}"
        )
    return _open_folder(directory.rstrip("/") or "/", dataset, part)


@functools.lru_cache(maxsize=32)
def _open_folder(directory: str, dataset: str, part: str) -> WebTextFolder:
    names = _file_names(directory)
    candidates = MULTILINGUAL if dataset == "mc4" else (ENGLISH_C4,)
    found = {
        layout.name: [name for name in names if layout.pattern.match(name)]
        for layout in candidates
    }
    found = {name: matches for name, matches in found.items() if matches}
    versions = prepared.versions(directory, names, dataset)
    if versions:
        found[TFDS.name] = versions
    if not found and dataset == "mc4":
        found = _plain_files(names)
    if len(found) != 1 or len(versions) > 1:
        raise CorpusError(_not_one(directory, dataset, names, found))
    if versions:
        files, others = prepared.files(directory, versions[0], TFDS)
        return WebTextFolder(directory, TFDS, "", files, others)
    ((layout_name, matches),) = found.items()
    layout = next(x for x in (*candidates, PLAIN) if x.name == layout_name)
    _refuse_strays(directory, layout, names, matches)
    return _folder(directory, layout, matches, part)


def _file_names(directory: str) -> list[str]:
    """Returns the names of all files below a folder that count, relative to it, sorted.

    See `file_names` for those that do.
    """
    if not tf.io.gfile.isdir(directory):
        raise CorpusError(f"{directory} is no folder (${VARIABLE} or gin give it)")
    prefix = directory.rstrip("/") + "/"
    names = []
    for folder, _, files in tf.io.gfile.walk(directory):
        inside = (folder.rstrip("/") + "/").removeprefix(prefix)
        names += [inside + name for name in files]
    return sorted(name for name in names if counts(name))


def _plain_files(names: Iterable[str]) -> dict[str, list[str]]:
    """Returns what a plain folder has, if one of its names is a language's."""
    matches = [match for name in names if (match := PLAIN.pattern.match(name))]
    if not any(PLAIN.language(_code(match)) for match in matches):
        return {}
    return {PLAIN.name: [match.string for match in matches]}


def _refuse_strays(
    directory: str, layout: Layout, names: Iterable[str], matches: Sequence[str]
) -> None:
    known = set(matches)
    ending = _ANY_ENDING if layout is PLAIN else _DATA_ENDING
    strays = [
        name
        for name in names
        if name not in known
        and not _ANY_C4_FILE.search(name)
        and (ending.search(name) or _is_unpacked(name, layout))
    ]
    if strays:
        raise CorpusError(
            f"{directory} is mixed: {len(matches)} files are {layout.name} "
            f"(such as {matches[0]}), {len(strays)} are not: {_some(strays, _SHOWN)}; "
            "move them elsewhere"
        )


def _is_unpacked(name: str, layout: Layout) -> bool:
    """Whether a file is one of the layout's, but for the packing it lacks."""
    return any(layout.pattern.match(name + ending) for ending in (".gz", ".zst"))


def _folder(
    directory: str, layout: Layout, names: Sequence[str], part: str
) -> WebTextFolder:
    matches = [match for name in names if (match := layout.pattern.match(name))]
    part = _chosen_part(directory, layout, matches, part)
    matches = [match for match in matches if not part or _part(match) == part]
    _refuse_copies(directory, layout, matches)
    files: dict[str, dict[str, list[str]]] = {}
    others: dict[str, list[str]] = {}
    for match in matches:
        code = layout.language(_code(match))
        if code is None:
            others.setdefault(_code(match), []).append(match.string)
            continue
        by_split = files.setdefault(code, {})
        by_split.setdefault(_split(match), []).append(f"{directory}/{match.string}")
    if layout is PLAIN and others:
        raise CorpusError(_unknown_languages(directory, others))
    ours = [entry.code for entry in LANGUAGES if entry.code in files]
    ordered = {
        code: {split: tuple(paths) for split, paths in files[code].items()}
        for code in (*ours, *sorted(files.keys() - set(ours)))
    }
    return WebTextFolder(directory, layout, part, ordered, tuple(others))


def _unknown_languages(directory: str, others: Mapping[str, Sequence[str]]) -> str:
    code, names = next(iter(others.items()))
    count = sum(map(len, others.values()))
    more = f" (and {count - 1} more files)" if count > 1 else ""
    return (
        f"{directory}/{names[0]}: {_why_unknown(code)}{more}; a plain folder holds "
        f"{PLAIN.example}: name files by their language, or move them elsewhere"
    )


def _why_unknown(code: str) -> str:
    try:
        return f"{language(code).name}"
    except UnknownNameError as error:
        return str(error)


def _refuse_copies(
    directory: str, layout: Layout, matches: Sequence[re.Match[str]]
) -> None:
    """Refuses one text in two files, and files of two revisions of a language."""
    totals: dict[tuple[str, str], re.Match[str]] = {}
    copies = []
    for match in matches:
        path = f"{directory}/{match.string}"
        name = unpacked_name(match.string.rpartition("/")[2]).lower()
        language_split = (_code(match).lower(), _split(match))
        copies.append(((*language_split, name), path))
        first = totals.setdefault(language_split, match)
        if first.groupdict().get("total") != match.groupdict().get("total"):
            raise CorpusError(
                f"{directory}: {first.string} and {match.string} are of two revisions "
                f"of {layout.name}; give the folder of one"
            )
    refuse_copies(copies, "give the folder of one copy or revision")


def _split(match: re.Match[str]) -> str:
    groups = match.groupdict()
    name = (groups.get("split") or groups.get("stem_split") or "train").lower()
    name = name.lstrip("-")
    return _SPLIT_NAMES.get(name, name)


def _part(match: re.Match[str]) -> str:
    return (match.groupdict().get("part") or "").lower()


def _code(match: re.Match[str]) -> str:
    """Returns the publisher's code in a file name; English C4 needs to name none."""
    groups = match.groupdict()
    return groups.get("code") or groups.get("stem") or "en"


def _chosen_part(
    directory: str, layout: Layout, matches: Sequence[re.Match[str]], part: str
) -> str:
    parts = sorted(set(map(_part, matches)))
    if part and part not in parts:
        raise CorpusError(
            f"{directory}: {layout.name} has no part {part!r} here; it has "
            + (", ".join(filter(None, parts)) or "no parts")
        )
    if part or len(parts) == 1:
        return part or parts[0]
    if layout.preferred_part not in parts:
        raise CorpusError(
            f"{directory}: {layout.name} has the parts {', '.join(filter(None, parts))}"
            " here; choose one with gin, web_text_part.name"
        )
    return layout.preferred_part


def _not_one(
    directory: str,
    dataset: str,
    names: Sequence[str],
    found: Mapping[str, Sequence[str]],
) -> str:
    if not found:
        return (
            f"{directory}: no known layout of web text; looked for "
            f"{_layouts_wanted(dataset)}; it has "
            + (_some(names, _SHOWN) if names else "no files")
        )
    each = [f"{name} ({_some(files, 3)})" for name, files in found.items()]
    return (
        f"{directory} is mixed: it holds {' and '.join(each)}; give the folder of one"
    )


def _layouts_wanted(dataset: str) -> str:
    wanted = (*MULTILINGUAL, PLAIN, TFDS) if dataset == "mc4" else (ENGLISH_C4, TFDS)
    return "; ".join(
        f"{layout.name}: "
        + (
            layout.example
            if dataset == "mc4"
            else layout.example.replace("multilingual", "en")
        )
        for layout in wanted
    )


def _some(names: Sequence[str], count: int) -> str:
    shown = ", ".join(names[:count])
    more = len(names) - count
    return f"{shown} and {more} more" if more > 0 else shown
