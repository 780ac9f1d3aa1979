import json
import math
import shutil

import pytest

from mtmoe.errors import CheckpointError
from mtmoe.report.folder import evaluated_steps, read_model_folder
from mtmoe.report.results import language_results
from mtmoe.report.summary import summary, training_tokens


@pytest.fixture(scope="module")
def folder(model_dir):
    return read_model_folder(model_dir)


@pytest.fixture
def damaged(model_dir, tmp_path):
    return shutil.copytree(model_dir, tmp_path / "run")


def test_a_result_a_language(folder):
    results = {result.language: result for result in language_results(folder)}
    assert len(results) == 101
    german = results["de"]
    rows = {r.metric: r.value for r in folder.metric_rows if r.language == "de"}
    assert german.bits_per_byte.value == rows["bits_per_byte"]
    assert german.accuracy == rows["accuracy"]
    assert (german.name, german.script, german.family) == ("German", "Latn", "Germanic")
    trained = folder.provenance["mixture"]["embedded.span_corruption.de"]
    assert (german.share, german.epochs) == (trained["share"], trained["epochs"])


def test_summary_counts(folder):
    results = language_results(folder)
    numbers = summary(folder, results)
    assert numbers["languages"] == 101
    bits, own, mixture = (
        [r.value for r in folder.metric_rows if r.metric == metric]
        for metric in (
            "bits_per_byte",
            "language_unigram_bits_per_byte",
            "mixture_unigram_bits_per_byte",
        )
    )
    assert numbers["mean_bits_per_byte"] == pytest.approx(sum(bits) / 101)
    assert numbers["languages_below_language_unigram"] == sum(
        b < o for b, o in zip(bits, own, strict=True)
    )
    assert numbers["languages_below_mixture_unigram"] == 100  # English is not
    assert sum(b < m for b, m in zip(bits, mixture, strict=True)) == 100
    assert numbers["steps"] == numbers["evaluated_step"] == 1200
    assert numbers["dropped_fraction"] == 0.0123
    assert numbers["per_language"]["embedded.span_corruption.de"]["language"] == "de"
    assert json.loads(json.dumps(numbers)) == numbers


def test_training_tokens_count_each_line_once():
    training = [
        {"time": 2.0, "tokens_per_second": 100.0},
        {"time": 5.0, "tokens_per_second": 50.0},
    ]
    assert training_tokens(training) == 350


def test_a_step_logged_twice_counts_as_last_logged(damaged):
    path = damaged / "metrics.jsonl"
    lines = path.read_text().splitlines()
    again = json.loads(lines[-1]) | {"loss": 1.25}
    path.write_text("\n".join([*lines, json.dumps(again)]) + "\n")
    folder = read_model_folder(damaged)
    assert len(folder.training) == len(lines)
    assert folder.training[-1]["loss"] == 1.25


def test_the_latest_finished_evaluation_is_taken(damaged):
    evaluation = damaged / "evaluation"
    shutil.copytree(evaluation / "step_1200", evaluation / "step_900")
    (evaluation / "step_2000").mkdir()  # begun, not finished
    assert evaluated_steps(damaged) == (900, 1200)
    assert read_model_folder(damaged).step == 1200


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("evaluation/step_1200/evaluation.json", "mtmoe evaluate"),
        ("evaluation/step_1200/per_language.csv", "mtmoe evaluate"),
        ("evaluation/step_1200/experts.csv", "mtmoe evaluate"),
        ("metrics.jsonl", "mtmoe train"),
        ("provenance.json", "mtmoe train"),
        ("config.gin", "mtmoe train"),
    ],
)
def test_what_is_missing_is_named_with_its_command(damaged, name, command):
    (damaged / name).unlink()
    with pytest.raises(CheckpointError, match=command):
        read_model_folder(damaged)


def test_no_folder(tmp_path):
    with pytest.raises(CheckpointError, match="mtmoe train"):
        read_model_folder(tmp_path / "absent")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("provenance.json", "{", "provenance.json is damaged"),
        ("metrics.jsonl", '{"step": 1}\n{"ste', "metrics.jsonl:2 is damaged"),
        ("metrics.jsonl", "", "metrics.jsonl is empty"),
    ],
)
def test_damaged_files(damaged, name, content, message):
    (damaged / name).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_model_folder(damaged)


def test_a_task_without_all_metrics(damaged):
    path = damaged / "evaluation/step_1200/per_language.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if ",accuracy," not in line))
    with pytest.raises(CheckpointError, match="no accuracy"):
        language_results(read_model_folder(damaged))


def test_language_without_training_share(damaged):
    path = damaged / "provenance.json"
    provenance = json.loads(path.read_text())
    del provenance["mixture"]["embedded.span_corruption.de"]
    path.write_text(json.dumps(provenance))
    folder = read_model_folder(damaged)
    [german] = [r for r in language_results(folder) if r.language == "de"]
    assert german.share is None and german.epochs is None
    assert not math.isnan(german.bits_per_byte.low)
