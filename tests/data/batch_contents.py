"""What is in a batch, in forms that tests compare; and a small mixture's data."""

from __future__ import annotations

import hashlib

import numpy as np

LENGTHS = {"inputs": 64, "targets": 20}
PAIRS = [(f"question {i}", f"answer {i}") for i in range(7)]


def arrays_of(batch) -> dict[str, np.ndarray]:
    return {**batch.features, "segment_task": batch.segment_task}


def same_arrays(a, b) -> bool:
    a, b = arrays_of(a), arrays_of(b)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def text_of(row: np.ndarray, vocabulary) -> str:
    return vocabulary.decode(row[: row.tolist().index(1)])


def segments_of(batch):
    """Yields (task, inputs, targets) of every segment, by row."""
    for row, tasks in enumerate(batch.segment_task.tolist()):
        for number, task in enumerate(tasks, start=1):
            if task >= 0:
                yield task, *(_tokens(batch, name, row, number) for name in LENGTHS)


def _tokens(batch, name: str, row: int, segment: int) -> tuple[int, ...]:
    here = batch.features[f"{name}_segments"][row] == segment
    return tuple(batch.features[name][row][here])


def restored(inputs, targets, vocabulary) -> str:
    spans: dict[int, list[int]] = {}
    for token in targets[: targets.tolist().index(1)]:
        if token >= 259:
            span = spans.setdefault(token, [])
        else:
            span.append(token)
    tokens = [spans.get(token, [token]) for token in inputs[: inputs.tolist().index(1)]]
    return vocabulary.decode([int(t) for part in tokens for t in part])


def digest(batch) -> str:
    content = b"".join(array.tobytes() for array in arrays_of(batch).values())
    return hashlib.sha256(content).hexdigest()
