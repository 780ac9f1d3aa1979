"""Whole generations, against one that scores every prefix from scratch."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest
import tensorflow as tf
from oracles import decoding_numpy as oracle
from oracles.model_runner import random_batch, tiny_decoder, tiny_model, tiny_moe

from mtmoe.engine.program import MeshProgram
from mtmoe.errors import ConfigError
from mtmoe.mesh.compat import mtf
from mtmoe.mesh.layout import Layout
from mtmoe.mesh.random import name_key
from mtmoe.model.decoding.generate import generation_builder
from mtmoe.model.decoding.prepare import without_drops
from mtmoe.model.decoding.scoring import scoring_builder
from mtmoe.model.decoding.strategies import (
    BeamSearch,
    Greedy,
    Sampling,
    choose_tokens,
)
from mtmoe.model.features import Tokens, import_features
from mtmoe.model.forward import score

EOS, VOCAB, LENGTH, BATCH = 1, 8, 6, 4
SEED = 5
SAMPLING = Sampling(temperature=1.3, top_k=5, top_p=0.9)
BEAM = BeamSearch(num_beams=3, length_penalty=0.6)
KEYS = np.array([11, 4, 900, 7], np.int32)


def tiny(sparse=True):
    """A decoder of a dense and a sparse layer, or of a dense one."""
    # A small capacity would drop tokens, were it used here.
    return tiny_model(
        vocab_size=VOCAB,
        num_encoder_layers=1,
        num_decoder_layers=2 if sparse else 1,
        moe=tiny_moe(evaluation_factor=0.1, minimum=1) if sparse else None,
    )


def generator(program, strategy, model):
    function = program.function(
        generation_builder(model, strategy, LENGTH, EOS),
        {
            "inputs": tf.TensorSpec([BATCH, 12], tf.int32),
            "example_keys": tf.TensorSpec([BATCH], tf.int32),
        },
        "generate",
    )

    def generate(inputs, keys=KEYS):
        outputs = function(0, inputs=inputs, example_keys=keys)
        return np.asarray(outputs["tokens"]), np.asarray(outputs["scores"])

    generate.function = function
    return generate


def prefix_scorer(program, model):
    """From inputs and the tokens so far to log P of each next token, by `__call__`."""
    ready = without_drops(model)

    def build(context, features):
        inputs, targets = import_features(context, features)
        return {"logits": score(context, ready, inputs, targets).logits}, []

    signature = {
        "inputs": tf.TensorSpec([1, 12], tf.int32),
        "targets": tf.TensorSpec([1, LENGTH], tf.int32),
    }
    function = program.function(build, signature, "prefixes")
    known = {}

    def log_probabilities(inputs, tokens):
        key = (inputs.tobytes(), tuple(tokens))
        if key not in known:
            # What stands at the place itself cannot matter, if it is no padding.
            targets = np.full([1, LENGTH], 2, np.int32)
            targets[0, : len(tokens)] = tokens
            logits = function(0, inputs=inputs[np.newaxis], targets=targets)["logits"]
            known[key] = oracle.log_softmax(np.asarray(logits)[0, len(tokens)])
        return known[key]

    return log_probabilities


STRATEGIES = {"greedy": Greedy(), "sampling": SAMPLING, "beam": BEAM}


class Decoders:
    """A model's generators, made when first asked for, and a scorer of prefixes."""

    def __init__(self, sparse):
        self.model, self.program = tiny(sparse), MeshProgram(seed=SEED)
        self.prefixes = prefix_scorer(self.program, self.model)
        self._made = {}

    def __getitem__(self, strategy):
        if strategy not in self._made:
            self._made[strategy] = generator(
                self.program, STRATEGIES[strategy], self.model
            )
        return self._made[strategy]


made = functools.cache(Decoders)


@pytest.fixture(
    params=[
        pytest.param(True, id="sparse"),
        pytest.param(False, id="dense", marks=pytest.mark.slow),
    ]
)
def decoders(request):
    return made(request.param)


def padded(tokens):
    return np.array(tokens + [0] * (LENGTH - len(tokens)))


def test_greedy_takes_the_likeliest(decoders):
    inputs = random_batch(vocab=VOCAB)["inputs"]
    tokens, scores = decoders["greedy"](inputs)
    for row, got in enumerate(tokens):
        want = oracle.greedy(
            lambda before, row=row: decoders.prefixes(inputs[row], before),
            LENGTH,
            EOS,
        )
        np.testing.assert_array_equal(got, padded(want))
        score = sum(
            decoders.prefixes(inputs[row], want[:i])[token]
            for i, token in enumerate(want)
        )
        assert scores[row] == pytest.approx(score, abs=1e-4)


def test_sampling_draws_by_the_given_probabilities(decoders):
    inputs = random_batch(vocab=VOCAB)["inputs"]
    tokens, _ = decoders["sampling"](inputs)
    for row, got in enumerate(tokens):
        want = []
        while len(want) < LENGTH and EOS not in want:
            log_p = decoders.prefixes(inputs[row], want).astype(np.float32)
            log_p[0] = -1e9
            choice = choose_tokens(
                SAMPLING,
                tf.constant(log_p[np.newaxis]),
                tf.constant(KEYS[row : row + 1]),
                tf.constant(len(want)),
                name_key(SEED, "decoding"),
            )
            want.append(int(choice[0]))
        np.testing.assert_array_equal(got, padded(want))


