"""Suites of TensorFlow Datasets, on hand-written examples of the builders' features."""

from __future__ import annotations

import importlib

import gin
import pytest
import seqio
import tensorflow_datasets as tfds
from task_shapes import representatives, suite, work
from tfds_mocking import builders_of, mocked_tfds, published_splits

from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.tasks.multilingual import tagging, translation

for _module in ("classification", "summarization", "wiki40b"):
    importlib.import_module(f"mtmoe.tasks.multilingual.{_module}")

PARALLEL = [
    {
        "source_sentence": f"Der Fluss {number}.",
        "target_sentence": f"The river {number}.",
        "source_language": "de",
        "target_language": "en",
    }
    for number in range(8)
]
BITEXT = [
    {
        "source_sentence": f"Река {number}.",
        "target_sentence": f"The river {number}.",
        "source_id": f"ru-{number}",
        "target_id": f"en-{number}",
    }
    for number in range(5)
]
WORDS = {
    "tokens": ["La", "rivière", "du", "de", "le", "nord", "2 000", "."],
    "upos": ["DET", "NOUN", "_", "ADP", "DET", "NOUN", "NUM", "PUNCT"],
}
TREE = {
    name: ["_"] * 8 for name in ("lemmas", "xpos", "feats", "head", "deprel", "deps")
} | {"idx": "s1", "misc": ["_"] * 8, "text": "La rivière du nord 2 000."}
COMMENTS = [
    {"text": f"{code} {number}", "id": str(number), "language": code, "toxicity": toxic}
    for number in range(2)
    for code, toxic in (
        ("tr", 1.0),
        ("it", 0.0),
        ("tr", 0.0),
        ("ru", number),
        ("es", 1.0),
        ("fr", 0.0),
        ("pt", number),
    )
]
ARTICLE = {
    "gem_id": "1",
    "gem_parent_id": "1",
    "source": "Koch das Wasser. Gib Tee hinein.",
    "target": "Boil water.",
    "references": ["Boil water."],
    "source_aligned": {
        "de": "Koch das Wasser. Gib Tee hinein.",
        "en": "Boil the water. Add tea.",
    },
    "target_aligned": {"de": "Wasser kochen.", "en": "Boil water."},
}
NEWS = {
    "gem_id": "1",
    "gem_parent_id": "1",
    "text": "Der Fluss stieg in der Nacht. Das Dorf schlief.",
    "topic": "panorama",
    "url": "https://example.org",
    "title": "Fluss",
    "date": "00/01/2019",
    "target": "Der Fluss stieg.",
    "references": ["Der Fluss stieg."],
}
ENTITIES = [
    {
        "tokens": ["Ana", "Ruiz", "vive", "en", "Oslo", "."],
        "pos": ["NP", "NP", "VMI", "SP", "NP", "Fp"],
        "ner": ["B-PER", "I-PER", "O", "O", "B-LOC", "O"],
    },
    {"tokens": ["Llueve", "."], "pos": ["VMI", "Fp"], "ner": ["O", "O"]},
]
WIKIPEDIA = [
    {
        "wikidata_id": f"Q{number}",
        "version_id": "1",
        "text": "\n_START_ARTICLE_\nMto\n_START_SECTION_\nHistoria\n"
        "_START_PARAGRAPH_\nMto ulipanda._NEWLINE_Kijiji kililala.",
    }
    for number in range(2)
]

RECORDS = {
    "tatoeba": PARALLEL,
    "bucc": BITEXT,
    "xtreme_pos": [{"tokens": ["Mto", "ulipanda"], "upos": ["NOUN", "VERB"]}, WORDS],
    "universal_dependencies": [WORDS | TREE],
    "wikipedia_toxicity_subtypes": COMMENTS,
    "gem/wiki_lingua_german_de": [ARTICLE],
    "gem/mlsum_de": [NEWS],
    "conll2002/es": ENTITIES,
    "conll2002/nl": [example | {"pos": []} for example in ENTITIES],
    "wiki40b": WIKIPEDIA,
}


@pytest.fixture(autouse=True)
def _bytes_as_vocabulary():
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )


@pytest.fixture
def _mocked():
    with mocked_tfds(records=RECORDS):
        yield


