"""Suites that are no multiple choice, from their files: XL-Sum, MGSM, AfriXNLI."""

from __future__ import annotations

import gin
import pytest
import seqio
from suite_files import renamed_everywhere, write_records

from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.errors import CorpusError
from mtmoe.tasks.multilingual import classification, mgsm, summarization

XLSUM = [
    {
        "id": "1",
        "url": "https://example.org/1",
        "title": "Mto",
        "summary": "Mto ulipanda usiku.",
        "text": "Mto ulipanda usiku. Kijiji kililala.",
    },
    {
        "id": "2",
        "url": "https://example.org/2",
        "title": "村",
        "summary": "村は眠った。",
        "text": "村は眠った。川は増えた。",
    },
]
MGSM = [
    {
        "question": "Question : Ana a 3 pommes : combien en 2 jours ?",
        "answer": "Réponse étape par étape : 3 * 2 = 6. La réponse est 6.",
        "answer_number": 6,
        "equation_solution": "3 * 2 = 6.",
    },
    {
        "question": "Ana a 1200 pommes : combien en 2 jours ?",
        "answer": None,
        "answer_number": 2400,
        "equation_solution": None,
    },
]
AFRIXNLI = [
    {"premise": "Mto ulipanda.", "hypothesis": f"Mto {label}.", "label": label}
    for label in (0, 1, 2)
]


@pytest.fixture(autouse=True)
def _bytes_as_vocabulary(tmp_path, monkeypatch):
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )
    monkeypatch.setenv("MTMOE_DATA", str(tmp_path))


def _problems(name, split):
    return verify_task(get_task(name), split).problems


@pytest.mark.parametrize("own", ["swahili", "japanese", "serbian_latin"])
def test_xlsum(own, tmp_path):
    (variant,) = (v for v in summarization.XLSUM if v.own == own)
    for split in ("train", "val", "test"):
        write_records(tmp_path / f"xlsum/{own}_{split}.jsonl", XLSUM)
    name = f"xlsum.{variant.name}"
    assert _problems(name, "test") == ()
    for split in ("train", "validation", "test"):
        example = get_task(name).source.examples(split)[0]
        assert example["inputs"].startswith("summarize: Mto ulipanda usiku. Kijiji")
        assert example["targets"] == "Mto ulipanda usiku."


def test_xlsum_names():
    named = {v.own: (v.name, v.language) for v in summarization.XLSUM}
    assert len(named) == len({name for name, _ in named.values()}) == 45
    assert named["chinese_simplified"] == ("zh", "zh")
    assert named["chinese_traditional"] == ("chinese_traditional", "zh")
    assert named["serbian_latin"] == ("serbian_latin", "sr")
    assert named["kirundi"] == ("rn", "rn")
    assert named["scottish_gaelic"] == ("gd", "gd")
    for name, language in named.values():
        card = task_card(seqio.TaskRegistry.get(f"xlsum.{name}"))
        assert (card.language, card.family) == (language, "summarization")


def test_mgsm(tmp_path):
    write_records(tmp_path / "mgsm/fr/train/0000.parquet", MGSM[:1])
    write_records(tmp_path / "mgsm/fr/test/0000.parquet", MGSM[1:])
    assert _problems("mgsm.fr", "test") == ()
    source = get_task("mgsm.fr").source
    assert source.examples("train")[0] == {
        "inputs": "mgsm: question: Ana a 3 pommes : combien en 2 jours ?",
        "targets": "6",
    }
    # Nothing is taken off a question that has no heading.
    assert source.examples("test")[0] == {
        "inputs": "mgsm: question: Ana a 1200 pommes : combien en 2 jours ?",
        "targets": "2400",
    }
    assert len(mgsm.LANGUAGES) == 11


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("6", "6"),
        ("First 3, then 6.", "6"),
        ("The answer is 2,400.", "2400"),
        ("-7.00", "-7"),
        ("2.5 litres", "2.5"),
        ("答えは18です。", "18"),
        ("none", "none"),
        ("1 200", "200"),
    ],
)
def test_last_number(text, number):
    assert mgsm.last_number(text) == number


def test_mgsm_asked_in_full_is_scored_by_its_last_number(tmp_path):
    task = get_task("mgsm.fr")
    (exact_match,) = task.predict_metric_fns
    predictions = ["3 * 2 = 6, donc 6.", "2,400", "12"]
    targets = ["6", "2400", "13"]
    scores = exact_match(
        [task.postprocess_fn(t, example={}, is_target=True) for t in targets],
        [task.postprocess_fn(p, example={}, is_target=False) for p in predictions],
    )
    assert scores["exact_match"] == pytest.approx(200 / 3)


def test_afrixnli(tmp_path):
    for split in ("dev", "test"):
        write_records(tmp_path / f"afrixnli/data/swa/{split}.tsv", AFRIXNLI)
    assert _problems("afrixnli.sw", "test") == ()
    for split in ("validation", "test"):
        assert get_task("afrixnli.sw").source.examples(split)[2] == {
            "inputs": "xnli: premise: Mto ulipanda. hypothesis: Mto 2.",
            "targets": "2",
        }
    names = {v.own: v.name for v in classification.AFRIXNLI}
    assert len(names) == 18
    assert (names["swa"], names["sot"], names["twi"]) == ("sw", "st", "twi")


@pytest.mark.parametrize(
    ("name", "file", "records", "field", "line"),
    [
        ("xlsum.sw", "xlsum/swahili_test.jsonl", XLSUM, "summary", 1),
        ("mgsm.bn", "mgsm/bn/test/0000.parquet", MGSM, "answer_number", 1),
        ("afrixnli.sw", "afrixnli/data/swa/test.tsv", AFRIXNLI, "hypothesis", 2),
    ],
)
def test_a_field_of_another_name_is_named_with_file_and_line(
    name, file, records, field, line, tmp_path
):
    write_records(tmp_path / file, renamed_everywhere(records, field))
    with pytest.raises(CorpusError) as error:
        get_task(name).source.examples("test")
    assert f"{tmp_path / file}:{line}: unknown field '{field}'" in str(error.value)


def test_every_language_has_its_own_file(tmp_path):
    written = {
        "mgsm": (mgsm.LANGUAGES, "{}/test/0000.parquet", MGSM),
        "xlsum": (summarization.XLSUM, "{}_test.jsonl", XLSUM),
        "afrixnli": (classification.AFRIXNLI, "data/{}/test.tsv", AFRIXNLI),
    }
    for suite, (languages, file, records) in written.items():
        for variant in languages:
            write_records(tmp_path / suite / file.format(variant.own), records)
            source = get_task(f"{suite}.{variant.name}").source
            assert len(source.examples("test")) == len(records), variant


def test_a_class_that_is_none_is_refused(tmp_path):
    path = tmp_path / "afrixnli/data/yor/test.tsv"
    write_records(path, [*AFRIXNLI, AFRIXNLI[0] | {"label": 3}])
    with pytest.raises(CorpusError, match=r"test.tsv:5: .*'label' is 3"):
        get_task("afrixnli.yo").source.examples("test")
