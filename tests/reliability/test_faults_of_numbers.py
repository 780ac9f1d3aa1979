"""Numbers that are none, or are out of range: in configs, flags, weights, mixtures."""

import ast
import json
import math
import re

import gin
import numpy as np
import pytest
import registrations
import seqio
from hypothesis import given, settings
from hypothesis import strategies as st
from ranged_parameters import RANGED, REQUIRED, make, short
from safetensors.numpy import save_file

from mtmoe.checkpoint import store
from mtmoe.checkpoint.finite import check_finite
from mtmoe.cli.main import main
from mtmoe.config.load import load_config
from mtmoe.data.mixing.mixtures import register_weighted_mixture
from mtmoe.data.mixing.rates import task_rates
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.text import TextSource
from mtmoe.data.tasks.card import TaskCard
from mtmoe.data.tasks.registration import register_text_task
from mtmoe.errors import CheckpointError, ConfigError, RangeError
from mtmoe.ranges import range_of
from mtmoe.surgery.huggingface.config import model_of
from mtmoe.surgery.huggingface.model_gin import gin_text
from mtmoe.train.alarms import Alarms, RunFacts

KIND = "numbers"
PLAIN = ("Sampling", "BeamSearch", "Capacity", "SwitchRouter", "AdamW", "Adafactor")
PLAIN += ("BaseRouter", "SinkhornRouter", "Packing", "SpanCorruption", "bad_records")
T5 = {
    "model_type": "t5",
    "d_model": 8,
    "d_ff": 16,
    "d_kv": 4,
    "num_heads": 2,
    "num_layers": 1,
    "vocab_size": 50,
    "feed_forward_proj": "relu",
    "layer_norm_epsilon": 1e-6,
}


def t5_tensors():
    random = np.random.default_rng(0)

    def normal(*shape):
        return random.normal(size=shape).astype(np.float32)

    tensors = {"shared.weight": normal(50, 8)}
    for stack, attentions in (
        ("encoder", ["SelfAttention"]),
        ("decoder", ["SelfAttention", "EncDecAttention"]),
    ):
        block = f"{stack}.block.0.layer"
        for number, name in enumerate(attentions):
            for part in "qkvo":
                tensors[f"{block}.{number}.{name}.{part}.weight"] = normal(8, 8)
            tensors[f"{block}.{number}.layer_norm.weight"] = normal(8)
        last = len(attentions)
        tensors[f"{block}.{last}.layer_norm.weight"] = normal(8)
        tensors[f"{block}.{last}.DenseReluDense.wi.weight"] = normal(16, 8)
        tensors[f"{block}.{last}.DenseReluDense.wo.weight"] = normal(8, 16)
        bias = f"{block}.0.SelfAttention.relative_attention_bias.weight"
        tensors[bias] = normal(32, 2)
        tensors[f"{stack}.final_layer_norm.weight"] = normal(8)
    return tensors


def their_folder(path, config=None, change=lambda tensors: None):
    tensors = t5_tensors()
    change(tensors)
    path.mkdir()
    (path / "config.json").write_text(json.dumps(T5 | (config or {})))
    save_file(tensors, path / "model.safetensors")
    return path


def command(capsys, *arguments):
    status = main(list(arguments))
    return status, capsys.readouterr().err


def test_weights_that_overflowed_are_not_imported(tmp_path, capsys, tried):
    name = "encoder.block.0.layer.1.DenseReluDense.wo.weight"

    def overflow(tensors):
        tensors[name][0, 0] = np.inf

    folder = their_folder(tmp_path / "theirs", change=overflow)
    output = tmp_path / "ours"
    status, error = command(
        capsys, "import", f"--input_dir={folder}", f"--output_dir={output}"
    )
    assert status == 2 and not output.exists()
    said = f"tensor {name}: 1 of 128 values are not finite (1 infinite)"
    assert f"{folder}/model.safetensors: {said}" in error
    what = "a T5 with one weight `inf` (huggingface/transformers#9295, #4586), import"
    tried(KIND, what, f"refused: `{said}`")


def test_weights_are_checked_wherever_a_checkpoint_is_read(tmp_path, capsys, tried):
    folder = their_folder(tmp_path / "theirs")
    ours = tmp_path / "ours"
    status, error = command(
        capsys, "import", f"--input_dir={folder}", f"--output_dir={ours}"
    )
    assert status == 0, error
    values = store.load(ours / "checkpoints", 0).values
    damaged = sorted(values)[0]
    values[damaged].flat[0] = np.nan
    store.save(ours / "checkpoints", 0, values, {"imported": {"model_type": "t5"}})
    status, error = command(
        capsys, "export", f"--model_dir={ours}", f"--output_dir={tmp_path / 'out'}"
    )
    size = values[damaged].size
    said = f"tensor {damaged}: 1 of {size} values are not finite (1 NaN)"
    assert status == 2 and said in error and not (tmp_path / "out").exists()
    what = "a checkpoint with one weight NaN: export, evaluate, initial_checkpoint"
    tried(KIND, what, f"refused: `{said}`")


