"""The rows that write text: exact texts of hand-written records, each row checked."""

from __future__ import annotations

import importlib
import json
import random

import gin
import pytest
import seqio
import tensorflow_datasets as tfds
from exmix_generation_records import FILE_RECORDS, RECORDS
from tfds_mocking import Example, depends, made_up_text, mocked_tfds

from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.errors import CorpusError
from mtmoe.tasks.exmix import coreference, dialogue, mathematics, tagging
from mtmoe.tasks.exmix.rows import ROWS

MODULES = [
    importlib.import_module(f"mtmoe.tasks.exmix.{name}")
    for name in (
        "summarization generation style dialogue semantic_parsing tagging mathematics "
        "coreference instructions"
    ).split()
]
FILES = {module.__file__ for module in MODULES}
TASKS = [
    seqio.TaskRegistry.get(row.task_name)
    for row in ROWS.values()
    if row.task_name in seqio.TaskRegistry.names()
    and seqio.TaskRegistry.get(row.task_name).source_info.file_path in FILES
]
BUILT = [t.name for t in TASKS if isinstance(t.source, seqio.TfdsDataSource)]
BROUGHT = [task.name for task in TASKS if task.name not in BUILT]

LENGTHS = {"inputs": 512, "targets": 512}


@depends("gem")
def _gem(example: Example, number: int, rng: random.Random) -> None:
    if "references" in example:
        example["references"] = [example["target"]] * (1 + number % 2)
    if "highlighted_cells" in example:
        example["highlighted_cells"] = [[number % 2, 0], [0, 1]]
        for row in example["table"]:
            for cell in row:
                cell["column_span"] = 1
    if "dialog_acts" in example:
        example["context"].append(example["prompt"])


@depends("gsm8k")
def _gsm8k(example: Example, number: int, rng: random.Random) -> None:
    worked = f"{made_up_text('sentence', rng)} 3*{number} = <<3*{number}={3 * number}>>"
    example["short_answer"] = str(3 * number)
    example["answer"] = f"{worked}\n#### {3 * number}"


@pytest.fixture(autouse=True)
def _bytes_configured():
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )


def examples(name: str, split: str = "train") -> list[dict]:
    """What a task's pipeline gives."""
    dataset = get_task(name).get_dataset(
        None, split, use_cached=False, shuffle=False, try_in_mem_cache=False
    )
    return list(dataset.as_numpy_iterator())


def texts(found: list[dict]) -> list[tuple[str, str]]:
    """Inputs and targets of examples."""
    return [
        (row["inputs_pretokenized"].decode(), row["targets_pretokenized"].decode())
        for row in found
    ]


def scores(name: str, found: list[dict], prediction: str = "") -> dict[str, float]:
    """Metrics of one prediction for all examples, or of each one's own targets."""
    task = get_task(name)
    pairs = [
        (
            task.postprocess_fn(text, example=row, is_target=True),
            task.postprocess_fn(prediction or text, example=row, is_target=False),
        )
        for row, (_, text) in zip(found, texts(found), strict=True)
    ]
    results: dict[str, float] = {}
    for metric in task.metric_fns:
        results |= metric(*map(list, zip(*pairs, strict=True)))
    return results


def verify(name: str) -> None:
    """Runs a task's pipeline on four examples and checks what comes out."""
    found = verify_task(get_task(name), "train", num_examples=4, lengths=LENGTHS)
    assert found.problems == ()
    assert set(found.scores) == set(get_task(name).card.metrics)


# One of each function that no hand-written record below goes through.
FAST = (
    "exmix.gem_dart",
    "exmix.gem_wiki_lingua_english_en",
    "exmix.squad_qg",
    "exmix.math_qa",
    "extra.bot_adversarial_dialogue",
    "extra.dpr",
    "extra.natural_instructions",
)


@pytest.fixture(scope="module")
def mocked():
    with mocked_tfds(num_examples=4):
        yield


@pytest.mark.parametrize("name", FAST)
def test_made_up_examples_of_the_builders_features(mocked, name):
    verify(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(BUILT) - set(FAST)))
def test_made_up_examples_of_all_other_builders(mocked, name):
    verify(name)


def test_splits_are_the_builders_by_our_names():
    for name, splits in {
        "exmix.gem_totto": {"train": "train", "validation": "validation"},
        "extra.wiki_auto": {"train": "full"},
        "extra.conll2003_ner": {"train": "train", "validation": "dev", "test": "test"},
    }.items():
        source = get_task(name).source
        assert {s: source.tfds_dataset._map_split(s) for s in source.splits} == splits


