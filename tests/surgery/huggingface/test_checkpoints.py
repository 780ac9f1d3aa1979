"""What import and export refuse, say, and leave behind."""

from __future__ import annotations

import json
import os
import stat

import gin
import numpy as np
import pytest
import seqio
from oracles.model_runner import random_batch, tiny_model, tiny_moe
from oracles.spiece_models import t5_model
from oracles.transformers_models import CASES, outputs
from safetensors.numpy import load_file, save_file

from mtmoe.checkpoint import store
from mtmoe.config.load import load_config
from mtmoe.data.vocabulary.configured import configured_vocabulary, vocabulary_behind
from mtmoe.errors import CheckpointError, ConfigError, UnknownNameError
from mtmoe.model.shapes import build_graph
from mtmoe.surgery.huggingface import checkpoint_export
from mtmoe.surgery.huggingface.checkpoint_export import export_checkpoint
from mtmoe.surgery.huggingface.checkpoint_import import import_checkpoint
from mtmoe.surgery.huggingface.model_gin import gin_text

DENSE = {"num_encoder_layers": 1, "num_decoder_layers": 1, "moe": None}


@pytest.fixture
def theirs(tmp_path):
    """A folder with a T5 1.0 and a function that changes its tensors."""
    folder = tmp_path / "theirs"
    CASES["t5_1_0"].model().save_pretrained(folder)

    def change(**changed):
        path = folder / "model.safetensors"
        tensors = load_file(path)
        for name, value in changed.items():
            if value is None:
                del tensors[name]
            else:
                tensors[name] = np.asarray(value, np.float32)
        save_file(tensors, path)
        return tensors

    return folder, change


def their_config(folder, **changed):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


NORM = "encoder.block.1.layer.1.layer_norm.weight"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({NORM: None}, rf"tensor {NORM} is missing"),
        ({NORM: np.ones(8)}, rf"tensor {NORM} has shape \(8,\)"),
        ({"proj.weight": np.ones(2)}, r"1 tensors that no variable.*proj\.weight"),
        ({"encoder.embed_tokens.weight": np.ones([32, 16])}, "embed_tokens.* differs"),
        ({"shared.weight": None}, r"shared\.weight is missing"),
    ],
)
def test_import_writes_nothing_half(theirs, tmp_path, changed, message):
    folder, change = theirs
    change(**changed)
    with pytest.raises(CheckpointError, match=message):
        import_checkpoint(folder, tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_copies_and_what_nothing_reads_are_let_go(theirs, tmp_path):
    folder, change = theirs
    tensors = change()
    unused = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    table = tensors["shared.weight"]
    copies = {"lm_head.weight": table, "decoder.embed_tokens.weight": table}
    change(**copies, **{unused: np.ones([32, 4])})
    imported = import_checkpoint(folder, tmp_path / "ours")
    assert imported.model.tied_embeddings
    assert len(imported.notes) == 1 and unused in imported.notes[0]
    values = store.load(tmp_path / "ours" / "checkpoints", 0).values
    np.testing.assert_array_equal(values["embedding"], table)
    assert imported.parameters == sum(value.size for value in values.values())


def test_a_factor_and_a_matrix_are_folded_into_one(theirs, tmp_path):
    """T5 with scaled logits and a matrix of their own: ours has no such factor."""
    folder, change = theirs
    head = np.random.default_rng(0).standard_normal([32, 16]).astype(np.float32)
    change(**{"lm_head.weight": head})
    imported = import_checkpoint(folder, tmp_path / "ours")
    values = store.load(tmp_path / "ours" / "checkpoints", 0).values
    assert not imported.model.tied_embeddings
    assert "d_model^-0.5" in imported.notes[0]
    np.testing.assert_allclose(values["logits"], head.T / 4, rtol=1e-6)


def test_the_output_folder_must_be_new(theirs, tmp_path):
    folder, _ = theirs
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "mine").write_text("kept")
    with pytest.raises(CheckpointError, match="is not empty"):
        import_checkpoint(folder, tmp_path / "ours")
    assert [path.name for path in (tmp_path / "ours").iterdir()] == ["mine"]