def test_non_finite_values_are_counted(tried):
    @settings(max_examples=80)
    @given(
        st.integers(1, 40),
        st.lists(st.sampled_from([math.inf, -math.inf, math.nan]), min_size=1),
        st.randoms(use_true_random=False),
    )
    def holds(size, bad, random):
        bad = bad[:size]
        values = np.ones(size, np.float32)
        values[random.sample(range(size), len(bad))] = bad
        sound = {"sound": np.zeros(3, np.float32)}
        check_finite(sound, "file")
        with pytest.raises(CheckpointError) as caught:
            check_finite(sound | {"w": values}, "file")
        expected = f"file: tensor w: {len(bad)} of {size} values are not finite"
        assert str(caught.value).startswith(expected)
        assert "sound" not in str(caught.value)

    holds()
    what = "80 generated tensors with one or more values infinite or NaN"
    tried(KIND, what, "refused: each with the tensor's name and the count")


def test_a_rate_that_is_no_number_is_not_imported(tmp_path, capsys, tried):
    folder = their_folder(tmp_path / "theirs", {"dropout_rate": math.nan})
    output = tmp_path / "ours"
    status, error = command(
        capsys, "import", f"--input_dir={folder}", f"--output_dir={output}"
    )
    said = (
        "config.json: dropout_rate is nan; it must be a number at least 0 and below 1"
    )
    assert status == 2 and said in error and not output.exists()
    what = '`"dropout_rate": NaN` in config.json (huggingface/transformers#9295)'
    tried(KIND, what, f"refused: `{said}`")


def test_what_import_writes_loads_again(tmp_path, tried):
    keys = sorted(set(T5) - {"model_type", "feed_forward_proj", "layer_norm_epsilon"})
    keys += ["num_decoder_layers", "dropout_rate", "relative_attention_num_buckets"]
    keys += ["relative_attention_max_distance"]
    odd = st.sampled_from([math.nan, math.inf, -math.inf, True, "8", -1, 0, 1.5, [8]])
    numbers = odd | st.integers(-10, 300) | st.floats(-2, 2)
    path = tmp_path / "model.gin"
    outcomes = {"refused": 0, "loaded": 0}

    @settings(max_examples=80)
    @given(st.dictionaries(st.sampled_from(keys), numbers, min_size=1, max_size=3))
    def holds(changed):
        text = json.dumps(T5 | changed)
        try:
            model = model_of(json.loads(text), [], tied=True)
        except (ConfigError, CheckpointError) as error:
            assert str(error).startswith("config.json: ")
            assert any(key.split("_")[-1] in str(error) for key in changed)
            outcomes["refused"] += 1
            return
        path.write_text(gin_text(model, "imported"))
        load_config([str(path)])
        assert gin.get_configurable("EncoderDecoder")() == model
        outcomes["loaded"] += 1

    holds()
    assert min(outcomes.values()) >= 5, outcomes
    what = "80 generated config.json with odd numbers in their keys"
    tried(KIND, what, "refused by key, or imported to a config that loads again")


@pytest.mark.parametrize(
    ("binding", "source"),
    [
        ("EncoderDecoder.dropout_rate = 1.0", "elixir-nx/axon#367"),
        ("EncoderDecoder.dropout_rate = -0.5", "elixir-nx/axon#367"),
        ("EncoderDecoder.dropout_rate = 1.5", ""),
        ("MixtureOfExperts.dropout_rate = 1.0", ""),
        ("EncoderDecoder.num_heads = 0", ""),
        ("inverse_square_root.base_learning_rate = 1e9", ""),
        ("inverse_square_root.base_learning_rate = -1.0", ""),
        ("train.batch_size = 0", ""),
        ("Capacity.train_factor = -1.0", ""),
    ],
)
def test_train_refuses_a_number_out_of_range(binding, source, tried):
    name, _, value = binding.partition(" = ")
    with pytest.raises(ConfigError) as caught:
        load_config(["runs/quickstart.gin"], [binding], roots=["train"])
    said, _, where = str(caught.value).partition(" (--gin_param=")
    assert said.startswith(f"{name} is {ast.literal_eval(value)!r}; it must be ")
    assert where == f"{binding})"
    tried(
        KIND, f"`{binding}`" + (f" ({source})" if source else ""), f"refused: `{said}`"
    )


@st.composite
def _outside(draw) -> tuple[str, str, object]:
    """A parameter that gin can set, and a value that is none of its numbers."""
    selector, name, annotation = draw(st.sampled_from(RANGED))
    allowed = range_of(annotation)
    kinds = [
        st.sampled_from([math.nan, math.inf, -math.inf, True, False, "1"]),
        st.floats(max_value=float(allowed.low), allow_infinity=False),
        st.floats(min_value=float(allowed.high), allow_infinity=False),
        st.integers(max_value=-1),
        st.integers(min_value=2**63),
    ]
    if allowed.whole:
        kinds.append(st.floats(0, 100))
    return selector, name, draw(st.one_of(kinds).filter(lambda x: x not in allowed))


