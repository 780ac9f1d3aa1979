"""Mistakes in gin files, and compositions that are none, as both commands see them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import gin
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mtmoe.cli.main import main
from mtmoe.config.load import Config, gin_directory, load_config, read_config
from mtmoe.errors import ConfigError
from mtmoe.train.check import check_run

QUICKSTART = "include 'runs/quickstart.gin'\n"
GENERATED = 50


class Mistake(NamedTuple):
    """A mistake on the second line of `mine.gin`, under the quickstart.

    Attributes:
      what: in words.
      text: the lines behind the include.
      says: what the message has.
      place: where the message says it is.
    """

    what: str
    text: str
    says: str
    place: str = "mine.gin:2"


MISTAKES = (
    # names
    Mistake("parameter misspelt", "train.stpes = 9", "did you mean steps?"),
    Mistake("configurable misspelt", "EncoderDecodr.d_ff = 64", "did you mean Encoder"),
    Mistake("reference misspelt", "train.optimizer = @Adafctor()", "Adafactor"),
    Mistake("macro unknown", "train.steps = %STPES", "did you mean STEPS"),
    Mistake("macro that nothing uses", "STPES = 9", "did you mean STEPS"),
    Mistake("activation unknown", "EncoderDecoder.activation = 'rleu'", "relu"),
    Mistake("precision unknown", "train.precision = 'bfloat'", "bfloat16"),
    Mistake("recomputation unknown", "train.recompute = 'layer'", "layers"),
    Mistake(
        "mixture unknown",
        "train.mixture = 'embedded.span_corruptoin'",
        "did you mean embedded.span_corruption",
    ),
    Mistake(
        "task module that does not exist",
        "register.task_modules = ['mtmoe.tasks.embeded.qa']",
        "does not exist",
    ),
    Mistake("module to import missing", "import no_such_parts", "no_such_parts"),
    # scopes
    Mistake("scope nobody enters", "enocder/train.steps = 5", "scope 'enocder'"),
    Mistake(
        "scope of a mixture misspelt",
        "embedded_span_corupption/Temperature.alpha = 0.5",
        "did you mean embedded_span_corruption?",
    ),
    Mistake("binding nobody reads", "BeamSearch.num_beams = 3", "has no effect"),
    Mistake("schedule nobody calls", "cosine_decay.final_fraction = 0.1", "no effect"),
    # macros
    Mistake(
        "macro of another type",
        "WIDTH = 'big'\nEncoderDecoder.d_model = %WIDTH",
        "must be of type int, got 'big'",
        "mine.gin:3; %WIDTH is set at mine.gin:2",
    ),
    Mistake("macro defined by itself", "A = %B\nB = %A\ntrain.steps = %A", "by itself"),
    # types
    Mistake("text for a number", "EncoderDecoder.d_model = 'big'", "type int"),
    Mistake("number for a text", "EncoderDecoder.activation = 3", "type str"),
    Mistake("fraction for a count", "train.batch_size = 3.5", "type int, got 3.5"),
    Mistake("number for a truth value", "EncoderDecoder.use_bias = 1", "type bool"),
    Mistake("optimizer as model", "train.model = @Adafactor()", "type Model"),
    Mistake("model as optimizer", "train.optimizer = @DecoderOnly()", "type Optimizer"),
    Mistake("class for an object", "train.packing = @Packing", "write @Packing()"),
    Mistake("name for a schedule", "train.schedule = 'linear_decay'", "@linear_decay"),
    Mistake(
        "rate for a schedule",
        "train.schedule = @inverse_square_root()",
        "write @inverse_square_root",
    ),
    # containers
    Mistake("text for a list", "register.task_modules = 'mine'", "type Sequence[str]"),
    Mistake("list of other things", "register.task_modules = [3]", "Sequence[str]"),
    Mistake(
        "dict of other things",
        "train.lengths = {'inputs': '128', 'targets': 36}",
        "type dict[str, int]",
    ),
    # ranges
    Mistake("no heads", "EncoderDecoder.num_heads = 0", "num_heads is 0"),
    Mistake("dropout of 1.5", "EncoderDecoder.dropout_rate = 1.5", "below 1"),
    Mistake(
        "learning rate of 1e9",
        "inverse_square_root.base_learning_rate = 1e9",
        "from 0 to 100",
    ),
    Mistake(
        "learning rate below 0",
        "inverse_square_root.base_learning_rate = -1.0",
        "from 0 to 100",
    ),
    Mistake("no rows", "train.batch_size = 0", "batch_size is 0"),
    Mistake("infinite weight", "SwitchRouter.z_loss_weight = 1e999", "is inf"),
    Mistake(
        "length of 0 in a dict",
        "train.lengths = {'inputs': 128, 'targets': 0}",
        "a whole number from 1",
    ),
    # numbers that must agree
    Mistake("targets too short", "train.lengths = {'inputs': 128, 'targets': 9}", "29"),
    Mistake("vocabulary too large", "EncoderDecoder.vocab_size = 512", "16,100 tokens"),
    Mistake(
        "schedule that ends before the run",
        "linear_warmup_and_cooldown.total_steps = 300",
        "but train.steps is 450",
    ),
    Mistake(
        "cooldown longer than the run",
        "linear_warmup_and_cooldown.cooldown_steps = 700",
        "700 of 450",
    ),
    Mistake("batch not divided", "train.microbatches = 5", "must divide the batch"),
    Mistake("key set twice", "train.seed = 1\ntrain.seed = 2", "train.seed is set twi"),
    Mistake(
        "length of the inputs missing",
        "train.lengths = {'targets': 128}",
        "needs the lengths of 'inputs' and 'targets'",
    ),
    # layouts
    Mistake(
        "layout rule for a dimension misspelt",
        "Layout.layout_rules = 'bacth:b'\nLayout.mesh_shape = 'b:2'",
        "did you mean batch",
    ),
    Mistake(
        "layout rule to a missing mesh dimension",
        "Layout.layout_rules = 'batch:b'\nLayout.mesh_shape = 'a:1'",
        "unknown mesh dimension 'b'",
    ),
    Mistake(
        "mesh dimension that no rule names",
        "Layout.mesh_shape = 'batch:2'",
        "would all do the same work",
    ),
    Mistake(
        "dimension that does not divide",
        "Layout.layout_rules = 'd_ff:m'\nLayout.mesh_shape = 'm:3'",
        "size 512 does not divide over the 3 processors",
    ),
    # files
    Mistake("include missing", "include 'models/swich_tiny.gin'", "switch_tiny.gin"),
    Mistake("file that includes itself", "include 'mine.gin'", "includes itself"),
    Mistake("syntax: text without quotes", "train.mixture = embedded", "text needs q"),
    Mistake("syntax: two values", "train.steps = 1 2", "Expected newline"),
    Mistake("vocabulary file missing", "include 'vocabularies/own.gin'", "own.gin"),
    Mistake(
        "checkpoint to start from missing",
        "train.initial_checkpoint = 'runs/gone'",
        "no checkpoints",
    ),
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    gin.clear_config()


def refused(text: str) -> str:
    """Returns what check and train say of a file."""
    Path("mine.gin").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        check_run(["mine.gin"])
    return str(caught.value)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_is_caught_with_its_place(mistake: Mistake, tried) -> None:
    message = refused(QUICKSTART + mistake.text + "\n")
    assert mistake.says in message
    assert mistake.place in message
    line = next(x for x in message.splitlines() if mistake.says in x)
    line = line.replace(str(gin_directory()), "gin").replace(str(Path.cwd()), "here")
    shown = mistake.text.replace("\n", "; ")
    tried("configuration", f"{mistake.what}: `{shown}`", f"refused: `{line}`")


def test_mistakes_of_every_sort_are_reported_at_once_by_both_commands(
    capsys: pytest.CaptureFixture[str], tried
) -> None:
    """Sample 36: what train refuses, check refuses, in the same words."""
    chosen = [m for m in MISTAKES if m.what in _TOGETHER]
    assert len(chosen) == len(_TOGETHER)
    Path("mine.gin").write_text(QUICKSTART + "\n".join(m.text for m in chosen) + "\n")
    errors = []
    for command in (["check"], ["train", "--model_dir=model"]):
        assert main([*command, "--gin_file=mine.gin"]) == 2
        errors.append(capsys.readouterr().err)
    assert errors[0] == errors[1] and not Path("model").exists()
    for number, mistake in enumerate(chosen, start=2):
        line = next(x for x in errors[0].splitlines() if mistake.says in x)
        assert f"mine.gin:{number}" in line
    tried(
        "configuration",
        f"{len(chosen)} mistakes in one file (names, scopes, types, ranges, mixture)",
        "check and train list all of them, in the same words; nothing is written",
    )


_TOGETHER = (
    "parameter misspelt",
    "reference misspelt",
    "mixture unknown",
    "scope nobody enters",
    "text for a number",
    "dropout of 1.5",
    "infinite weight",
    "text for a list",
)


def mistakes(text: str) -> str:
    """Returns what is wrong with the statements of a file, before anything is built."""
    Path("mine.gin").write_text(text, encoding="utf-8")
    return "\n".join(read_config(["mine.gin"], roots=["train"]).problems.messages)


def _quickstart() -> Config:
    return load_config(["runs/quickstart.gin"])


@settings(
    max_examples=GENERATED, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_misspelt_key_is_caught(tmp_path: Path, data: st.DataObject) -> None:
    bindings = _quickstart().bindings
    key = data.draw(st.sampled_from(sorted(bindings)))
    place = data.draw(st.integers(0, len(key) - 1).filter(lambda i: key[i] != "."))
    letter = data.draw(st.sampled_from("qxzj"))
    kept = data.draw(st.sampled_from([place, place + 1]))  # put in, or in its place
    wrong = key[:place] + letter + key[kept:]
    assume(wrong != key)
    message = mistakes(f"{QUICKSTART}\n{wrong} = {bindings[key]}\n")
    assert "mine.gin:3" in message
    assert re.search(r"unknown configurable|has no parameter", message)


@settings(
    max_examples=GENERATED, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_value_of_another_type_is_caught(
    tmp_path: Path, data: st.DataObject
) -> None:
    bindings = _quickstart().bindings
    key = data.draw(st.sampled_from(sorted(bindings)))
    right = bindings[key]
    others = [
        "'words'",
        "3",
        "0.5",
        "True",
        "[1, 'a']",
        "{1: 2}",
        "(0.5,)",
        "@Packing()",
    ]
    wrong = data.draw(st.sampled_from([x for x in others if _kind(x) != _kind(right)]))
    message = mistakes(f"{QUICKSTART}\n{key} = {wrong}\n")
    assert "mine.gin:3" in message and key in message and "must be of type" in message


def _kind(text: str) -> str:
    """What two values have in common that may stand for one another."""
    if text.startswith("@"):
        return "reference"
    value = ast.literal_eval(text)
    return "number" if type(value) in (int, float) else type(value).__name__


def test_what_was_generated(tried) -> None:
    tried("configuration", f"{GENERATED} generated misspellings of keys", "refused")
    tried("configuration", f"{GENERATED} generated values of other types", "refused")