def own_folder(folder, model, **others):
    """A folder as import leaves it, with values of any model."""
    folder.mkdir()
    (folder / "model.gin").write_text(gin_text(model, "a model"))
    values = {
        name: np.ones(shape.to_integer_list, np.float32)
        for name, shape in build_graph(model).variables.items()
    }
    values.update(others)
    store.save(folder / "checkpoints", 4, values, {})
    return values


def test_the_optimizers_state_stays_behind(tmp_path):
    slots = {
        "embedding/adafactor_vr": np.ones([32], np.float32),
        "encoder/layer_000/self_attention/q/m": np.ones([16], np.float32),
    }
    values = own_folder(tmp_path / "ours", tiny_model(**DENSE), **slots)
    exported = export_checkpoint(tmp_path / "ours", tmp_path / "theirs")
    assert exported.model_type == "t5"
    assert exported.step == 4
    assert (
        exported.no_tokenizer == "an imported folder without vocabulary.gin names none"
    )
    parameters = sum(values[name].size for name in values.keys() - slots.keys())
    assert exported.parameters == parameters
    tensors = load_file(tmp_path / "theirs" / "model.safetensors")
    assert sum(tensor.size for tensor in tensors.values()) == parameters


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o002])
def test_files_may_be_read_as_the_umask_allows(tmp_path, mask):
    before = os.umask(mask)
    try:
        own_folder(tmp_path / "ours", tiny_model(**DENSE))
        export_checkpoint(tmp_path / "ours", tmp_path / "theirs")
        import_checkpoint(tmp_path / "theirs", tmp_path / "again")
    finally:
        os.umask(before)
    written = [
        path
        for folder in ("ours/checkpoints", "theirs", "again")
        for path in (tmp_path / folder).rglob("*")
        if path.is_file()
    ]
    assert {path.name for path in written} >= {"model.safetensors", "MANIFEST.json"}
    for path in written:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask, path


