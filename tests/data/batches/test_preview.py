"""Examples as a person reads them, and packed rows."""

from __future__ import annotations

import numpy as np
import pytest
import seqio

from mtmoe.data.batches.preview import pieces, preview_examples, preview_packed
from mtmoe.data.batches.training import Packing, TrainingBatches
from mtmoe.data.mixing.mixtures import register_weighted_mixture
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.errors import CorpusError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry", "bytes_configured")
LENGTHS = {"inputs": 32, "targets": 16}


def add(name, count, word="neno"):
    examples = [
        {"inputs": f"{word} {i}", "targets": f"{i}", "answers": ["a", "b"]}
        for i in range(count)
    ]
    source = PairSource(lambda split: examples, ["train"])
    return register_task(name, source, TaskCard("other"))


def test_before_and_after_tokenisation():
    add("shown", 5)
    first, second = preview_examples("shown", "train", 2, LENGTHS)
    assert first.text == {"inputs": "neno 0", "targets": "0", "answers": "a | b"}
    assert second.pieces["inputs"] == (*"neno", "<0x20>", "1", "</s>")


def test_no_examples_no_split():
    add("shown.empty", 0)
    with pytest.raises(CorpusError, match="no examples"):
        preview_examples("shown.empty", "train", 1, LENGTHS)
    with pytest.raises(CorpusError, match="no examples"):
        preview_packed("shown.empty", "train", 1, LENGTHS)
    with pytest.raises(UnknownNameError, match="did you mean train"):
        preview_examples("shown.empty", "trai", 1, LENGTHS)


def test_a_packed_row_holds_whole_examples_of_several_tasks():
    add("shown.a", 3, "a")
    add("shown.b", 3, "b")
    register_weighted_mixture("shown.both", {"shown.a": 1, "shown.b": 1})
    rows = preview_packed("shown.both", "train", 2, LENGTHS)
    for row in rows:
        assert len(row.segments) > 3
        for feature, length in LENGTHS.items():
            used = sum(len(segment.pieces[feature]) for segment in row.segments)
            assert used + row.padding[feature] == length
        for segment in row.segments:
            assert segment.pieces["inputs"][0] == segment.task[-1]
            assert segment.pieces["inputs"][-1] == "</s>"
    assert {s.task for row in rows for s in row.segments} == {"shown.a", "shown.b"}


def test_a_packed_row_is_a_row_of_the_first_training_batch():
    add("shown.c", 50, "c")
    batches = TrainingBatches("shown.c", 3, LENGTHS, seed=0, packing=Packing())
    batch = batches.batch(0)
    rows = preview_packed("shown.c", "train", 3, LENGTHS)
    for number, row in enumerate(rows):
        of_row = [len(segment.pieces["inputs"]) for segment in row.segments]
        segments = batch.features["inputs_segments"][number]
        assert of_row == np.bincount(segments[segments > 0])[1:].tolist()
        texts = "".join(piece for s in row.segments for piece in s.pieces["targets"])
        expected = batch.features["targets"][number][
            batch.features["targets_segments"][number] > 0
        ]
        assert texts == "".join(pieces(seqio.ByteVocabulary(100), expected))


def test_a_decoder_alone_has_both_in_the_same_places():
    add("shown.d", 9, "d")
    [row] = preview_packed("shown.d", "train", 1, {"targets": 24})
    for segment in row.segments:
        assert segment.pieces["inputs"][:2] == ("d", "<0x20>")
        assert segment.pieces["targets"] == (segment.pieces["inputs"][2], "</s>")
    used = sum(len(cut) for s in row.segments for cut in s.pieces.values())
    assert row.padding == {"targets": 24 - used} and used > 12


def test_pieces_of_every_vocabulary(small_vocabulary, byte_vocabulary):
    tokens = [*byte_vocabulary.encode("a é"), 1, byte_vocabulary.vocab_size - 1]
    assert pieces(byte_vocabulary, tokens) == (
        *("a", "<0x20>", "<0xC3>", "<0xA9>", "</s>", "<extra_id_0>"),
    )
    cut = pieces(small_vocabulary, small_vocabulary.encode("free and equal"))
    assert "".join(cut).replace("▁", " ").strip() == "free and equal"
