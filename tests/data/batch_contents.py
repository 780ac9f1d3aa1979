"""What is in a batch, in forms that tests compare; and a small mixture's data."""

from __future__ import annotations

import hashlib

import numpy as np

LENGTHS = {"inputs": 64, "targets": 20}
PAIRS = [(f"question {i}", f"answer {i}") for i in range(7)]
ARRAYS = ("inputs", "targets", "inputs_segments", "targets_segments", "segment_task")


def same_arrays(a, b) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ARRAYS)


def text_of(row: np.ndarray, vocabulary) -> str:
    return vocabulary.decode(row[: row.tolist().index(1)])


def segments_of(batch):
    """Yields (task, inputs, targets) of every segment, by row."""
    for row in range(len(batch.inputs)):
        for number, task in enumerate(batch.segment_task[row].tolist(), start=1):
            if task >= 0:
                yield (
                    task,
                    tuple(batch.inputs[row][batch.inputs_segments[row] == number]),
                    tuple(batch.targets[row][batch.targets_segments[row] == number]),
                )


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
    content = b"".join(getattr(batch, name).tobytes() for name in ARRAYS)
    return hashlib.sha256(content).hexdigest()
