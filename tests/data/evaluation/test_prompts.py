"""A prompt has the tokens that the same text had as inputs in training."""

from __future__ import annotations

import numpy as np
import pytest
import seqio
from fake_tasks import (
    REKEY_TEXT,
    add_supervised_task,
    add_text_task,
    features,
    random_documents,
)
from oracles.spiece_models import t5_model

from mtmoe.data.evaluation.examples import evaluation_examples
from mtmoe.data.evaluation.infill import BLANK
from mtmoe.data.evaluation.prompts import ANSWER, BLANKS, CONTINUATION, PromptEncoder
from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.objectives.prefix_lm import PrefixLM
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.vocabulary.configured import sentencepiece_vocabulary
from mtmoe.errors import ConfigError, MtmoeError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

BOTH = {"inputs": 64, "targets": 64}
ALONE = {"targets": 64}


def _text_task(name, vocabulary, objective) -> seqio.Task:
    steps = (
        seqio.preprocessors.tokenize,
        seqio.CacheDatasetPlaceholder(),
        objective,
        seqio.preprocessors.append_eos,
    )
    documents = random_documents(5, 900)
    return add_text_task(name, documents, vocabulary, (REKEY_TEXT, *steps))


def _row(tokens) -> list[int]:
    return [int(token) for token in tokens[: np.max(np.flatnonzero(tokens)) + 1]]


def _with_blanks(tokens, vocabulary) -> str:
    """The text of inputs, sentinels as a user types blanks."""
    text, plain = "", []
    for token in [*tokens, None]:
        if token is not None and token < vocabulary.vocab_size - 100:
            plain.append(token)
            continue
        text += vocabulary.decode(plain)
        plain = []
        if token is not None:
            text += f"<extra_id_{vocabulary.vocab_size - 1 - token}>"
    return text


@pytest.mark.parametrize("lengths", [BOTH, ALONE])
@pytest.mark.parametrize("objective", [SpanCorruption(), PrefixLM()])
def test_a_text_has_the_tokens_of_training(byte_vocabulary, lengths, objective):
    task = _text_task("text", byte_vocabulary, objective)
    encode = PromptEncoder([task], lengths)
    trained = evaluation_examples("text", "train", lengths, 1)
    ends = [1] if lengths is BOTH else []  # a decoder alone never saw an end there
    for inputs in trained.inputs:
        row = _row(inputs)
        assert (
            row[len(row) - len(ends) :] == ends and 1 not in row[: -len(ends) or None]
        )
        text = _with_blanks(row[: len(row) - len(ends)], byte_vocabulary)
        prompt = encode(text)
        assert prompt.tokens.tolist() == row
        is_blanks = isinstance(objective, SpanCorruption)
        assert prompt.form.kind == (BLANKS if is_blanks else CONTINUATION)
        assert bool(BLANK.search(text)) == is_blanks and prompt.form.is_prefix


@pytest.mark.parametrize("lengths", [BOTH, ALONE])
@pytest.mark.parametrize("ended", [True, False])
def test_a_tasks_inputs_have_the_tokens_of_training(byte_vocabulary, lengths, ended):
    pairs = [("moja", "ndiyo"), ("mbili  tatu", "hapana")]
    task = add_supervised_task("pairs", pairs, byte_vocabulary)
    if not ended:
        seqio.TaskRegistry.remove("pairs")
        feature = seqio.Feature(byte_vocabulary, add_eos=False)
        task = seqio.TaskRegistry.add(
            "pairs",
            source=task.source,
            preprocessors=task.preprocessors,
            output_features={**features(byte_vocabulary), "inputs": feature},
            metric_fns=[],
        )
    encode = PromptEncoder([task], lengths)
    trained = evaluation_examples("pairs", "train", lengths)
    for (text, _), inputs in zip(pairs, trained.inputs, strict=True):
        prompt = encode(text)
        assert prompt.tokens.tolist() == _row(inputs)
        assert (prompt.tokens[-1] == 1) == ended
        assert prompt.form.kind == ANSWER


def test_a_language_model_sees_a_prompt_as_any_other_text(byte_vocabulary):
    task = _text_task("text", byte_vocabulary, LanguageModel())
    prompt = PromptEncoder([task], ALONE)("huru na")
    assert prompt.tokens.tolist() == byte_vocabulary.encode("huru na")
    assert prompt.form.kind == CONTINUATION and not prompt.form.is_prefix
    with pytest.raises(ConfigError, match="'text'.*takes no prompt"):
        PromptEncoder([task], BOTH)


def test_what_a_line_is_follows_from_all_tasks(byte_vocabulary):
    blanks = _text_task("blanks", byte_vocabulary, SpanCorruption())
    goes_on = _text_task("goes_on", byte_vocabulary, PrefixLM())
    pairs = add_supervised_task("pairs", [("a", "b")], byte_vocabulary)
    encode = PromptEncoder([blanks, pairs], BOTH)
    assert encode("a <extra_id_0>").form.kind == BLANKS
    assert encode("a").form.kind == ANSWER
    alone = PromptEncoder([blanks], BOTH)("a")
    assert (alone.form.kind, alone.text) == (BLANKS, "a <extra_id_0>")
    assert alone.line == "a"
    with pytest.raises(ConfigError, match="'pairs'.*'goes_on'.*--task=NAME"):
        PromptEncoder([goes_on, pairs], BOTH)
    # Without blanks in training, one that is typed is text like any other.
    spelled = PromptEncoder([pairs], BOTH)("<extra_id_0>")
    assert spelled.tokens.tolist() == [*byte_vocabulary.encode("<extra_id_0>"), 1]


def test_lines_that_no_model_can_take(byte_vocabulary, tmp_path):
    pairs = add_supervised_task("pairs", [("a", "b")], byte_vocabulary)
    with pytest.raises(MtmoeError, match="has 71 tokens; the model takes at most 64"):
        PromptEncoder([pairs], BOTH)("x" * 70)
    path = tmp_path / "t5.model"
    path.write_bytes(t5_model())
    vocabulary = sentencepiece_vocabulary(str(path), extra_ids=100)
    task = add_supervised_task("spiece", [("frei", "und")], vocabulary)
    encode = PromptEncoder([task], BOTH)
    with pytest.raises(MtmoeError, match="knows no character"):
        encode("ქართული ენა")
    assert encode("frei ქართული").tokens[-1] == 1
    blanks = PromptEncoder([_text_task("blanks", vocabulary, SpanCorruption())], BOTH)
    with pytest.raises(MtmoeError, match="knows no character"):
        blanks("ქართული <extra_id_0>")
