import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtmoe.evaluate.bootstrap import Interval
from mtmoe.evaluate.records import ExpertRow
from mtmoe.report import heatmap, plots, svg
from mtmoe.report.results import LanguageResult


def result(code, bits=1.5, low=1.4, high=1.6, **changes):
    fields = {
        "language": code,
        "name": f"<{code}> & Co",
        "script": "Latn",
        "family": "Fam",
        "task": f"t.{code}",
        "bits_per_byte": Interval(bits, low, high),
        "mixture_unigram_bits_per_byte": 3.0,
        "language_unigram_bits_per_byte": 2.0,
        "loss": 1.0,
        "accuracy": 0.5,
        "num_examples": 4,
        "num_bytes": 100,
        "share": 0.1,
        "epochs": 3.0,
        "dropped_fraction": 0.0,
        "group": "t.<language>",
        "task_family": "pretraining",
        "labels": "self",
    }
    return LanguageResult(**(fields | changes))


def elements(text, tag, style=None):
    root = ET.fromstring(text)
    return [e for e in root.iter(tag) if style is None or e.get("class") == style]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_and_inside(low, span):
    values = svg.ticks(low, low + span)
    assert 1 <= len(values) <= 11
    assert all(low - 1e-6 * span <= v <= low + span * (1 + 1e-6) for v in values)
    gaps = [(b - a) / span for a, b in zip(values, values[1:], strict=False)]
    rounding = 1e-6 + 1e-14 * abs(low) / span
    assert not gaps or max(gaps) - min(gaps) <= rounding


def test_tick_labels():
    assert [svg.tick_label(v) for v in (0.002, 1.5, 2e4, 3e6)] == [
        "0.002",
        "1.5",
        "20k",
        "3M",
    ]


def test_everything_is_escaped():
    drawn = plots.overview([result("a"), result("b")])
    assert "<a> & Co" not in drawn and "&lt;a&gt; &amp; Co" in drawn
    assert svg.escape("\"'<>&") == "&quot;&#x27;&lt;&gt;&amp;"


def test_overview_places_the_dot_by_its_value():
    drawn = plots.overview([result("a", 2.0, 1.9, 2.1), result("b", 1.0, 0.9, 1.1)])
    dots = elements(drawn.replace("<svg ", '<svg xmlns="" ', 1), "circle", "model")
    heights = [float(dot.get("cy")) for dot in dots]
    bottom = 222.0  # best first: b, then a, which is twice as far from the axis
    assert (bottom - heights[1]) / (bottom - heights[0]) == pytest.approx(2, abs=0.02)
    assert len(elements(drawn, "line", "interval")) == 2


def test_no_interval_no_bar():
    drawn = plots.strip(result("a", 1.5, math.nan, math.nan), 4.0)
    assert elements(drawn, "line", "interval") == []
    assert "nan" not in drawn


def test_strip_is_to_scale():
    drawn = plots.strip(result("a", 2.0, 1.0, 3.0), 4.0)
    [bar] = elements(drawn, "line", "interval")
    [dot] = elements(drawn, "circle", "model")
    middle = (float(bar.get("x1")) + float(bar.get("x2"))) / 2
    assert float(dot.get("cx")) == pytest.approx(middle) == pytest.approx(95, abs=0.1)


@pytest.mark.parametrize("values", [[3.0, 2.0, 1.0], [0.0, 0.0, 0.0], [5.0, 5.0, 5.0]])
def test_curve_has_axes_and_stays_inside(values):
    drawn = plots.curve_panel("loss <b>", [10, 20, 30], values)
    [line] = elements(drawn, "polyline")
    points = [tuple(map(float, p.split(","))) for p in line.get("points").split()]
    assert len(points) == 3
    assert all(0 <= x <= 400 and 30 <= y <= 190.1 for x, y in points)
    texts = [e.text for e in elements(drawn, "text")]
    assert "training step" in texts and "loss <b>" in texts and "30" in texts


def test_data_chart_has_two_bars_a_language():
    drawn = plots.data_chart([result("a", share=0.75), result("b", share=None)])
    assert len(elements(drawn, "rect", "bar share")) == 2
    heights = [float(e.get("height")) for e in elements(drawn, "rect", "bar share")]
    assert heights[0] > 100 and heights[1] == 0


def rows(shares):
    return [
        ExpertRow(code, "encoder.1.moe", expert, round(100 * share), share)
        for code, row in shares.items()
        for expert, share in enumerate(row)
    ]


def test_heat_map_shades_by_share_and_groups():
    shares = heatmap.expert_shares(rows({"a": [0.8, 0.2], "b": [0.0, 1.0]}))
    assert shares == {"encoder.1.moe": {"a": [0.8, 0.2], "b": [0.0, 1.0]}}
    results = [result("a", family="One"), result("b", family="Two")]
    drawn = heatmap.heat_map(
        "encoder.1.moe", shares["encoder.1.moe"], results, lambda r: r.family
    )
    shades = {
        path.get("fill-opacity"): path.get("d").count("M")
        for path in elements(drawn, "path", "cell")
    }
    assert shades == {"0.18": 1, "0.82": 1, "1.00": 1}  # the share of 0 is not drawn
    texts = [e.text for e in elements(drawn, "text")]
    assert {"One", "Two", "expert 0", "expert 1", "a", "b"} <= set(texts)
    assert re.search("expert 0 80 %, expert 1 20 %", drawn)


def test_legend_marks_the_uniform_share():
    drawn = heatmap.scale_legend({"a": [0.5, 0.25, 0.25, 0.0]})
    assert "25 % if even" in drawn and "50 %" in drawn
