"""Classification, matching and parsing."""

from __future__ import annotations

import collections

import gin
import pytest
from embedded_checks import missing_languages, problems_of

from mtmoe.data.metrics.spans import parse_spans
from mtmoe.data.tasks.embedded.splits import task_split
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.tasks.embedded import classification, language_id, names, translation

ROWS = {kind.name: kind.rows for kind in classification.KINDS}


@pytest.mark.parametrize("code", ["sw", "yo", "zh", "ar", "iw"])
def test_topics_of_held_out_articles_are_no_choice_in_training(code):
    offered = collections.defaultdict(set)
    for key, row in ROWS["udhr_topic"](code):
        choices = row["inputs"].partition("(")[2].partition(")")[0].split(", ")
        assert row["targets"] in choices and len(set(choices)) == 4
        offered[task_split(key) == "train"].update(choices)
    assert offered[False] == set(classification.TOPICS[25:])
    assert offered[True] == set(classification.TOPICS[:25])


@pytest.mark.parametrize("code", ["sw", "zh", "ar"])
def test_each_paragraph_is_paired_once_rightly_and_once_wrongly(code):
    answers = collections.Counter(
        row["targets"] for _, row in ROWS["udhr_same_article"](code)
    )
    assert answers["yes"] == answers["no"] > 40


@pytest.mark.parametrize("code", ["sw", "yo", "iw"])
def test_one_of_four_is_the_translation(code):
    pairs = {english[:60]: text for _, text, english in translation.udhr_pairs(code)}
    letters = collections.Counter()
    for _, row in ROWS["udhr_pick_translation"](code):
        source = row["inputs"].partition("English: ")[2]
        right = next(text for start, text in pairs.items() if source.startswith(start))
        marked = f" {row['targets']}: {right[:40]}"
        assert marked in row["inputs"]
        letters[row["targets"]] += 1
    assert set(letters) == set("ABCD")


@pytest.mark.parametrize("code", ["sw", "zh", "ar", "iw"])
def test_commands_and_their_slots(code):
    intents = [row["targets"] for _, row in ROWS["command_intent"](code)]
    assert len(set(intents)) >= 2 and all(i.startswith("Hass") for i in intents)
    parsed = [
        (row["inputs"], parse_spans(row["targets"]))
        for _, row in ROWS["command_parse"](code)
    ]
    assert [spans[0][1] for _, spans in parsed] == intents
    with_area = [
        (text, dict(spans)["area"]) for text, spans in parsed if "area" in dict(spans)
    ]
    assert with_area and all(area in text for text, area in with_area)
    domains = {row["targets"] for _, row in ROWS["command_domain"](code)}
    assert "light" in domains and all(domains)


def test_dialogue_topics_and_misspellings():
    topics = {row["targets"] for _, row in ROWS["dialogue_topic"]("fa")}
    assert {"greetings", "food", "bot profile"} <= topics
    words = {
        row["inputs"].rpartition(" ")[2]: row["targets"]
        for _, row in ROWS["word_is_misspelt"]("en")
    }
    assert words["abnormalty"] == "yes" and set(words.values()) == {"yes", "no"}


SAMPLE = (
    "translate_udhr_to_en.yo",
    "translate_interface_from_en.ar",
    "territory_name.sw",
    "territory_languages.zh",
    "language_autonym",
    "language_id_words.iw",
    "language_regions",
    "udhr_pick_translation.sw",
    "command_parse.zh",
)


@pytest.mark.parametrize(
    ("sample", "splits"),
    [
        (SAMPLE[::4], ("validation",)),
        pytest.param(SAMPLE, ("train", "test"), marks=pytest.mark.slow),
    ],
)
def test_tasks_run_through_seqio(sample, splits):
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )
    for name in sample:
        for split in splits:
            found = verify_task(get_task(f"embedded.{name}"), split, num_examples=8)
            assert found.problems == () and found.num_examples >= 1, (name, split)


def test_names_and_kinds_are_unique_and_known():
    modules = (translation, names, language_id, classification)
    tasks = [task for module in modules for task in module.TASKS]
    assert len(set(tasks)) == len(tasks) > 1900
    assert all(task.startswith("embedded.") for task in tasks)


@pytest.mark.slow
@pytest.mark.parametrize("kind", classification.KINDS, ids=lambda kind: kind.name)
def test_every_task(kind):
    found = {code: list(problems_of(kind, code)) for code in kind.languages}
    assert {code: problems for code, problems in found.items() if problems} == {}
    if kind.languages != ("en",):
        assert set(missing_languages(kind)) <= {"en"}
