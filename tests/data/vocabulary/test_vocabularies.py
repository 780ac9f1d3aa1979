from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import gin
import numpy as np
import pytest
import seqio
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from mtmoe.data.sources.embedded.corpus import EmbeddedCorpus, load_corpus
from mtmoe.data.sources.embedded.documents import LanguageText
from mtmoe.data.vocabulary import configured as vocabularies
from mtmoe.data.vocabulary import fitting as sentencepiece_training
from mtmoe.data.vocabulary.configured import (
    byte_vocabulary,
    configured_vocabulary,
    embedded_vocabulary,
    sentencepiece_vocabulary,
    token_bytes,
    vocabulary_fingerprint,
)
from mtmoe.data.vocabulary.fitting import (
    SentencePieceSettings,
    sample_lines,
    train_sentencepiece,
)
from mtmoe.errors import ConfigError

SMALL = SentencePieceSettings(size=400, characters=4_000)
HELD_OUT = "Zebras quickly vex the jumping wolf"
SYLLABLES = {"en": "ba ne ti ro lu sha", "el": "μα νε τι ρο λου σκα"}
DOCUMENTS = {
    code: tuple(
        f"{a}{b}{c} {c}{a} {b}{c}{b}\n{c}{b} {a}{a}"
        for a in syllables.split()
        for b in syllables.split()
        for c in syllables.split()
    )
    for code, syllables in SYLLABLES.items()
}
GIN_FILES = Path(__file__).parents[3] / "gin" / "vocabularies"


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vocabulary") / "small.model"
    path.write_bytes(train_sentencepiece(DOCUMENTS, SMALL))
    return path


@pytest.fixture(scope="session")
def small(model_file: Path) -> seqio.Vocabulary:
    return sentencepiece_vocabulary(str(model_file), extra_ids=100)