def test_no_parameter_takes_a_number_out_of_its_range(tried):
    @settings(max_examples=400)
    @given(_outside())
    def holds(case):
        selector, name, value = case
        with gin.unlock_config():
            gin.bind_parameter(f"{selector}.{name}", value)
        try:
            required = REQUIRED.get(short(selector), {}).items()
            with pytest.raises(RangeError) as caught:
                gin.get_configurable(selector)(
                    **{key: x for key, x in required if key != name}
                )
        finally:
            gin.clear_config()
        assert caught.value.name == f"{short(selector)}.{name}"
        said = f"{short(selector)}.{name} is {value!r}; it must be "
        assert str(caught.value).startswith(said)

    holds()
    what = (
        "400 generated numbers outside the range of one of all numeric parameters that "
        "gin can set: NaN, infinities, negative, too large, bools, texts, fractions"
    )
    tried(KIND, what, "refused: each with the parameter's name and its range")


def test_numbers_in_range_are_taken(tried):
    @settings(max_examples=100)
    @given(st.data())
    def holds(data):
        selector, name, annotation = data.draw(
            st.sampled_from([row for row in RANGED if short(row[0]) in PLAIN])
        )
        allowed = range_of(annotation)
        low, high = allowed.low, min(allowed.high, 1000)
        numbers = st.integers(low, high) if allowed.whole else st.floats(low, high)
        value = data.draw(numbers.filter(lambda x: x in allowed))
        make(selector, **{name: value})

    holds()
    what = "100 generated numbers inside the range of a parameter"
    tried(KIND, what, "taken")


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (("mixture", "--tokens=nan"), "--tokens=nan"),
        (("mixture", "--tokens=inf"), "--tokens=inf"),
        (("mixture", "--max_epochs=nan"), "--max_epochs=nan"),
        (("predict", "--temperature=nan"), "--temperature=nan"),
        (("predict", "--top_p=nan"), "--top_p=nan"),
    ],
)
def test_flags_take_numbers_only(arguments, flag, capsys, tried):
    status, error = command(capsys, *arguments)
    assert status == 2 and error.count("\n") == 1
    assert "it must be a number above 0" in error and flag in error
    tried(KIND, f"`mtmoe {' '.join(arguments)}`", f"refused: `{error.strip()}`")


def test_a_task_has_one_place_in_a_mixture(tried):
    with registrations.undone():
        for name in ("t.one", "t.two"):
            card = TaskCard(family="pretraining", language="sw", labels="self")
            source = TextSource(lambda split: ["maji"], language="sw")
            register_text_task(name, source, SpanCorruption(), card)
        register_weighted_mixture("inner", {"t.one": 1.0, "t.two": 3.0})
        with pytest.raises(ConfigError) as caught:
            register_weighted_mixture("outer", {"inner": 9.0, "t.one": 1.0})
        said = (
            "mixture 'outer' has the task 't.one' twice: in outer and in outer > inner"
        )
        assert str(caught.value).startswith(said)
        plain = seqio.MixtureRegistry.add("plain", [("t.one", 1.0), ("t.one", 5.0)])
        with pytest.raises(ConfigError, match="'t.one' twice: in plain and in plain"):
            task_rates(plain)
    tried(KIND, "a task in a mixture and in a mixture inside it", f"refused: `{said}`")
    tried(KIND, "a task twice in one of SeqIO's mixtures", "refused, both places named")


LAYER = {"load_max_over_mean": 1.5, "dropped_fraction": 0.05, "entropy": 1.5, "z": 9.0}


@pytest.mark.parametrize(
    ("what", "changed", "layer", "said"),
    [
        ("a loss that stays at ln 16,128", {}, {}, "the loss has not moved: 9.688"),
        (
            "a learning rate of 0 with 150 steps to come",
            {"loss": 3.0, "learning_rate": 0.0},
            {},
            "the learning rate is 0",
        ),
        (
            "a router that sends 95 % of its tokens to one of 8 experts",
            {"loss": 3.0},
            {"load_max_over_mean": 7.6},
            "the router of encoder.1.moe has collapsed: 95% of its tokens",
        ),
        (
            "a router without entropy",
            {"loss": 3.0},
            {"entropy": 0.0},
            "the router of encoder.1.moe gives every token one expert with certainty",
        ),
    ],
)
def test_a_run_that_does_not_learn_says_so(what, changed, layer, said, tried):
    alarms = Alarms(RunFacts(10_000, 16_128, 8, starts_trained=True))
    well = {"loss": math.log(16_128), "learning_rate": 0.01}
    heard = []
    for step in range(50, 1000, 50):
        routing = {"encoder.1.moe": LAYER | layer}
        line = well | changed | {"step": step, "layer_routing": routing}
        heard += alarms.note(line)
    assert len(heard) == 1 and heard[0].startswith(said)
    assert re.search(r"[Ll]ower|see where|try", heard[0])
    tried(KIND, f"{what}, while training", f"said once, while it happens: `{said}`")
