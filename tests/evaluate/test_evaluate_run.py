import json
import math
import shutil

import numpy as np
import pytest
import tensorflow as tf
from three_languages import documents

from mtmoe.checkpoint import store
from mtmoe.data.vocabulary.configured import token_bytes
from mtmoe.engine.program import MeshProgram
from mtmoe.errors import (
    CheckpointError,
    ConfigError,
    CorpusError,
    UnknownNameError,
)
from mtmoe.evaluate.batched_model import assign_weights
from mtmoe.evaluate.checkpoints import chosen_steps
from mtmoe.evaluate.examples import Sampling, mixture_examples
from mtmoe.evaluate.losses import mixed_order
from mtmoe.evaluate.records import METRICS, read_expert_rows, read_metric_rows
from mtmoe.evaluate.run import EvaluationRequest, evaluate, output_directory
from mtmoe.evaluate.step import evaluation_step_builder
from mtmoe.evaluate.trained_run import load_trained_run
from mtmoe.surgery.average import average_checkpoints


@pytest.fixture(scope="module")
def evaluated(tiny_model, tmp_path_factory):
    """The folder with both checkpoints evaluated."""
    folder = tmp_path_factory.mktemp("evaluated") / "model"
    shutil.copytree(tiny_model, folder)
    evaluate(EvaluationRequest(folder, checkpoint="all"))
    return folder


