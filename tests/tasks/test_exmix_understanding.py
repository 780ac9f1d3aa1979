"""The ExMix rows that ask for a label, a choice or an answer.

Each is run on examples of exactly its builder's features, or on files in its published
layout; for many the text is compared with what it should be.
"""

from __future__ import annotations

import importlib
import json

import gin
import pytest
import seqio
import tensorflow_datasets as tfds
from exmix_understanding_records import BAD_RECORDS, FILE_ROWS, HAND_WRITTEN
from tfds_mocking import mocked_tfds, published_splits

from mtmoe.data.sources.joined import JoinedSource
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.errors import CorpusError
from mtmoe.tasks.exmix.rows import ROWS

MODULES = (
    "classification tweet_eval nli paraphrase commonsense closed_book_qa kilt "
    "reading_comprehension"
).split()
REGISTERING = [importlib.import_module(f"mtmoe.tasks.exmix.{m}") for m in MODULES]
FILES = {module.__file__ for module in REGISTERING}

NUMBERS = [
    *map(str, [*range(1, 25), *range(26, 32), *range(46, 54), *range(60, 65)]),
    *map(str, [69, 70, 77, 78, *range(80, 102)]),
    *(f"x{n}" for n in (*range(1, 15), 21, 37, 41)),
]
TASKS = {
    row.name: get_task(row.task_name) for row in ROWS.values() if row.number in NUMBERS
}
BUILT = [name for name, task in TASKS.items() if task_card(task).verified == "mocked"]
BROUGHT = [name for name in TASKS if name not in BUILT]

# One of each form; all of them run in the slow sweep.
REPRESENTATIVE = (
    "glue_cola goemotions anli esnli super_glue_wsc_dpr openbookqa cos_e nq_open "
    "trivia_qa_open race_high wiki_table_questions"
).split()

# T5's lengths; a byte vocabulary has about four tokens where T5's has one.
LENGTHS = {"inputs": 4 * 512, "targets": 4 * 114}


@pytest.fixture(autouse=True)
def _bytes_configured():
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """Writes records as the file of a row that the user brings."""
    monkeypatch.setenv("MTMOE_DATA", str(tmp_path))

    def write(name: str, records: list[dict], file: str = "train.jsonl") -> None:
        path = tmp_path / "exmix" / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))

    return write


def texts(name: str, split: str = "train") -> list[tuple[str, str]]:
    """Inputs and targets of a row."""
    dataset = TASKS[name].get_dataset(
        None, split, use_cached=False, shuffle=False, try_in_mem_cache=False
    )
    return [
        (row["inputs_pretokenized"].decode(), row["targets_pretokenized"].decode())
        for row in dataset.as_numpy_iterator()
    ]


def made(name: str, split: str = "train") -> list[tuple[str, str]]:
    """Inputs and targets that a row makes of the user's files."""
    examples = TASKS[name].source.examples(split)
    return [(example["inputs"], example["targets"]) for example in examples]


def check(name: str, split: str = "train") -> None:
    task = TASKS[name]
    found = verify_task(task, split, 50, LENGTHS)
    assert found.problems == ()
    assert set(found.scores) == set(task_card(task).metrics)


def builders(name: str) -> list[seqio.TfdsDataSource]:
    source = TASKS[name].source
    if isinstance(source, JoinedSource):
        return [part.source for part in source.parts]
    return [source]


def test_all_rows_are_registered_and_described():
    assert len(TASKS) == len(NUMBERS) == 86
    registered = [seqio.TaskRegistry.get(name) for name in seqio.TaskRegistry.names()]
    here = {task.name for task in registered if task.source_info.file_path in FILES}
    assert here == {task.name for task in TASKS.values()}
    assert {task.source_info.file_path for task in TASKS.values()} == FILES
    assert sorted(BROUGHT) == sorted([*FILE_ROWS, "gpt2_deepfake"])
    for task in TASKS.values():
        card = task_card(task)
        assert card.origin and card.licence and card.metrics and card.certainty


@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_examples_of_the_builders_features(name):
    with mocked_tfds(5):
        check(name)


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_text_of_hand_written_examples(name):
    builder, record, expected = HAND_WRITTEN[name]
    with mocked_tfds(records={builder: [record]}):
        assert texts(name) == expected


@pytest.mark.parametrize("name", FILE_ROWS)
def test_rows_from_files(name, brought):
    records, expected = FILE_ROWS[name]
    brought(name, records)
    assert made(name) == expected
    check(name)


def test_human_and_machine_by_turns(brought):
    for part in ("train", "valid"):
        for model in ("webtext", "xl-1542M"):
            records = [{"id": n, "text": f"{model}\n {n}"} for n in range(2)]
            brought("gpt2_deepfake", records, f"{model}.{part}.jsonl")
    assert made("gpt2_deepfake", "validation") == [
        ("gpt2_deepfake text: webtext 0", "human"),
        ("gpt2_deepfake text: xl-1542M 0", "machine"),
        ("gpt2_deepfake text: webtext 1", "human"),
        ("gpt2_deepfake text: xl-1542M 1", "machine"),
    ]
    check("gpt2_deepfake")


@pytest.mark.parametrize("reason", BAD_RECORDS)
def test_bad_records_are_named_by_line_and_reason(reason, brought):
    name, record = BAD_RECORDS[reason]
    brought(name, [FILE_ROWS[name][0][0], record])
    with pytest.raises(CorpusError, match=r"train\.jsonl:2: ") as error:
        made(name)
    assert reason in str(error.value)


