"""SentencePiece models fitted on five sentences: as ours, and as T5's."""

from __future__ import annotations

import io
from typing import Any

import sentencepiece

from mtmoe.data.vocabulary.fitting import (
    SentencePieceSettings,
    train_sentencepiece,
)

LINES = [
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "人人生而自由，在尊严和权利上一律平等。",
    "كل الناس يولدون أحرارا متساوين في الكرامة والحقوق.",
]


_T5 = {
    "vocab_size": 100,
    "pad_id": 0,
    "eos_id": 1,
    "unk_id": 2,
    "bos_id": -1,
    "minloglevel": 2,
}


def own_model() -> bytes:
    """Bytes for rare characters, spaces as they are."""
    settings = SentencePieceSettings(size=340, characters=10_000, coverage=0.98)
    return train_sentencepiece({"de": LINES * 3}, settings)


def t5_model(**options: Any) -> bytes:
    """Normalized text, one space in front, no bytes; `options` are the trainer's."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 3),
        model_writer=model,
        model_type=options.pop("model_type", "unigram"),
        **dict(_T5, **options),
    )
    return model.getvalue()
