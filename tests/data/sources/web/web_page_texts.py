"""Prose of several languages, as pages: the validation prose of the embedded corpus."""

from __future__ import annotations

from mtmoe.data.sources.embedded.corpus import load_corpus

LANGUAGES = ("sw", "iw", "fil", "zh", "ru", "de")


def prose(code: str) -> list[str]:
    """Two pages of a language."""
    paragraphs = load_corpus().validation_prose(code)
    half = len(paragraphs) // 2
    return ["\n".join(paragraphs[:half]), "\n".join(paragraphs[half:])]
