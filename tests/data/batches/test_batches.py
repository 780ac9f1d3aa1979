"""Batches: pure functions of (seed, step), whatever the tasks."""

from __future__ import annotations

import collections
import itertools
from pathlib import Path

import gin
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import seqio
from batch_contents import (
    LENGTHS,
    PAIRS,
    arrays_of,
    restored,
    same_arrays,
    segments_of,
    text_of,
)
from fake_tasks import TEXT_STEPS, add_supervised_task, add_text_task, random_documents

from mtmoe.data.batches.training import Packing, TrainingBatches
from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.objectives.prefix_lm import PrefixLM
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.errors import ConfigError, CorpusError, DamagedDataError, UnknownNameError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")


def test_a_batch_has_the_shapes_and_every_kind_of_row(mixture, byte_vocabulary):
    batches = TrainingBatches(mixture, 16, LENGTHS, seed=3)
    assert batches.task_names == ("large", "pairs", "small")
    batch = batches.batch(0)
    inputs, targets = batch.features["inputs"], batch.features["targets"]
    assert inputs.shape == (16, 64) and targets.shape == (16, 20)
    assert batch.segment_task.shape == (16, 1)
    assert {array.dtype for array in arrays_of(batch).values()} == {np.dtype(np.int32)}
    rows = list(
        itertools.chain(
            *(
                zip(
                    b.features["inputs"],
                    b.features["targets"],
                    b.segment_task[:, 0],
                    strict=True,
                )
                for b in map(batches.batch, range(8))
            )
        )
    )
    pairs = {
        (text_of(inputs, byte_vocabulary), text_of(targets, byte_vocabulary))
        for inputs, targets, task in rows
        if task == 1
    }
    assert pairs == set(PAIRS)
    large = "".join(random_documents(1, 7000))
    raw_length, _ = SpanCorruption().lengths(64)
    chunks = {large[i : i + raw_length] for i in range(0, 7000, raw_length)}
    seen = {restored(i, t, byte_vocabulary) for i, t, task in rows if task == 0}
    assert len(seen) > 50 and seen <= chunks
    assert 0 < batch.padding_fraction < 0.4
    filled = (inputs != 0).sum() + (targets != 0).sum()
    assert batch.padding_fraction == pytest.approx(1 - filled / (16 * 84))
    np.testing.assert_array_equal(batch.features["inputs_segments"], inputs != 0)
    np.testing.assert_array_equal(
        batch.tasks("targets"), np.where(targets != 0, batch.segment_task, -1)
    )
    assert batch.bad_rows == {}


def test_the_same_seed_and_step_give_the_same_batch_and_others_do_not(mixture):
    one = TrainingBatches(mixture, 13, LENGTHS, seed=3)
    two = TrainingBatches(mixture, 13, tuple(LENGTHS.items()), seed=3)
    late = one.batch(10**6)
    assert same_arrays(late, two.batch(10**6))
    assert not same_arrays(late, one.batch(10**6 + 1))
    assert not same_arrays(
        late, TrainingBatches(mixture, 13, LENGTHS, seed=4).batch(10**6)
    )


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_iterate_yields_the_batches_from_any_step(mixture, batch_size):
    batches = TrainingBatches(mixture, batch_size, LENGTHS, seed=0)
    iterator = batches.iterate(start_step=5)
    for step, batch in zip(range(5, 25), iterator, strict=False):
        assert same_arrays(batch, batches.batch(step)), step
    iterator.close()


def test_an_error_while_building_ahead_reaches_the_reader(mixture, monkeypatch):
    batches = TrainingBatches(mixture, 256, LENGTHS, seed=0)
    build = batches._build

    def fail(plan, streamed):
        if plan.counter.max() > 800:
            raise CorpusError("no more")
        return build(plan, streamed)

    monkeypatch.setattr(batches, "_build", fail)
    with pytest.raises(CorpusError, match="no more"):
        collections.deque(batches.iterate(), maxlen=0)


