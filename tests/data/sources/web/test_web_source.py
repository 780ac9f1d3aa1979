"""Each layout of web text, on files written in exactly that layout from real text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import gin
import pytest
import tensorflow as tf
import web_folders
from web_folders import ENDINGS, LANGUAGES, LAYOUTS, texts, url

from mtmoe.data.sources.web.pages import normalized_url, web_page
from mtmoe.data.sources.web.source import WebTextSource
from mtmoe.errors import ConfigError, CorpusError, UnknownNameError

PROBLEMS = {"damaged": 1, "empty file": 1, "not UTF-8": 1}
TFDS_VERSIONS = ("3.0.1", "3.1.0")
NAMES = (*LAYOUTS, *TFDS_VERSIONS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """One folder for each published layout, and one for each version of TFDS's."""
    made = {name: tmp_path_factory.mktemp("web") for name in NAMES}
    for name, folder in made.items():
        if name in TFDS_VERSIONS:
            web_folders.write_tfds(folder, name, languages_of(name))
        else:
            web_folders.write_layout(folder, name, languages_of(name))
    return made


def languages_of(name: str) -> tuple[str, ...]:
    if name in TFDS_VERSIONS:
        return ("no", "iw", "ru-Latn")
    return LANGUAGES[:-1] if name in ("CulturaX", "HPLT 1.2") else LANGUAGES


@pytest.fixture
def give(monkeypatch):
    return lambda folder: monkeypatch.setenv("MTMOE_WEB_TEXT", str(folder))


@pytest.mark.parametrize("name", NAMES)
def test_a_layout_gives_its_text_and_what_is_wrong_with_it(name, folders, give, capsys):
    give(folders[name])
    for code in languages_of(name):
        source = WebTextSource(code)
        assert name in source.folder().title or name in TFDS_VERSIONS
        documents = source.documents("train")
        assert list(documents) == texts(code), code
        report = source.reports["train"]
        assert report.problems == PROBLEMS and report.num_documents == 12
        printed = capsys.readouterr().err
        assert printed.strip() == str(report)
        for kind, (example,) in report.examples.items():
            assert example.startswith(str(folders[name])) and kind in example
        assert ":2: not UTF-8" in report.examples["not UTF-8"][0]
        assert ":1: damaged" in report.examples["damaged"][0]
        assert "{{" not in printed
    assert source.num_input_examples("train") == 12 and texts(code)[3] in documents
    assert capsys.readouterr().err == "", "a report is printed once"


@pytest.mark.parametrize(
    "name", ["AllenAI's mC4 3.0.1", "AllenAI's mC4 3.1.0", "3.0.1"]
)
def test_published_validation_text_is_taken_as_it_is(name, folders, give):
    give(folders[name])
    source = WebTextSource("no")
    assert list(source.documents("validation")) == ["held out"]
    assert "held out" not in source.documents("train")


def test_documents_are_read_once_to_be_listed(folders, give, monkeypatch):
    give(folders["CulturaX"])
    source, passes = WebTextSource("sw"), []
    pages = source.pages
    monkeypatch.setattr(source, "pages", lambda split: passes.append(1) or pages(split))
    assert len(list(source.documents("train"))) == 12 and len(passes) == 1


def test_without_validation_files_mc4s_rule_makes_the_split(tmp_path, give):
    pages = [
        {"text": f"page {i}", "u": url("zh", i, held_out=i in (2, 5))} for i in range(7)
    ]
    web_folders.write_records(
        tmp_path / "zho_Hant" / "train-00000-of-00001.parquet", pages
    )
    give(tmp_path)
    source = WebTextSource("zh")
    assert list(source.documents("validation")) == ["page 2", "page 5"]
    assert list(source.documents("train")) == [f"page {i}" for i in (0, 1, 3, 4, 6)]


def test_the_rule_is_that_of_tensorflow_datasets():
    from tensorflow_datasets.text import c4_utils

    is_held_out = c4_utils.get_hashed_url_filter_fn(lambda value: value % 1000 == 0)
    addresses = [
        f"{scheme}{host}/{i}{tail}"
        for i in range(400)
        for scheme in ("http://", "https://www.")
        for host, tail in (("a.org", "/"), ("b.c", "?utm_x=1"), ("ü.de", "?id=3"))
    ]
    found = 0
    for address in addresses:
        page = web_page("text", address)
        assert page.identity == c4_utils.normalize_url(address)
        features = c4_utils.PageFeatures(normalized_url=normalized_url(address))
        assert page.is_held_out == is_held_out(features)
        found += page.is_held_out
    assert found
    assert web_page("only text").identity == "only text"


