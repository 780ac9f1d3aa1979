"""Prints the corpus's counts as Markdown.

python -m mtmoe.data.sources.embedded.table
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mtmoe.data.sources.embedded.corpus import EmbeddedCorpus, load_corpus
from mtmoe.languages import language


def counts_table(corpus: EmbeddedCorpus) -> str:
    """Returns characters by source and by split, a row a language, as Markdown."""
    return "\n".join(map(_row, _cells(corpus))) + "\n"


def sources_table(corpus: EmbeddedCorpus) -> str:
    """Returns what each package gave, and what was dropped of it, as Markdown."""
    head = ["source", "version", "languages", "characters"]
    reasons = ["duplicate", "held_out", "leak"]
    rows: list[list[str]] = [[*head, *reasons], ["---"] * (len(head) + len(reasons))]
    for source in corpus.sources:
        dropped = [f"{source.dropped.get(reason, 0):,}" for reason in reasons]
        languages = str(len(source.languages))
        characters = f"{source.characters:,}"
        rows.append([source.name, source.version, languages, characters, *dropped])
    return "\n".join(map(_row, rows)) + "\n"


def _cells(corpus: EmbeddedCorpus) -> Iterator[list[str]]:
    names = [source.name for source in corpus.sources]
    yield ["code", "language", *names, "training", "validation", "total"]
    yield ["---"] * (len(names) + 5)
    totals = [0] * (len(names) + 3)
    for code in corpus.languages:
        by_source = [corpus.texts[code].characters.get(name, 0) for name in names]
        validation = sum(
            len(line)
            for document in corpus.documents(code, "validation")
            for line in document.split("\n")
        )
        total = sum(by_source)
        counts = [*by_source, total - validation, validation, total]
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
        yield [code, language(code).name, *(f"{count:,}" for count in counts)]
    yield ["", "all", *(f"{count:,}" for count in totals)]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    corpus = load_corpus()
    print(sources_table(corpus))
    print(counts_table(corpus), end="")
