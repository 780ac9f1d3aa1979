"""Vocabularies that others make: special ids and sentinels, as reports tell of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles.spiece_models import t5_model

from mtmoe.checkpoint import store
from mtmoe.cli import main as command_line
from mtmoe.data.vocabulary.configured import sentencepiece_vocabulary
from mtmoe.errors import ConfigError

VOCABULARIES = 40  # generated models


@pytest.fixture
def model_file(tmp_path):
    def write(**options) -> str:
        path = tmp_path / "their.model"
        path.write_bytes(t5_model(**options))
        return str(path)

    return write


BROKEN = {
    "a model without an end token (t5#566)": (
        {"eos_id": -1, "unk_id": 1},
        "has no end token",
    ),
    "a model without padding (sentencepiece#559)": (
        {"pad_id": -1, "unk_id": 0},
        "has padding id -1; it must be 0",
    ),
    "padding that is not token 0": (
        {"pad_id": 3, "unk_id": 0},
        "has padding id 3; it must be 0",
    ),
    "an end token that is a word of the text": (
        {"eos_id": -1, "unk_id": 1, "user_defined_symbols": ["</s>"]},
        "has no end token",
    ),
    "sentinels at the front of a model": (
        {"user_defined_symbols": ["<extra_id_0>", "<extra_id_1>"]},
        "has <extra_id_0> at id 3; sentinels must be the last ids",
    ),
    "a model of words": ({"model_type": "word", "vocab_size": 20}, "fit one of kind"),
}


@pytest.mark.parametrize("given_", BROKEN)
def test_models_that_training_cannot_use(tried, model_file, given_):
    options, message = BROKEN[given_]
    extra_ids = 0 if "sentinels" in given_ else 100
    with pytest.raises(ConfigError, match=message) as refused:
        sentencepiece_vocabulary(model_file(**options), extra_ids=extra_ids)
    assert "their.model" in str(refused.value)
    tried("vocabulary", given_, f"refused when loaded: `FILE.model ... {message} ...`")


def test_a_command_names_the_model_and_what_to_do(tried, model_file, capsys):
    path = model_file(eos_id=-1, unk_id=1)
    config = [
        "--gin_param=configured_vocabulary.factory = @sentencepiece_vocabulary",
        f"--gin_param=sentencepiece_vocabulary.path = {path!r}",
        "--gin_param=sentencepiece_vocabulary.extra_ids = 100",
    ]
    command = ["tasks", "preview", "embedded.span_corruption.sw", *config]
    assert command_line.main(command) == 2
    error = capsys.readouterr().err
    assert "their.model has no end token" in error and "eos_id=1" in error
    tried(
        "vocabulary",
        "`tasks preview` with a model without an end token",
        "exit status 2: `FILE.model has no end token ...: fit the model with ...`",
    )


def test_two_sets_of_sentinels(tried, model_file):
    names = [f"▁<extra_id_{n}>" for n in (1, 0)]
    path = model_file(user_defined_symbols=names)
    with pytest.raises(ConfigError, match="2 sentinels of its own; extra_ids must"):
        sentencepiece_vocabulary(path, extra_ids=100)
    tried("vocabulary", "sentinels in the file and `extra_ids=100`", "refused")


@settings(max_examples=VOCABULARIES)
@given(st.permutations([-1, 0, 1, 2, 3]))
def _special_ids_are_checked(folder: Path, ids: list[int]) -> None:
    pad, eos, unk, bos = ids[:4]
    assume(
        unk >= 0 and sorted(i for i in ids[:4] if i >= 0) in ([0, 1, 2], [0, 1, 2, 3])
    )
    path = folder / f"{'_'.join(map(str, ids[:4]))}.model"
    path.write_bytes(t5_model(pad_id=pad, eos_id=eos, unk_id=unk, bos_id=bos))
    if pad == 0 and eos >= 0:
        vocabulary = sentencepiece_vocabulary(str(path), extra_ids=100)
        found = (vocabulary.pad_id, vocabulary.eos_id, vocabulary.unk_id)
        assert found == (pad, eos, unk)
        return
    with pytest.raises(ConfigError, match="end token" if pad == 0 else "padding id"):
        sentencepiece_vocabulary(str(path), extra_ids=100)


def test_special_ids_anywhere(tried, tmp_path):
    _special_ids_are_checked(tmp_path)
    tried(
        "vocabulary",
        f"{VOCABULARIES} generated models with special ids in any order or absent",
        "taken if padding is 0 and there is an end token, refused otherwise",
    )


def test_the_end_token_of_an_exported_model(tried, model_file, tmp_path):
    from oracles.model_runner import tiny_model
    from transformers import AutoTokenizer

    from mtmoe.model.shapes import build_graph
    from mtmoe.surgery.huggingface.checkpoint_export import export_checkpoint
    from mtmoe.surgery.huggingface.model_gin import gin_text

    model = tiny_model(num_encoder_layers=1, num_decoder_layers=1, moe=None)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    (ours / "model.gin").write_text(gin_text(model, "a model"))
    path = model_file(bos_id=1, eos_id=2, unk_id=3)
    (ours / "vocabulary.gin").write_text(
        "import mtmoe.data.vocabulary.configured\n"
        "configured_vocabulary.factory = @sentencepiece_vocabulary\n"
        f"sentencepiece_vocabulary.path = {path!r}\n"
        "sentencepiece_vocabulary.extra_ids = 10\n"
    )
    values = {
        name: np.ones(shape.to_integer_list, np.float32)
        for name, shape in build_graph(model).variables.items()
    }
    store.save(ours / "checkpoints", 4, values, {})
    export_checkpoint(ours, theirs)
    written = [
        json.loads((theirs / name).read_text())["eos_token_id"]
        for name in ("config.json", "generation_config.json")
    ]
    tokenizer = AutoTokenizer.from_pretrained(theirs)
    assert [*written, tokenizer.eos_token_id, tokenizer("frei").input_ids[-1]] == [
        2
    ] * 4
    tried(
        "vocabulary",
        "export of a model whose end token is 2 (open-r1#663)",
        "2 in config.json, generation_config.json and the tokenizer",
    )
