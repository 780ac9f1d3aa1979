"""SentencePiece models as vocabularies: checked when loaded, text read as text."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import seqio
import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from mtmoe.errors import ConfigError

SENTINEL = re.compile(r"▁?<extra_id_(\d+)>")
"""What a sentinel's piece is called; the number is in the group."""

_CHECKED: set[tuple[str, int]] = set()  # files and their extra ids
# Loading is not thread-safe in SentencePiece.
_LOADING = threading.Lock()


class SentencePieceVocabulary(seqio.SentencePieceVocabulary):
    """SeqIO's, with text that spells a sentinel read as text.

    SeqIO declares sentinels as user-defined pieces, which SentencePiece finds in any
    text with ` <extra_id_0>` in it. Here they are pieces that no text is encoded as,
    like padding and end. Other texts have the tokens they have with SeqIO's class, and
    all ids decode to the same text. SeqIO's operations on tensors agree: they are made
    from `sp_model`.
    """

    @property
    def sp_model(self) -> bytes:
        """The serialised model that text is encoded with."""
        return self._loaded.model

    @property
    def declared_model(self) -> bytes:
        """The same with sentinels as SeqIO declares them, by which it is known."""
        return self._loaded.declared

    @property
    def tokenizer(self) -> Any:
        """The processor of `sp_model`."""
        return self._loaded.processor

    @property
    def _loaded(self) -> _Loaded:
        with _LOADING:
            return _load(self.sentencepiece_model_file, self.extra_ids)


class _Loaded(NamedTuple):
    model: bytes
    declared: bytes
    processor: Any


@functools.cache
def load_vocabulary(path: str, extra_ids: int) -> SentencePieceVocabulary:
    """Loads and checks a SentencePiece model.

    Args:
      path: the `.model` file.
      extra_ids: number of sentinels to add behind its pieces.

    Raises:
      ConfigError: there is no such model, or training cannot use it; the message names
        the file and all that is wrong.
    """
    vocabulary = SentencePieceVocabulary(path, extra_ids=extra_ids)
    try:
        model = vocabulary.tokenizer
    except (OSError, RuntimeError, DecodeError, tf.errors.OpError) as error:
        raise ConfigError(
            f"{path} is no readable SentencePiece model: {error}"
        ) from error
    proto = model_of(vocabulary)
    _refuse(path, [*_problems(model, proto), *_found_in_text(model, proto)])
    return vocabulary


def check_other(vocabulary: seqio.SentencePieceVocabulary) -> None:
    """Checks a vocabulary that a task brought along instead of the configured one.

    Raises:
      ConfigError: training cannot use it.
    """
    file = vocabulary.sentencepiece_model_file
    key = (file, vocabulary.extra_ids)
    if isinstance(vocabulary, SentencePieceVocabulary) or key in _CHECKED:
        return
    _refuse(file, [*_problems(vocabulary.tokenizer, model_of(vocabulary))])
    _CHECKED.add(key)


def model_of(vocabulary: seqio.SentencePieceVocabulary) -> Any:
    """Returns the parsed model (a `ModelProto`) that a vocabulary encodes with."""
    return _parsed(vocabulary.sp_model)


def sentinel_numbers(model: Any) -> dict[int, int]:
    """Returns the numbers of the sentinels of a parsed model, by id."""
    return {
        id_: int(match[1])
        for id_, piece in enumerate(model.pieces)
        if "<extra_id_" in piece.piece and (match := SENTINEL.fullmatch(piece.piece))
    }


@functools.lru_cache(maxsize=8)
def num_trailing_sentinels(model: bytes) -> int:
    """Returns how many sentinels stand at their places at the end of a model."""
    pieces = _parsed(model)
    last = len(pieces.pieces) - 1
    return sum(i == last - n for i, n in sentinel_numbers(pieces).items())


@functools.lru_cache(maxsize=8)
def _parsed(model: bytes) -> Any:
    from sentencepiece import sentencepiece_model_pb2

    return sentencepiece_model_pb2.ModelProto.FromString(model)


@functools.cache
def _load(path: str, extra_ids: int) -> _Loaded:
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto
    with tf.io.gfile.GFile(path, "rb") as file:
        model = proto.FromString(file.read())
    own = sentinel_numbers(model)
    if own and extra_ids:
        raise ConfigError(
            f"{path} holds {len(own)} sentinels of its own; extra_ids must be 0 with "
            f"it, got {extra_ids}"
        )
    for number in reversed(range(extra_ids)):
        model.pieces.add(
            piece=f"▁<extra_id_{number}>",
            score=0.0,
            type=proto.SentencePiece.USER_DEFINED,
        )
    declared = model.SerializeToString()
    for id_ in sentinel_numbers(model):
        model.pieces[id_].type = proto.SentencePiece.UNUSED
    serialized = model.SerializeToString()
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(serialized)
    return _Loaded(serialized, declared, processor)


def _refuse(path: str, problems: list[str]) -> None:
    if problems:
        raise ConfigError(f"{path} " + "; it ".join(problems))


def _problems(model: Any, proto: Any) -> Iterator[str]:
    """Says what is wrong with special ids, and with the places of sentinels."""
    fit = "fit the model with pad_id=0, eos_id=1, unk_id=2"
    pad, end, unknown = model.pad_id(), model.eos_id(), model.unk_id()
    if pad != 0:
        yield f"has padding id {pad}; it must be 0: {fit}"
    if end < 0:
        yield (
            f"has no end token (its end id is {end}), so that no model could learn "
            f"where a text ends: {fit}"
        )
    elif end == pad or not model.IsControl(end):
        yield (
            f"has the end id {end}, {model.IdToPiece(end)!r}, which is no control "
            f"token of its own: {fit}"
        )
    if unknown in (pad, end) or not model.IsUnknown(unknown):
        yield f"has the unknown id {unknown}, no unknown token of its own: {fit}"
    size = len(proto.pieces)
    numbers = sentinel_numbers(proto)
    misplaced = [id_ for id_, number in numbers.items() if id_ != size - 1 - number]
    if misplaced:
        first = misplaced[0]
        yield (
            f"has <extra_id_{numbers[first]}> at id {first}; sentinels must be the "
            f"last ids, <extra_id_0> the very last ({size - 1}) and each next one "
            f"before: fit it without them and give extra_ids={len(numbers)}"
        )


def _found_in_text(model: Any, proto: Any) -> Iterator[str]:
    """Spells special tokens in a text and looks whether they are found there."""
    control = proto.SentencePiece.CONTROL
    special = {i for i, piece in enumerate(proto.pieces) if piece.type == control}
    special |= sentinel_numbers(proto).keys()
    for id_ in sorted(special):
        name = proto.pieces[id_].piece.removeprefix("▁")
        if special.intersection(model.EncodeAsIds(f"a {name} b{name}")):
            yield (
                f"reads the text {name!r} as the special token {id_} (models of kind "
                "'word' do): fit one of kind 'unigram' or 'bpe'"
            )
            return
