"""Rows that ask which paragraph of the Declaration follows another."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

from mtmoe.data.tasks.embedded.declaration import excerpt, paragraphs
from mtmoe.data.tasks.embedded.rows import Row
from mtmoe.data.tasks.embedded.splits import task_split
from mtmoe.languages import language

EXCERPT_CHARACTERS = 160
QUESTIONS_PER_PARAGRAPH = 3


def next_paragraph_rows(code: str) -> Iterator[Row]:
    """Yields a paragraph, the next one and another, both under a letter.

    All three are of one split: no held-out article is read in training.
    """
    name = language(code).name
    for split in ("train", "validation", "test"):
        own = [p for p in paragraphs(code) if task_split(p.key) == split]
        for first, second in pairwise(own):
            rivals = [p for p in own if p not in (first, second)]
            generator = random.Random(f"next/{first.key}/{first.number}")
            chosen = generator.sample(rivals, min(len(rivals), QUESTIONS_PER_PARAGRAPH))
            for rival in chosen:
                choices = [second.text, rival.text]
                generator.shuffle(choices)
                shown = [excerpt(t, EXCERPT_CHARACTERS) for t in (first.text, *choices)]
                question = (
                    f"which paragraph follows this {name} one? {shown[0]} "
                    f"A: {shown[1]} B: {shown[2]}"
                )
                answer = "A" if choices[0] == second.text else "B"
                yield first.key, {"inputs": question, "targets": answer}
