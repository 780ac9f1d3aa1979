"""Names the content of a split without reading it: source, steps, vocabulary, code.

What each part is named by:

* A source with a method `fingerprint() -> str` names itself. Otherwise files are named
  by path, size and time of change, TensorFlow Datasets by builder, version and split, a
  joined source by its parts, text or examples that Python holds by their own hash, and
  any other source by its function or fields.
* Steps before the cache, by `naming` and `module_code`; the objective and the steps
  behind the cache play no part.
* The vocabulary, by what it encodes with.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import seqio

from mtmoe.data.sources.files import file_states
from mtmoe.data.sources.joined import JoinedSource
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.records import RecordSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.tasks.form import check_split, task_form
from mtmoe.data.tasks.reading import reading
from mtmoe.data.token_cache.files.manifest import FORMAT_VERSION
from mtmoe.data.token_cache.fingerprints.module_code import code_facts
from mtmoe.data.token_cache.fingerprints.naming import Json, Namer, digest_of, gin_facts
from mtmoe.errors import ConfigError, CorpusError

DATA_PATH_VERSION = 1
"""Raised when mtmoe makes other tokens of the same source and steps. Of its modules,
only those that steps are written in are named by their text."""

_MOST_FILES = 20  # that are listed one by one
_LONGEST_WORDS = 200
_EXACT_VERSION = re.compile(r":\d+\.\d+\.\d+$")
_OWN_SOURCES = ("seqio.", "mtmoe.data.")  # their facts say all about them


@dataclass(frozen=True)
class Fingerprint:
    """What the tokens of a split are a function of.

    Attributes:
      digest: SHA-256 of the facts, in hexadecimal.
      facts: what the digest is of, as plain JSON: `format`, `data path`, `split`,
        `kind`, `source`, `steps`, `features`, `code` and `gin`.
    """

    digest: str
    facts: Mapping[str, Json]


def split_fingerprint(task: seqio.Task, split: str) -> Fingerprint:
    """Names the cached content of a split.

    Args:
      task: a task that is text or examples (`task_form`).
      split: one of its splits.

    Raises:
      UnknownNameError: the task has no such split.
      UnnamedContentError: something the content depends on cannot be named; the message
        says what, and how to name it.
      ConfigError: the task is a stream.
      CorpusError: the source cannot be opened.
    """
    check_split(task, split)
    form = task_form(task)
    if not form.features:
        raise ConfigError(f"task {task.name!r} cannot be cached: {form.reason}")
    namer = Namer()
    with reading(task, split):
        source = _source_facts(task.source, split, namer)
    steps = [
        namer.name(step, f"step {number} of task {task.name!r}")
        for number, step in enumerate(form.offline, start=1)
    ]
    features = {
        name: {
            "vocabulary": namer.name(feature.vocabulary, f"the vocabulary of {name}"),
            "add_eos": bool(feature.add_eos),
            "type": f"{feature.dtype.name}, rank {feature.rank}",
        }
        for name, feature in task.output_features.items()
    }
    code = code_facts(namer.modules)
    facts = {
        "format": FORMAT_VERSION,
        "data path": DATA_PATH_VERSION,
        "split": split,
        "kind": form.kind,
        "source": source,
        "steps": steps,
        "features": features,
        "code": code.named,
        "gin": gin_facts(namer.configurables, code.own_modules, code.packages),
    }
    return Fingerprint(digest_of(facts), facts)


def explain(old: Mapping[str, Json], new: Mapping[str, Json]) -> str:
    """Says in words how the facts of two fingerprints differ."""
    said = _explain_features(old.get("features", {}), new.get("features", {}))
    said += _explain_entries("", old.get("code", {}), new.get("code", {}))
    said += _explain_entries("gin binding ", old.get("gin", {}), new.get("gin", {}))
    if old.get("source") != new.get("source"):
        said.append(
            f"the source was {_words(old.get('source'))}, "
            f"is {_words(new.get('source'))}"
        )
    if old.get("steps") != new.get("steps"):
        said.append(
            f"the steps were {_words(old.get('steps'))}, are {_words(new.get('steps'))}"
        )
    for key in ("format", "data path", "split", "kind"):
        if old.get(key) != new.get(key):
            said.append(f"the {key} was {old.get(key)!r}, is {new.get(key)!r}")
    return "; ".join(said) or "nothing differs"


def _explain_features(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[str]:
    said: dict[str, None] = {}
    if set(old) != set(new):
        said[f"the features were {', '.join(old)}, are {', '.join(new)}"] = None
    for name in set(old) & set(new):
        for key, now in new[name].items():
            before = old[name].get(key)
            if before != now and key == "vocabulary":
                said[f"the vocabulary is another one: was {before}, is {now}"] = None
            elif before != now:
                said[f"{key} of {name!r} was {before}, is {now}"] = None
    return sorted(said)


def _explain_entries(
    what: str, old: Mapping[str, Json], new: Mapping[str, Json]
) -> list[str]:
    said = []
    for key in sorted(set(old) | set(new)):
        if key not in new or key not in old:
            change = "is no longer used" if key in old else "is new"
            said.append(f"{what}{key} {change}")
        elif old[key] != new[key] and what:
            said.append(f"{what}{key} was {_words(old[key])}, is {_words(new[key])}")
        elif old[key] != new[key]:
            is_text = str(new[key]).startswith("sha256")
            said.append(
                f"the code of {key} has changed"
                if is_text
                else f"{key} was {old[key]}, is {new[key]}"
            )
    return said


def _words(named: Json) -> str:
    """Returns a name in one line, shortened."""
    text = json.dumps(named, ensure_ascii=False)
    return text if len(text) <= _LONGEST_WORDS else text[:_LONGEST_WORDS] + "..."


def _source_facts(source: seqio.DataSource, split: str, namer: Namer) -> Json:
    kind = f"{type(source).__module__}.{type(source).__qualname__}"
    own = getattr(source, "fingerprint", None)
    if callable(own):
        return {"source": kind, "fingerprint": str(own())}
    if isinstance(source, TextSource):
        facts: dict[str, Json] = {"content": _hash_of(source.documents(split))}
    elif isinstance(source, RecordSource):
        facts = {
            **_listed(source.paths(split)),
            "made by": namer.name(source.make_examples, "the source's make_examples"),
        }
    elif isinstance(source, PairSource):
        facts = {"content": _hash_of(source.examples(split))}
    elif isinstance(source, seqio.TfdsDataSource):
        facts = _tfds_facts(source, split, namer)
    elif isinstance(source, seqio.FileDataSource):
        facts = _file_facts(source, split, namer)
    elif isinstance(source, JoinedSource):
        facts = {"parts": _part_facts(source, split, namer)}
    else:
        return namer.name(source, f"the source ({kind})")
    if not kind.startswith(_OWN_SOURCES):
        namer.name(type(source), f"the source ({kind})")
    return {"source": kind, **facts}


def _hash_of(rows: Iterable[Any]) -> str:
    digest, count = hashlib.sha256(), 0
    for row in rows:
        count += 1
        text = row if isinstance(row, str) else json.dumps(dict(row), sort_keys=True)
        content = text.encode("utf-8")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return f"{count} rows, sha256 {digest.hexdigest()}"


def _tfds_facts(
    source: seqio.TfdsDataSource, split: str, namer: Namer
) -> dict[str, Json]:
    loader = source.tfds_dataset
    name, _ = loader.get_split_params(split)
    if not _EXACT_VERSION.search(name or ""):  # only the builder knows which it is
        name = loader._get_builder(split).info.full_name
    return {
        "tfds": name,
        "split": str(loader._map_split(split)),
        "decoders": namer.name(loader._decoders, "the decoders"),
        "builder_kwargs": namer.name(loader._builder_kwargs, "builder_kwargs"),
    }


def _file_facts(
    source: seqio.FileDataSource, split: str, namer: Namer
) -> dict[str, Json]:
    paths = sorted(map(str, source.list_shards(split)))
    if not paths:
        pattern = source._split_to_filepattern[split]
        raise CorpusError(f"no file {pattern} (split {split!r})")
    return {
        **_listed(paths),
        "reader": namer.name(source._reader, "the source's reader"),
    }


def _listed(paths: Sequence[str]) -> dict[str, Json]:
    states = file_states(paths)
    if len(states) <= _MOST_FILES:
        return {"files": states}
    return {"files": f"{len(states)} files, {_hash_of(states)}"}


def _part_facts(source: JoinedSource, split: str, namer: Namer) -> list[Json]:
    return [
        {
            "source": _source_facts(part.source, split, namer),
            "steps": [
                namer.name(step, f"step {number} of part {place} of the source")
                for number, step in enumerate(part.steps, start=1)
            ],
        }
        for place, part in enumerate(source.parts_of(split), start=1)
    ]