def _texts(name, split="test"):
    """Inputs and targets of a task, as text."""
    task = get_task(name)
    dataset = task.get_dataset(None, split, shuffle=False, try_in_mem_cache=False)
    return [
        (
            example["inputs_pretokenized"].decode(),
            example["targets_pretokenized"].decode(),
        )
        for example in dataset.as_numpy_iterator()
    ]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        (
            "tatoeba.de.en",
            ("translate German to English: Der Fluss 0.", "The river 0."),
        ),
        ("bucc.en.ru", ("translate English to Russian: The river 0.", "Река 0.")),
        ("xtreme_pos.af", ("pos: Mto ulipanda", "NOUN VERB")),
        (
            "universal_dependencies.fr_gsd",
            (
                "pos: La rivière de le nord 2_000 .",
                "DET NOUN ADP DET NOUN NUM PUNCT",
            ),
        ),
        ("wikipedia_toxicity.tr", ("toxicity: tr 0", "toxic")),
        ("wikipedia_toxicity.ru", ("toxicity: ru 0", "not toxic")),
        (
            "gem_wikilingua.de",
            ("summarize: Koch das Wasser. Gib Tee hinein.", "Wasser kochen."),
        ),
        (
            "gem_wikilingua.de.en",
            ("summarize: Koch das Wasser. Gib Tee hinein.", "Boil water."),
        ),
        (
            "gem_mlsum.de",
            (
                "summarize: Der Fluss stieg in der Nacht. Das Dorf schlief.",
                "Der Fluss stieg.",
            ),
        ),
        (
            "conll2002.es",
            ("tag: Ana Ruiz vive en Oslo .", "PER: Ana Ruiz $$ LOC: Oslo"),
        ),
    ],
)
def test_text_and_scores_of_a_suite(name, first, _mocked):
    assert _texts(name)[0] == first
    found = verify_task(get_task(name), "test")
    assert found.problems == ()
    assert set(found.scores) == set(task_card(get_task(name)).metrics)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("wmt14.de.en", "translate German to English: "),
        ("wmt19.gu.en", "translate Gujarati to English: "),
        ("wmt17.en.zh", "translate English to Chinese: "),
    ],
)
def test_wmt(name, first):
    with mocked_tfds():
        assert all(inputs.startswith(first) for inputs, _ in _texts(name, "train"))
        found = verify_task(get_task(name), "validation")
    assert found.problems == ()
    by_words = "bleu_char" if name.endswith(".zh") else "bleu"
    assert set(found.scores) == {by_words, "chrf++"}


def test_the_right_one_of_four_is_in_each_place_and_never_twice(_mocked):
    found = verify_task(get_task("tatoeba.de"), "test")
    assert found.problems == () and found.scores == {"accuracy": 100.0}
    texts = _texts("tatoeba.de")
    assert texts[1] == (
        "tatoeba: sentence: Der Fluss 1. options: (A) The river 7. (B) The river 1. "
        "(C) The river 3. (D) The river 5.",
        "B",
    )
    for number, (inputs, letter) in enumerate(texts):
        assert letter == "ABCD"[number % 4]
        assert f"({letter}) The river {number}." in inputs
        assert inputs.count(f"The river {number}.") == 1


def test_too_few_sentences_to_choose_among_are_refused():
    with mocked_tfds(records={"tatoeba": PARALLEL[:3]}):
        with pytest.raises(Exception, match="too few examples"):
            _texts("tatoeba.de")


def test_sentences_without_words_go():
    empty = {"tokens": ["_", "_"], "upos": ["NOUN", "_"]}
    with mocked_tfds(records={"xtreme_pos": [empty, WORDS]}):
        assert len(_texts("xtreme_pos.af")) == 1


def test_entities_of_tags_without_a_beginning():
    words = list("abcdefg")
    tags = ["I-LOC", "I-LOC", "I-PER", "B-PER", "I-PER", "O", "I-ORG"]
    assert tagging.entities(words, tags) == [
        ("LOC", "a b"),
        ("PER", "c"),
        ("PER", "d e"),
        ("ORG", "g"),
    ]


def test_a_sentence_without_entities_has_a_target(_mocked):
    assert _texts("conll2002.es")[1] == (
        "tag: Llueve .",
        "none",
    )


def test_comments_are_those_of_their_language(_mocked):
    assert [inputs for inputs, _ in _texts("wikipedia_toxicity.tr")] == [
        "toxicity: tr 0",
        "toxicity: tr 0",
        "toxicity: tr 1",
        "toxicity: tr 1",
    ]


def test_wiki40b_is_plain_text(_mocked):
    source = get_task("wiki40b.zh_tw").source
    articles = source.get_dataset("train", shuffle=False).as_numpy_iterator()
    text = next(articles)["text"].decode()
    assert text == "Mto\nHistoria\nMto ulipanda.\nKijiji kililala."
    assert task_card(get_task("wiki40b.zh_tw")).language == "zh"


