"""mT5's six suites: names, texts, splits, mixtures, on examples of TFDS's features."""

from __future__ import annotations

import gin
import pytest
import seqio
import tensorflow as tf
from task_shapes import work
from tfds_mocking import (
    builders_of,
    depends,
    made_up_text,
    mocked_tfds,
    published_splits,
)

from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.registry import get_mixture_or_task, get_task, register, tasks_of
from mtmoe.data.tasks.verify import verify_task
from mtmoe.languages import MC4_LANGUAGES
from mtmoe.tasks.multilingual import (
    extractive_qa,
    mlqa,
    pawsx,
    tydiqa,
    wikiann,
    xnli,
    xquad,
)

SUITES = ("xnli", "pawsx", "wikiann", "xquad", "mlqa", "tydiqa")
MODULES = [f"mtmoe.tasks.multilingual.{suite}" for suite in SUITES]

# A training, an evaluation and a translate-train task of each suite, as far as it has
# its own.
EXAMPLES = (
    "xnli.train",
    "xnli.dev_test.sw",
    "xnli.translate_train.zh",
    "pawsx.train",
    "pawsx.dev_test.ja",
    "pawsx.translate_train.ko",
    "wikiann.train.iw",
    "wikiann.eval.fil",
    "xquad.train",
    "xquad.test.en",
    "xquad.translate_train.th",
    "mlqa.dev_test.hi",
    "tydiqa.train",
    "tydiqa.dev.te",
    "tydiqa.translate_train.bn",
)


@depends("xnli", "xtreme_xnli")
def _parallel(example, number, rng):
    """The hypothesis in each language of the premise, each told from the others."""
    for code in example["premise"]:
        example["premise"][code] += f" ({code})"
    example["hypothesis"] = {
        code: f"{made_up_text('sentence', rng)} ({code})" for code in example["premise"]
    }


@depends("xquad", "mlqa", "tydi_qa")
def _answers_in_context(example, number, rng):
    words = example["context"].split(" ")
    start = len(words[0]) + 1
    answer = {"text": " ".join(words[1:3]), "answer_start": start}
    example["answers"] = [answer] * (1 + number % 2)
    language = ("english", "finnish")[number % 2]
    example["id"] = f"{language}--{number}-0"


@depends("wikiann")
def _entities(example, number, rng):
    example["tokens"] = ["Anna", "Berg", "visited", "Oslo", "."]
    example["tags"] = [1, 2, 0, 5, 0] if number else [0] * 5
    example["langs"] = ["en"] * 5
    example["spans"] = ["PER: Anna Berg", "LOC: Oslo"] if number else []


@pytest.fixture(autouse=True)
def _bytes_as_vocabulary():
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )


@pytest.fixture(scope="module")
def suites() -> dict[str, list[str]]:
    """Names of every suite's tasks and mixtures, aliases left out."""
    register(MODULES)
    names = sorted({*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()})
    return {
        suite: [name for name in names if name.startswith(f"{suite}.")]
        for suite in SUITES
    }


def in_order(task: seqio.Task, split: str) -> tf.data.Dataset:
    return task.get_dataset(
        sequence_length=None,
        split=split,
        shuffle=False,
        num_epochs=1,
        try_in_mem_cache=False,
    )


def texts(name: str, split: str, records=None, num_examples: int = 4):
    """Inputs and targets of a task as text, before tokens are made of them."""
    task = get_task(name)
    with mocked_tfds(num_examples, records):
        dataset = in_order(task, split)
        return [
            (
                example["inputs_pretokenized"].decode(),
                example["targets_pretokenized"].decode(),
            )
            for example in dataset.as_numpy_iterator()
        ]


def check(name: str, split: str) -> None:
    with mocked_tfds(num_examples=3):
        check_mocked(name, split)


def check_mocked(name: str, split: str) -> None:
    task = get_task(name)
    found = verify_task(task, split, 8, {"inputs": 1024, "targets": 512})
    assert found.problems == (), (name, split, found.problems)
    assert found.num_examples >= 1
    assert set(found.scores) == set(task_card(task).metrics)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_task_of_each_kind_holds(suites, name):
    check(name, list(get_task(name).splits)[-1])


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES)
def test_every_task_holds(suites, suite):
    """Those that do the same to the same features are told apart by their splits."""
    names = [name for name in suites[suite] if name in seqio.TaskRegistry.names()]
    assert names
    run = set()
    with mocked_tfds(num_examples=3):
        for name in names:
            task = get_task(name)
            builders = list(builders_of(task.source))
            for builder, splits in builders:
                assert splits <= published_splits(builder), name
            features = tuple(repr(builder.info.features) for builder, _ in builders)
            same = work(task), features
            if same not in run:
                run.add(same)
                check_mocked(name, next(iter(task.splits)))


