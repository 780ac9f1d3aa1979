"""Generated values, columns, texts and forms, read as users' files are."""

from __future__ import annotations

import json

import gin
import pyarrow
import pyarrow.parquet
import pytest
import registrations
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmoe.data.sources.records import RecordSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_task
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.token_cache.content import uncached_examples
from mtmoe.errors import CorpusError

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)
_NO_TEXT = (
    _SCALARS
    | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)
    | st.lists(_SCALARS | st.lists(st.text(max_size=2)), min_size=1, max_size=3)
    | st.text(max_size=3).map(lambda text: text + "\udc80")
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return tmp_path_factory.mktemp("drawn")


def _refused(path, words: str) -> None:
    source = RecordSource({"train": str(path)}, dict)
    with pytest.raises(CorpusError) as caught:
        source.examples("train")
    assert str(caught.value).startswith(f"{path}:{words}"), caught.value


def test_generated_values_that_are_no_text(drawn, tried):
    @settings(max_examples=60)
    @given(_NO_TEXT, st.integers(0, 4), st.sampled_from(["inputs", "targets", "note"]))
    def check(value, line, key):
        good = {"inputs": "swali", "targets": "jibu", "note": "x"}
        records = [good] * 5
        records[line] = {**good, key: value}
        path = drawn / "a.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in records), "ascii")
        _refused(path, f'{line + 1}: "{key}" ')

    check()
    tried(
        "values", "60 generated JSON values that are no text", "refused: FILE:LINE, key"
    )


def test_generated_columns_that_are_no_text(drawn, tried):
    columns = (
        st.lists(st.none() | st.text(max_size=3), min_size=2, max_size=4).filter(
            lambda column: None in column
        )
        | st.lists(st.integers(0, 9), min_size=2, max_size=4)
        | st.lists(st.binary(max_size=3), min_size=2, max_size=4)
        | st.lists(st.lists(st.integers(0, 9), min_size=1), min_size=2, max_size=4)
    )

    @settings(max_examples=30)
    @given(columns)
    def check(column):
        path = drawn / "a.parquet"
        table = {"inputs": ["swali"] * len(column), "targets": column}
        pyarrow.parquet.write_table(pyarrow.table(table), path)
        row = column.index(None) + 1 if None in column else 1
        _refused(path, f'{row}: "targets" is ')

    check()
    tried("values", "30 generated Parquet columns with nulls, numbers, bytes or lists "
          "of numbers", "refused: FILE:ROW, key")  # fmt: skip


def test_generated_texts_reach_the_model_as_they_are(drawn, monkeypatch, tried):
    """Whatever Unicode: the file's text, the pipeline's tokens, the cache's tokens."""
    gin.parse_config("configured_vocabulary.factory = @byte_vocabulary")
    path = drawn / "texts.jsonl"

    @settings(max_examples=30)
    @given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=3))
    def check(texts):
        records = [{"inputs": text[::-1], "targets": text} for text in texts]
        path.write_text("".join(json.dumps(r) + "\n" for r in records), "ascii")
        source = RecordSource({"train": str(path)}, dict)
        task = register_and_get(source)
        rows = [
            [bytes(token - 3 for token in feature).decode() for feature in row]
            for row in uncached_examples(task, "train")
        ]
        assert rows == [[text[::-1], text] for text in texts]

    def register_and_get(source):
        with registrations.undone():
            register_task("drawn.texts", source, TaskCard("other"))
            return get_task("drawn.texts")

    check()
    tried("values", "30 generated lists of texts of any Unicode, NUL and control "
          "characters included", "each is encoded letter by letter")  # fmt: skip


def test_generated_forms_that_change_from_row_to_row(drawn, tried):
    forms = st.lists(st.booleans(), min_size=2, max_size=5).filter(
        lambda form: len(set(form)) == 2
    )

    @settings(max_examples=20)
    @given(forms)
    def check(form):
        records = [
            {"inputs": "a", "targets": ["b"] if is_list else "b"} for is_list in form
        ]
        path = drawn / "forms.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in records), "ascii")
        line = next(n for n, is_list in enumerate(form, 1) if is_list != form[0])
        words = ("text", "list") if form[line - 1] is False else ("list", "text")
        _refused(
            path,
            f'{line}: "targets" is a {words[0]}, in the examples before a {words[1]}',
        )

    check()
    tried("values", "20 generated files whose value is a list in some rows and a text "
          "in others", "refused: the first line of another form")  # fmt: skip