@pytest.mark.slow
def test_wiki40b_gives_rows_of_text(_mocked):
    task = get_task("wiki40b.en")
    lengths = {"inputs": 2, "targets": 32}
    rows = task.get_dataset(
        lengths, "train", shuffle=False, try_in_mem_cache=False
    ).as_numpy_iterator()
    vocabulary = task.output_features["targets"].vocabulary
    assert "Kijiji" in "".join(
        vocabulary.decode([int(token) for token in row["targets"]]) for row in rows
    )


def _tfds_tasks():
    for name in sorted(seqio.TaskRegistry.names()):
        task = seqio.TaskRegistry.get(name)
        own = task.preprocessors and name.split(".")[0] in {
            *translation.WMT,
            "tatoeba",
            "bucc",
            "xtreme_pos",
            "universal_dependencies",
            "conll2002",
            "gem_wikilingua",
            "gem_mlsum",
            "wikipedia_toxicity",
            "wiki40b",
        }
        if own:
            yield task


def _language(task):
    return task_card(task).language


def test_every_builder_config_and_version_is_there():
    known = {}
    tasks = list(_tfds_tasks())
    for task in tasks:
        assert isinstance(task.source, seqio.TfdsDataSource)
        path, version = task.source.tfds_dataset.name.split(":")
        builder, config = path.split("/")
        if builder not in known:
            known[builder] = tfds.builder_cls(builder)
        cls = known[builder]
        configs = {c.name: c for c in cls.BUILDER_CONFIGS}
        assert config in configs, task.name
        assert version == str(configs[config].version or cls.VERSION), task.name
    assert len(tasks) == 90 + 108 + 12 + 33 + 218 + 2 + 35 + 2 + 6 + 41


def test_splits_and_tags_are_those_of_the_builders():
    from tensorflow_datasets.core.dataset_builders.conll import (
        conll_dataset_builder_utils,
        conllu_dataset_builder_utils,
    )
    from tensorflow_datasets.datasets.universal_dependencies import (
        universal_dependencies_utils,
    )

    assert tuple(tagging.UPOS) == conllu_dataset_builder_utils.UPOS
    assert tuple(tagging.NER_TAGS) == conll_dataset_builder_utils.NER_TAGS
    published = universal_dependencies_utils.UD_FILEPATHS
    ours = {
        treebank: splits
        for splits, treebanks in tagging.TREEBANKS.items()
        for treebank in treebanks.split()
    }
    assert set(ours) == set(universal_dependencies_utils.LANGS)
    for treebank, splits in ours.items():
        assert set(published[treebank]) == {
            {"validation": "dev"}.get(split, split) for split in splits
        }


def test_tamil_and_tagalog_are_read_from_the_config_that_holds_them():
    from tensorflow_datasets.datasets.xtreme_pos import xtreme_pos_dataset_builder

    # Should TFDS set its table right, this tells that ours has to change too.
    assert xtreme_pos_dataset_builder._LANGS["tl"] == "Tamil"
    assert xtreme_pos_dataset_builder._LANGS["ta"] == "Tagalog"
    names = {
        code: get_task(f"xtreme_pos.{code}").source.tfds_dataset.name
        for code in ("ta", "fil")
    }
    assert names == {
        "ta": "xtreme_pos/xtreme_pos_tl:1.0.0",
        "fil": "xtreme_pos/xtreme_pos_ta:1.0.0",
    }
    assert set(get_task("xtreme_pos.ta").splits) == {"train", "validation", "test"}
    assert set(get_task("xtreme_pos.fil").splits) == {"test"}


def test_tatoeba_is_for_testing_only():
    for variant in translation.TATOEBA:
        assert set(get_task(f"tatoeba.{variant.name}").splits) == {"test"}


def test_every_split_is_published():
    """All but WMT's: its builders look for files that users bring to list them."""
    with mocked_tfds():
        for task in _tfds_tasks():
            for builder, splits in builders_of(task.source):
                if builder.name.startswith("wmt"):
                    continue
                assert splits <= published_splits(builder), task.name


@pytest.mark.slow
def test_one_split_of_every_language():
    """All of them but Wikipedia, whose rows are only read by whole pages (above).

    Of those that do the same to the same features, one is run.
    """
    tasks = [task for task in _tfds_tasks() if not task.name.startswith("wiki40b")]
    chosen = list(representatives(tasks))
    for facts in (suite, _language):
        assert {*map(facts, chosen)} == {*map(facts, tasks)}
    run = set()
    with mocked_tfds(
        num_examples=8,
        records={k: v for k, v in RECORDS.items() if not k.startswith("gem")},
    ):
        for task in chosen:
            ((builder, _),) = builders_of(task.source)
            same = suite(task), work(task), repr(builder.info.features)
            if same not in run:
                run.add(same)
                found = verify_task(task, list(task.splits)[-1])
                assert found.problems == (), task.name
