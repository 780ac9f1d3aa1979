"""Multiple choice suites: each from a file in its published layout."""

from __future__ import annotations

import collections

import gin
import pytest
import seqio
from suite_files import file_for, renamed_everywhere, write_records

from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.errors import CorpusError
from mtmoe.languages import language_code
from mtmoe.tasks.multilingual.choice_records import (
    Choice,
    first_letter,
    lettered,
    without_markup,
)
from mtmoe.tasks.multilingual.choices import SUITES
from mtmoe.tasks.multilingual.suites import number_field, text_field, variants

BY_NAME = {suite.name: suite for suite in SUITES}

_OPTIONS = {
    "option_a": "Nairobi",
    "option_b": "Mto",
    "option_c": "Ziwa",
    "option_d": "Mlima",
}

# Records of each suite, all fields its publisher gives that are read or nearly so.
RECORDS = {
    "xcopa": [
        {
            "premise": "Mwanamume alifungua mfereji.",
            "choice1": "Choo kilijaa maji.",
            "choice2": "Maji yalitiririka.",
            "question": "effect",
            "label": 1,
            "idx": 0,
            "changed": False,
        },
        {
            "premise": "The glass fell.",
            "choice1": "The table shook.",
            "choice2": "It was full.",
            "question": "cause",
            "label": 0,
            "idx": 1,
            "changed": True,
        },
    ],
    "xstorycloze": [
        {
            "InputStoryid": f"id-{right}",
            "InputSentence1": "Ana lost her key.",
            "InputSentence2": 'She said "no".',
            "InputSentence3": "She looked under the mat.",
            "InputSentence4": "Something shone there.",
            "RandomFifthSentenceQuiz1": "She had found it.",
            "RandomFifthSentenceQuiz2": "She sold the moon.",
            "AnswerRightEnding": right,
        }
        for right in (1, 2)
    ],
    "xwinograd": [
        {
            "sentence": "The cup does not fit into the bag because _ is too big.",
            "option1": "The cup",
            "option2": "The bag",
            "answer": answer,
        }
        for answer in ("1", "2")
    ],
    "belebele": [
        {
            "link": "https://example.org",
            "question_number": number,
            "flores_passage": "Mto ulipanda usiku. Kijiji kililala.",
            "question": "Nini kilipanda?",
            "mc_answer1": "Kijiji",
            "mc_answer2": "Mto",
            "mc_answer3": "Usiku",
            "mc_answer4": "Bei",
            "correct_answer_num": right,
            "dialect": "swh_Latn",
            "ds": "2023-05-03",
        }
        for number, right in ((1, "2"), (2, 4))
    ],
    "global_mmlu": [
        {"sample_id": f"geo/{i}", "subject": "geo", "question": "Mji mkuu wa Kenya?"}
        | _OPTIONS
        | {"answer": answer}
        for i, answer in enumerate("AD")
    ],
    "include": [
        {"language": "X", "domain": "STEM", "question": "Mji mkuu wa Kenya?"}
        | _OPTIONS
        | {"answer": answer}
        for answer in (0, 3)
    ],
    "okapi_hellaswag": [
        {
            "ind": 4,
            "activity_label": "Kochen",
            "ctx_a": "[header] Der Koch [title] Er rührt.",
            "ctx_b": "Er",
            "ctx": "Der Koch rührt. Er",
            "endings": [f"[step] kostet {n} Mal." for n in range(4)],
            "label": label,
        }
        for label in ("0", "3")
    ],
    "okapi_arc": [
        {"id": "Mercury_1", "answer": "D", "instruction": "Which is a mountain?"}
        | _OPTIONS,
        {"id": "Mercury_2", "answer": "E", "instruction": "Which one is none?"}
        | _OPTIONS
        | {"option_e": "None"},
    ],
    "okapi_mmlu": [
        {"id": f"geo/{i}", "answer": answer, "instruction": "Mji mkuu wa Kenya?"}
        | _OPTIONS
        for i, answer in enumerate("AC")
    ],
    "multiblimp": [
        {
            "sen": f"The {word} sleep.",
            "wrong_sen": f"The {word} sleeps.",
            "phenomenon": "SV-#",
        }
        for word in ("rivers", "teachers", "gardens", "doctors")
    ],
}

