import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from mtmoe.errors import MtmoeError
from mtmoe.report.markdown import plain
from mtmoe.report.wording import compact, duration, percent
from mtmoe.report.write import write_report

VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """Checks nesting and collects what a browser would fetch or run."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.scripts, self.tags = [], [], 0, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.scripts += tag == "script"
        for name, value in attrs:
            if name in ("src", "srcset", "data", "action") or (
                name == "href" and not value.startswith("#")
            ):
                self.fetched.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}>"


@pytest.fixture(scope="module")
def report(model_dir, tmp_path_factory):
    output = tmp_path_factory.mktemp("report")
    assert write_report(model_dir, output) == output / "report.html"
    return output


def test_four_files(report, model_dir):
    assert sorted(path.name for path in report.iterdir()) == [
        "per_language.csv",
        "report.html",
        "report.md",
        "summary.json",
    ]
    evaluated = model_dir / "evaluation/step_1200/per_language.csv"
    assert (report / "per_language.csv").read_bytes() == evaluated.read_bytes()


def test_page_is_whole_and_fetches_nothing(report):
    text = (report / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.fetched == []
    assert not re.search(r"url\(|@import|https?://", text)
    assert page.scripts == 1


def test_what_came_from_outside_is_escaped(report):
    text = (report / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert "babel <CLDR>" not in text and "babel &lt;CLDR&gt;" in text
    assert r"babel \<CLDR\>" in (report / "report.md").read_text(encoding="utf-8")


def test_table_has_a_sortable_row_a_language(report):
    page = Page((report / "report.html").read_text(encoding="utf-8"))
    rows = [attrs for tag, attrs in page.tags if tag == "tr" and "data-script" in attrs]
    assert len(rows) == 101
    keys = [attrs for tag, attrs in page.tags if tag == "td" and "data-sort" in attrs]
    headings = [tag for tag, attrs in page.tags if tag == "button"]
    assert len(keys) == 101 * len(headings)
    [english] = [row for row in rows if row["data-search"].startswith("english")]
    assert "mixture" in english["data-verdict"]


def test_page_and_summary_say_the_same(report):
    numbers = json.loads((report / "summary.json").read_text())
    text = (report / "report.html").read_text(encoding="utf-8")
    assert f"{numbers['languages_below_mixture_unigram']} of 101 languages" in text
    assert f"{numbers['mean_bits_per_byte']:.3f}" in text
    markdown = (report / "report.md").read_text(encoding="utf-8")
    assert f"{numbers['mean_bits_per_byte']:.3f}" in markdown
    languages = markdown.split("## Languages")[1].split("\n## ")[0]
    assert len(re.findall(r"^\| German ", languages, re.M)) == 1


def test_a_map_for_every_layer_and_grouping(report):
    page = Page((report / "report.html").read_text(encoding="utf-8"))
    maps = {a["data-map"]: "hidden" in a for _, a in page.tags if "data-map" in a}
    assert maps.keys() == {f"{i}-{by}" for i in range(4) for by in ("family", "script")}
    assert [name for name, hidden in maps.items() if not hidden] == ["0-family"]


def test_the_same_report_again(report, model_dir, tmp_path):
    write_report(model_dir, tmp_path)
    files = {path.name: path.read_bytes() for path in report.iterdir()}
    assert {"report.html", "report.md", "summary.json"} <= files.keys()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_a_dense_model_has_a_report(model_dir, tmp_path):
    dense = shutil.copytree(model_dir, tmp_path / "dense")
    evaluation = dense / "evaluation/step_1200"
    (evaluation / "experts.csv").write_text("language,layer,expert,count,share\n")
    facts = json.loads((evaluation / "evaluation.json").read_text())
    facts |= {"dropped_fraction": None, "expert_load_max_over_mean": None}
    facts["mean_bits_per_byte_interval"] = None
    for task in facts["tasks"].values():
        task["dropped_fraction"] = None
    (evaluation / "evaluation.json").write_text(json.dumps(facts))
    lines = [
        {k: v for k, v in json.loads(line).items() if k != "dropped_fraction"}
        for line in (dense / "metrics.jsonl").read_text().splitlines()
    ]
    (dense / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    text = write_report(dense, tmp_path / "out").read_text(encoding="utf-8")
    assert Page(text).open == []
    assert "no Switch layers" in text and "Fraction of tokens dropped" not in text


def test_nothing_is_written_when_something_is_missing(model_dir, tmp_path):
    broken = shutil.copytree(model_dir, tmp_path / "broken")
    (broken / "metrics.jsonl").unlink()
    with pytest.raises(MtmoeError):
        write_report(broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_report_does_not_import_tensorflow():
    program = (
        "import sys, mtmoe.report.write\n"
        "print([m for m in ('tensorflow', 'seqio', 'gin') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_number_formats():
    assert [duration(s) for s in (42, 450, 11_100)] == [
        "42 s",
        "7 min 30 s",
        "3 h 05 min",
    ]
    assert [compact(n) for n in (950, 12_345, 4_560_000, 2.1e10, 3e12)] == [
        "950",
        "12.3 k",
        "4.56 M",
        "21.0 G",
        "3.00 T",
    ]
    assert [percent(0.1234, 1), percent(None, 1)] == ["12.3 %", "–"]
    assert plain("a|b\n*c*") == r"a\|b \*c\*"


def test_warnings_of_the_evaluation_are_shown(model_dir, tmp_path):
    folder = shutil.copytree(model_dir, tmp_path / "run")
    path = folder / "evaluation" / "step_1200" / "evaluation.json"
    line = "el.txt: 3.0% of the tokens are unknown <b>"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"warnings": [line]}))
    write_report(folder, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    Page(page)
    assert "el.txt: 3.0% of the tokens are unknown &lt;b&gt;" in page
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert plain(line) in markdown.splitlines()
