"""The bytes behind targets are those of the text, whatever makes the examples."""

from __future__ import annotations

import numpy as np
import pytest
import seqio
import tensorflow as tf
from fake_tasks import REKEY_TEXT, add_supervised_task, add_text_task, features
from oracles.spiece_models import own_model, t5_model

from mtmoe.data.evaluation.examples import evaluation_examples, text_examples
from mtmoe.data.evaluation.rows import RowBudget
from mtmoe.data.ground.token_rows import TokenRows
from mtmoe.data.objectives.language_model import LanguageModel
from mtmoe.data.objectives.span_corruption import SpanCorruption
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.vocabulary.configured import sentencepiece_vocabulary, token_bytes
from mtmoe.errors import ConfigError, CorpusError

pytestmark = pytest.mark.usefixtures("own_cache", "clean_registry")

LENGTHS = {"inputs": 24, "targets": 16}
DOCUMENTS = [
    "Ａlle  Menschen ﬁnd ☃☃ frei\u200d und \u200dgleich. ",
    "   ",
    "北京 天氣 很好",
    "geboren <extra_id_0> an ½ Würde e\u0301 </s>",
] * 3


@pytest.fixture
def lossy(tmp_path):
    path = tmp_path / "t5.model"
    path.write_bytes(t5_model(normalization_rule_name="nmt_nfkc"))
    return sentencepiece_vocabulary(str(path), extra_ids=100)


def _steps(objective):
    return (
        REKEY_TEXT,
        seqio.preprocessors.tokenize,
        seqio.CacheDatasetPlaceholder(),
        objective,
        seqio.preprocessors.append_eos,
    )


def _bytes_of(documents) -> int:
    # A document of spaces alone has no token that its bytes could count with.
    return sum(len(text.encode()) for text in documents if text.strip())


def test_all_bytes_of_a_text_are_counted_once(lossy):
    add_text_task("text", DOCUMENTS, lossy, _steps(LanguageModel()))
    lengths = {"inputs": 2, "targets": 7}
    examples = evaluation_examples("text", "train", lengths, 1)
    assert len(examples.group) > 20
    assert examples.target_bytes.sum() == _bytes_of(DOCUMENTS)
    assert not examples.target_bytes[examples.targets <= 1].any()
    of_text = text_examples(DOCUMENTS, lengths, 1, 0, LanguageModel(), lossy)
    np.testing.assert_array_equal(of_text.target_bytes, examples.target_bytes)


def test_chosen_rows_have_the_bytes_they_have_among_all(lossy):
    add_text_task("text", DOCUMENTS, lossy)
    everything = evaluation_examples("text", "train", LENGTHS, 1)
    budget = RowBudget(max_tokens=60)
    some = evaluation_examples("text", "train", LENGTHS, 1, budget=budget)
    assert 0 < len(some.group) < len(everything.group) / 2
    for name in ("targets", "target_bytes"):
        expected = getattr(everything, name)[some.group]
        np.testing.assert_array_equal(getattr(some, name), expected)


def test_masked_tokens_keep_their_bytes(lossy):
    """Inputs and targets share out the tokens, so their bytes are all of the text."""
    [text] = [" ".join(f"Alle☃ ½ Würde{n}" for n in range(4))]
    examples = text_examples([text], {"inputs": 100, "targets": 40}, 6, 0, None, lossy)
    unknown = lossy.unk_id
    by_token = {token: set() for token in range(lossy.vocab_size)}
    for token, bytes_ in zip(
        examples.targets.ravel(), examples.target_bytes.ravel(), strict=True
    ):
        by_token[int(token)].add(int(bytes_))
    assert by_token[unknown] and max(by_token[unknown]) >= 3  # ☃ has three bytes
    assert by_token[0] == by_token[1] == by_token[lossy.vocab_size - 1] == {0}