def test_there_are_as_many_tasks_as_published(suites):
    tasks = seqio.TaskRegistry.names()
    counts = {suite: sum(n in tasks for n in names) for suite, names in suites.items()}
    assert counts == {
        "xnli": 1 + 15 + 1 + 14,
        "pawsx": 1 + 7 + 1 + 6 + 7,
        "wikiann": 40 + 40,
        "xquad": 1 + 10 + 11 + 1,
        "mlqa": 7,
        "tydiqa": 2 + 9 + 8,
    }


def test_cards_say_what_is_known(suites):
    family = dict.fromkeys(SUITES, "reading_comprehension")
    family |= {"xnli": "nli", "pawsx": "paraphrase", "wikiann": "tagging"}
    for suite, names in suites.items():
        for name in names:
            if name not in seqio.TaskRegistry.names():
                continue
            card = task_card(get_task(name))
            assert card.family == family[suite]
            assert card.labels == "gold" and card.verified == "mocked"
            assert card.origin.startswith("TFDS ") and card.licence
            code = name.rsplit(".", 1)[1]
            if code in MC4_LANGUAGES:
                assert card.language == code
            else:
                assert code in ("train", "all_langs")
            translated = "translate_train" in name and not name.endswith("original.en")
            assert ("by machine" in card.note) == translated


def test_languages_are_mc4s_codes():
    for module in (xnli, pawsx, xquad, mlqa, tydiqa):
        assert set(module.LANGUAGES) <= set(MC4_LANGUAGES)
    assert set(wikiann.LANGUAGES) - set(MC4_LANGUAGES) == {"he", "tl"}


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("mt5_xnli_train", "xnli.train"),
        ("mt5_xnli_dev_test.zh", "xnli.dev_test.zh"),
        ("mt5_xnli_dev_test.all_langs", "xnli.dev_test.all_langs"),
        ("mt5_xnli_translate_train.bg", "xnli.translate_train.bg"),
        ("mt5_xnli_zeroshot", "xnli.zeroshot"),
        ("mt5_xnli_translate_train", "xnli.translate_train"),
        ("mt5_paws", "pawsx.train"),
        ("mt5_pawsx_dev_test.all_langs", "pawsx.dev_test.all_langs"),
        ("mt5_pawsx_translate_train.de", "pawsx.translate_train.de"),
        ("mt5_pawsx_translate_train_original.en", "pawsx.translate_train_original.en"),
        ("mt5_pawsx_zeroshot", "pawsx.zeroshot"),
        ("mt5_ner_train.he", "wikiann.train.iw"),
        ("mt5_ner_eval.tl", "wikiann.eval.fil"),
        ("mt5_ner_zeroshot", "wikiann.zeroshot"),
        ("mt5_ner_multilingual", "wikiann.multilingual"),
        ("mt5_squad_train_dev", "xquad.train"),
        ("mt5_xquad_translate_train_dev.el", "xquad.translate_train.el"),
        ("mt5_xquad_test.en", "xquad.test.en"),
        ("mt5_xquad_zeroshot", "xquad.zeroshot"),
        ("mt5_mlqa_dev_test.vi", "mlqa.dev_test.vi"),
        ("mt5_mlqa_translate_train", "mlqa.translate_train"),
        ("mt5_tydiqa_train_dev", "tydiqa.train"),
        ("mt5_tydiqa_train.en", "tydiqa.train.en"),
        ("mt5_tydiqa_dev.fi", "tydiqa.dev.fi"),
        ("mt5_tydiqa_translate_train.ko", "tydiqa.translate_train.ko"),
        ("mt5_tydiqa", "tydiqa.multitask"),
        ("mt5_tydiqa_zeroshot", "tydiqa.zeroshot"),
    ],
)
def test_upstreams_names_are_aliases(suites, alias, name):
    assert get_mixture_or_task(alias) is get_mixture_or_task(name)


MIXTURES = {
    "xnli.zeroshot": (["xnli.train"], 15 + 1),
    "xnli.translate_train": (
        ["xnli.train", *(f"xnli.translate_train.{c}" for c in xnli.LANGUAGES)],
        15 + 1,
    ),
    "pawsx.zeroshot": (["pawsx.train"], 7 + 1),
    "pawsx.translate_train": (
        ["pawsx.train", *(f"pawsx.translate_train.{c}" for c in pawsx.LANGUAGES)],
        7 + 1,
    ),
    "wikiann.zeroshot": (["wikiann.train.en"], 40),
    "xquad.zeroshot": (["xquad.train"], 11 + 1),
    "xquad.translate_train": (
        ["xquad.train", *(f"xquad.translate_train.{c}" for c in xquad.LANGUAGES)],
        11 + 1,
    ),
    "mlqa.zeroshot": (["xquad.train"], 7),
    "mlqa.translate_train": (
        ["xquad.train", *(f"xquad.translate_train.{c}" for c in mlqa.LANGUAGES)],
        7,
    ),
    "tydiqa.multitask": (["tydiqa.train"], 9),
    "tydiqa.zeroshot": (["tydiqa.train.en"], 9),
    "tydiqa.translate_train": (
        ["tydiqa.train.en", *(f"tydiqa.translate_train.{c}" for c in tydiqa.LANGUAGES)],
        9,
    ),
}
"""Training tasks (English has no translation) and number of evaluation tasks."""