def test_a_shard_that_was_not_copied_is_named(tmp_path, give):
    prepared = web_folders.write_tfds(tmp_path, "3.0.1", ["sw"])
    (prepared / "c4-sw.tfrecord-00000-of-00004").unlink()
    give(tmp_path)
    source = WebTextSource("sw")
    assert list(source.documents("train")) == texts("sw")[6:]
    report = source.reports["train"]
    assert report.problems == {"missing file": 1, **PROBLEMS}
    (example,) = report.examples["missing file"]
    assert example.startswith(f"{prepared}/c4-sw.tfrecord-00000-of-00004:0")


def test_two_codes_of_one_language_are_read_together(tmp_path, give):
    for code, text in (("zho_Hans", "简体"), ("zho_Hant", "繁體"), ("gsw_Latn", "x")):
        path = tmp_path / code / "train-00000-of-00001.parquet"
        web_folders.write_records(path, [{"text": text, "u": url(code, 1)}])
    give(tmp_path)
    source = WebTextSource("zh")
    assert list(source.documents("train")) == ["简体", "繁體"]
    assert source.folder().other_codes == ("gsw_Latn",)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("inside", [False, True])
def test_a_plain_folder_of_any_ending(ending, inside, tmp_path, give):
    codes = {"sw": "sw", "iw": "he", "fil": "tl", "ru-Latn": "rus_Latn"}
    rows = {}
    for code, name in codes.items():
        rows[code] = [
            {"text": text.replace("\n", " "), "url": url(code, i)}
            for i, text in enumerate(texts(code))
        ]
        train, held_out = (
            (f"{name}/part-1{ending}", f"{name}/validation{ending}")
            if inside
            else (f"{name}{ending}", f"{name}-validation{ending}")
        )
        web_folders.write_records(tmp_path / train, rows[code][1:])
        web_folders.write_records(tmp_path / held_out, rows[code][:1])
    (tmp_path / "README.md").write_text("about")
    (tmp_path / ".hidden.jsonl").write_text("{}")
    give(tmp_path)
    for code, pages in rows.items():
        source = WebTextSource(code)
        expected = [page["text"] for page in pages]
        assert list(source.documents("train")) == expected[1:]
        assert list(source.documents("validation")) == expected[:1]


def test_bad_files_and_lines_of_a_plain_folder_are_named(tmp_path, give):
    paths = [tmp_path / "sw" / f"part-{i}.txt.gz" for i in range(4)]
    lines = [{"text": text.replace("\n", " ")} for text in texts("sw")]
    web_folders.write_shards(paths, lines)
    first = [f"mstari {number}" for number in range(9000)]
    whole = gzip.compress("\n\n".join(first).encode())
    (tmp_path / "sw" / "part-4.txt.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "sw" / "part-5.jsonl").write_text(
        '{"text": "sawa"}\n{"txet": 1}\n[]\n{"text": " "}\n{"text": "\\ud800"}\n{"te'
    )
    give(tmp_path)
    source = WebTextSource("sw")
    documents = list(source.documents("train"))
    saved = documents[len(lines) : -1]
    assert documents == [*(line["text"] for line in lines), *saved, "sawa"]
    trained_on = [line for line in first if not web_page(line).is_held_out]
    assert 3000 < len(saved) < 8000 and saved == trained_on[: len(saved)]
    report = source.reports["train"]
    assert report.problems == {
        "damaged": 2,
        "empty file": 1,
        "not UTF-8": 1,
        "no text": 1,
        "not a JSON object": 1,
        "blank text": 1,
        "not Unicode": 1,
        "not JSON": 1,
    }
    (example,) = report.examples["no text"]
    assert example == f"{tmp_path}/sw/part-5.jsonl:2: no text: the record has 'txet'"


def test_more_than_the_quota_is_an_error_that_names_file_and_line(tmp_path, give):
    content = "ä\n".encode("latin-1") * 5
    (tmp_path / "de.txt").write_bytes(b"gut\n" * 95 + content)
    give(tmp_path)
    source = WebTextSource("de")
    assert len(list(source.documents("train"))) == 95, "100 bad records are borne"
    gin.bind_parameter("BadDataQuota.records", 2)
    gin.bind_parameter("BadDataQuota.fraction", 0.05)
    assert source.num_input_examples("train") == 95, "so are 5 %"
    gin.bind_parameter("BadDataQuota.fraction", 0.04)
    with pytest.raises(CorpusError, match=r"the last: .*de\.txt:99: not") as error:
        source.num_characters("train")
    assert "de.txt:96: not UTF-8" in str(error.value)
    assert "4 not UTF-8, of 99 records so far" in str(error.value)
    for i in range(3):
        (tmp_path / f"sw-{i}").mkdir()
        (tmp_path / "sw").mkdir(exist_ok=True)
        (tmp_path / "sw" / f"{i}.jsonl").write_text("")
    gin.bind_parameter("BadDataQuota.files", 2)
    give(f"{tmp_path}/")
    from mtmoe.data.sources.web import folder

    folder._open_folder.cache_clear()
    with pytest.raises(CorpusError, match="3 empty file.*allowed: 2 files"):
        list(WebTextSource("sw").documents("train"))
    with pytest.raises(
        ConfigError, match="fraction is 1.5; it must be a number from 0 to 1"
    ):
        gin.bind_parameter("BadDataQuota.fraction", 1.5)
        list(source.documents("train"))