@pytest.fixture
def model_dir(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def values(directory, metric):
    rows = read_metric_rows(directory / "per_language.csv")
    return {row.task: row.value for row in rows if row.metric == metric}


def test_the_same_bytes_again(model_dir, evaluated, capsys):
    [directory] = evaluate(EvaluationRequest(model_dir))
    assert directory == model_dir / "evaluation" / "step_20"
    for name in ("per_language.csv", "experts.csv", "evaluation.json"):
        before = (evaluated / "evaluation/step_20" / name).read_bytes()
        assert (directory / name).read_bytes() == before
    assert "evaluating step 20" in capsys.readouterr().err


@pytest.mark.slow
def test_a_mean_of_checkpoints_is_evaluated(tiny_model, evaluated, tmp_path):
    """Means of a step with itself, so that its scores are known."""
    source, mean = tmp_path / "source", tmp_path / "mean"
    shutil.copytree(tiny_model, source)
    store.save(
        source / "checkpoints", 30, store.load(source / "checkpoints", 20).values, {}
    )
    average_checkpoints(source, [20, 30], mean)
    [directory] = evaluate(EvaluationRequest(mean))
    assert directory == mean / "evaluation" / "step_30"
    expected = values(evaluated / "evaluation" / "step_20", "loss")
    assert values(directory, "loss") == expected


def test_every_language_and_metric(evaluated):
    directory = evaluated / "evaluation" / "step_20"
    rows = read_metric_rows(directory / "per_language.csv")
    assert [(row.language, row.metric) for row in rows] == [
        (code, metric) for code in ("de", "iw", "sw") for metric in METRICS
    ]
    for row in rows:
        assert row.ci_low <= row.value <= row.ci_high
        assert row.name and row.script and row.num_bytes >= row.num_tokens > 0


def test_numbers_are_those_of_the_model(evaluated):
    """Oracle: one example at a time, metrics summed up in plain Python."""
    directory = evaluated / "evaluation" / "step_10"
    trained = load_trained_run(evaluated)
    run = trained.settings
    program = MeshProgram()
    step = program.function(
        evaluation_step_builder(run.model),
        {name: tf.TensorSpec([8, n], tf.int32) for name, n in run.lengths.items()},
        name="oracle",
    )
    assign_weights(program, store.load(evaluated / "checkpoints", 10).values, "")
    sizes = token_bytes(trained.vocabulary)
    tasks = mixture_examples("three", "validation", Sampling(run.lengths, 4, 0)).tasks
    inputs = np.concatenate([task.examples.inputs for task in tasks])
    targets = np.concatenate([task.examples.targets for task in tasks])
    names = [task.task for task in tasks for _ in task.examples.inputs]
    order = mixed_order(len(names))
    inputs, targets = inputs[order], targets[order]
    names = [names[i] for i in order]
    nats, text_bytes, hits, tokens = ({name: 0.0 for name in names} for _ in range(4))
    for start in range(0, len(inputs), 8):
        rows = range(start, min(start + 8, len(inputs)))
        padding = ((0, 8 - len(rows)), (0, 0))
        out = step(
            0,
            inputs=np.pad(inputs[rows.start : rows.stop], padding),
            targets=np.pad(targets[rows.start : rows.stop], padding),
        )
        out = {name: np.asarray(value) for name, value in out.items()}
        for i, row in enumerate(rows):
            for t, token in enumerate(targets[row]):
                if sizes[token]:
                    nats[names[row]] += float(out["token_loss"][i, t])
                    text_bytes[names[row]] += sizes[token]
                    tokens[names[row]] += 1
                    hits[names[row]] += int(out["predictions"][i, t]) == token
    for name in nats:
        expected = nats[name] / math.log(2) / text_bytes[name]
        assert values(directory, "bits_per_byte")[name] == pytest.approx(
            expected, abs=2e-6
        )
        assert values(directory, "accuracy")[name] == pytest.approx(
            hits[name] / tokens[name], abs=1e-6
        )


def test_baselines_know_their_language(evaluated):
    directory = evaluated / "evaluation" / "step_20"
    own = values(directory, "language_unigram_bits_per_byte")
    mixture = values(directory, "mixture_unigram_bits_per_byte")
    assert own.keys() == {"three.de", "three.iw", "three.sw"}
    for task, bits in own.items():
        assert bits < mixture[task]
    # Bytes of a text drawn word by word: entropy of its letters, nearly.
    text = " ".join(documents("sw", "validation")).encode()
    frequency = np.bincount(np.frombuffer(text, np.uint8)) / len(text)
    frequency = frequency[frequency > 0]
    entropy = -(frequency * np.log2(frequency)).sum()
    assert own["three.sw"] == pytest.approx(entropy, rel=0.03)


def test_experts_and_facts(evaluated):
    directory = evaluated / "evaluation" / "step_20"
    rows = read_expert_rows(directory / "experts.csv")
    assert len(rows) == 2 * 3 * 4  # layers, languages, experts
    for layer in ("encoder.1.moe", "decoder.1.moe"):
        for code in ("de", "iw", "sw"):
            shares = [r.share for r in rows if (r.layer, r.language) == (layer, code)]
            assert sum(shares) == pytest.approx(1, abs=1e-5)
    facts = json.loads((directory / "evaluation.json").read_text())
    bits = values(directory, "bits_per_byte")
    assert facts["mean_bits_per_byte"] == pytest.approx(
        np.mean(list(bits.values())), abs=1e-6
    )
    low, high = facts["mean_bits_per_byte_interval"]
    assert low < facts["mean_bits_per_byte"] < high
    assert facts["expert_load_max_over_mean"] >= 1
    assert 0 <= facts["dropped_fraction"] < 1
    assert facts["tasks"]["three.de"]["num_chunks"] > 10
    assert facts["checkpoint"] == "checkpoints/step_20"


def test_best_is_the_lowest_mean_of_those_evaluated(model_dir, evaluated):
    with pytest.raises(CheckpointError, match="--checkpoint=all"):
        chosen_steps(model_dir, "best", "three")
    means = {
        step: json.loads(
            (evaluated / f"evaluation/step_{step}/evaluation.json").read_text()
        )["mean_bits_per_byte"]
        for step in (10, 20)
    }
    assert chosen_steps(evaluated, "best", "three") == [min(means, key=means.get)]
    assert chosen_steps(evaluated, "all", "three") == [10, 20]
    with pytest.raises(CheckpointError, match="other.mixture"):
        chosen_steps(evaluated, "best", "other.mixture")


def test_no_checkpoint_at_all(tmp_path):
    with pytest.raises(CheckpointError, match="mtmoe train"):
        chosen_steps(tmp_path, "latest", "three")


@pytest.mark.parametrize(
    ("checkpoint", "error", "message"),
    [
        ("15", CheckpointError, "step 15.*10.*20"),
        ("lastest", UnknownNameError, "did you mean latest"),
    ],
)
def test_no_such_checkpoint(model_dir, checkpoint, error, message):
    with pytest.raises(error, match=message):
        chosen_steps(model_dir, checkpoint, "three")


def test_a_subset_lies_beside_the_main_evaluation(model_dir):
    [directory] = evaluate(EvaluationRequest(model_dir, mixture="three.sw"))
    assert directory == model_dir / "evaluation/step_20/mixture/three.sw"
    assert values(directory, "loss").keys() == {"three.sw"}


def test_text_folder_is_scored_as_the_task_is(model_dir, evaluated, tmp_path):
    texts = tmp_path / "mine"
    texts.mkdir()
    [held_out] = documents("iw", "validation")
    (texts / "he.txt").write_text(held_out, encoding="utf-8")
    (texts / "fr.txt").write_text("tous les êtres humains " * 20, encoding="utf-8")
    [directory] = evaluate(EvaluationRequest(model_dir, text_dir=texts))
    assert directory == model_dir / "evaluation/step_20/text_dir/mine"
    own = values(directory, "language_unigram_bits_per_byte")
    assert math.isnan(own["text_dir/fr.txt"])  # no French text was trained on
    for metric in ("mixture_unigram_bits_per_byte", "language_unigram_bits_per_byte"):
        assert values(directory, metric)["text_dir/he.txt"] == pytest.approx(
            values(evaluated / "evaluation/step_20", metric)["three.iw"]
        )


def test_bad_text_leaves_nothing_behind(model_dir, tmp_path):
    texts = tmp_path / "mine"
    texts.mkdir()
    (texts / "de.txt").write_bytes(b"\xfc")
    with pytest.raises(CorpusError, match=r"de.txt:1: not UTF-8.*offset 0"):
        evaluate(
            EvaluationRequest(model_dir, text_dir=texts, output_dir=tmp_path / "out")
        )
    assert not (tmp_path / "out").exists()
    assert not (model_dir / "evaluation").exists()


def test_output_dir(tmp_path):
    request = EvaluationRequest(tmp_path, None, "all", None, tmp_path / "out")
    assert output_directory(request, 10, "three") == tmp_path / "out/step_10"
    request = EvaluationRequest(tmp_path, None, "best", None, tmp_path / "out")
    assert output_directory(request, 10, "three") == tmp_path / "out"


def test_another_vocabulary_is_refused(model_dir):
    (model_dir / "provenance.json").write_text(json.dumps({"vocabulary": "0" * 64}))
    with pytest.raises(CheckpointError, match="another vocabulary"):
        evaluate(EvaluationRequest(model_dir))


def test_a_checkpoint_of_another_model_is_refused(model_dir):
    config = model_dir / "config.gin"
    config.write_text(
        config.read_text().replace("num_decoder_layers = 2", "num_decoder_layers = 4")
    )
    with pytest.raises(CheckpointError, match="step 20.*lacks"):
        evaluate(EvaluationRequest(model_dir))


def test_a_folder_without_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="mtmoe train"):
        evaluate(EvaluationRequest(tmp_path / "absent"))


def test_order_is_a_fixed_permutation():
    order = mixed_order(1000)
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    np.testing.assert_array_equal(order, mixed_order(1000))
    assert np.mean(np.abs(np.diff(order)) < 10) < 0.05  # neighbours are apart
