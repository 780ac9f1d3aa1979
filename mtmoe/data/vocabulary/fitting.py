"""Fits SentencePiece models, the same bytes every time."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mtmoe.errors import ConfigError
from mtmoe.ranges import Count, Fraction, Share, check_fields

# Fixed, whatever the machine has: sums of floats depend on how they are split up.
_NUM_THREADS = 2
_MAX_SENTENCE_BYTES = 1 << 16


@dataclass(frozen=True)
class SentencePieceSettings:
    """How a SentencePiece unigram model is fitted (Kudo 2018).

    Attributes:
      size: number of pieces, with padding, end, unknown and the 256 bytes.
      alpha: languages are sampled in proportion to (characters)^alpha, as mT5's
        vocabulary was (Xue et al. 2021, section 3.1).
      characters: how many characters of training text are sampled.
      coverage: share of all characters that become pieces; bytes spell the others.
    """

    size: Count = 16_000
    alpha: Fraction = 0.3
    characters: Count = 2_000_000
    coverage: Share = 0.9995

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_fields(self, "embedded_vocabulary")


def sample_lines(
    documents: Mapping[str, Sequence[str]], settings: SentencePieceSettings
) -> list[str]:
    """Draws lines of every language, without replacement.

    A language gets `characters` times its share of the sum of n^alpha, or all it has.

    Args:
      documents: training documents by language.
      settings: `alpha` and `characters` are used.
    """
    sizes = {code: sum(map(len, texts)) for code, texts in documents.items()}
    rates = {code: size**settings.alpha for code, size in sizes.items() if size}
    total = sum(rates.values())
    sampled = []
    for code, rate in sorted(rates.items()):
        lines = [line for text in documents[code] for line in text.split("\n")]
        random.Random(f"vocabulary/{code}").shuffle(lines)
        left = settings.characters * rate / total
        for line in lines:
            if left <= 0:
                break
            sampled.append(line)
            left -= len(line)
    return sampled


def train_sentencepiece(
    documents: Mapping[str, Sequence[str]], settings: SentencePieceSettings
) -> bytes:
    """Fits a unigram model and returns it serialised.

    Text is taken as it is: no normalisation, no added space, no space removed, so that
    the pieces of a text are its very bytes. A line break is in no piece; the byte piece
    `<0x0A>` stands for it. Ids are T5's: padding 0, end 1, unknown 2.

    Args:
      documents: training documents by language. Never give it held-out text.
      settings: how to sample and fit.

    Raises:
      ConfigError: the text does not have as many pieces as the settings ask for.
    """
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sample_lines(documents, settings)),
            model_writer=model,
            model_type="unigram",
            vocab_size=settings.size,
            character_coverage=settings.coverage,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=_NUM_THREADS,
            max_sentence_length=_MAX_SENTENCE_BYTES,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ConfigError(f"cannot fit {settings.size} pieces: {error}") from error
    return model.getvalue()
