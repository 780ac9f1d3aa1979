"""A SentencePiece vocabulary as the files a tokenizer of transformers is loaded from.

`spiece.model` alone is read by their T5 tokenizer as if it were T5's own: text split at
spaces, one put in front, no bytes for characters without a piece. `tokenizer.json` says
how this vocabulary treats text, so that both give the same ids. Sentinels stand where
T5 has them: `<extra_id_0>` is the last id, `<extra_id_1>` the one before.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any, NamedTuple

import seqio
from sentencepiece import sentencepiece_model_pb2

from mtmoe.data.vocabulary.configured import vocabulary_behind
from mtmoe.surgery.huggingface.files import write_json

MODEL_FILE = "spiece.model"
_SENTINEL = re.compile(r"▁?(<extra_id_\d+>)")
_SPACE = "▁"  # how SentencePiece writes a space
_UNIGRAM, _CONTROL = 1, 3  # of SentencePiece's own enumerations


class _SpecialIds(NamedTuple):
    """As SentencePiece finds them in the pieces; what a trainer wrote may differ."""

    pad: int
    eos: int
    unk: int
    bos: int


def write_tokenizer(folder: Path, vocabulary: seqio.Vocabulary) -> str | None:
    """Writes spiece.model, tokenizer.json and tokenizer_config.json.

    Returns:
      Why nothing was written, if these files cannot hold such a vocabulary.
    """
    vocabulary = vocabulary_behind(vocabulary)
    if not isinstance(vocabulary, seqio.SentencePieceVocabulary):
        return f"a {type(vocabulary).__name__} is no SentencePiece model"
    proto = sentencepiece_model_pb2.ModelProto.FromString(vocabulary.sp_model)
    rules = proto.normalizer_spec
    if proto.trainer_spec.model_type != _UNIGRAM:
        return "its SentencePiece model is not of the unigram kind"
    if rules.add_dummy_prefix != rules.remove_extra_whitespaces:
        return "its SentencePiece model treats spaces as no tokenizer.json can say"
    model_file = Path(vocabulary.sentencepiece_model_file)
    (folder / MODEL_FILE).write_bytes(model_file.read_bytes())
    model = vocabulary.tokenizer
    ids = _SpecialIds(model.pad_id(), model.eos_id(), model.unk_id(), model.bos_id())
    write_json(folder / "tokenizer.json", _tokenizer(proto, ids))
    write_json(folder / "tokenizer_config.json", _tokenizer_config(proto, ids))
    return None


def extra_ids_of(model_file: Path, default: int) -> int:
    """Returns how many sentinels a model lacks: `default` for T5's, none for mT5's."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model_file.read_bytes())
    has_sentinels = any(_SENTINEL.fullmatch(piece.piece) for piece in proto.pieces)
    return 0 if has_sentinels else default


def _tokenizer(proto: Any, ids: _SpecialIds) -> dict[str, Any]:
    trains_bytes = proto.trainer_spec.byte_fallback
    prefix = proto.normalizer_spec.add_dummy_prefix
    end = proto.pieces[ids.eos].piece
    decoders = [
        {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(proto, ids.unk),
        "normalizer": _normalizer(proto.normalizer_spec),
        "pre_tokenizer": {
            "type": "Metaspace",
            "replacement": _SPACE,
            "prepend_scheme": "first" if prefix else "never",
            "split": False,
        },
        "post_processor": _append(end, ids.eos),
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "Unigram",
            "unk_id": ids.unk,
            "vocab": [[_name(piece.piece), piece.score] for piece in proto.pieces],
            "byte_fallback": trains_bytes,
        },
    }


def _name(piece: str) -> str:
    """Returns a piece's name, a sentinel's without the space in front."""
    sentinel = _SENTINEL.fullmatch(piece)
    return sentinel[1] if sentinel else piece


def _added_tokens(proto: Any, unk_id: int) -> list[dict[str, Any]]:
    """Tokens that are found before text is cut into pieces."""
    tokens = []
    for id_, piece in enumerate(proto.pieces):
        is_sentinel = bool(_SENTINEL.fullmatch(piece.piece))
        is_control = piece.type == _CONTROL or id_ == unk_id
        if is_sentinel or is_control:
            tokens.append(
                {
                    "id": id_,
                    "content": _name(piece.piece),
                    "single_word": False,
                    # SentencePiece puts the space before a sentinel into its piece.
                    "lstrip": is_sentinel,
                    "rstrip": False,
                    "normalized": False,
                    "special": True,
                }
            )
    return tokens


def _normalizer(rules: Any) -> dict[str, Any] | None:
    steps: list[dict[str, Any]] = []
    if rules.precompiled_charsmap:
        charsmap = base64.b64encode(rules.precompiled_charsmap).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    if rules.remove_extra_whitespaces:
        pattern = {"Regex": " {2,}"}
        steps.append({"type": "Replace", "pattern": pattern, "content": " "})
        # One space in front is the one that would be put there.
        steps.append({"type": "Strip", "strip_left": False, "strip_right": True})
    return {"type": "Sequence", "normalizers": steps} if steps else None


def _append(end: str, end_id: int) -> dict[str, Any]:
    def part(kind: str, name: str) -> dict[str, Any]:
        return {kind: {"id": name, "type_id": 0}}

    ended = [part("Sequence", "A"), part("SpecialToken", end)]
    return {
        "type": "TemplateProcessing",
        "single": ended,
        "pair": [*ended, part("Sequence", "B"), part("SpecialToken", end)],
        "special_tokens": {end: {"id": end, "ids": [end_id], "tokens": [end]}},
    }


def _tokenizer_config(proto: Any, ids: _SpecialIds) -> dict[str, Any]:
    sentinels = [
        match[1]
        for piece in proto.pieces
        if (match := _SENTINEL.fullmatch(piece.piece))
    ]
    begin = {"bos_token": proto.pieces[ids.bos].piece} if ids.bos >= 0 else {}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": proto.pieces[ids.pad].piece,
        "eos_token": proto.pieces[ids.eos].piece,
        "unk_token": proto.pieces[ids.unk].piece,
        **begin,
        "additional_special_tokens": sentinels[::-1],
        "clean_up_tokenization_spaces": False,
    }