def test_class_names_are_those_of_the_builders():
    def classes(builder, *path):
        feature = tfds.builder(builder).info.features
        for key in path:
            feature = feature[key]
        return tuple(getattr(feature, "feature", feature).names)

    acts = classes("gem/schema_guided_dialog", "dialog_acts", "act")
    assert acts == tuple(dialogue._ACTS)
    tags = classes("conll2003/conll2003", "ner")
    kinds = tagging._TYPES[1:]
    assert tags == ("O", *(f"{bi}-{kind}" for kind in kinds for bi in "BI"))
    builder = "bot_adversarial_dialogue/dialogue_datasets"
    assert classes(builder, "labels") == ("__ok__", "__notok__")
    assert classes("schema_guided_dialogue", "first_speaker") == ("USER", "SYSTEM")


@pytest.mark.parametrize("builder, record, name, inputs, targets", RECORDS)
def test_exact_text_of_a_record(builder, record, name, inputs, targets):
    with mocked_tfds(records={builder: [record]}):
        found = examples(name)
    assert texts(found) == [(inputs, targets)]
    assert max(len(found[0]["inputs"]), len(found[0]["targets"])) <= 512
    perfect = dict.fromkeys(get_task(name).card.metrics, pytest.approx(100.0))
    assert scores(name, found) == perfect
    assert all(score < 100 for score in scores(name, found, "@").values())


def test_references_are_what_gem_gives_and_reach_the_metrics():
    record = next(record for builder, record, *_ in RECORDS if "dialog" in builder)
    task = get_task("exmix.gem_schema_guided_dialog")
    with mocked_tfds(records={"gem/schema_guided_dialog": [record]}):
        (example,) = examples(task.name)
    target = task.postprocess_fn("How about Sino?", example=example, is_target=True)
    assert target == ["How about Sino?", "Would you like Sino?"]
    for metric in task.metric_fns:
        assert set(metric([target], ["Would you like Sino?"]).values()) == {100.0}


def test_sari_wants_more_than_the_source():
    with mocked_tfds(records={"wiki_auto/auto_acl": [RECORDS[5][1]]}):
        task = get_task("extra.wiki_auto")
        (example,) = examples(task.name)
    target = task.postprocess_fn("It began .", example=example, is_target=True)
    assert target["source"] == "It commenced ."
    copied = task.postprocess_fn("It commenced .", example=example, is_target=False)
    assert task.metric_fns[0]([target], [copied])["sari"] < 60


def test_a_dialogue_gives_an_example_a_turn():
    dialogues = [
        {
            "utterances": ["A table for two.", "When?", "At noon."],
            "first_speaker": "USER",
            "metadata": {"services": [{"name": "Restaurants_1"}]},
        },
        {
            "utterances": ["Hello?"],
            "first_speaker": "SYSTEM",
            "metadata": {"services": []},
        },
    ]
    with mocked_tfds(records={"schema_guided_dialogue": dialogues}):
        found = examples("extra.schema_guided_dialogue")
    assert texts(found) == [
        ("schema_guided_dialogue turn: user: A table for two. before: ", "When?"),
        (
            "schema_guided_dialogue turn: system: When? before: user: A table for two.",
            "At noon.",
        ),
    ]
    assert set(scores("extra.schema_guided_dialogue", found).values()) == {100.0}


def test_tags_become_entities():
    def sentence(*tagged):
        tokens, tags = zip(*tagged, strict=True) if tagged else ((), ())
        count = len(tokens)
        return {
            "tokens": list(tokens),
            "ner": list(tags),
            "pos": ["NN"] * count,
            "chunks": ["O"] * count,
        }

    sentences = [
        sentence(("EU", "B-ORG"), ("met", "O"), ("Ann", "B-PER"), ("Bo", "B-PER")),
        # An I tag begins an entity after another type and after none.
        sentence(("New", "I-LOC"), ("York", "I-LOC"), ("Times", "I-ORG")),
        sentence(("Rain", "O"), (".", "O")),
        sentence(),
    ]
    with mocked_tfds(records={"conll2003/conll2003": sentences}):
        found = examples("extra.conll2003_ner")
    assert texts(found) == [
        ("conll2003 sentence: EU met Ann Bo", "ORG: EU $$ PER: Ann $$ PER: Bo"),
        ("conll2003 sentence: New York Times", "LOC: New York $$ ORG: Times"),
        ("conll2003 sentence: Rain .", "none"),
    ]
    assert scores("extra.conll2003_ner", found) == {"span_f1": 100.0}


def test_f1_of_gap_counts_names_found():
    score = coreference.gap_f1
    assert score(["Anna", "neither"], ["Anna", "neither"]) == {"f1": 100.0}
    # One name of two given is right, one was to be found: P 1/2, R 1.
    assert score(["Anna", "neither"], ["Anna", "Bo"])["f1"] == pytest.approx(200 / 3)
    assert score(["neither"], ["neither"]) == {"f1": 100.0}


