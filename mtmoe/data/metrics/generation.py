"""Written text against references: ROUGE, BLEU, chrF++, spBLEU, SARI.

A target is one reference or a list of them; examples may have different numbers.
Counted by `rouge_score` and `sacrebleu`. A prediction that equals a reference scores
100, however short it is; published scores of longer texts are not changed by that.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sacrebleu
from sacrebleu.tokenizers import tokenizer_spm
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from mtmoe.data.metrics.alignment import check_aligned, references_of
from mtmoe.data.metrics.words import UnicodeWords, check_spaced
from mtmoe.errors import CorpusError
from mtmoe.languages import spaces_words

References = str | Sequence[str]
Metric = Callable[[Sequence[References], Sequence[str]], dict[str, float]]
NGram = tuple[str, ...]

ROUGE_KEYS = ("rouge1", "rouge2", "rougeLsum")
"""t5's keys; `rougeL` is known too."""

_SARI_ORDER = 4


def rouge(
    targets: Sequence[References],
    predictions: Sequence[str],
    keys: Sequence[str] = ROUGE_KEYS,
) -> dict[str, float]:
    """Returns mean F of ROUGE (Lin 2004), the best over the references.

    Words are runs of ASCII letters and digits, not stemmed: English only, see
    `multilingual_rouge`. As `t5.evaluation.metrics.rouge`, which returns the median of
    random resamples; this is the mean they scatter about, the same every time. Lines of
    a text are the sentences of `rougeLsum`; `keys` are names of `rouge_score`.

    Raises:
      CorpusError: most of the targets are in a script without spaces between words.
    """
    check_spaced(
        [references_of(t) for t in targets], "rouge", "multilingual_rouge(LANGUAGE)"
    )
    return _mean_rouge(targets, predictions, keys, tokenizer=None)


def multilingual_rouge_keys(
    language: str, keys: Sequence[str] = ROUGE_KEYS
) -> tuple[str, ...]:
    """Returns the names of what `multilingual_rouge` gives: `rouge1_char` for Thai."""
    end = "" if not language or spaces_words(language) else "_char"
    return tuple(key + end for key in keys)


@functools.cache
def multilingual_rouge(language: str, keys: tuple[str, ...] = ROUGE_KEYS) -> Metric:
    """Returns a metric: ROUGE over words of any script.

    Words are what `UnicodeWords` makes: characters where a script does not separate
    words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), else runs of letters and
    digits with their marks, in lower case. On ASCII text it is `rouge`. In languages
    written without spaces the values are named `rouge1_char` ..., since characters are
    right more often than words.
    """
    tokenizer = UnicodeWords(language)

    def metric(
        targets: Sequence[References], predictions: Sequence[str]
    ) -> dict[str, float]:
        values = _mean_rouge(targets, predictions, keys, tokenizer)
        names = multilingual_rouge_keys(language, keys)
        return {name: values[key] for name, key in zip(names, keys, strict=True)}

    metric.__name__ = f"multilingual_rouge_{language}"
    return metric


def bleu(targets: Sequence[References], predictions: Sequence[str]) -> dict[str, float]:
    """Returns `bleu` of the corpus, with sacrebleu's international tokeniser.

    t5's settings, but for two: references are taken example by example, and orders that
    no prediction is long enough for are left out (without that, a corpus of short texts
    scores 0 when perfect).

    Raises:
      CorpusError: most of the targets are in a script without spaces between words.
    """
    check_spaced([references_of(t) for t in targets], "bleu", "bleu_char")
    return {"bleu": _bleu(targets, predictions, "intl")}


def bleu_char(
    targets: Sequence[References], predictions: Sequence[str]
) -> dict[str, float]:
    """Returns `bleu_char` of the corpus: BLEU over characters (sacrebleu's tok:char).

    For scripts without spaces between words, and for targets of several scripts. It is
    far above `bleu` for the same share of mistakes: the two are never compared.
    """
    return {"bleu_char": _bleu(targets, predictions, "char")}


def bleu_in(language: str) -> Metric:
    """Returns `bleu`, or `bleu_char` for a language without spaces between words."""
    return bleu if spaces_words(language) else bleu_char


def spbleu(
    targets: Sequence[References], predictions: Sequence[str]
) -> dict[str, float]:
    """Returns `spbleu`: BLEU over the pieces of FLORES-200's SentencePiece model.

    The measure of NLLB (Costa-jussà et al. 2022). Nothing is downloaded.

    Raises:
      CorpusError: the model is not on this machine; the message says where it belongs.
    """
    path = spbleu_model_path()
    if not os.path.exists(path):
        raise CorpusError(
            f"spBLEU needs FLORES-200's SentencePiece model as {path}; download "
            f"{tokenizer_spm.SPM_MODELS['flores200']['url']} to that name, or set "
            "$SACREBLEU to a folder that has it under models/"
        )
    return {"spbleu": _bleu(targets, predictions, "flores200")}


def spbleu_model_path() -> str:
    """Returns where sacrebleu looks for FLORES-200's SentencePiece model."""
    name = os.path.basename(tokenizer_spm.SPM_MODELS["flores200"]["url"])
    return os.path.join(tokenizer_spm.SACREBLEU_DIR, "models", name)


