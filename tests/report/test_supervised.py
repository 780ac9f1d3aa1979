"""Supervised tasks in a report: by task, gold and rule apart."""

from __future__ import annotations

import json
import re

import pytest
from model_folder import SUPERVISED, write_model_folder

from mtmoe.report.folder import read_model_folder
from mtmoe.report.results import headline_results, language_results
from mtmoe.report.summary import summary
from mtmoe.report.supervised import supervised_groups, supervised_section
from mtmoe.report.write import write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    model_dir = tmp_path_factory.mktemp("models") / "multitask"
    return write_model_folder(model_dir, supervised=True)


def test_groups(folder):
    groups = supervised_groups(language_results(read_model_folder(folder)))
    assert [(g.name, g.labels, g.languages) for g in groups] == [
        ("embedded.lemma.<language>", "gold", 2),
        ("embedded.translate.<language>", "gold", 3),
        ("embedded.spell_number.<language>", "rule", 1),
    ]
    translate = groups[1]
    assert translate.mean_accuracy == pytest.approx(0.2)
    assert (translate.worst, translate.best) == ("de", "iw")
    assert translate.best_accuracy == pytest.approx(0.3)
    assert translate.num_examples == 3 * 48


def test_the_headline_is_what_it_is_without_them(folder, tmp_path):
    plain = read_model_folder(write_model_folder(tmp_path / "plain"))
    both = read_model_folder(folder)
    results = language_results(both)
    assert len(headline_results(results)) == 101
    assert len(results) == 101 + sum(len(codes) for *_, codes in SUPERVISED.values())
    with_them, without = summary(both, results), summary(plain, language_results(plain))
    for key in ("mean_bits_per_byte", "mean_accuracy", "languages", "mean_loss"):
        assert with_them[key] == without[key]
    assert without["supervised"] == []
    assert with_them["supervised"][0]["name"] == "embedded.lemma.<language>"


def test_the_files(folder, tmp_path):
    page = write_report(folder, tmp_path / "report").read_text("utf-8")
    section = re.search(r'<section id="tasks".*?</section>', page, re.DOTALL)[0]
    gold, rule = section.split("Made by a rule")
    assert "embedded.translate.&lt;language&gt;" in gold
    assert "embedded.spell_number" not in gold
    assert "embedded.spell_number" in rule
    markdown = (tmp_path / "report" / "report.md").read_text("utf-8")
    assert "## Supervised tasks: written or labelled by people" in markdown
    numbers = json.loads((tmp_path / "report" / "summary.json").read_text("utf-8"))
    assert numbers["per_language"]["embedded.lemma.sw"]["labels"] == "gold"


def test_without_supervised_tasks_there_is_no_section():
    assert supervised_section(()) == ""