INPUTS = {
    "xcopa": "xcopa: premise: Mwanamume alifungua mfereji. question: effect options: "
    "(A) Choo kilijaa maji. (B) Maji yalitiririka.",
    "xstorycloze": 'xstorycloze: story: Ana lost her key. She said "no". She looked '
    "under the mat. Something shone there. options: (A) She had found it. "
    "(B) She sold the moon.",
    "xwinograd": "xwinograd: sentence: The cup does not fit into the bag because _ is "
    "too big. options: (A) The cup (B) The bag",
    "belebele": "belebele: passage: Mto ulipanda usiku. Kijiji kililala. question: "
    "Nini kilipanda? options: (A) Kijiji (B) Mto (C) Usiku (D) Bei",
    "global_mmlu": "global_mmlu: question: Mji mkuu wa Kenya? options: (A) Nairobi "
    "(B) Mto (C) Ziwa (D) Mlima",
    "include": "include: question: Mji mkuu wa Kenya? options: (A) Nairobi (B) Mto "
    "(C) Ziwa (D) Mlima",
    "okapi_hellaswag": "okapi_hellaswag: context: Kochen: Der Koch. Er rührt. Er "
    "options: (A) kostet 0 Mal. (B) kostet 1 Mal. (C) kostet 2 Mal. (D) kostet 3 Mal.",
    "okapi_arc": "okapi_arc: question: Which is a mountain? options: (A) Nairobi "
    "(B) Mto (C) Ziwa (D) Mlima",
    "okapi_mmlu": "okapi_mmlu: question: Mji mkuu wa Kenya? options: (A) Nairobi "
    "(B) Mto (C) Ziwa (D) Mlima",
    "multiblimp": "multiblimp: which sentence is right? options: (A) The rivers "
    "sleeps. (B) The rivers sleep.",
}

TARGETS = {
    "xcopa": "BA",
    "xstorycloze": "AB",
    "xwinograd": "AB",
    "belebele": "BD",
    "global_mmlu": "AD",
    "include": "AD",
    "okapi_hellaswag": "AD",
    "okapi_arc": "DE",
    "okapi_mmlu": "AC",
}

# A field of each suite, and one of its codes.
FIELDS = {
    "xcopa": ("premise", "sw"),
    "xstorycloze": ("RandomFifthSentenceQuiz2", "te"),
    "xwinograd": ("option1", "ja"),
    "belebele": ("correct_answer_num", "sw"),
    "global_mmlu": ("answer", "yo"),
    "include": ("option_c", "mk"),
    "okapi_hellaswag": ("endings", "de"),
    "okapi_arc": ("instruction", "hy"),
    "okapi_mmlu": ("answer", "no"),
    "multiblimp": ("wrong_sen", "ar"),
}


@pytest.fixture(autouse=True)
def _bytes_as_vocabulary(tmp_path, monkeypatch):
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )
    monkeypatch.setenv("MTMOE_DATA", str(tmp_path))


def _variant(suite, name):
    return next(v for v in BY_NAME[suite].languages if v.name == name)


def _write(folder, suite, variant, records):
    for pattern in BY_NAME[suite].files.values():
        path = folder / suite / file_for(pattern.format(code=variant.own))
        write_records(path, records)
    return path