@pytest.mark.parametrize("strategy", ["greedy", "sampling", "beam"])
def test_neighbours_and_places_do_not_matter(decoders, strategy):
    generate = decoders[strategy]
    inputs = random_batch(vocab=VOCAB)["inputs"]
    tokens, scores = generate(inputs)
    order = np.array([2, 0, 3, 1])
    moved, moved_scores = generate(inputs[order], KEYS[order])
    np.testing.assert_array_equal(moved, tokens[order])
    np.testing.assert_allclose(moved_scores, scores[order], rtol=1e-5)
    others = random_batch(vocab=VOCAB, seed=9)["inputs"]
    others[3] = inputs[3]
    keys = np.array([1, 2, 3, KEYS[3]], np.int32)
    beside, _ = generate(others, keys)
    np.testing.assert_array_equal(beside[3], tokens[3])
    # Rows that only fill the batch up get nothing and change nothing.
    filler = np.zeros_like(inputs)
    filler[1] = inputs[1]
    alone, alone_scores = generate(filler, np.array([-1, KEYS[1], -1, -1], np.int32))
    np.testing.assert_array_equal(alone[1], tokens[1])
    assert not alone[[0, 2, 3]].any() and not alone_scores[[0, 2, 3]].any()


def test_sequences_end_and_hold_no_padding(decoders):
    rows = np.concatenate(
        [
            decoders[name](random_batch(vocab=VOCAB, seed=seed)["inputs"])[0]
            for name in ("greedy", "sampling", "beam")
            for seed in range(3)
        ]
    )
    assert rows.dtype == np.int32
    ends = 0
    for row in rows:
        is_end = np.flatnonzero(row == EOS)
        size = is_end[0] + 1 if is_end.size else LENGTH
        ends += is_end.size > 0
        assert np.all(row[:size] != 0) and not row[size:].any()
    assert 0 < ends < len(rows)  # both kinds were seen


def test_beam_search_finds_what_the_oracle_finds(decoders):
    inputs = random_batch(vocab=VOCAB)["inputs"]
    tokens, scores = decoders["beam"](inputs)
    for row in range(BATCH):
        want, score = oracle.beam(
            lambda before, row=row: decoders.prefixes(inputs[row], before),
            LENGTH,
            EOS,
            BEAM.num_beams,
            BEAM.length_penalty,
        )
        np.testing.assert_array_equal(tokens[row], padded(want))
        assert scores[row] == pytest.approx(score, abs=1e-4)


def test_scores_of_given_targets(decoders):
    batch = random_batch(targets=LENGTH, vocab=VOCAB)
    sizes = (batch["targets"] != 0).sum(1)
    batch["inputs"][0, 3] = batch["targets"][0, 2] = 0  # inside a text it is a token
    signature = {
        name: tf.TensorSpec(array.shape, tf.int32) for name, array in batch.items()
    }
    score = decoders.program.function(
        scoring_builder(decoders.model), signature, "score"
    )
    got = np.asarray(score(0, **batch)["token_log_likelihood"])
    for row, targets in enumerate(batch["targets"]):
        for place, token in enumerate(targets):
            want = 0.0
            if place < sizes[row]:
                before = targets[:place].tolist()
                want = decoders.prefixes(batch["inputs"][row], before)[token]
            assert got[row, place] == pytest.approx(want, abs=1e-4)


DATA_EXPERT = Layout("batch:2", "batch:batch;experts:batch")
MODEL = Layout("model:2", "heads:model;d_ff:model;vocab:model")


@pytest.mark.parametrize(
    ("layout", "sparse"),
    [
        pytest.param(DATA_EXPERT, True, id="data_expert"),
        pytest.param(MODEL, False, id="model"),
    ],
)
@pytest.mark.parametrize(
    "strategy", ["beam", pytest.param("sampling", marks=pytest.mark.slow)]
)
def test_layouts_generate_the_same(layout, sparse, strategy):
    inputs = random_batch(vocab=VOCAB)["inputs"]
    one, program = made(sparse), MeshProgram(layout, seed=SEED)
    generate = generator(program, STRATEGIES[strategy], one.model)
    tokens, scores = generate(inputs)
    wanted_tokens, wanted_scores = one[strategy](inputs)
    np.testing.assert_array_equal(tokens, wanted_tokens)
    np.testing.assert_allclose(scores, wanted_scores, rtol=1e-4)