@pytest.mark.parametrize(
    ("others", "arguments", "error", "message"),
    [
        ({"extra/w": np.ones(3)}, {}, CheckpointError, "no tensor.*takes: extra/w"),
        ({"embedding": np.ones([4, 4])}, {}, CheckpointError, r"embedding has shape"),
        ({}, {"choice": "5"}, CheckpointError, "no checkpoint of step 5"),
        ({}, {"choice": "newest"}, UnknownNameError, "newest"),
        ({}, {"model_type": "t6"}, UnknownNameError, "t6.*did you mean t5"),
        ({}, {"model_type": "switch_transformers"}, ConfigError, "has no experts"),
    ],
)
def test_export_writes_nothing_half(tmp_path, others, arguments, error, message):
    others = {name: value.astype(np.float32) for name, value in others.items()}
    own_folder(tmp_path / "ours", tiny_model(**DENSE), **others)
    with pytest.raises(error, match=message):
        export_checkpoint(tmp_path / "ours", tmp_path / "theirs", **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


def test_a_tied_model_as_mt5_keeps_its_scale(theirs, tmp_path):
    """Whose logits are never scaled: the factor goes into a matrix of their own."""
    folder, _ = theirs
    import_checkpoint(folder, tmp_path / "ours")
    export_checkpoint(tmp_path / "ours", tmp_path / "mt5", model_type="mt5")
    batch = random_batch().values()
    wanted = outputs(CASES["t5_1_0"].load(folder), *batch)
    found = outputs(CASES["mt5"].load(tmp_path / "mt5"), *batch)
    np.testing.assert_allclose(found["logits"], wanted["logits"], atol=1e-5)


def test_a_variable_that_is_missing_is_named(tmp_path):
    own_folder(tmp_path / "ours", tiny_model(**DENSE))
    model = tiny_model(**DENSE | {"tied_embeddings": False})
    (tmp_path / "ours" / "model.gin").write_text(gin_text(model, "another"))
    with pytest.raises(CheckpointError, match="checkpoint 4 has no variable logits"):
        export_checkpoint(tmp_path / "ours", tmp_path / "theirs")


def test_other_models_are_refused(tmp_path):
    own_folder(tmp_path / "ours", tiny_model(moe=tiny_moe()))
    with pytest.raises(ConfigError, match="the model has experts"):
        export_checkpoint(tmp_path / "ours", tmp_path / "theirs", model_type="mt5")
    with pytest.raises(ConfigError, match="nowhere is not a model folder"):
        export_checkpoint(tmp_path / "nowhere", tmp_path / "theirs")


def test_a_decoder_alone_is_refused_by_its_config(tmp_path, monkeypatch):
    """No vocabulary is fitted and no weight is read to say so."""
    folder = tmp_path / "lm"
    folder.mkdir()
    config = load_config(["runs/language_model_quickstart.gin"], roots=["train"])
    (folder / "config.gin").write_text(config.text)
    gin.clear_config()
    for late in ("load_trained_run", "chosen_steps"):
        monkeypatch.setattr(checkpoint_export, late, None)
    with pytest.raises(ConfigError, match=r"lm holds a DecoderOnly.*lm/config\.gin"):
        export_checkpoint(folder, tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_a_folder_that_is_not_empty_is_refused_before_weights_are_read(
    tmp_path, monkeypatch
):
    own_folder(tmp_path / "ours", tiny_model(**DENSE))
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "mine").write_text("kept")
    monkeypatch.setattr(checkpoint_export, "chosen_steps", None)
    with pytest.raises(CheckpointError, match="theirs exists and is not empty"):
        export_checkpoint(tmp_path / "ours", tmp_path / "theirs")


def test_a_vocabulary_comes_along(theirs, tmp_path, spiece_model):
    folder, change = theirs
    change(**{"shared.weight": np.ones([128, 16])})  # a row for each token
    their_config(folder, vocab_size=128)
    (folder / "spiece.model").write_bytes(spiece_model)
    (folder / "tokenizer_config.json").write_text('{"extra_ids": 7}')
    import_checkpoint(folder, tmp_path / "ours")
    files = [str(tmp_path / "ours" / name) for name in ("model.gin", "vocabulary.gin")]
    load_config(files)
    vocabulary = vocabulary_behind(configured_vocabulary())
    assert isinstance(vocabulary, seqio.SentencePieceVocabulary)
    assert vocabulary.extra_ids == 7
    gin.clear_config()
    exported = export_checkpoint(tmp_path / "ours", tmp_path / "back")
    assert exported.no_tokenizer is None
    assert (tmp_path / "back" / "spiece.model").read_bytes() == spiece_model
    assert (tmp_path / "back" / "tokenizer.json").is_file()


def test_the_end_token_goes_in_and_comes_out(theirs, tmp_path):
    folder, _ = theirs
    (folder / "generation_config.json").unlink()
    their_config(folder, eos_token_id=[2])
    import_checkpoint(folder, tmp_path / "ours")
    export_checkpoint(tmp_path / "ours", tmp_path / "again")
    for name in ("config.json", "generation_config.json"):
        assert json.loads((tmp_path / "again" / name).read_text())["eos_token_id"] == 2


@pytest.mark.parametrize(
    ("changed", "generation", "message"),
    [
        ({"eos_token_id": [1, 2]}, None, r"eos_token_id is \[1, 2\]"),
        ({"eos_token_id": 0}, None, "eos_token_id is 0"),
        ({"eos_token_id": None}, None, "eos_token_id is None"),
        ({"eos_token_id": 4000}, None, "eos_token_id is 4000.*below vocab_size"),
        ({}, {"eos_token_id": 2}, "eos_token_id is 2, by config.json it is 1"),
        ({}, {"pad_token_id": 3}, "pad_token_id is 3, by config.json it is 0"),
        ({"eos_token_id": 2}, "spiece", "eos_token_id is 2; the end token of .* is 1"),
        ({}, "spiece", "has 200 tokens with 100 sentinels; vocab_size of .* is 32"),
    ],
)
def test_special_ids_that_do_not_agree(theirs, tmp_path, changed, generation, message):
    folder, _ = theirs
    their_config(folder, **changed)
    (folder / "generation_config.json").unlink()
    if generation == "spiece":
        (folder / "spiece.model").write_bytes(t5_model())
    elif generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    with pytest.raises(CheckpointError, match=message):
        import_checkpoint(folder, tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
