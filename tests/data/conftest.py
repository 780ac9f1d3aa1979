"""Small vocabularies and documents for the data tests."""

from __future__ import annotations

import gin
import pytest
import sentencepiece
import seqio
from batch_contents import PAIRS
from fake_tasks import add_supervised_task, add_text_task, random_documents
from sample_sentences import SENTENCES

from mtmoe.data.vocabulary.sentence_pieces import SentencePieceVocabulary


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache directory for one test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MTMOE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def byte_vocabulary() -> seqio.Vocabulary:
    return seqio.ByteVocabulary(extra_ids=100)


@pytest.fixture(scope="session")
def small_vocabulary(tmp_path_factory) -> seqio.Vocabulary:
    """SentencePiece with byte fallback, 400 pieces and 100 sentinels."""
    prefix = tmp_path_factory.mktemp("vocabulary") / "small"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_prefix=str(prefix),
        vocab_size=400,
        byte_fallback=True,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return SentencePieceVocabulary(f"{prefix}.model", extra_ids=100)


@pytest.fixture
def bytes_configured():
    """The configured vocabulary is bytes for one test."""
    gin.parse_config("configured_vocabulary.factory = @byte_vocabulary")


@pytest.fixture
def mixture(byte_vocabulary, clean_registry):
    """Two texts of 100 and 20 rows, and 7 supervised examples."""
    add_text_task("large", random_documents(1, 7000), byte_vocabulary)
    add_text_task("small", random_documents(2, 1400), byte_vocabulary)
    add_supervised_task("pairs", PAIRS, byte_vocabulary)
    seqio.MixtureRegistry.add("mix", [("large", 5.0), ("small", 2), ("pairs", 1)])
    return "mix"
