"""The few pieces every page is made of."""

from __future__ import annotations

import importlib.resources
import string
from collections.abc import Collection, Iterable, Sequence

import mtmoe
from mtmoe.report.svg import escape


def page(name: str, **parts: str) -> str:
    """Returns a page: a template with the style and `parts`, safe HTML, in it."""
    style, version = template_text("style.css"), escape(mtmoe.__version__)
    template = string.Template(template_text(name))
    return template.substitute(parts, style=style, version=version)


def template_text(name: str) -> str:
    """Returns the text of a file in `templates/`."""
    folder = importlib.resources.files("mtmoe.report").joinpath("templates")
    return folder.joinpath(name).read_text(encoding="utf-8")


def definitions(facts: Iterable[tuple[str, object]], is_code: bool = False) -> str:
    """Returns a list of terms and their meanings, which it escapes."""
    begin, end = ("<code>", "</code>") if is_code else ("", "")
    items = "".join(
        f"<dt>{escape(name)}</dt><dd>{begin}{escape(meaning)}{end}</dd>"
        for name, meaning in facts
    )
    return f"<dl>{items}</dl>"


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    numeric: Collection[int] = (),
) -> str:
    """Returns a table of safe cells, its `numeric` columns aligned right."""
    style = ['class="num"' if i in numeric else "" for i in range(len(headings))]

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f"<{f'{tag} {kind}'.strip()}>{cell}</{tag}>"
            for kind, cell in zip(style, cells, strict=True)
        )

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return (
        '<div class="scroll" tabindex="0"><table class="plain"><thead><tr>'
        f"{line('th', headings)}</tr></thead><tbody>{body}</tbody></table></div>"
    )
