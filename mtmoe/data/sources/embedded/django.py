"""Interface messages of Django and its applications, keyed by the English message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mtmoe.data.sources.embedded.package import (
    Passage,
    SourcePackage,
    locate_python_package,
)

# Django's folders for a language, where they differ from mC4's code. Serbian is
# Cyrillic in mC4, so `sr_Latn` is not read; nor is `ckb`, Kurdish in Arabic script.
_LOCALES = {
    "es": ("es", "es_AR", "es_CO", "es_MX", "es_VE"),
    "iw": ("he",),
    "no": ("nb",),
    "pt": ("pt", "pt_BR"),
    "zh": ("zh_Hans", "zh_Hant"),
}


def locales(code: str) -> tuple[str, ...]:
    """Returns the names Django's folders of a language may have."""
    return _LOCALES.get(code, (code,))


def _files(root: Path, code: str) -> tuple[Path, ...]:
    # English is the language of the keys: its catalogues hold no translations and
    # ship as source only.
    suffix = "po" if code == "en" else "mo"
    return tuple(
        path
        for locale in locales(code)
        for folder in ("conf", "contrib/*")
        for path in sorted(
            root.glob(f"{folder}/locale/{locale}/LC_MESSAGES/*.{suffix}")
        )
    )


def _read(root: Path, code: str) -> Iterator[Passage]:
    from babel.messages.mofile import read_mo
    from babel.messages.pofile import read_po

    for path in _files(root, code):
        with path.open("rb") as file:
            catalog = read_po(file) if code == "en" else read_mo(file)
        for message in catalog:
            english, *plural = _forms(message.id)
            if not english:  # the catalogue's header
                continue
            source = [english, *plural]
            for text in source if code == "en" else _forms(message.string):
                if code == "en" or text not in source:
                    yield Passage(f"django/{english}", text, group="django")


def _forms(entry: str | list[str] | tuple[str, ...]) -> list[str]:
    """Returns singular and plural forms as a list."""
    return [entry] if isinstance(entry, str) else list(entry)


PACKAGE = SourcePackage(
    name="django",
    mend="pip install 'django>=5.2,<6'",
    is_optional=False,
    locate=lambda: locate_python_package("django", "django"),
    files=_files,
    read=_read,
)