@pytest.mark.parametrize("suite", RECORDS)
def test_suite_from_its_published_layout(suite, tmp_path):
    name = FIELDS[suite][1]
    _write(tmp_path, suite, _variant(suite, name), RECORDS[suite])
    task = get_task(f"{suite}.{name}")
    found = verify_task(task, list(task.splits)[-1])
    assert found.problems == ()
    assert found.num_examples == len(RECORDS[suite])
    assert found.scores == {"accuracy": 100.0}
    for split in task.splits:
        examples = task.source.examples(split)
        assert examples[0]["inputs"] == INPUTS[suite]
        if suite in TARGETS:
            assert "".join(e["targets"] for e in examples) == TARGETS[suite]


@pytest.mark.parametrize("suite", RECORDS)
def test_a_field_of_another_name_is_named_with_file_and_line(suite, tmp_path):
    field, name = FIELDS[suite]
    wrong = renamed_everywhere(RECORDS[suite], field)
    path = _write(tmp_path, suite, _variant(suite, name), wrong)
    task = get_task(f"{suite}.{name}")
    line = 1 if path.suffix != ".tsv" else 2
    with pytest.raises(CorpusError) as error:
        task.source.examples(list(task.splits)[-1])
    assert f"{path}:{line}: unknown field '{field}'" in str(error.value)
    assert f"'{field}_'" in str(error.value)


def test_a_missing_file_says_where_to_get_it():
    with pytest.raises(CorpusError) as error:
        get_task("belebele.sw").source.examples("test")
    message = str(error.value)
    assert "belebele/data/swh_Latn.jsonl" in message
    assert "facebook/belebele" in message and "mc_answer1" in message


@pytest.mark.parametrize(
    ("suite", "name", "field", "value", "said"),
    [
        ("belebele", "sw", "correct_answer_num", "5", "option 4 of 4"),
        ("belebele", "sw", "correct_answer_num", "0", "option -1 of 4"),
        ("belebele", "sw", "correct_answer_num", "two", "not a whole number"),
        ("belebele", "sw", "question", " ", "field 'question' is ' ', not text"),
        ("belebele", "sw", "mc_answer4", None, "field 'mc_answer4' is None"),
        ("xwinograd", "ja", "sentence", "No gap.", "no gap"),
        ("global_mmlu", "yo", "answer", "both", "not a letter"),
        ("global_mmlu", "yo", "answer", "E", "option 4 of 4"),
    ],
)
def test_a_value_that_cannot_be_is_refused(suite, name, field, value, said, tmp_path):
    records = [RECORDS[suite][0], RECORDS[suite][1] | {field: value}]
    path = _write(tmp_path, suite, _variant(suite, name), records)
    with pytest.raises(CorpusError) as error:
        get_task(f"{suite}.{name}").source.examples("test")
    assert f"{path}:2: ValueError" in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("suite", "name", "lost"),
    [
        ("okapi_arc", "de", {"option_d": None}),
        ("okapi_arc", "de", {"answer": "1"}),
        ("okapi_mmlu", "de", {"answer": "E", "option_e": "None"}),
        ("okapi_hellaswag", "de", {"endings": ["so", 3, "da", "und"]}),
    ],
)
def test_records_that_lost_an_option_in_translation_are_left_out(
    suite, name, lost, tmp_path
):
    records = [RECORDS[suite][0] | lost, RECORDS[suite][1]]
    _write(tmp_path, suite, _variant(suite, name), records)
    split = next(iter(BY_NAME[suite].files))
    assert len(get_task(f"{suite}.{name}").source.examples(split)) == 1


def test_an_option_that_is_missing_moves_the_letters_up(tmp_path):
    record = RECORDS["okapi_arc"][0] | {"option_b": None}
    _write(tmp_path, "okapi_arc", _variant("okapi_arc", "hy"), [record])
    (example,) = get_task("okapi_arc.hy").source.examples("test")
    assert example["inputs"].endswith("options: (A) Nairobi (B) Ziwa (C) Mlima")
    assert example["targets"] == "C"


