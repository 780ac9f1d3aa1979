"""Loss by language over a run, read out of the lines of its log."""

import json
import re
import shutil
import xml.etree.ElementTree as ET

import pytest

from mtmoe.report.folder import read_model_folder
from mtmoe.report.training_languages import (
    SPANS,
    damage_line,
    language_curves,
    language_rows,
    language_section,
    span_steps,
)
from mtmoe.report.write import write_report


def line(step, losses, loads=None, **more):
    record = {"step": step, "language_loss": losses, **more}
    return record if loads is None else record | {"language_expert_load": loads}


TRAINING = [
    line(10, {"sw": 9.0, "de": 8.0}, {"sw": 1.5, "de": 3.0}),
    line(20, {"de": 6.0}, {"de": 2.0}),
    line(30, {"sw": 5.0, "de": 2.0, "mul": 4.0}, {"sw": 1.25, "mul": 1.0}),
]


def test_a_curve_has_the_lines_its_language_is_in():
    sw, several, de = language_curves(TRAINING)  # highest last loss first
    assert (sw.code, sw.name, sw.steps, sw.losses) == (
        "sw",
        "Swahili",
        (10, 30),
        (9.0, 5.0),
    )
    assert sw.change == -4.0 and sw.expert_load == 1.25
    assert (several.name, several.steps) == ("Several languages", (30,))
    assert (de.code, de.losses, de.expert_load) == ("de", (8.0, 6.0, 2.0), 2.0)
    assert [row[:2] for row in language_rows(language_curves(TRAINING))] == [
        ("German", "de"),
        ("Several languages", "mul"),
        ("Swahili", "sw"),
    ]
    assert language_rows([sw])[0][2:] == ("9.000", "5.000", "-4.000", "1.2 ×", "–")


def test_drops_stand_beside_the_expert_load():
    training = [
        line(step, {"de": 6.0, "sw": 5.0}, {"de": 2.0}, language_dropped_fraction=drops)
        for step, drops in ((10, {"de": 0.5, "sw": 0.25}), (20, {"de": 0.0123}))
    ]
    de, sw = language_curves(training)
    assert (de.dropped_fraction, sw.dropped_fraction) == (0.0123, 0.25)
    assert language_rows([de])[0][-2:] == ("2.0 ×", "1.2 %")
    page = language_section([de, sw], training)
    assert "no expert had room for" in page
    assert "<i>2.0 ×, 1.2 %</i>" in page and "<i>25.0 %</i>" in page
    without = language_section(language_curves(TRAINING), TRAINING)
    assert "no expert had room for" not in without and "busiest expert" in without


def test_many_lines_are_put_together_in_spans_of_steps():
    training = [line(10 * i, {"de": float(i)}) for i in range(1, 10 * SPANS + 1)]
    [curve] = language_curves(training)
    assert len(curve.losses) == SPANS
    assert curve.steps[0] == 100 and curve.steps[-1] == 3000
    assert curve.losses[0] == 5.5 and curve.losses[-1] == 10 * SPANS - 4.5
    assert span_steps(training) == 100
    assert curve.expert_load is None
    assert span_steps(TRAINING) == 10


def test_a_run_without_losses_by_language_has_no_section():
    training = [{"step": 10, "loss": 2.0}]
    assert language_curves(training) == ()
    assert language_section((), training) == ""
    assert damage_line(training) == ""


def test_a_code_of_no_language_is_its_own_name():
    [curve] = language_curves([line(10, {"xx-none": 1.0})])
    assert curve.name == curve.code == "xx-none"


def test_section_draws_each_language_on_one_scale():
    curves = language_curves(TRAINING)
    root = ET.fromstring(language_section(curves, TRAINING))
    figures = list(root.iter("figure"))
    assert ["".join(f.find("figcaption").itertext()) for f in figures] == [
        "Swahili sw",
        "Several languages mul",
        "German de",
    ]
    means, heights = set(), []
    for figure, curve in zip(figures, curves, strict=True):
        rail, own = figure.iter("polyline")
        means.add(rail.get("points"))
        points = [tuple(map(float, p.split(","))) for p in own.get("points").split()]
        assert len(points) == len(curve.losses)
        assert points[-1][0] == 147.0  # the run's last step
        heights.append(points[-1][1])
        assert f"{curve.losses[-1]:.2f}" == figure.find("p/span/b").text
    assert len(means) == 1
    assert heights[0] < heights[1] < heights[2] == 43.0  # downwards: 5, 4 and 2 nats
    dense = [line(10, {"de": 3.0}), line(20, {"de": 2.0})]
    section = language_section(language_curves(dense), dense)
    assert "busiest expert" not in section and "×" not in section


def test_damage_is_told_by_task():
    training = [
        line(10, {}, damaged_records={"b": 1}, damaged_rows={"b": 2}),
        line(
            20,
            {},
            damaged_records={"b": 1, "a": 2},
            damaged_rows={"b": 3, "a": 1200},
        ),
    ]
    assert damage_line(training) == (
        "Damaged records passed over: 3 (a 2, b 1). "
        "Training examples left empty by that: 1,203 (a 1,200, b 3)."
    )
    # Found in a batch that is being prepared, not yet trained on.
    ahead = [line(10, {}, damaged_records={"b": 1})]
    assert damage_line(ahead).endswith("left empty by that: 0.")


def test_page_markdown_and_summary_have_it(model_dir, tmp_path):
    page = write_report(model_dir, tmp_path).read_text(encoding="utf-8")
    assert page.count("<figure>") == 101
    assert 'href="#training-languages"' in page and "left empty" not in page
    curves = {c.code: c for c in language_curves(read_model_folder(model_dir).training)}
    numbers = json.loads((tmp_path / "summary.json").read_text())
    assert numbers["training_language_loss"]["sw"] == {
        "first": curves["sw"].losses[0],
        "last": curves["sw"].losses[-1],
    }
    assert numbers["damaged_records"] == numbers["damaged_rows"] == {}
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    part = markdown.split("## Loss by language during training")[1]
    assert len(re.findall(r"^\| [A-Z]", part.split("\n## ")[0], re.M)) == 101


def test_damage_reaches_page_markdown_and_summary(damaged_run, tmp_path):
    page = write_report(damaged_run, tmp_path).read_text(encoding="utf-8")
    assert "Damaged records passed over: 3 (&lt;task&gt; 3)." in page
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert r"passed over: 3 (\<task\> 3)" in markdown
    numbers = json.loads((tmp_path / "summary.json").read_text())
    assert numbers["damaged_records"] == {"<task>": 3}
    assert numbers["damaged_rows"] == {"<task>": 8}


@pytest.fixture
def damaged_run(model_dir, tmp_path):
    """A run in whose last line damage is written down."""
    folder = shutil.copytree(model_dir, tmp_path / "run")
    path = folder / "metrics.jsonl"
    *lines, last = path.read_text().splitlines()
    damage = {"damaged_records": {"<task>": 3}, "damaged_rows": {"<task>": 8}}
    path.write_text("\n".join([*lines, json.dumps(json.loads(last) | damage)]))
    return folder
