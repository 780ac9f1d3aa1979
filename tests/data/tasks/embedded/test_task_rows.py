"""Rows of a task: split, deduplicated, guarded, capped, made once."""

from __future__ import annotations

import itertools

import pytest

from mtmoe.data.tasks.embedded import rows as rows_module
from mtmoe.data.tasks.embedded.declaration import text_by_place
from mtmoe.data.tasks.embedded.rows import embedded_source
from mtmoe.data.tasks.embedded.splits import task_split
from mtmoe.errors import CorpusError


def keys_of(split: str, count: int) -> list[str]:
    numbered = (f"made up/{number}" for number in itertools.count())
    return list(
        itertools.islice((k for k in numbered if task_split(k) == split), count)
    )


def source_of(rows, is_prose=False):
    return embedded_source("made_up", lambda _: iter(rows), "sw", is_prose)


def row(key: str, inputs: str, targets: str = "x") -> tuple[str, dict[str, str]]:
    return key, {"inputs": inputs, "targets": targets}


def inputs_of(source, split: str) -> list[str]:
    return [example["inputs"] for example in source.examples(split)]


def test_keys_decide_the_split_and_repeated_inputs_are_dropped():
    train, validation, test = (
        keys_of(split, 3) for split in ("train", "validation", "test")
    )
    source = source_of(
        [
            row(train[0], "one", "first"),
            row(train[1], "one", "second"),
            row(train[1], "Held  out"),
            row(train[2], "in the test"),
            row(train[2], "two"),
            row(validation[0], "held out"),
            row(validation[0], "both"),
            row(test[0], "in the test"),
            row(test[1], "Both"),
        ]
    )
    assert inputs_of(source, "train") == ["one", "two"]
    assert source.examples("train")[0]["targets"] == "first"
    assert inputs_of(source, "validation") == ["held out", "both"]
    assert inputs_of(source, "test") == ["in the test"]
    assert source.num_input_examples("train") == 2


def test_rows_are_made_once_and_late():
    calls = []

    def rows(language):
        calls.append(language)
        yield row(keys_of("train", 1)[0], "text")

    source = embedded_source("made_up", rows, "yo")
    assert calls == []
    for split in ("train", "validation", "train"):
        source.examples(split)
    assert calls == ["yo"]


def test_the_cap_keeps_the_same_keys_in_every_language(monkeypatch):
    monkeypatch.setitem(rows_module.MOST_ROWS, "train", 10)
    keys = keys_of("train", 50)
    swahili = source_of([row(key, f"sw {key}") for key in keys])
    yoruba = source_of([row(key, f"yo {key}") for key in reversed(keys)])
    chosen = [text.removeprefix("sw ") for text in inputs_of(swahili, "train")]
    assert len(chosen) == 10 and chosen != keys[:10]
    assert chosen == [key for key in keys if key in chosen]  # in the source's order
    assert set(chosen) == {t.removeprefix("yo ") for t in inputs_of(yoruba, "train")}


def test_training_rows_that_repeat_held_out_prose_are_dropped():
    key = keys_of("train", 1)[0]
    held_out = text_by_place("yo")["udhr/article/29", 0]
    rows = [row(key, "plain"), row(key, f"say: {held_out}"), row(key, "y", held_out)]
    assert inputs_of(source_of(rows, is_prose=True), "train") == ["plain"]
    assert len(inputs_of(source_of(rows), "train")) == 3


def test_no_rows_at_all_is_an_error():
    with pytest.raises(CorpusError, match="no made_up rows in 'sw'"):
        source_of([]).examples("train")