@pytest.mark.parametrize("kind", ["pairs", "pipeline", "streamed", "trimmed"])
def test_targets_of_tasks(lossy, kind):
    pairs = [("a", "ｆｒｅｉ ☃☃ und"), ("b", "  gleich  "), ("c", "½")]
    lengths = {"inputs": 8, "targets": 4 if kind == "trimmed" else 30}
    if kind == "pairs":
        source = PairSource(
            lambda split: [{"inputs": i, "targets": t} for i, t in pairs], ["train"]
        )
        task = seqio.TaskRegistry.add(
            "task",
            source=source,
            preprocessors=[
                seqio.preprocessors.tokenize,
                seqio.CacheDatasetPlaceholder(),
                seqio.preprocessors.append_eos_after_trim,
            ],
            output_features=features(lossy),
            metric_fns=[],
        )
    else:
        task = add_supervised_task("task", pairs, lossy)
    if kind == "streamed":
        seqio.TaskRegistry.remove("task")
        seqio.TaskRegistry.add(
            "task",
            source=task.source,
            preprocessors=[*task.preprocessors, lambda dataset: dataset],
            output_features=task.output_features,
            metric_fns=[],
        )
    examples = evaluation_examples("task", "train", lengths)
    sizes = examples.target_bytes.sum(axis=1)
    if kind == "trimmed":
        assert 0 < sizes[0] < len(pairs[0][1].encode())
        assert examples.target_bytes[0, 3] == 0  # the end mark
    else:
        assert sizes.tolist() == [len(target.encode()) for _, target in pairs]


def test_steps_that_keep_no_text_are_said_to(lossy, capsys):
    def without_text(dataset: tf.data.Dataset) -> tf.data.Dataset:
        keep = ("inputs", "targets")
        return dataset.map(lambda row: {name: row[name] for name in keep})

    task = add_supervised_task("with", [("a", "frei ☃")], lossy)
    tokenize, *others = task.preprocessors
    seqio.TaskRegistry.add(
        "without",
        source=task.source,
        preprocessors=[tokenize, without_text, *others],
        output_features=task.output_features,
        metric_fns=[],
    )
    examples = evaluation_examples("without", "train", LENGTHS)
    np.testing.assert_array_equal(
        examples.target_bytes, token_bytes(lossy)[examples.targets]
    )
    assert "'without': its steps keep no text" in capsys.readouterr().err


def test_a_source_that_changed_under_its_cache_is_named(lossy, monkeypatch):
    task = add_text_task("text", DOCUMENTS, lossy)
    evaluation_examples("text", "train", LENGTHS)
    other = [text.replace("gleich", "ungleich") for text in DOCUMENTS]
    monkeypatch.setattr(task.source, "part", lambda split, part: iter(other))
    with pytest.raises(CorpusError, match="'text', split 'train'.*other text"):
        evaluation_examples("text", "train", LENGTHS)


class _ByTokens(SpanCorruption):
    """An objective that looks at what the tokens are."""

    def corrupt(self, rows, keys_N, vocab_size):
        order = np.argsort(rows.tokens[rows.bounds[0] : rows.bounds[1]])
        assert len(rows) == 1
        return rows, TokenRows(rows.tokens[order], rows.bounds)

    def sizes(self, raw_sizes_N, keys_N):
        return raw_sizes_N, raw_sizes_N


def test_an_objective_that_chooses_by_tokens(lossy, tmp_path):
    text = ["frei und gleich"]
    with pytest.raises(ConfigError, match="by their places alone"):
        text_examples(text, {"inputs": 64, "targets": 64}, 1, 0, _ByTokens(), lossy)
    path = tmp_path / "own.model"
    path.write_bytes(own_model())
    lossless = sentencepiece_vocabulary(str(path), extra_ids=100)
    examples = text_examples(
        text, {"inputs": 64, "targets": 64}, 1, 0, _ByTokens(), lossless
    )
    assert examples.target_bytes.sum() == len(text[0])


def test_a_lossless_vocabulary_counts_by_its_tokens(tmp_path):
    path = tmp_path / "own.model"
    path.write_bytes(own_model())
    vocabulary = sentencepiece_vocabulary(str(path), extra_ids=100)
    add_text_task("text", DOCUMENTS, vocabulary)
    examples = evaluation_examples("text", "train", LENGTHS, 2)
    np.testing.assert_array_equal(
        examples.target_bytes, token_bytes(vocabulary)[examples.targets]
    )