def test_a_missing_file_says_what_to_bring(brought):
    with pytest.raises(CorpusError, match=r"tweetqa/train\.jsonl.*`Question`"):
        made("tweetqa")


def test_the_metrics_see_all_answers(brought):
    brought("kilt_nq", FILE_ROWS["kilt_nq"][0])
    task = TASKS["kilt_nq"]
    (example,) = task.get_dataset(
        None, "train", use_cached=False, shuffle=False, try_in_mem_cache=False
    ).as_numpy_iterator()
    target = task.postprocess_fn("Holm", example=example, is_target=True)
    assert target == ["Holm", "A. Holm"]
    (metric,) = task.metric_fns
    assert metric([target], ["a holm"]) == {"em": 100, "f1": 100}
    assert metric([target], ["Berg"]) == {"em": 0, "f1": 0}


def test_snli_leaves_out_pairs_without_a_label():
    pair = {"premise": "It rains.", "hypothesis": "It pours."}
    records = [{**pair, "label": -1}, {**pair, "label": 1}]
    with mocked_tfds(records={"snli": records}):
        assert texts("snli") == [
            ("snli hypothesis: It pours. premise: It rains.", "neutral")
        ]


def test_pronouns_are_scored_by_the_referent_as_t5_scores_them():
    sentence = "Ann thanked the old doctor because she had helped ."
    wsc = {
        "text": sentence,
        "span1_text": "the old doctor",
        "span1_index": 2,
        "span2_text": "she",
        "span2_index": 6,
        "label": 1,
        "idx": 0,
    }
    wrong = {**wsc, "span1_text": "Ann", "span1_index": 0, "label": 0}
    dpr = {
        "sentence": "Ann called Eve, but she slept.",
        "pronoun": "she",
        "candidates": ["Ann", "Eve"],
        "label": 1,
    }
    marked = "wsc: Ann thanked the old doctor because *she* had helped ."
    records = {"super_glue": [wsc, wrong], "definite_pronoun_resolution": [dpr]}
    with mocked_tfds(records=records):
        assert texts("super_glue_wsc_dpr") == [
            (marked, "the old doctor"),
            ("wsc: Ann called Eve, but *she* slept.", "Eve"),
        ]
        task = TASKS["super_glue_wsc_dpr"]
        examples = list(
            task.get_dataset(
                None, "validation", use_cached=False, try_in_mem_cache=False, seed=0
            ).as_numpy_iterator()
        )
    by_label = {int(example["label"]): example for example in examples}
    assert by_label[0]["targets_pretokenized"] == b"<unk>"
    answer = task.postprocess_fn
    assert answer("A doctor", example=by_label[1], is_target=False) == 1
    assert answer("Ann", example=by_label[1], is_target=False) == 0
    assert answer("Ann", example=by_label[0], is_target=False) == 1
    assert answer("x", example=by_label[0], is_target=True) == 0


def test_explanations_are_scored_beside_the_label():
    task = TASKS["esnli"]
    example = {"explanations": [b"It rains.", b"Rain falls."]}
    target = task.postprocess_fn("neutral", example=example, is_target=True)
    assert target == {"label": "neutral", "explanations": ["It rains.", "Rain falls."]}
    accuracy, bleu = task.metric_fns
    for text, expected in (
        ("neutral explanation: Rain falls.", (100, 100)),
        ("entailment explanation: Rain falls.", (0, 100)),
        ("neutral", (100, 0)),
    ):
        answer = task.postprocess_fn(text, example=example, is_target=False)
        scores = {**accuracy([target], [answer]), **bleu([target], [answer])}
        assert (scores["accuracy"], scores["bleu"]) == pytest.approx(expected)


def test_tables_are_answered_in_any_order():
    denotation = TASKS["wiki_table_questions"].postprocess_fn
    assert denotation("Holm | berg") == denotation("Berg|Holm") != denotation("Berg")


def test_rounds_of_anli_are_one_task():
    records = {
        f"anli/r{number}": [
            {"context": f"c{number}", "hypothesis": "h", "label": 2, "uid": "1"}
        ]
        for number in (1, 2, 3)
    }
    with mocked_tfds(records=records):
        assert texts("anli") == [
            (f"anli hypothesis: h context: c{number}", "contradiction")
            for number in (1, 2, 3)
        ]


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in BUILT if n not in REPRESENTATIVE])
def test_every_built_row(name):
    with mocked_tfds(5):
        check(name)


def test_builders_have_the_names_versions_splits_and_labels_used():
    with mocked_tfds():
        for name in BUILT:
            for source in builders(name):
                builder = tfds.builder(source.tfds_dataset.name)
                assert source.tfds_dataset.name.endswith(f":{builder.version}")
                used = {source.tfds_dataset._map_split(s) for s in source.splits}
                # These two open a downloaded file to list their splits.
                if builder.name not in ("paws_wiki", "cos_e"):
                    assert used <= published_splits(builder), name
                label = dict(builder.info.features).get("label")
                labels = _labels(name)
                if isinstance(label, tfds.features.ClassLabel) and labels:
                    assert len(labels) == label.num_classes, name
                    if name not in _OWN_WORDS:
                        assert labels == tuple(label.names), name


# Rows whose labels we spell out where the builder abbreviates or numbers them.
_OWN_WORDS = ("imdb", "yelp_polarity", "trec", "anli")


def _labels(name: str) -> tuple[str, ...]:
    keywords = getattr(TASKS[name].postprocess_fn, "keywords", None) or {}
    labels = keywords.get("label_classes", ())
    return () if labels[:2] == ("A", "B") else labels
