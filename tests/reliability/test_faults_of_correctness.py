"""Runs, checkpoints and exports that go on from flawed or odd states."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import gin
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.model_runner import tiny_model

from mtmoe.checkpoint import store
from mtmoe.cli.main import main
from mtmoe.config.load import load_config
from mtmoe.errors import ConfigError
from mtmoe.mesh.random import uniform_from_bits
from mtmoe.model.shapes import build_graph
from mtmoe.surgery.huggingface.checkpoint_export import export_checkpoint
from mtmoe.surgery.huggingface.model_gin import gin_text
from mtmoe.train.settings import configured_run

KIND = "runs and checkpoints"
STEPS = range(1, 6)


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five checkpoints, all intact."""
    folder = tmp_path_factory.mktemp("checkpoints") / "whole"
    for step in STEPS:
        store.save(folder, step, {"w": np.full(4, step, np.float32)}, {})
    return folder


def damage(folder: Path) -> None:
    path = folder / "shard_00000-of-00001.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def pruned(five: Path, damaged: set[int], keep: int) -> list[int]:
    """Returns the intact steps that are left of five."""
    folder = five.with_name("copy")
    shutil.copytree(five, folder)
    for step in damaged:
        damage(folder / f"step_{step}")
    store.prune(folder, keep)
    left = set(store.steps(folder)) - damaged
    shutil.rmtree(folder)
    return sorted(left)


def test_damaged_checkpoints_do_not_push_out_intact_ones(five, tried) -> None:
    @settings(max_examples=40)
    @given(st.sets(st.sampled_from(STEPS)), st.integers(2, 4))
    def check(damaged: set[int], keep: int) -> None:
        intact = [step for step in STEPS if step not in damaged]
        assert pruned(five, damaged, keep) == intact[-keep:]

    check()
    tried(
        KIND,
        "40 generated sets of damaged checkpoints among five, 2 to 4 to be kept",
        "the newest 2 to 4 intact ones are kept; damaged ones do not count",
    )


def test_the_only_intact_checkpoint_is_the_oldest(five, tried) -> None:
    assert pruned(five, {2, 3, 4, 5}, 2) == [1]
    tried(KIND, "the four newest of five checkpoints damaged", "the oldest is kept")


@pytest.mark.parametrize("parts", [2, 4])
def test_microbatches_that_cut_a_routing_group(parts, tried) -> None:
    load_config(["runs/quickstart.gin"], [f"train.microbatches = {parts}"])
    with pytest.raises(ConfigError) as caught:
        configured_run()
    rows = 32 // parts
    said = (
        "encoder: a routing group has 32 rows of 128 positions, and a microbatch has "
        f"{rows} rows"
    )
    assert str(caught.value).startswith(said)
    assert f"group_size to {rows * 128} at most" in str(caught.value)
    tried(
        "composition",
        f"`train.microbatches = {parts}` on the quickstart, whose routing group is the "
        "whole batch",
        f"refused: `{said}`; the largest group size that fits is named",
    )


def test_a_chosen_group_fits_into_microbatches(tried) -> None:
    unset = "MixtureOfExperts.group_size = None"
    for parts in (1, 2, 4, 8):
        load_config(["runs/quickstart.gin"], [unset, f"train.microbatches = {parts}"])
        assert configured_run().microbatches == parts
        gin.clear_config()
    tried(
        "composition",
        "1, 2, 4 and 8 microbatches where `MixtureOfExperts.group_size` is None",
        "the same groups, and so the same loss to 1e-5",
    )


def test_a_decoder_alone_is_not_exported(tmp_path, capsys, tried) -> None:
    config = load_config(["runs/language_model_quickstart.gin"], roots=["train"])
    (tmp_path / "config.gin").write_text(config.text)
    gin.clear_config()
    output = tmp_path / "theirs"
    arguments = ["export", f"--model_dir={tmp_path}", f"--output_dir={output}"]
    assert main(arguments) == 2
    assert "holds a DecoderOnly, which cannot be exported" in capsys.readouterr().err
    assert not output.exists()
    tried(
        KIND,
        "`mtmoe export` of a decoder alone",
        "refused by the config, before vocabulary and weights are read",
    )


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_an_exported_model_may_be_read_by_others(tmp_path, mask, tried) -> None:
    before = os.umask(mask)
    try:
        model = tiny_model(num_encoder_layers=1, num_decoder_layers=1, moe=None)
        (tmp_path / "ours").mkdir()
        (tmp_path / "ours" / "model.gin").write_text(gin_text(model, "a model"))
        shapes = build_graph(model).variables
        values = {
            name: np.ones(shape.to_integer_list, np.float32)
            for name, shape in shapes.items()
        }
        store.save(tmp_path / "ours" / "checkpoints", 4, values, {})
        export_checkpoint(tmp_path / "ours", tmp_path / "theirs")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "theirs").iterdir()}
    assert modes == {0o666 & ~mask}
    tried(
        KIND,
        f"an exported folder under umask {mask:03o}",
        f"every file, `model.safetensors` too, has mode {0o666 & ~mask:03o}",
    )


def test_draws_lie_between_their_bounds(tried) -> None:
    # XLA computes with numbers below the smallest normal one as if they were 0.
    floats = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
    words = tf.constant([0, 0xFFFFFEFF, 0xFFFFFFFF], tf.uint32)

    @settings(max_examples=100)
    @given(floats, floats)
    def check(one: float, other: float) -> None:
        low, high = sorted((one, other))
        if low < high:
            drawn = np.asarray(uniform_from_bits(words, low, high))
            assert drawn[0] == np.float32(low)
            assert np.all(drawn < np.float32(high))

    check()
    tried(
        "numbers",
        "100 generated pairs of bounds of a uniform draw, largest bits included",
        "the lower bound is reached, the upper one never",
    )
