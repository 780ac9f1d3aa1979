"""How much there is of a task: examples, characters or tokens of its training split."""

from __future__ import annotations

import seqio

from mtmoe.data.mixing.encoding import language_encoding
from mtmoe.data.mixing.web_sizes import web_text_size
from mtmoe.data.sources.pairs import PairSource
from mtmoe.data.sources.text import TextSource
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.data.tasks.card import task_card
from mtmoe.data.tasks.form import EXAMPLES, TEXT, task_form
from mtmoe.data.token_cache.reader import CachedSplit
from mtmoe.data.token_cache.store import open_split
from mtmoe.errors import ConfigError
from mtmoe.languages import language


def task_size(task: seqio.Task, unit: str) -> float:
    """Returns the size of a task's training split in examples, characters or tokens.

    What the card says is taken before the data is read. Web text is counted or
    estimated (`web_text_size`). Tokens are counted where the text is at hand; otherwise
    they are characters divided by the characters a token stands for in the task's
    language (`language_encoding`).

    Raises:
      ConfigError: neither the card nor the source tells.
      CorpusError: web text that is not there or cannot be read.
    """
    value = _tokens(task) if unit == "tokens" else _stated_or_counted(task, unit)
    if not value:
        raise ConfigError(
            f"task {task.name!r} has no count of training {unit}: its card has none "
            f"and its source is {type(task.source).__name__}. Count it in another unit "
            "(the policy's `unit`), or give it a weight by hand"
        )
    return float(value)


def tokens_at_hand(task: seqio.Task) -> CachedSplit | None:
    """Returns the training tokens of a task if they are at hand, otherwise None.

    They are if it is of text that is at hand, or of examples that Python makes and can
    name beforehand. Web text is too much to count in passing.
    """
    if "train" not in task.splits:
        return None
    source, kind = task.source, task_form(task).kind
    if isinstance(source, PairSource):
        is_at_hand = source.fingerprint is not None and kind == EXAMPLES
    else:
        is_at_hand = (
            isinstance(source, TextSource)
            and not isinstance(source, WebTextSource)
            and kind == TEXT
            and not task_card(task).train_characters
        )
    return open_split(task, "train") if is_at_hand else None


def _stated_or_counted(task: seqio.Task, unit: str) -> float | None:
    card, source = task_card(task), task.source
    stated = card.train_examples if unit == "examples" else card.train_characters
    if stated or "train" not in task.splits:
        return stated
    if isinstance(source, WebTextSource):
        size = web_text_size(source, _vocabulary(task))
        return size.pages if unit == "examples" else size.characters
    if unit == "examples":
        tokens = tokens_at_hand(task) if isinstance(source, PairSource) else None
        if tokens is not None:
            return tokens.num_examples
        return source.num_input_examples("train")
    if isinstance(source, TextSource):
        return source.num_characters("train")
    if isinstance(source, PairSource):
        return sum(
            len(example["inputs"]) + len(example["targets"])
            for example in source.examples("train")
        )
    return None


def _tokens(task: seqio.Task) -> float | None:
    tokens = tokens_at_hand(task)
    if tokens is not None:
        return tokens.num_tokens
    card = task_card(task)
    if isinstance(task.source, WebTextSource) and not card.train_characters:
        return web_text_size(task.source, _vocabulary(task)).tokens
    characters, code = _stated_or_counted(task, "characters"), card.language
    if not characters or not code:
        return None
    encoding = language_encoding(code)
    if encoding is None:
        raise ConfigError(
            f"the embedded corpus has no text in {code!r} or in its script "
            f"{language(code).script}, so its characters cannot be counted in tokens"
        )
    return characters / encoding.characters_per_token


def _vocabulary(task: seqio.Task) -> seqio.Vocabulary:
    return task.output_features["targets"].vocabulary
