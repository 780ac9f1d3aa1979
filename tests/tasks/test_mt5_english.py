"""The English tasks under the mT5 code base's names: the texts that t5 makes."""

from __future__ import annotations

import gin
import pytest
import seqio
import tensorflow_datasets as tfds
from t5.data import glue_utils
from t5.data import preprocessors as t5_preprocessors
from tfds_mocking import mocked_tfds

from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.registry import get_mixture_or_task, get_task, register, tasks_of
from mtmoe.data.tasks.verify import verify_task
from mtmoe.tasks.multilingual import mt5_english

GLUE = "cola sst2 mrpc qqp stsb mnli mnli_matched mnli_mismatched qnli rte wnli ax"
SUPER_GLUE = "boolq cb copa multirc record rte wic axb axg"
DIAGNOSTIC = ("glue.ax", "super_glue.axb", "super_glue.axg")
OURS = (
    "glue.mnli_matched",
    "glue.mnli_mismatched",
    "glue.wnli",
    "glue.ax",
    "super_glue.axb",
    "super_glue.axg",
    "super_glue.dpr",
    "super_glue.wsc_train",
    "super_glue.wsc_eval",
)


@pytest.fixture(autouse=True)
def _bytes_as_vocabulary():
    register(["mtmoe.tasks.multilingual.mt5_english"])
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )


def texts(task: seqio.Task, split: str) -> list[tuple[str, str]]:
    dataset = task.get_dataset(
        sequence_length=None,
        split=split,
        shuffle=False,
        num_epochs=1,
        try_in_mem_cache=False,
    )
    return [
        (
            example["inputs_pretokenized"].decode(),
            example["targets_pretokenized"].decode(),
        )
        for example in dataset.as_numpy_iterator()
    ]


def upstream_texts(builder_name: str, split: str) -> list[tuple[str, str]]:
    """What upstream's recipe makes of the same examples."""
    builder = tfds.builder(builder_name)
    config = builder.builder_config
    dataset = builder.as_dataset(split=split)
    if builder_name == "super_glue/axb":
        keys = {"premise": "sentence1", "hypothesis": "sentence2"}
        dataset = seqio.preprocessors.rekey(
            dataset, key_map=keys | {"label": "label", "idx": "idx"}
        )
    dataset = glue_utils.get_glue_text_preprocessor(config)(dataset)
    return [
        (example["inputs"].decode(), example["targets"].decode())
        for example in dataset.as_numpy_iterator()
    ]


@pytest.mark.parametrize(
    ("benchmark", "version", "configs"),
    [
        ("glue", "v002", "cola mnli_matched"),
        ("super_glue", "v102", "multirc axb"),
        pytest.param("glue", "v002", GLUE, marks=pytest.mark.slow),
        pytest.param("super_glue", "v102", SUPER_GLUE, marks=pytest.mark.slow),
    ],
)
def test_glue_texts_are_upstreams(benchmark, version, configs):
    with mocked_tfds(num_examples=2):
        for config in configs.split():
            task = get_task(f"mt5_{benchmark}_{config}_{version}")
            split = next(iter(task.splits))
            expected = upstream_texts(f"{benchmark}/{config}", split)
            assert expected and texts(task, split) == expected, config


@pytest.mark.parametrize(
    ("name", "builder", "article", "summary"),
    [
        ("mt5_cnn_dailymail_v002", "cnn_dailymail", "article", "highlights"),
        ("mt5_gem_xsum", "gem/xsum", "document", "target"),
    ],
)
def test_summarisation_texts_are_upstreams(name, builder, article, summary):
    with mocked_tfds(num_examples=2):
        dataset = t5_preprocessors.summarize(
            tfds.builder(builder).as_dataset(split="validation"),
            article_key=article,
            summary_key=summary,
        )
        expected = [
            (example["inputs"].decode(), example["targets"].decode())
            for example in dataset.as_numpy_iterator()
        ]
        assert expected and texts(get_task(name), "validation") == expected


def test_labels_are_those_of_the_builders():
    for task in mt5_english._GLUE:
        config = tfds.builder(task.builder).builder_config
        assert list(task.labels) == list(config.label_classes), task.name


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in ("glue.ax", "super_glue.wsc_eval")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in OURS
    ],
)
def test_what_is_registered_here_holds(name):
    task = get_task(name)
    card = task_card(task)
    assert card.language == "en" and card.verified == "mocked"
    assert (card.metrics == ()) == (name in DIAGNOSTIC)
    with mocked_tfds(num_examples=4):
        for split in task.splits:
            found = verify_task(task, split, 8, {"inputs": 1024, "targets": 128})
            assert found.problems == (), (name, split, found.problems)
            assert set(found.scores) == set(card.metrics)


def test_upstreams_names_are_aliases():
    for alias, name in mt5_english.EXMIX.items():
        assert get_task(alias) is get_task(name)
    for config in "mnli_matched", "mnli_mismatched", "wnli", "ax":
        assert get_task(f"mt5_glue_{config}_v002").name == f"glue.{config}"
    for split in "train", "eval":
        alias = f"mt5_super_glue_wsc_v102_simple_{split}"
        assert get_task(alias).name == f"super_glue.wsc_{split}"
    assert get_task("mt5_dpr_v001_simple").name == "super_glue.dpr"


@pytest.mark.parametrize(
    ("alias", "weights"),
    [
        ("mt5_glue_v002_proportional", glue_utils.GLUE_WEIGHT_MAPPING),
        ("mt5_super_glue_v102_proportional", glue_utils.SUPER_GLUE_WEIGHT_MAPPING),
    ],
)
def test_mixtures_have_t5s_weights(alias, weights):
    mixture = get_mixture_or_task(alias)
    rates = {task.name: mixture.get_rate(task) for task in tasks_of(alias)}
    assert rates == {
        get_task(f"mt5_{name}").name: weight for name, weight in weights.items()
    }


def test_the_pronoun_task_judges_candidates():
    record = {
        "idx": 0,
        "text": "The captain thanked the doctor because he had helped .",
        "span1_text": "The doctor",
        "span1_index": 3,
        "span2_text": "he",
        "span2_index": 6,
        "label": 1,
    }
    records = [record, record | {"span1_text": "The captain", "label": 0}]
    task = get_task("super_glue.wsc_eval")
    text = "wsc: The captain thanked the doctor because *he* had helped ."
    with mocked_tfds(records={"super_glue/wsc.fixed": records}):
        assert texts(task, "validation") == [(text, "The doctor"), (text, "<unk>")]
        assert texts(get_task("super_glue.wsc_train"), "train") == [
            (text, "The doctor")
        ]
    example = {"candidate": b"The doctor", "label": 1}
    judge = task.postprocess_fn
    assert judge("doctor", example=example, is_target=False) == 1
    assert judge("the captain", example=example, is_target=False) == 0
    assert judge("", example=example, is_target=True) == 1
    with pytest.raises(ValueError, match="candidate"):
        judge("doctor", example=None, is_target=False)
