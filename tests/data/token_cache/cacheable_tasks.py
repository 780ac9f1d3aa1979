"""Tasks that processes of their own can import: whole, empty, failing, deadly.

The folder of the files of lines is `$CACHEABLE_LINES`; a deadly task kills its process
while `$CACHEABLE_LINES/deadly` exists.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import registrations
import seqio

from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.vocabulary.configured import configured_vocabulary
from mtmoe.errors import CorpusError

GOOD = ("cacheable.lines", "cacheable.pairs", "cacheable.text")
FILES = 3


@contextlib.contextmanager
def registered(folder: Path, monkeypatch) -> Iterator[None]:
    """Registers the tasks in this process, and takes them away again."""
    for number in range(FILES):
        text = "\n".join(_text(90 + number, 40) for _ in range(30 + number))
        (folder / f"lines-{number}.txt").write_text(text, "utf-8")
    monkeypatch.setenv("CACHEABLE_LINES", str(folder))
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    with registrations.undone():
        _register(folder)
        yield


def _text(seed: int, letters: int) -> str:
    alphabet = np.array(list("abcdefgh    "))
    return "".join(np.random.default_rng(seed).choice(alphabet, letters))


def _documents(split: str) -> list[str]:
    return [_text(seed, 500) for seed in range(20 if split == "train" else 2)]


def _pairs(split: str) -> list[dict[str, str]]:
    count = 40 if split == "train" else 3
    return [{"inputs": _text(i, 30), "targets": f"answer {i}"} for i in range(count)]


def _no_documents(split: str) -> list[str]:
    return []


def _unreadable(split: str) -> list[str]:
    raise CorpusError("the disk of the test is gone")


def _broken(split: str) -> list[str]:
    raise ZeroDivisionError("a mistake in a source")


def _deadly(folder: Path, split: str) -> list[str]:
    if (folder / "deadly").exists():
        print("about to die", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return ["it lives"]


def _lines_as_text(dataset):
    return dataset.map(lambda line: {"text": line})


def _named() -> str:
    return "1"


def _register(folder: Path) -> None:
    feature = seqio.Feature(vocabulary=configured_vocabulary(), add_eos=True)
    features = {"inputs": feature, "targets": feature}
    rekey = functools.partial(
        seqio.preprocessors.rekey, key_map={"inputs": None, "targets": "text"}
    )
    text_steps = [
        rekey,
        seqio.preprocessors.tokenize,
        seqio.CacheDatasetPlaceholder(),
        SpanCorruption(),
        seqio.preprocessors.append_eos,
    ]
    add = functools.partial(
        seqio.TaskRegistry.add, output_features=features, metric_fns=[]
    )

    def add_text(name: str, documents, splits=("train",)) -> None:
        source = TextSource(documents, splits, fingerprint=_named)
        add(f"cacheable.{name}", source=source, preprocessors=text_steps)

    add_text("text", _documents, ("train", "validation"))
    add_text("empty", _no_documents)
    add_text("unreadable", _unreadable)
    add_text("broken", _broken)
    add_text("deadly", functools.partial(_deadly, folder), ("train", "validation"))
    add(
        "cacheable.pairs",
        source=PairSource(_pairs, ("train", "validation"), fingerprint=_named),
        preprocessors=[
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            seqio.preprocessors.append_eos_after_trim,
        ],
    )
    add(
        "cacheable.lines",
        source=seqio.TextLineDataSource({"train": str(folder / "lines-*.txt")}),
        preprocessors=[_lines_as_text, *text_steps],
    )
    add(
        "cacheable.stream",
        source=PairSource(_pairs, ("train",), fingerprint=_named),
        preprocessors=[seqio.preprocessors.tokenize, seqio.preprocessors.append_eos],
    )
    mixtures = {
        "good": GOOD,
        "partly": ("cacheable.pairs", "cacheable.stream"),
        "bad": (
            *GOOD,
            "cacheable.empty",
            "cacheable.unreadable",
            "cacheable.broken",
            "cacheable.deadly",
        ),
    }
    for name, tasks in mixtures.items():
        seqio.MixtureRegistry.add(f"cacheable.{name}", [(task, 1) for task in tasks])


def files_of(root: Path) -> dict[str, bytes]:
    """Returns the content of every file below a folder, by path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


# In the process of a test, `registered` does it; in a worker, importing this module.
if "CACHEABLE_LINES" in os.environ and "pytest" not in sys.modules:
    _register(Path(os.environ["CACHEABLE_LINES"]))