@pytest.fixture
def small_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The embedded corpus is two small languages, the cache an empty folder."""
    corpus = EmbeddedCorpus(
        texts={
            code: LanguageText({"train": texts, "validation": (HELD_OUT,)}, 1, {}, {})
            for code, texts in DOCUMENTS.items()
        },
        sources=(),
        missing=(),
    )
    monkeypatch.setattr(vocabularies, "load_corpus", lambda: corpus)
    monkeypatch.setenv("MTMOE_CACHE", str(tmp_path))
    vocabularies._fitted_model.cache_clear()
    yield
    vocabularies._fitted_model.cache_clear()


def test_ids_are_those_of_t5(small: seqio.Vocabulary) -> None:
    assert (small.pad_id, small.eos_id, small.unk_id) == (0, 1, 2)
    assert small.vocab_size == 500
    model = small.tokenizer
    assert model.IdToPiece(499) == "▁<extra_id_0>"
    assert model.IdToPiece(400) == "▁<extra_id_99>"
    assert sum(model.IsByte(i) for i in range(500)) == 256


def test_two_trainings_are_the_same_bytes(model_file: Path) -> None:
    assert train_sentencepiece(DOCUMENTS, SMALL) == model_file.read_bytes()


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0▁"))
)
def test_tokens_stand_for_the_very_bytes_of_a_text(
    small: seqio.Vocabulary, text: str
) -> None:
    ids = small.encode(text)
    assert small.decode(ids) == text
    assert token_bytes(small)[ids].sum() == len(text.encode())


def test_line_breaks_and_spaces_survive(small: seqio.Vocabulary) -> None:
    text = " bane\n\n  tiro \n"
    ids = small.encode(text)
    assert small.decode(ids) == text
    assert [small.tokenizer.IdToPiece(i) for i in ids].count("<0x0A>") == 3
    assert small.encode_tf(tf.constant(text)).numpy().tolist() == list(ids)


def test_special_tokens_and_sentinels_stand_for_no_bytes(
    small: seqio.Vocabulary,
) -> None:
    sizes = token_bytes(small)
    assert sizes.dtype == np.int32 and sizes.shape == (500,)
    assert not sizes[:3].any() and not sizes[400:].any() and sizes[3:400].all()


def test_a_byte_vocabulary_has_one_byte_a_token() -> None:
    vocabulary = byte_vocabulary(extra_ids=100)
    sizes = token_bytes(vocabulary)
    assert sizes.shape == (359,)
    ids = vocabulary.encode("ναί\n")
    assert sizes[ids].sum() == len("ναί\n".encode()) == sizes[ids].size
    assert not sizes[:3].any() and not sizes[259:].any()


def test_fingerprints_tell_vocabularies_apart(
    small: seqio.Vocabulary, model_file: Path
) -> None:
    others = [
        byte_vocabulary(extra_ids=100),
        byte_vocabulary(extra_ids=0),
        sentencepiece_vocabulary(str(model_file), extra_ids=0),
    ]
    prints = {vocabulary_fingerprint(v) for v in (small, *others)}
    assert len(prints) == 4
    copied = seqio.SentencePieceVocabulary(str(model_file), extra_ids=100)
    assert vocabulary_fingerprint(copied) == vocabulary_fingerprint(small)


def test_other_kinds_of_vocabulary_are_refused() -> None:
    other = seqio.PassThroughVocabulary(size=10)
    with pytest.raises(ConfigError, match="PassThroughVocabulary"):
        token_bytes(other)
    with pytest.raises(ConfigError, match="PassThroughVocabulary"):
        vocabulary_fingerprint(other)


def test_a_model_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs its model file"):
        sentencepiece_vocabulary()
    with pytest.raises(ConfigError, match="absent.model is no readable"):
        sentencepiece_vocabulary(str(tmp_path / "absent.model"))
    (tmp_path / "bad.model").write_bytes(b"no model")
    with pytest.raises(ConfigError, match="bad.model is no readable"):
        sentencepiece_vocabulary(str(tmp_path / "bad.model"))


def test_too_little_text_for_a_vocabulary_is_an_error() -> None:
    with pytest.raises(ConfigError, match="cannot fit 9000 pieces.*too high"):
        train_sentencepiece(DOCUMENTS, SentencePieceSettings(size=9_000))


def test_a_model_with_another_padding_id_is_refused(
    tmp_path: Path, model_file: Path
) -> None:
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto.FromString(model_file.read_bytes())
    model.pieces[0].piece, model.pieces[1].piece = "</s>", "<pad>"
    (tmp_path / "other.model").write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match="padding id 1; it must be 0"):
        sentencepiece_vocabulary(str(tmp_path / "other.model"))


def test_nothing_is_read_before_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> EmbeddedCorpus:
        raise AssertionError("read")

    monkeypatch.setattr(vocabularies, "load_corpus", refuse)
    vocabularies._fitted_model.cache_clear()
    vocabulary = configured_vocabulary()
    seqio.Feature(vocabulary)
    assert repr(vocabulary) == "configured_vocabulary()"
    with pytest.raises(AssertionError, match="read"):
        vocabulary.encode("a")


def test_the_proxy_follows_gin(model_file: Path, small: seqio.Vocabulary) -> None:
    proxy = configured_vocabulary()
    gin.parse_config("configured_vocabulary.factory = @byte_vocabulary")
    assert proxy.vocab_size == 359
    gin.parse_config("byte_vocabulary.extra_ids = 10")
    assert (proxy.vocab_size, proxy.extra_ids) == (269, 10)
    gin.clear_config()
    gin.parse_config(
        f"""
        configured_vocabulary.factory = @sentencepiece_vocabulary
        sentencepiece_vocabulary.path = '{model_file}'
        sentencepiece_vocabulary.extra_ids = 100
        """
    )
    assert vocabulary_fingerprint(proxy) == vocabulary_fingerprint(small)
    assert (token_bytes(proxy) == token_bytes(small)).all()


def test_the_proxy_does_all_that_the_vocabulary_behind_it_does() -> None:
    gin.parse_config("configured_vocabulary.factory = @byte_vocabulary")
    proxy, real = configured_vocabulary(), byte_vocabulary()
    text = "ein Satz\n"
    ids = real.encode(text)
    assert list(proxy.encode(text)) == list(ids)
    assert proxy.decode([*ids, 1, 5]) == real.decode([*ids, 1, 5])
    assert proxy._decode(proxy._encode(text)) == text
    for name in ("bos_id", "eos_id", "pad_id", "unk_id", "vocab_size", "extra_ids"):
        assert getattr(proxy, name) == getattr(real, name), name
    assert proxy._base_vocab_size == real._base_vocab_size
    assert "ByteVocabulary" in str(proxy)


def test_the_proxy_works_in_a_tensorflow_graph() -> None:
    gin.parse_config("configured_vocabulary.factory = @byte_vocabulary")
    proxy = configured_vocabulary()
    dataset = tf.data.Dataset.from_tensors("ναί").map(proxy.encode_tf)
    (ids,) = dataset.as_numpy_iterator()
    assert proxy.decode(ids.tolist()) == "ναί"
    decoded = tf.function(proxy.decode_tf)(tf.constant([[*ids, 1, 7]]))
    assert decoded.numpy()[0].decode() == "ναί"
    assert proxy._decode_tf(proxy._encode_tf("x")).numpy() == b"x"


def test_copies_and_pickles_of_the_proxy_are_the_proxy() -> None:
    proxy = configured_vocabulary()
    assert copy.deepcopy(proxy) is copy.copy(proxy) is proxy
    assert pickle.loads(pickle.dumps(proxy)) is proxy
    assert configured_vocabulary() is proxy
    assert seqio.Feature(proxy) == seqio.Feature(configured_vocabulary())


def test_tasks_of_a_mixture_agree_on_it() -> None:
    gin.parse_config("configured_vocabulary.factory = @byte_vocabulary")
    names = [f"test_vocabularies.{n}" for n in range(2)]
    for name in names:
        seqio.TaskRegistry.add(
            name,
            source=seqio.FunctionDataSource(
                lambda split, shuffle_files, seed=None: tf.data.Dataset.from_tensors(
                    {"targets": "one"}
                ),
                splits=["train"],
            ),
            preprocessors=[seqio.preprocessors.tokenize],
            output_features={"targets": seqio.Feature(configured_vocabulary())},
        )
    seqio.MixtureRegistry.add("test_vocabularies.both", names, default_rate=1)
    mixture = seqio.get_mixture_or_task("test_vocabularies.both")
    try:
        dataset = mixture.get_dataset({"targets": 8}, "train", shuffle=False)
        example = next(dataset.as_numpy_iterator())
        assert example["targets"].tolist() == [3 + byte for byte in b"one"]
    finally:
        seqio.MixtureRegistry.remove("test_vocabularies.both")
        for name in names:
            seqio.TaskRegistry.remove(name)


def test_the_embedded_vocabulary_is_fitted_once(
    small_corpus: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = embedded_vocabulary(size=400, characters=4_000)
    assert first.vocab_size == 500
    assert "fitting 400 pieces" in capsys.readouterr().err
    (path,) = tmp_path.rglob("*.model")
    vocabularies._fitted_model.cache_clear()
    again = embedded_vocabulary(size=400, characters=4_000)
    assert vocabulary_fingerprint(again) == vocabulary_fingerprint(first)
    assert capsys.readouterr().err == ""
    embedded_vocabulary(size=390, characters=4_000)
    assert len(list(tmp_path.rglob("*.model"))) == 2


def test_held_out_text_is_never_fitted_on(
    small_corpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Mapping[str, Sequence[str]]] = []

    def train(
        documents: Mapping[str, Sequence[str]], settings: SentencePieceSettings
    ) -> bytes:
        seen.append(documents)
        return train_sentencepiece(documents, settings)

    monkeypatch.setattr(vocabularies, "train_sentencepiece", train)
    embedded_vocabulary(size=400, characters=4_000)
    assert seen == [DOCUMENTS]
    lines = sample_lines(seen[0], SMALL)
    assert HELD_OUT not in lines and set(lines) <= {
        line for texts in DOCUMENTS.values() for t in texts for line in t.split("\n")
    }


def test_languages_are_sampled_by_size_to_the_alpha() -> None:
    documents = {
        code: [f"{code} {n:06d}" for n in range(size)]
        for code, size in {"aa": 80_000, "bb": 10_000}.items()
    }
    settings = SentencePieceSettings(alpha=1 / 3, characters=60_000)
    lines = sample_lines(documents, settings)
    share = sum(line.startswith("aa") for line in lines) / len(lines)
    assert share == pytest.approx(2 / 3, abs=0.01)  # (8 : 1) to the power of 1/3
    assert len(set(lines)) == len(lines)
    assert lines == sample_lines(documents, settings)


def test_pieces_do_not_depend_on_the_number_of_threads(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentencepiece import sentencepiece_model_pb2

    def pieces(model: bytes) -> list[str]:
        proto = sentencepiece_model_pb2.ModelProto.FromString(model)
        return [piece.piece for piece in proto.pieces]

    monkeypatch.setattr(sentencepiece_training, "_NUM_THREADS", 5)
    other = train_sentencepiece(DOCUMENTS, SMALL)
    assert pieces(other) == pieces(model_file.read_bytes())


@pytest.mark.parametrize("name", ["bytes", "embedded", "mt5"])
def test_the_gin_files_choose_a_vocabulary(
    name: str, model_file: Path, small_corpus: None
) -> None:
    gin.parse_config_file(str(GIN_FILES / f"{name}.gin"))
    gin.parse_config(
        f"""
        sentencepiece_vocabulary.path = '{model_file}'
        embedded_vocabulary.size = 400
        """
    )
    expected = {"bytes": 359, "embedded": 500, "mt5": 400}
    assert configured_vocabulary().vocab_size == expected[name]


@pytest.mark.slow
def test_the_vocabulary_of_the_whole_corpus() -> None:
    corpus = load_corpus()
    vocabulary = embedded_vocabulary()
    assert vocabulary.vocab_size == 16_100
    sizes = token_bytes(vocabulary)
    characters_per_token = []
    for code in corpus.languages:
        characters = tokens = 0
        for document in corpus.documents(code, "validation"):
            ids = vocabulary.encode(document)
            assert sizes[ids].sum() == len(document.encode()), code
            assert vocabulary.decode(ids) == document, code
            characters, tokens = characters + len(document), tokens + len(ids)
        characters_per_token.append(characters / tokens)
    assert np.mean(characters_per_token) > 2.0
    documents = {code: corpus.documents(code, "train") for code in corpus.languages}
    settings = SentencePieceSettings()
    model = train_sentencepiece(documents, settings)
    assert Path(vocabulary.sentencepiece_model_file).read_bytes() == model
