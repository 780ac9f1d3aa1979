"""Raw tokens of tasks: equal to SeqIO's, cached by content, checked."""

from __future__ import annotations

import numpy as np
import pytest
import seqio
import tensorflow as tf
from conftest import SENTENCES
from fake_tasks import (
    REKEY_TEXT,
    TEXT_STEPS,
    add_supervised_task,
    add_text_task,
    features,
    random_documents,
)

from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.token_rows import cut_rows, join_rows, stack_rows
from mtmoe.data.token_store import task_tokens, token_level_steps
from mtmoe.errors import CorpusError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")


def _seqio_tokens(task: seqio.Task, split: str = "train") -> np.ndarray:
    """What SeqIO's own pipeline gives before the cache placeholder."""
    dataset = task.preprocess_precache(task.source.get_dataset(split, shuffle=False))
    return np.concatenate([row["targets"] for row in dataset.as_numpy_iterator()])


@pytest.mark.parametrize("kind", ["byte_vocabulary", "small_vocabulary"])
def test_tokens_are_those_of_seqio(kind, request):
    vocabulary = request.getfixturevalue(kind)
    documents = [*SENTENCES, "  two  spaces ", "tab\there", "emoji 🙂 and Ωmega", "ﬁ ½"]
    task = add_text_task("text", documents, vocabulary)
    np.testing.assert_array_equal(task_tokens(task, "train"), _seqio_tokens(task))


def test_other_offline_steps_go_through_seqio(byte_vocabulary):
    @seqio.map_over_dataset
    def upper(row):
        return {"targets": tf.strings.upper(row["text"]), "inputs": ""}

    steps = [upper, *TEXT_STEPS[1:]]
    task = add_text_task("upper", ["abc", "d"], byte_vocabulary, steps)
    assert token_level_steps(task).objective == SpanCorruption()
    assert byte_vocabulary.decode(task_tokens(task, "train")) == "ABCD"