@pytest.mark.parametrize("name", MIXTURES)
def test_mixtures_train_and_evaluate_what_is_published(suites, name):
    training, num_evaluation = MIXTURES[name]
    tasks = tasks_of(name)
    expected = {task for task in training if not task.endswith("translate_train.en")}
    assert {task.name for task in tasks if "train" in task.splits} == expected
    assert sum("train" not in task.splits for task in tasks) == num_evaluation
    mixture = get_mixture_or_task(name)
    assert {mixture.get_rate(task) for task in tasks} == {1.0}


def test_wikiann_multilingual_trains_in_every_language(suites):
    tasks = tasks_of("wikiann.multilingual")
    training = {task.name for task in tasks if "train" in task.splits}
    assert len(training) == 40 and len(tasks) == 80
    assert {"wikiann.train.iw", "wikiann.train.fil"} <= training


@pytest.mark.parametrize("prefix", ["pawsx.", "mt5_pawsx_"])
def test_the_original_translations_are_what_their_mixture_says(suites, prefix):
    """Upstream gives that mixture the tasks of the other translations."""
    tasks = tasks_of(f"{prefix}translate_train_original")
    training = {task.name for task in tasks if "train" in task.splits}
    assert training == {
        f"pawsx.translate_train_original.{code}" for code in pawsx.LANGUAGES
    }
    other = tasks_of(f"{prefix}translate_train")
    assert not training & {task.name for task in other}


def test_xnli_texts(suites):
    record = {
        "premise": {code: f"P {code}" for code in xnli.LANGUAGES},
        "hypothesis": {code: f"H {code}" for code in xnli.LANGUAGES},
        "label": "contradiction",
    }
    got = texts("xnli.dev_test.ur", "test", {"xnli": [record]})
    assert got == [("xnli: premise: P ur hypothesis: H ur", "2")]
    every = texts("xnli.dev_test.all_langs", "test", {"xnli": [record] * 2})
    assert every == [
        (f"xnli: premise: P {code} hypothesis: H {code}", "2")
        for _ in range(2)
        for code in xnli.LANGUAGES
    ]
    english = {"premise": "P", "hypothesis": "H", "label": 0}
    got = texts("xnli.train", "train", {"multi_nli": [english]})
    assert got == [("xnli: premise: P hypothesis: H", "0")]


def test_xnli_texts_of_one_example():
    spoken = ["de", "de", "fr"]
    record = {
        "premise": {code: tf.constant(f"P {code}") for code in xnli.LANGUAGES},
        "hypothesis": {
            "language": tf.constant(spoken),
            "translation": tf.constant(["H 1", "H 2", "H 3"]),
        },
        "label": tf.constant(1, tf.int64),
    }
    made = xnli.parallel_pairs(record, ("fr", "ru", "de"))
    assert [text.decode() for text in made["inputs"].numpy()] == [
        "xnli: premise: P fr hypothesis: H 3",
        "xnli: premise: P de hypothesis: H 1",
        "xnli: premise: P de hypothesis: H 2",
    ]
    assert made["targets"].numpy().tolist() == [b"1"] * 3
    english = record | {"premise": tf.constant("P"), "hypothesis": tf.constant("H")}
    made = xnli.english_pair(english)
    assert made["inputs"].numpy() == b"xnli: premise: P hypothesis: H"


def test_question_answering_text_of_one_example():
    record = {
        "question": tf.constant("Wo?"),
        "context": tf.constant("In Oslo,  in Bergen."),
        "answers": {"text": tf.constant(["Oslo, in Bergen", "Oslo"])},
        "id": tf.constant("1"),
    }
    made = extractive_qa.answered(record)
    text = b"question: Wo ? context: In Oslo , in Bergen . "
    assert made["inputs"].numpy() == text
    assert made["targets"].numpy() == b"Oslo , in Bergen"
    assert made["answers"].numpy().tolist() == [b"Oslo , in Bergen", b"Oslo"]


def test_a_language_without_a_translation_is_left_out(suites):
    record = {
        "premise": {code: f"P {code}" for code in xnli.LANGUAGES},
        "hypothesis": {"de": ["H 1", "H 2"], "fr": "H 3"},
        "label": "neutral",
    }
    got = texts("xnli.translate_train.de", "train", {"xtreme_xnli": [record]})
    assert sorted(got) == [
        (f"xnli: premise: P de hypothesis: H {number}", "1") for number in (1, 2)
    ]
    assert texts("xnli.translate_train.ru", "train", {"xtreme_xnli": [record]}) == []


