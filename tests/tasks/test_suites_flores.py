"""FLORES-200: both published layouts, every pair's name, and its scores."""

from __future__ import annotations

import gin
import pytest
import seqio
from suite_files import write_records

from mtmoe.data.metrics import generation
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.registry import get_task
from mtmoe.data.tasks.verify import verify_task
from mtmoe.errors import CorpusError
from mtmoe.languages import MC4_LANGUAGES
from mtmoe.tasks.multilingual import flores

SENTENCES = {
    "eng_Latn": ["The river rose.", "The village slept."],
    "swh_Latn": ["Mto ulipanda.", "Kijiji kililala."],
    "fra_Latn": ["La rivière monta.", "Le village dormait."],
    "zho_Hant": ["河水上漲。", "村莊睡了。"],
}


@pytest.fixture(autouse=True)
def _bytes_as_vocabulary(tmp_path, monkeypatch):
    gin.parse_config(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @byte_vocabulary"
    )
    monkeypatch.setenv("MTMOE_DATA", str(tmp_path))


def _write_archive(folder, sentences=SENTENCES):
    for split in ("dev", "devtest"):
        for code, lines in sentences.items():
            path = folder / "flores200" / split / f"{code}.{split}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_the_archive(tmp_path):
    _write_archive(tmp_path)
    for name, prompt in (
        ("flores200.en.sw", "translate English to Swahili: The river rose."),
        ("flores200.sw.en", "translate Swahili to English: Mto ulipanda."),
    ):
        task = get_task(name)
        assert task.source.examples("test")[0]["inputs"] == prompt
        found = verify_task(task, "validation")
        assert found.problems == () and found.num_examples == 2
        assert found.scores == pytest.approx({"chrf++": 100.0})


def test_the_hubs_table(tmp_path):
    rows = [
        {"id": i, "URL": "u", "domain": "d", "topic": "t"}
        | {f"sentence_{code}": lines[i] for code, lines in SENTENCES.items()}
        for i in range(2)
    ]
    for split in ("dev", "devtest"):
        write_records(tmp_path / f"flores200/all/{split}/0000.parquet", rows)
    examples = get_task("flores200.sw.en").source.examples("test")
    assert examples[1] == {
        "inputs": "translate Swahili to English: Kijiji kililala.",
        "targets": "The village slept.",
    }
    with pytest.raises(CorpusError, match=r"0000.parquet:1: .*field 'sentence_deu_"):
        get_task("flores200.en.de").source.examples("test")


def test_every_language_has_its_own_file(tmp_path):
    codes = [variant.own for variant in flores.LANGUAGES_OF_MC4]
    _write_archive(tmp_path, {code: [f"In {code}."] for code in codes})
    for variant in flores.LANGUAGES_OF_MC4:
        if variant.language == "en":
            continue
        (out,) = get_task(f"flores200.en.{variant.name}").source.examples("test")
        (back,) = get_task(f"flores200.{variant.name}.en").source.examples("test")
        assert out["inputs"].endswith(": In eng_Latn.")
        assert out["targets"] == f"In {variant.own}."
        assert back["inputs"].endswith(f": In {variant.own}.")
        assert back["targets"] == "In eng_Latn."


def test_nothing_there_names_both_layouts():
    with pytest.raises(CorpusError) as error:
        get_task("flores200.en.sw").source.examples("test")
    message = str(error.value)
    assert "flores200_dataset.tar.gz" in message and "all/dev/*.parquet" in message


def test_files_that_are_no_translations_of_each_other(tmp_path):
    _write_archive(tmp_path, SENTENCES | {"swh_Latn": ["Mto ulipanda."]})
    with pytest.raises(CorpusError, match=r"eng_Latn.dev has 2 lines, .*swh.* 1"):
        get_task("flores200.en.sw").source.examples("validation")


def test_a_damaged_line_is_named(tmp_path):
    _write_archive(tmp_path)
    path = tmp_path / "flores200/dev/swh_Latn.dev"
    path.write_bytes(b"Mto\n\xff\xfe\n")
    with pytest.raises(CorpusError, match=r"swh_Latn.dev:2: not UTF-8"):
        get_task("flores200.en.sw").source.examples("validation")
    path.write_bytes(b"\nMto\n")
    with pytest.raises(CorpusError, match=r"swh_Latn.dev:1: no sentence"):
        get_task("flores200.en.sw").source.examples("validation")


def test_a_language_that_is_not_there_is_named(tmp_path):
    _write_archive(tmp_path)
    with pytest.raises(CorpusError, match=r"no file .*deu_Latn.devtest"):
        get_task("flores200.en.de").source.examples("test")


def test_any_pair_can_be_registered(tmp_path, clean_registry):
    _write_archive(tmp_path)
    name = flores.register_pair("swh_Latn", "zho_Hant")
    assert name == "flores200.sw.zho_Hant"
    assert flores.register_pair("sw", "zho_Hant") == name
    found = verify_task(seqio.TaskRegistry.get(name), "test")
    assert found.problems == ()
    assert task_card(seqio.TaskRegistry.get(name)).language == ""
    example = seqio.TaskRegistry.get(name).source.examples("test")[0]
    assert example["inputs"] == "translate Swahili to zho_Hant: Mto ulipanda."
    assert flores.register_pair("fr", "sw") == "flores200.fr.sw"
    assert flores.register_pair("eng_Latn", "zh") == "flores200.en.zh"


def test_every_language_of_mc4_that_flores_has():
    assert len(flores.LANGUAGES_OF_MC4) == 96
    codes = {variant.language for variant in flores.LANGUAGES_OF_MC4}
    assert codes == set(MC4_LANGUAGES) - {"la", "fy", "co", "haw", "hmn"}
    for code in codes - {"en"}:
        for name in (f"flores200.en.{code}", f"flores200.{code}.en"):
            card = task_card(seqio.TaskRegistry.get(name))
            assert card.family == "translation" and card.language == code


def test_spbleu_only_on_demand(tmp_path, monkeypatch):
    texts = ["The river rose in the night."]
    assert flores.flores_scores(texts, texts) == pytest.approx({"chrf++": 100.0})

    absent = str(tmp_path / "absent.model")
    monkeypatch.setattr(generation, "spbleu_model_path", lambda: absent)
    gin.parse_config("flores_scores.with_spbleu = True")
    with pytest.raises(CorpusError, match="spBLEU needs"):
        flores.flores_scores(texts, texts)

    monkeypatch.setattr(flores, "spbleu", lambda *_: {"spbleu": 100.0})
    assert set(flores.flores_scores(texts, texts)) == {"chrf++", "spbleu"}