def test_right_sentences_of_minimal_pairs_stand_in_both_places(tmp_path):
    records = [
        {"sen": f"Right {n}.", "wrong_sen": f"Wrong {n}.", "phenomenon": "SV-P"}
        for n in range(200)
    ]
    _write(tmp_path, "multiblimp", _variant("multiblimp", "ar"), records)
    examples = get_task("multiblimp.ar").source.examples("test")
    count = collections.Counter(example["targets"] for example in examples)
    assert set(count) == {"A", "B"} and min(count.values()) > 60
    for example in examples:
        assert f"({example['targets']}) Right" in example["inputs"]


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" (B) the river", "B"),
        ("B: the river", "B"),
        ("B.", "B"),
        ("Because", "Because"),
        ("b", "b"),
        ("A river", "A"),
        ("", ""),
        ("Ä", "Ä"),
    ],
)
def test_first_letter(text, letter):
    assert first_letter(text) == letter


def test_choices_need_two_options():
    with pytest.raises(ValueError, match="1 options"):
        lettered("suite", Choice("why?", ["so"], 0))


def test_markup_goes():
    assert without_markup("[header] How [title] Stir [substeps] it.") == "How. Stir it."


def test_fields():
    assert text_field({"a": " b\n"}, "a") == "b"
    assert number_field({"a": "3"}, "a") == 3
    assert number_field({"a": 3.0}, "a") == 3
    for value in (3.5, None, "x", []):
        with pytest.raises(ValueError, match="field 'a'"):
            number_field({"a": value}, "a")


def test_names_are_mc4_codes_and_never_collide():
    named = {v.own: (v.name, v.language) for v in BY_NAME["belebele"].languages}
    assert len(named) == 122
    assert named["swh_Latn"] == ("sw", "sw")
    assert named["heb_Hebr"] == ("iw", "iw")
    assert named["zho_Hans"] == ("zh", "zh")
    assert named["zho_Hant"] == ("zho_Hant", "zh")
    assert named["hin_Deva"] == ("hi", "hi")
    assert named["hin_Latn"] == ("hi_Latn", "hi-Latn")
    assert named["arb_Latn"] == ("arb_Latn", "arb_Latn")
    assert named["acm_Arab"] == ("acm_Arab", "acm_Arab")
    for suite in SUITES:
        names = [v.name for v in suite.languages]
        assert len(set(names)) == len(names)


def test_variants_of_suites_without_language_codes():
    found = variants("North Macedonian=mk, Croatian=hr, Serbian=sr, Latin=sr", ",")
    assert found == (
        ("North Macedonian", "mk", "mk"),
        ("Croatian", "hr", "hr"),
        ("Serbian", "sr", "sr"),
        ("Latin", "Latin", "sr"),
    )


def test_every_language_is_registered_and_described():
    counts = {suite.name: len(suite.languages) for suite in SUITES}
    assert counts == {
        "xcopa": 11,
        "xstorycloze": 11,
        "xwinograd": 6,
        "belebele": 122,
        "global_mmlu": 42,
        "include": 44,
        "okapi_hellaswag": 30,
        "okapi_arc": 31,
        "okapi_mmlu": 34,
        "multiblimp": 101,
    }
    for suite in SUITES:
        for variant in suite.languages:
            card = task_card(seqio.TaskRegistry.get(f"{suite.name}.{variant.name}"))
            assert card.language == language_code(variant.language)
            assert card.family == suite.family
            assert card.metrics == ("accuracy",)
            assert card.labels == "gold" and card.verified == "layout"
            assert suite.hub in card.origin and card.licence


def test_every_language_has_its_own_file(tmp_path):
    """Pipeline and metric are the suite's; a language has its file and its name."""
    for suite in SUITES:
        expected = {"inputs": INPUTS[suite.name]}
        for variant in suite.languages:
            _write(tmp_path, suite.name, variant, RECORDS[suite.name])
            source = get_task(f"{suite.name}.{variant.name}").source
            for split in suite.files:
                examples = source.examples(split)
                assert examples[0].items() >= expected.items(), variant
                assert len(examples) == len(RECORDS[suite.name]), variant