def test_pawsx_texts(suites):
    record = {"sentence1": "Ein Satz.", "sentence2": "Noch ein Satz.", "label": 1}
    got = texts("pawsx.dev_test.de", "validation", {"paws_x_wiki/de": [record]})
    text = "paws sentence1: Ein Satz. sentence2: Noch ein Satz."
    assert got == [(text, "paraphrase")]
    record |= {"label": 0}
    got = texts("pawsx.translate_train.de", "train", {"xtreme_pawsx/de": [record]})
    assert got == [(text, "different_meaning")]


def test_all_languages_are_one_task(suites):
    one = {"sentence2": "b", "label": 0}
    records = {
        f"paws_x_wiki/{code}": [one | {"sentence1": code}] for code in pawsx.LANGUAGES
    }
    got = texts("pawsx.dev_test.all_langs", "test", records)
    assert [text.split()[2] for text, _ in got] == list(pawsx.LANGUAGES)


def test_wikiann_texts(suites):
    record = {
        "tokens": ["Anna", "Berg", "in", "Oslo"],
        "tags": ["B-PER", "I-PER", "O", "B-LOC"],
        "langs": ["he"] * 4,
        "spans": ["PER: Anna Berg", "LOC: Oslo"],
    }
    nothing = record | {"tags": ["O"] * 4, "spans": []}
    got = texts("wikiann.train.iw", "train", {"wikiann/he": [record, nothing]})
    assert got == [
        ("tag: Anna Berg in Oslo", "PER: Anna Berg $$ LOC: Oslo"),
        ("tag: Anna Berg in Oslo", "none"),
    ]


def squad_record(context: str, answers: list[str], identity: str = "1"):
    return {
        "context": context,
        "question": "Wo (heute)?",
        "answers": [{"text": a, "answer_start": context.index(a)} for a in answers],
        "id": identity,
        "title": "",
    }


def test_question_answering_texts(suites):
    record = squad_record("François ist in  Oslo-Nord.", ["Oslo-Nord", "in  Oslo"])
    got = texts("xquad.test.de", "test", {"xquad/de": [record]})
    text = "question: Wo ( heute ) ? context: François ist in Oslo - Nord . "
    assert got == [(text, "Oslo - Nord")]


@pytest.mark.parametrize(
    ("text", "padded"),
    [
        ("a,b", "a , b"),
        ("snake_case", "snake_case"),
        ("œuvre d’art", "œuvre d ’ art"),
        ("हिन्दी।", "हिन्दी । "),
        ("他说:好。", "他说 : 好 。 "),
        ("3½ €", "3½ € "),
        ("a \t b", "a b"),
    ],
)
def test_punctuation_gets_room_and_accents_stay(text, padded):
    assert extractive_qa.pad_punctuation(tf.constant(text)).numpy().decode() == padded


def test_every_right_answer_counts(suites):
    record = squad_record("Er ist in Oslo am Fluss.", ["Oslo", "Oslo am Fluss"])
    task = get_task("xquad.test.de")
    with mocked_tfds(records={"xquad/de": [record]}):
        example = next(in_order(task, "test").as_numpy_iterator())
    target = task.postprocess_fn("Oslo", example=example, is_target=True)
    assert target == ["Oslo", "Oslo am Fluss"]
    (metric,) = task.predict_metric_fns
    assert metric([target], ["oslo am fluss"]) == {"em": 100.0, "f1": 100.0}


def test_mlqa_compares_answers_by_its_languages_rules(suites):
    (metric,) = get_task("mlqa.dev_test.zh").predict_metric_fns
    assert metric([["北京市"]], ["北京"])["f1"] == pytest.approx(80.0)
    (metric,) = get_task("mlqa.dev_test.es").predict_metric_fns
    assert metric([["la casa"]], ["casa"])["em"] == 100.0


def test_english_tydiqa_is_told_by_its_ids(suites):
    records = [
        squad_record("in Oslo", ["Oslo"], "finnish--7633091408814529542-0"),
        squad_record("in Bergen", ["Bergen"], "english--12-0"),
    ]
    got = texts("tydiqa.train.en", "train", {"tydi_qa": records})
    assert [target for _, target in got] == ["Bergen"]
    assert len(texts("tydiqa.train", "train", {"tydi_qa": records})) == 2


def test_a_version_that_tfds_no_longer_builds_is_not_asked_for(suites):
    task = get_task("tydiqa.train")
    assert task.source.tfds_dataset.name == "tydi_qa/goldp:3.0.0"
    assert "2.1.0" in task_card(task).note