def test_a_text_file_of_seqio_is_read_through_its_own_steps(byte_vocabulary, tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("first\nsecond\n", encoding="utf-8")
    task = seqio.TaskRegistry.add(
        "lines",
        source=seqio.TextLineDataSource({"train": str(file)}),
        preprocessors=[
            _to_text,
            *TEXT_STEPS[1:],
        ],
        output_features=features(byte_vocabulary),
    )
    assert byte_vocabulary.decode(task_tokens(task, "train")) == "firstsecond"


@seqio.map_over_dataset
def _to_text(line):
    return {"inputs": "", "targets": line}


def test_a_function_source_with_plain_steps_is_encoded_directly(
    byte_vocabulary, own_cache
):
    task = _bytes_task([b"one", b"two"], byte_vocabulary)
    assert byte_vocabulary.decode(task_tokens(task, "train")) == "onetwo"
    assert len(list(own_cache.rglob("*.npy"))) == 1


def test_text_that_is_not_utf8_is_an_error(byte_vocabulary):
    with pytest.raises(CorpusError, match="'raw'.*not UTF-8"):
        task_tokens(_bytes_task([b"ok", b"\xff\xfe"], byte_vocabulary), "train")


def _bytes_task(rows: list[bytes], vocabulary) -> seqio.Task:
    def dataset(split, shuffle_files, seed=None):
        return tf.data.Dataset.from_tensor_slices({"text": rows})

    return seqio.TaskRegistry.add(
        "raw",
        source=seqio.FunctionDataSource(dataset, splits=["train"]),
        preprocessors=list(TEXT_STEPS),
        output_features=features(vocabulary),
    )


def test_tokens_are_cached_by_content_of_text_and_vocabulary(
    byte_vocabulary, own_cache, monkeypatch
):
    documents = random_documents(0, 1000)
    task = add_text_task("cached", documents, byte_vocabulary)
    first = task_tokens(task, "train")
    files = set(own_cache.rglob("*"))
    encoded = []
    monkeypatch.setattr(
        type(byte_vocabulary), "encode", lambda self, s: encoded.append(s) or [5]
    )
    np.testing.assert_array_equal(task_tokens(task, "train"), first)
    assert encoded == [] and set(own_cache.rglob("*")) == files
    seqio.TaskRegistry.remove("cached")
    changed = add_text_task("cached", [*documents[:-1], "new"], byte_vocabulary)
    task_tokens(changed, "train")
    assert "new" in encoded, "changed text is encoded anew"
    encoded.clear()
    seqio.TaskRegistry.remove("cached")
    other = add_text_task("cached", documents, seqio.ByteVocabulary(extra_ids=7))
    task_tokens(other, "train")
    assert encoded == documents, "so is text for another vocabulary"


@pytest.mark.parametrize("damage", [b"", b"not an array", None])
def test_a_damaged_cache_file_is_made_again(byte_vocabulary, own_cache, damage):
    task = add_text_task("damaged", ["some text"], byte_vocabulary)
    first = task_tokens(task, "train")
    (file,) = own_cache.rglob("*.npy")
    whole = file.read_bytes()
    file.write_bytes(whole[:-3] if damage is None else damage)
    np.testing.assert_array_equal(task_tokens(task, "train"), first)
    assert file.read_bytes() == whole


def test_padding_tokens_are_left_out_as_t5_does(byte_vocabulary, monkeypatch):
    monkeypatch.setattr(type(byte_vocabulary), "encode", lambda self, s: [5, 0, 6, 0])
    task = add_text_task("zeros", ["x"], byte_vocabulary)
    assert task_tokens(task, "train").tolist() == [5, 6]


def test_no_text_an_unknown_split_and_a_foreign_token_are_errors(
    byte_vocabulary, monkeypatch
):
    empty = add_text_task("empty", [""], byte_vocabulary)
    with pytest.raises(CorpusError, match="'empty' has no text in split 'train'"):
        task_tokens(empty, "train")
    with pytest.raises(UnknownNameError, match="did you mean validation"):
        task_tokens(empty, "validatoin")
    task = add_text_task("foreign", ["abc"], byte_vocabulary)
    monkeypatch.setattr(type(byte_vocabulary), "encode", lambda self, s: [5, 4000])
    with pytest.raises(CorpusError, match="token 4000 is outside"):
        task_tokens(task, "train")


def test_tasks_without_an_objective_at_the_end_are_not_at_token_level(byte_vocabulary):
    plain = add_supervised_task("plain", [("a", "b")], byte_vocabulary)
    assert token_level_steps(plain) is None
    with pytest.raises(ValueError, match="not at token level"):
        task_tokens(plain, "train")
    steps = [*TEXT_STEPS, seqio.preprocessors.append_eos_after_trim]
    assert token_level_steps(add_text_task("x", ["a"], byte_vocabulary, steps)) is None
    no_cache = [REKEY_TEXT, seqio.preprocessors.tokenize, *TEXT_STEPS[3:]]
    task = add_text_task("y", ["a"], byte_vocabulary, no_cache)
    assert token_level_steps(task).offline == tuple(no_cache[:2])


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(20, [10, 10]), (23, [10, 10, 3]), (22, [10, 10]), (1, [1]), (9, [9])],
)
def test_a_short_last_row_is_kept_if_useful_or_the_only_one(count, sizes):
    rows = cut_rows(np.arange(1, count + 1, dtype=np.int32), 10, min_tail=3)
    tokens, row_sizes = rows.gather(np.arange(len(rows)), 10)
    assert row_sizes.tolist() == sizes
    kept = tokens[tokens != 0]
    np.testing.assert_array_equal(kept, np.arange(1, sum(sizes) + 1))


def test_rows_join_stack_and_refuse_a_narrow_width():
    rows = stack_rows([join_rows([[1, 2], []]), join_rows([[3], [4, 5, 6]])])
    tokens, sizes = rows.gather([3, 1, 0, 2], 3)
    assert tokens.tolist() == [[4, 5, 6], [0, 0, 0], [1, 2, 0], [3, 0, 0]]
    assert sizes.tolist() == [3, 0, 2, 1] and len(rows) == 4
    with pytest.raises(ValueError, match="3 tokens is wider than 2"):
        rows.gather([3], 2)