def test_the_final_answer_is_what_is_compared():
    assert mathematics.final_answer("2 * 3 = 6. #### 1,206 ") == "1206"
    assert mathematics.final_answer("#### 1 #### 2", is_target=True) == "2"


def test_records_without_text_are_left_out():
    def article(text, summary):
        return {"document": text, "summary": summary}

    articles = [article("Rain fell.", "Rain"), article(" \n", "Gone"), article("x", "")]
    with mocked_tfds(records={"gigaword": articles}):
        found = examples("exmix.gigaword")
    assert texts(found) == [("summarize: Rain fell.", "Rain")]


def write(folder, name, *records):
    path = folder / get_task(f"exmix.{name}").source.files["train"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_the_file_rows_are_all_here():
    assert sorted(BROUGHT) == sorted(f"exmix.{name}" for name in FILE_RECORDS)
    assert len(BROUGHT) + len(BUILT) == len(TASKS) == 63


@pytest.mark.parametrize("name", FILE_RECORDS)
def test_exact_text_of_a_file_as_published(tmp_path, monkeypatch, name):
    monkeypatch.setenv("MTMOE_DATA", str(tmp_path))
    record, inputs, targets = FILE_RECORDS[name]
    write(tmp_path, name, record)
    (example,) = get_task(f"exmix.{name}").source.examples("train")
    assert (example["inputs"], example["targets"]) == (inputs, targets)


def _verify_file(tmp_path, monkeypatch, name):
    monkeypatch.setenv("MTMOE_DATA", str(tmp_path))
    write(tmp_path, name, FILE_RECORDS[name][0])
    verify(f"exmix.{name}")
    found = examples(f"exmix.{name}")
    wrong = scores(f"exmix.{name}", found, "slot: @")
    assert all(score < 100 for score in wrong.values())


FAST_FILES = ("kilt_wow", "dialoglue_banking77", "dialoglue_restaurant8k", "cogs")


@pytest.mark.parametrize("name", FAST_FILES)
def test_files_as_published_are_verified(tmp_path, monkeypatch, name):
    _verify_file(tmp_path, monkeypatch, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(FILE_RECORDS) - set(FAST_FILES)))
def test_all_other_files_as_published_are_verified(tmp_path, monkeypatch, name):
    _verify_file(tmp_path, monkeypatch, name)


@pytest.mark.parametrize(
    "name, record, reason",
    [
        ("newsquizqa", {"question": "Who?", "answer": "Anna"}, "field 'article'"),
        ("cogs", {"sentence": " ", "logical_form": "x"}, "is empty"),
        ("styleptb_1", {"transfer": "t", "source": "s", "target": ""}, "target is em"),
        ("dialoglue_hwu64", {"text": "hi", "category": "_"}, "category is empty"),
        (
            "dialoglue_restaurant8k",
            {
                "userInput": {"text": "at 8"},
                "labels": [{"slot": "time", "valueSpan": {"endIndex": 9}}],
            },
            "span 0 to 9 of 4 characters",
        ),
        (
            "newsquizqa",
            {"article": "", "question": "Who?", "answer": "Anna"},
            "question or answer is empty",
        ),
    ],
)
def test_a_bad_record_is_named_by_file_and_line(
    tmp_path, monkeypatch, name, record, reason
):
    monkeypatch.setenv("MTMOE_DATA", str(tmp_path))
    path = write(tmp_path, name, FILE_RECORDS[name][0], record)
    with pytest.raises(CorpusError, match=reason) as error:
        get_task(f"exmix.{name}").source.examples("train")
    assert f"{path}:2" in str(error.value)


def test_replies_without_an_answer_are_left_out_and_all_answers_count(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("MTMOE_DATA", str(tmp_path))
    record = FILE_RECORDS["kilt_wow"][0]
    write(tmp_path, "kilt_wow", {"input": "Hi.", "output": [{"answer": " "}]}, record)
    (example,) = get_task("exmix.kilt_wow").source.examples("train")
    assert example["references"] == ["Oslo has a famous hill.", "Holmenkollen?"]


def test_a_missing_file_says_what_to_bring(tmp_path, monkeypatch):
    monkeypatch.setenv("MTMOE_DATA", str(tmp_path))
    with pytest.raises(CorpusError, match=r"cogs/test\.jsonl.*data/.*sentence"):
        get_task("exmix.cogs").source.examples("test")


def test_each_card_says_what_a_user_asks():
    for task in TASKS:
        card = task.card
        assert card.licence and card.origin and card.certainty and card.metrics
        assert card.labels == "gold" and card.language == "en"
        assert card.verified == ("mocked" if task.name in BUILT else "layout")
