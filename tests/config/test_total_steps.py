"""`train.steps` is the one number that says how long a run is."""

from __future__ import annotations

from mtmoe.config.load import read_config
from mtmoe.config.total_steps import disagreements, following

RUN = ("runs/quickstart.gin",)
KEY = "linear_warmup_and_cooldown.total_steps"


def _following(*params: str) -> dict[str, object]:
    draft = read_config(RUN, params, roots=["train"])
    assert not draft.problems.messages
    derived = [b for b in draft.statements if b.where.startswith("follows")]
    assert not following(draft.statements)  # once is enough
    return {f"{b.selector}.{b.parameter}": b.value for b in derived}


def test_schedules_that_end_get_the_steps_of_the_run() -> None:
    assert _following() == {KEY: 450}
    assert _following("train.steps=700") == {KEY: 700}
    assert _following("STEPS=700") == {KEY: 700}
    cosine = "linear_warmup_and_cooldown.schedule=@cosine_decay"
    rate = "cosine_decay.base_learning_rate=0.1"
    assert _following(cosine, rate) == {KEY: 450, "cosine_decay.total_steps": 450}
    assert _following("train.schedule=@inverse_square_root") == {}


def test_a_number_that_is_given_must_be_the_same() -> None:
    def given(*params: str) -> list[str]:
        return disagreements(read_config(RUN, params, roots=["train"]).statements)

    assert given() == given(f"{KEY}=450") == given(f"{KEY}=%STEPS") == []
    (message,) = given(f"{KEY}=%STEPS", "train.steps=700")
    assert f"{KEY} is 450 (--gin_param={KEY}=%STEPS; %STEPS is set at" in message
    assert "but train.steps is 700 (--gin_param=train.steps=700)" in message