def test_compiled_caches_are_written_in_place():
    """What one step costs does not hang on the length of the cache."""
    generate = made(False)["greedy"]
    text = generate.function.executable.compiled.as_text()
    assert "scatter(" not in text
    cache = rf"f32\[{BATCH},4,{LENGTH},8\]\S*"  # no other array has this shape
    write = rf"= {cache} (dynamic-update-slice|fusion)\(.*"
    bodies = tuple(f"{name} " for name in re.findall(r"body=(%[\w.-]+)", text))
    [body] = [
        computation
        for computation in text.split("\n\n")
        if computation.strip().startswith(bodies) and re.search(write, computation)
    ]
    # Of all that makes something of the cache's shape, each line writes one place of
    # one of the caches: keys and values of the layer.
    lines = re.findall(rf"%(\S+) = {cache} (\S+)\(", body)
    lines = [line for line in lines if line[1] not in ("get-tuple-element", "bitcast")]
    assert len(lines) == 2
    assert all("dynamic-update-slice" in " ".join(line) for line in lines)


@pytest.fixture(
    params=[
        pytest.param(True, id="prefix"),
        pytest.param(False, id="causal", marks=pytest.mark.slow),
    ]
)
def alone(request):
    return decoder_alone(bidirectional_prefix=request.param)


@functools.cache
def decoder_alone(bidirectional_prefix):
    """A decoder alone, its program, and what scores a row of prompt and tokens."""
    layers = {"num_layers": 2, "expert_layer_every": 2} if bidirectional_prefix else {}
    model = tiny_decoder(
        vocab_size=VOCAB,
        moe=tiny_moe(evaluation_factor=0.1, minimum=1),
        bidirectional_prefix=bidirectional_prefix,
        **layers,
    )
    program = MeshProgram(seed=SEED)
    return model, program, row_scorer(model, program)


def row_scorer(model, program, max_length=24):
    """Log P of the token after some, by one pass over prompt and tokens in one row."""
    ready = without_drops(model)

    def build(context, features):
        shape = mtf.Shape(
            [mtf.Dimension("batch", 1), mtf.Dimension("length", max_length)]
        )
        ids, used, prefix = (
            context.import_tensor(features[name], shape)
            for name in ("ids", "used", "prefix")
        )
        return {
            "logits": score(
                context, ready, None, Tokens(ids, used, prefix=prefix)
            ).logits
        }, []

    signature = {
        "ids": tf.TensorSpec([1, max_length], tf.int32),
        "used": tf.TensorSpec([1, max_length], tf.float32),
        "prefix": tf.TensorSpec([1, max_length], tf.float32),
    }
    function = program.function(build, signature, "prefixes")

    def log_p(prompt, before):
        ids = np.zeros([1, max_length], np.int32)
        row = [*prompt, *before, 2]  # what stands at the place itself cannot matter
        ids[0, : len(row)] = row
        used, prefix = (
            np.float32(np.arange(max_length) < size)[np.newaxis]
            for size in (len(row), len(prompt))
        )
        logits = np.asarray(function(0, ids=ids, used=used, prefix=prefix)["logits"])
        return oracle.log_softmax(logits[0, len(row) - 1])

    return log_p


def test_prompts_of_any_length_go_on_as_they_should(alone):
    model, program, score_row = alone
    inputs = random_batch(vocab=VOCAB)["inputs"]
    prompts = [row[row != 0] for row in inputs[:3]] + [inputs[3, :1]]
    inputs[3, 1:] = 0
    inputs[1, 2] = prompts[1][2] = 0  # inside a prompt it is a token
    tokens, scores = generator(program, Greedy(), model)(inputs)
    for row in (0, 1, 3):
        log_p = functools.partial(score_row, prompts[row])
        want = oracle.greedy(log_p, LENGTH, EOS)
        np.testing.assert_array_equal(tokens[row], padded(want))
    targets = tokens.copy()
    signature = {
        "inputs": tf.TensorSpec(inputs.shape, tf.int32),
        "targets": tf.TensorSpec(targets.shape, tf.int32),
    }
    score = program.function(scoring_builder(model), signature, "score")
    by_token = score(0, inputs=inputs, targets=targets)["token_log_likelihood"]
    np.testing.assert_allclose(np.asarray(by_token).sum(axis=1), scores, atol=1e-4)
    targets[1, :4] = [3, 0, 4, EOS]
    by_token = score(0, inputs=inputs, targets=targets)["token_log_likelihood"]
    for place, token in enumerate([3, 0, 4, EOS]):
        want = score_row(prompts[1], targets[1, :place])[token]
        assert np.asarray(by_token)[1, place] == pytest.approx(want, abs=1e-4)


def test_beams_go_on_from_the_prompt():
    model, program, score_row = decoder_alone(bidirectional_prefix=True)
    inputs = random_batch(vocab=VOCAB)["inputs"]
    tokens, scores = generator(program, BEAM, model)(inputs)
    log_p = functools.partial(score_row, inputs[1][inputs[1] != 0])
    want, score = oracle.beam(log_p, LENGTH, EOS, BEAM.num_beams, 0.6)
    np.testing.assert_array_equal(tokens[1], padded(want))
    assert scores[1] == pytest.approx(score, abs=1e-4)


def test_bad_arguments():
    with pytest.raises(
        ConfigError, match="max_length is 0; it must be a whole number from 1"
    ):
        generation_builder(tiny(), Greedy(), 0, EOS)
    with pytest.raises(ConfigError, match="eos_id must be .* 1 to 7, got 8"):
        generation_builder(tiny(), Greedy(), 4, VOCAB)