def test_a_missing_language_lists_what_there_is(folders, give):
    give(folders["CulturaX"])
    with pytest.raises(CorpusError) as error:
        WebTextSource("ru-Latn").num_files("train")
    assert "no text in 'ru-Latn' (Russian (Latin))" in str(error.value)
    assert "fil, iw, no, sw, zh" in str(error.value)
    with pytest.raises(UnknownNameError, match="did you mean train"):
        list(WebTextSource("sw").documents("trian"))
    with pytest.raises(CorpusError, match="no text in 'sw' for 'validation'.*thousand"):
        list(WebTextSource("sw").documents("validation"))


def test_other_file_systems_go_through_tensorflow(tmp_path, monkeypatch, folders):
    gin.bind_parameter("web_text_directory.path", "ram://bucket/web")
    tf.io.gfile.makedirs("ram://bucket/web")
    for name, rows in (("sw.jsonl.gz", ["habari"]), ("sw-validation.txt", ["v"])):
        web_folders.write_records(tmp_path / name, [{"text": row} for row in rows])
        tf.io.gfile.copy(tmp_path / name, f"ram://bucket/web/{name}", overwrite=True)
    source = WebTextSource("sw")
    assert list(source.documents("train")) == ["habari"]
    assert list(source.documents("validation")) == ["v"]
    gin.bind_parameter("web_text_directory.path", f"file://{folders['HPLT 2.0']}/")
    assert list(WebTextSource("fil").documents("train")) == texts("fil")


def test_plain_seqio_streams_it_in_an_order_of_files_that_the_seed_decides(
    folders, give
):
    give(folders["FineWeb2"])
    source = WebTextSource("iw")

    def rows(**options):
        dataset = source.get_dataset(split="train", **options)
        assert dataset.element_spec["text"].dtype == tf.string
        return [row["text"].decode() for row in dataset.as_numpy_iterator()]

    assert rows(shuffle=False) == texts("iw")
    orders = {tuple(rows(shuffle=True, seed=seed)) for seed in (1, 2, 3, 4, 5)}
    assert all(sorted(order) == sorted(texts("iw")) for order in orders)
    assert len(orders) == 2, "two of the four files have text"
    assert rows(shuffle=True, seed=4) == rows(shuffle=True, seed=4)


def test_english_c4_by_itself_and_beside_mc4(tmp_path, give, folders):
    for name in ("en", "en.noclean", "realnewslike"):
        for split, held_out in (("train", False), ("validation", True)):
            path = tmp_path / name / f"c4-{split}.00000-of-00001.json.gz"
            page = {"text": f"{name} {split}", "url": url("en", 1, held_out)}
            web_folders.write_records(path, [page])
    web_folders.write_layout(tmp_path, "AllenAI's mC4 3.0.1", ["sw"])
    for folder in (tmp_path, tmp_path / "en"):
        give(folder)
        source = WebTextSource("en", dataset="c4")
        assert list(source.documents("train")) == ["en train"]
        assert list(source.documents("validation")) == ["en validation"]
    give(tmp_path)
    assert list(WebTextSource("sw").documents("train")) == texts("sw")
    prepared = web_folders.write_tfds_english(tmp_path / "tfds")
    web_folders.write_tfds(tmp_path / "tfds", "3.0.1", ["sw"])
    for folder in (prepared, prepared.parent, tmp_path / "tfds"):
        give(folder)
        english = WebTextSource("en", dataset="c4").documents("train")
        assert list(english) == texts("en")
    assert list(WebTextSource("sw").documents("train")) == texts("sw")
    give(folders["CulturaX"])
    with pytest.raises(CorpusError, match="no known layout.*c4-train.00000-of-01024"):
        list(WebTextSource("en", dataset="c4").documents("train"))


def test_madlads_newlines_and_a_json_line_of_each_kind(tmp_path, give):
    path = tmp_path / "data" / "zh_Latn" / "zh_Latn_clean_0000.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(json.dumps({"text": r"yi\ner"}).encode()))
    give(tmp_path)
    assert list(WebTextSource("zh-Latn").documents("train")) == ["yi\ner"]