def test_another_batch_size_cuts_the_same_rows(mixture):
    fours = TrainingBatches(mixture, 4, LENGTHS, seed=1)
    twelve = TrainingBatches(mixture, 12, LENGTHS, seed=1).batch(2)
    rows = [fours.batch(step) for step in (6, 7, 8)]
    np.testing.assert_array_equal(
        np.concatenate([batch.features["inputs"] for batch in rows]),
        twelve.features["inputs"],
    )


def test_each_epoch_sees_every_row_once_with_new_noise(byte_vocabulary):
    documents = random_documents(5, 70 * 40)
    add_text_task("one", documents, byte_vocabulary)
    batches = TrainingBatches("one", 10, LENGTHS, seed=0)
    num_rows = batches.num_rows["one"]
    rows = [
        (inputs, restored(inputs, targets, byte_vocabulary))
        for step in range(2 * num_rows // 10 + 1)
        for inputs, targets in zip(
            batches.batch(step).features["inputs"],
            batches.batch(step).features["targets"],
            strict=True,
        )
    ]
    first, second = rows[:num_rows], rows[num_rows : 2 * num_rows]
    assert {text for _, text in first} == {text for _, text in second}
    assert len({text for _, text in first}) == num_rows
    assert [text for _, text in first] != [text for _, text in second]
    inputs_of = {text: inputs.tolist() for inputs, text in first}
    assert all(inputs_of[text] != inputs.tolist() for inputs, text in second)


def test_shares_epochs_and_sizes_are_reported_by_task(mixture):
    batches = TrainingBatches(mixture, 32, LENGTHS, seed=0)
    assert batches.shares == pytest.approx(
        {"large": 5 / 8, "small": 2 / 8, "pairs": 1 / 8}, abs=1e-5
    )
    assert batches.num_rows["pairs"] == 7
    assert batches.num_tokens["small"] == 1400
    assert set(batches.epochs(0).values()) == {0.0}
    counts = np.zeros(3, int)
    for step in range(50):
        counts += np.bincount(batches.batch(step).segment_task[:, 0], minlength=3)
    expected = {
        name: count / batches.num_rows[name]
        for name, count in zip(batches.task_names, counts, strict=True)
    }
    assert batches.epochs(50) == expected


def test_a_task_keeps_its_rows_when_the_mixture_changes(mixture):
    """Permutation and noise belong to the task, not to its place in the mixture."""
    seqio.MixtureRegistry.add("other", [("pairs", 1), ("small", 3)])
    alone, mixed = (
        TrainingBatches(name, 64, LENGTHS, seed=9) for name in ("other", mixture)
    )
    first = {
        name: np.concatenate(
            [
                b.features["inputs"][
                    b.segment_task[:, 0] == batches.task_names.index("small")
                ]
                for b in map(batches.batch, range(4))
            ]
        )[:30].tolist()
        for name, batches in (("alone", alone), ("mixed", mixed))
    }
    assert first["alone"] == first["mixed"]


def test_two_objectives_in_one_mixture(byte_vocabulary):
    heavy = [*TEXT_STEPS[:3], SpanCorruption(noise_density=0.5), TEXT_STEPS[4]]
    documents = random_documents(1, 3000)
    add_text_task("light", documents, byte_vocabulary)
    add_text_task("heavy", documents, byte_vocabulary, heavy)
    seqio.MixtureRegistry.add("both", [("light", 1), ("heavy", 1)])
    lengths = {"inputs": 64, "targets": 64}
    batch = TrainingBatches("both", 40, lengths, seed=0).batch(0)
    task = batch.segment_task[:, 0]
    targets = [(batch.features["targets"][task == n] != 0).sum(1).max() for n in (0, 1)]
    assert targets == [
        SpanCorruption(0.5).lengths(64)[1],
        SpanCorruption().lengths(64)[1],
    ]


def test_a_rate_of_zero_leaves_a_task_out(mixture):
    seqio.MixtureRegistry.add("without", [("large", 1.0), ("small", 0.0)])
    assert TrainingBatches("without", 4, LENGTHS, seed=0).task_names == ("large",)


@hypothesis.given(
    rows=st.lists(st.integers(1, 60), min_size=1, max_size=3),
    rates=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    batch_size=st.integers(1, 50),
    seed=st.integers(0, 2**40),
)
@hypothesis.settings(
    max_examples=10,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_an_epoch_holds_each_example_once_whatever_the_batch_size(
    byte_vocabulary, rows, rates, batch_size, seed
):
    """Examples of each task's first two epochs, counted over batches."""
    names = [f"pairs_{number}_{count}" for number, count in enumerate(rows)]
    for name, count in zip(names, rows, strict=True):
        if name not in seqio.TaskRegistry.names():
            pairs = [(f"q {i}", f"{name}: {i}") for i in range(count)]
            add_supervised_task(name, pairs, byte_vocabulary)
    mixture = f"of_{'_'.join(map(str, rows))}_{rates}"
    if mixture not in seqio.MixtureRegistry.names():
        seqio.MixtureRegistry.add(mixture, list(zip(names, rates, strict=False)))
    batches = TrainingBatches(mixture, batch_size, {"inputs": 8, "targets": 20}, seed)
    seen: dict[str, list[tuple]] = {name: [] for name in names}
    step = 0
    while any(len(seen[n]) < 2 * c for n, c in zip(names, rows, strict=True)):
        for task, _, targets in segments_of(batches.batch(step)):
            seen[batches.task_names[task]].append(targets)
        step += 1
    for name, count in zip(names, rows, strict=True):
        first, second = seen[name][:count], seen[name][count : 2 * count]
        assert len(set(first)) == count
        assert sorted(first) == sorted(second)


@pytest.mark.parametrize("packing", [None, Packing(4)])
def test_a_decoder_alone_is_given_the_same_texts(byte_vocabulary, packing):
    documents = random_documents(1, 3000)
    whole = "".join(documents)
    for name, objective in (
        ("lm", LanguageModel()),
        ("prefix", PrefixLM()),
        ("spans", SpanCorruption()),
    ):
        steps = [*TEXT_STEPS[:3], objective, TEXT_STEPS[4]]
        add_text_task(name, documents, byte_vocabulary, steps)
    add_supervised_task("pairs", PAIRS, byte_vocabulary)
    rates = {"lm": 1, "prefix": 1, "spans": 1, "pairs": 3}
    seqio.MixtureRegistry.add("decoder", list(rates.items()))
    batches = TrainingBatches("decoder", 24, {"targets": 64}, 2, packing=packing)
    batch = batches.batch(3)
    features, segments = batch.features, batch.features["targets_segments"]
    assert features["targets"].shape == (24, 64)
    assert features["targets_loss_weights"].dtype == np.float32
    filled = segments > 0
    is_known = features["targets_prefix"] + features["targets_loss_weights"]
    np.testing.assert_array_equal(filled, is_known == 1)
    assert batch.padding_fraction == pytest.approx(1 - filled.mean())
    seen = set()
    for row, number in itertools.product(range(24), range(batch.segment_task.shape[1])):
        task = batch.segment_task[row, number]
        if task < 0:
            continue
        here = segments[row] == number + 1
        tokens = features["targets"][row][here]
        prefix = features["targets_prefix"][row][here]
        inputs, targets = tokens[prefix == 1], tokens[prefix == 0]
        name = batches.task_names[task]
        seen.add(name)
        assert targets[-1] == 1
        np.testing.assert_array_equal(batch.tasks("targets")[row][here], task)
        if name == "pairs":
            parts = [byte_vocabulary.decode(x[:-1]) for x in (inputs, targets)]
            assert tuple(parts) in PAIRS and inputs[-1] == 1
            continue
        assert 1 not in inputs
        if name == "spans":
            ended = [np.append(inputs, 1), targets]
            assert restored(*ended, byte_vocabulary) in whole
        else:
            assert (len(inputs) == 0) == (name == "lm")
            assert byte_vocabulary.decode(tokens[:-1]) in whole
    assert seen == set(rates)


def _damage(cache: Path, task: str) -> None:
    """Changes bytes near the beginning of each of a task's files of tokens."""
    for path in (cache / "tasks" / task).rglob("tokens-*"):
        content = bytearray(path.read_bytes())
        content[4000:4064] = bytes(64 * [255])
        path.write_bytes(content)


@pytest.mark.parametrize(
    "packing", [None, pytest.param(Packing(8), marks=pytest.mark.slow)]
)
def test_examples_on_a_damaged_record_are_left_out_and_counted(
    own_cache, byte_vocabulary, packing
):
    many = [(f"question {i}", f"answer {i}") for i in range(600)]
    add_supervised_task("sound", many, byte_vocabulary)
    add_supervised_task("damaged", many, byte_vocabulary)
    seqio.MixtureRegistry.add("both", [("sound", 1), ("damaged", 1)])
    sound = TrainingBatches("both", 64, LENGTHS, seed=0, packing=packing)
    _damage(own_cache, "damaged")
    batches = TrainingBatches("both", 64, LENGTHS, seed=0, packing=packing)
    left_out = 0
    for step in range(12):
        batch, whole = batches.batch(step), sound.batch(step)
        number = batches.task_names.index("damaged")
        kept = [x for x in segments_of(batch) if x[1]]
        bad = [x for x in segments_of(batch) if not x[1]]
        assert batch.bad_rows == ({"damaged": len(bad)} if bad else {})
        assert all(task == number and targets == () for task, _, targets in bad)
        expected = collections.Counter(segments_of(whole))
        assert not collections.Counter(kept) - expected
        assert len(kept) + len(bad) == expected.total()
        left_out += len(bad)
    assert left_out > 3
    assert set(batches.bad_records.counts) == {"damaged"}
    gin.bind_parameter("bad_records.quota", 0)
    strict = TrainingBatches("both", 64, LENGTHS, seed=0, packing=packing)
    with pytest.raises(DamagedDataError, match="'damaged' has 1 damaged records"):
        collections.deque(itertools.islice(strict.iterate(), 99), maxlen=0)


def test_more_passes_than_allowed_are_an_error_before_the_first_step(mixture):
    def load(max_epochs, steps, **more):
        return TrainingBatches(
            mixture, 16, LENGTHS, 0, max_epochs=max_epochs, steps=steps, **more
        )

    fine = load(3.0, 9)
    assert max(fine.epochs(9).values()) <= 3.0
    with pytest.raises(ConfigError, match="max_epochs needs to know the steps"):
        load(3.0, None)
    with pytest.raises(ConfigError) as caught:
        load(3.0, 100)
    message = str(caught.value)
    passes = fine.epochs(100)
    assert (
        f"100 steps of 16 rows would pass 'pairs' {passes['pairs']:.2f} times"
        in message
    )
    assert f"'small' {passes['small']:.2f} times, 'large'" in message
    packed = Packing(8)
    with pytest.raises(ConfigError, match="about .* steps would do"):
        load(3.0, 100, packing=packed)
    enough = int(message.split(" steps would do")[0].split()[-1])
    assert max(fine.epochs(enough).values()) <= 3.0
    assert max(fine.epochs(enough + 1).values()) > 3.0


def test_languages_are_numbered_for_the_model(byte_vocabulary):
    for name, language in (("one", "sw"), ("two", "de"), ("three", "sw")):
        add_text_task(
            name, random_documents(1, 900), byte_vocabulary, language=language
        )
    add_supervised_task("four", PAIRS, byte_vocabulary)
    names = ["one", "two", "three", "four"]
    seqio.MixtureRegistry.add("several", [(name, 1) for name in names])
    batches = TrainingBatches("several", 4, LENGTHS, seed=0)
    assert batches.languages == ("de", "mul", "sw")
    by_task = dict(zip(batches.task_names, batches.task_language.tolist(), strict=True))
    assert by_task == {"one": 2, "two": 0, "three": 2, "four": 1}
    assert batches.task_language.dtype == np.int32


def test_bad_input_is_an_error_before_the_first_batch(mixture, byte_vocabulary):
    def load(name="mix", batch_size=4, lengths=LENGTHS, **more):
        return TrainingBatches(name, batch_size, lengths, seed=0, **more)

    with pytest.raises(UnknownNameError, match="did you mean mix"):
        load("mixx")
    with pytest.raises(UnknownNameError, match="split of task 'large'"):
        load(split="tain")
    with pytest.raises(ConfigError, match="batch_size is 0"):
        load(batch_size=0)
    with pytest.raises(ConfigError, match="row 4 is asked for; .* rows 0 to 3"):
        load().of_rows([1, 4])
    with pytest.raises(ConfigError, match="no row of the batch of 4"):
        load().of_rows([])
    with pytest.raises(ConfigError, match=r"\[2, 1\] are asked for; .* increasing"):
        load().of_rows([2, 1])
    with pytest.raises(ConfigError, match=r"rows \[3\] are to be counted, but"):
        load().of_rows([1, 2], counted=[2, 3])
    with pytest.raises(ConfigError, match="for each key a whole number from 2"):
        load(lengths={"inputs": 64, "targets": 1})
    with pytest.raises(ConfigError, match="lengths are"):
        load(lengths={"inputs": 64})
    with pytest.raises(ConfigError, match="need targets of"):
        load(lengths={"inputs": 64, "targets": 5})
    with pytest.raises(ConfigError, match="need 103 sentinels.*has 100"):
        load(lengths={"inputs": 1856, "targets": 500})
    add_supervised_task("nothing", [], byte_vocabulary)
    with pytest.raises(CorpusError, match="'nothing'"):
        load("nothing")
    add_text_task("foreign", ["abc"], seqio.ByteVocabulary(extra_ids=9))
    seqio.MixtureRegistry.add("two", [("large", 1), ("foreign", 1)])
    with pytest.raises(ConfigError, match="different vocabularies"):
        load("two")


def test_a_supervised_token_outside_the_vocabulary_is_an_error(byte_vocabulary):
    task = add_supervised_task("bad", PAIRS, byte_vocabulary)

    @seqio.map_over_dataset
    def shift(row):
        return {**row, "targets": row["targets"] + 1000}

    seqio.TaskRegistry.remove("bad")
    tokenize, *later = task.preprocessors
    seqio.TaskRegistry.add_provider(
        "bad", task.replace(preprocessors=[tokenize, shift, *later])
    )
    with pytest.raises(CorpusError, match="outside the vocabulary"):
        TrainingBatches("bad", 4, LENGTHS, seed=0)


def test_a_task_must_have_inputs_and_targets_of_one_vocabulary(byte_vocabulary):
    def add(name, **vocabularies):
        seqio.TaskRegistry.add(
            name,
            source=seqio.TextLineDataSource({"train": "/nowhere"}),
            preprocessors=[],
            output_features={
                key: seqio.Feature(vocabulary)
                for key, vocabulary in vocabularies.items()
            },
        )

    add("decoder", targets=byte_vocabulary)
    with pytest.raises(ConfigError, match="no feature 'inputs'; it has 'targets'"):
        TrainingBatches("decoder", 4, LENGTHS, seed=0)
    add("mixed", targets=byte_vocabulary, inputs=seqio.ByteVocabulary(extra_ids=3))
    with pytest.raises(ConfigError, match="for inputs and targets"):
        TrainingBatches("mixed", 4, LENGTHS, seed=0)