def chrf_plus_plus(
    targets: Sequence[References], predictions: Sequence[str]
) -> dict[str, float]:
    """Returns `chrf++` of the corpus: F2 of characters to 6, words to 2 (Popović 2017).

    sacrebleu's signature nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no.
    """
    check_aligned(targets, predictions)
    score = sacrebleu.CHRF(word_order=2).corpus_score(
        list(predictions), _streams(targets)
    )
    return {"chrf++": float(score.score)}


def sari(
    targets: Sequence[Mapping[str, Any]], predictions: Sequence[str]
) -> dict[str, float]:
    """Returns `sari`: how well what is kept, added and deleted agrees (Xu et al. 2016).

    The mean over examples of F of kept, F of added and precision of deleted n-grams up
    to 4, on lower-case 13a tokens. Where there is nothing to keep, add or delete and
    nothing is, that part is 1 (the authors' script says 0), so that a prediction equal
    to the only reference scores 100. With several references that differ no prediction
    reaches 100.

    Args:
      targets: mappings with `source`, the text to simplify, and `references`, a text
        or a list of them.
      predictions: simplified texts.
    """
    check_aligned(targets, predictions)
    total = 0.0
    for target, prediction in zip(targets, predictions, strict=True):
        references = references_of(target["references"])
        total += _sari(target["source"], prediction, references)
    return {"sari": 100.0 * total / len(targets)}


def _mean_rouge(
    targets: Sequence[References],
    predictions: Sequence[str],
    keys: Sequence[str],
    tokenizer: UnicodeWords | None,
) -> dict[str, float]:
    check_aligned(targets, predictions)
    from rouge_score import rouge_scorer  # with nltk: half a second of every command

    scorer = rouge_scorer.RougeScorer(list(keys), tokenizer=tokenizer)
    sums = dict.fromkeys(keys, 0.0)
    for target, prediction in zip(targets, predictions, strict=True):
        references = [_sentences(text) for text in references_of(target)]
        text = _sentences(prediction)
        if text.split() in [reference.split() for reference in references]:
            # A text of one word has no bigrams: rouge2 would be 0.
            scores = dict.fromkeys(keys, 1.0)
        else:
            counted = scorer.score_multi(references, text)
            scores = {key: counted[key].fmeasure for key in keys}
        for key in keys:
            sums[key] += scores[key]
    return {key: 100.0 * value / len(targets) for key, value in sums.items()}


def _sentences(summary: str) -> str:
    """Puts each sentence of tokenised text on a line, as t5 does."""
    return summary.replace(" . ", " .\n")


def _bleu(
    targets: Sequence[References], predictions: Sequence[str], tokenizer: str
) -> float:
    check_aligned(targets, predictions)
    counter = sacrebleu.BLEU(tokenize=tokenizer, effective_order=True, force=True)
    score = counter.corpus_score(list(predictions), _streams(targets)).score
    return min(100.0, float(score))  # exp and log may give 100.00000000000004


def _streams(targets: Sequence[References]) -> list[tuple[str | None, ...]]:
    """References as sacrebleu takes them: all first ones, all second ones, ...

    An example with fewer references than another has None in the later streams.
    """
    return list(itertools.zip_longest(*map(references_of, targets)))


def _sari(source: str, prediction: str, references: Sequence[str]) -> float:
    tokenize = Tokenizer13a()
    words = [tokenize(t.lower()).split() for t in (source, prediction, *references)]
    total = 0.0
    for order in range(1, _SARI_ORDER + 1):
        before, after, *wanted = (_ngrams(text, order) for text in words)
        # Kept and deleted: an n-gram of one of r references weighs 1 / r. Added: one
        # reference is as good as all.
        goal: dict[NGram, float] = {}
        for gram, count in itertools.chain.from_iterable(w.items() for w in wanted):
            goal[gram] = goal.get(gram, 0.0) + count / len(wanted)
        kept = {g: min(n, after[g]) for g, n in before.items()}
        to_keep = {g: min(n, goal.get(g, 0.0)) for g, n in before.items()}
        added = dict.fromkeys(after.keys() - before.keys(), 1.0)
        to_add = dict.fromkeys(goal.keys() - before.keys(), 1.0)
        deleted = {g: n - kept[g] for g, n in before.items()}
        to_delete = {g: n - to_keep[g] for g, n in before.items()}
        total += _f(*_agreement(kept, to_keep)) + _f(*_agreement(added, to_add))
        total += _agreement(deleted, to_delete)[0]
    return total / (3 * _SARI_ORDER)


def _ngrams(words: Sequence[str], order: int) -> Counter[NGram]:
    return Counter(zip(*(words[start:] for start in range(order)), strict=False))


def _agreement(
    done: Mapping[NGram, float], wanted: Mapping[NGram, float]
) -> tuple[float, float]:
    """Precision and recall, each 1 where it is 0 / 0."""
    common = sum(min(count, wanted.get(gram, 0.0)) for gram, count in done.items())
    precision = common / sum(done.values()) if any(done.values()) else 1.0
    recall = common / sum(wanted.values()) if any(wanted.values()) else 1.0
    return precision, recall


def _f(precision: float, recall: float) -> float:
    if not precision + recall:
        return 0.0
    return 2.0 * precision * recall / (precision + recall)
