"""The report as one HTML file that opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtmoe.report import heatmap, html, plots
from mtmoe.report.folder import SOURCE_HEADINGS, ModelFolder
from mtmoe.report.language_table import options, table_head, table_rows
from mtmoe.report.results import LanguageResult
from mtmoe.report.supervised import SupervisedGroup, supervised_section
from mtmoe.report.svg import escape
from mtmoe.report.training_languages import (
    damage_line,
    language_curves,
    language_section,
    warning_lines,
)
from mtmoe.report.wording import (
    DEFINITIONS,
    Card,
    cards,
    context_line,
    script_name,
    verdict,
)

_CURVES = (
    ("loss", "Loss, nats per target token", False),
    ("dropped_fraction", "Fraction of tokens dropped", True),
    ("learning_rate", "Learning rate", True),
)


def html_page(
    folder: ModelFolder,
    results: Sequence[LanguageResult],
    supervised: Sequence[SupervisedGroup],
    summary: Mapping[str, Any],
) -> str:
    """Returns the text of report.html; every value in it is escaped."""
    curves = language_curves(folder.training)
    damage = filter(None, [damage_line(folder.training)])
    return html.page(
        "page.html",
        title=escape(f"{folder.name}: mtmoe language report"),
        script=html.template_text("script.js"),
        heading=escape(folder.name),
        verdict=escape(verdict(summary)),
        context=escape(context_line(summary)),
        notes=_notes(summary["notes"]),
        cards="\n".join(_card(card) for card in cards(summary)),
        legend=_legend(),
        overview=plots.overview(results),
        script_options=options((r.script, script_name(r.script)) for r in results),
        family_options=options((r.family, r.family) for r in results),
        table_head=table_head(),
        table_rows=table_rows(results),
        supervised=supervised_section(supervised),
        tasks_link='<a href="#tasks">Tasks</a>' if supervised else "",
        curves=_curves(folder.training),
        curves_link='<a href="#training-languages">By language</a>' if curves else "",
        warnings=_notes(folder.evaluation.get("warnings", ())),
        training_notes=_notes([*warning_lines(folder.training), *damage]),
        language_curves=language_section(curves, folder.training),
        data_chart=plots.data_chart(results),
        experts=_experts(folder, results),
        definitions=html.definitions(DEFINITIONS),
        provenance=_provenance(folder),
    )


def _notes(notes: Sequence[str]) -> str:
    return "".join(f'<p class="note">{escape(note)}</p>\n' for note in notes)


def _card(card: Card) -> str:
    return (
        f'<div class="card"><b>{escape(card.value)} <small>{escape(card.of)}</small>'
        f"</b><span>{escape(card.label)}</span><i>{escape(card.detail)}</i></div>"
    )


def _legend() -> str:
    marks = (
        (
            '<line class="interval" x1="2" y1="7" x2="24" y2="7"/>'
            '<circle class="model" cx="13" cy="7" r="3.4"/>',
            "model with 95 % interval",
        ),
        ('<line class="own" x1="7" y1="7" x2="19" y2="7"/>', "own unigram"),
        ('<path class="mixture" d="M13 3l4 4-4 4-4-4z"/>', "mixture-wide unigram"),
    )
    items = "".join(
        f'<li><svg viewBox="0 0 26 14" aria-hidden="true">{mark}</svg>{label}</li>'
        for mark, label in marks
    )
    return f'<ul class="legend">{items}</ul>'


def _curves(training: Sequence[Mapping[str, Any]]) -> str:
    """Returns the panels of what was logged; a dense model drops no tokens."""
    steps = [float(record["step"]) for record in training]
    return "".join(
        plots.curve_panel(
            title, steps, [float(record[key]) for record in training], from_zero
        )
        for key, title, from_zero in _CURVES
        if all(key in record for record in training)
    )


def _experts(folder: ModelFolder, results: Sequence[LanguageResult]) -> str:
    """Returns the maps of all layers, by family and by script, and their switches."""
    shares = heatmap.expert_shares(folder.expert_rows)
    if not shares:
        return "<p>This model has no Switch layers.</p>"
    groupings = (
        ("family", lambda result: result.family),
        ("script", lambda result: script_name(result.script)),
    )
    maps = []
    for i, (layer, layer_shares) in enumerate(shares.items()):
        for name, group in groupings:
            hidden = "" if (i, name) == (0, "family") else " hidden"
            maps.append(
                f'<div class="map" data-map="{i}-{name}"{hidden}>'
                f"{heatmap.scale_legend(layer_shares)}"
                '<div class="scroll" tabindex="0">'
                f"{heatmap.heat_map(layer, layer_shares, results, group)}</div></div>"
            )
    layers = "".join(
        f'<option value="{i}">{escape(layer)}</option>'
        for i, layer in enumerate(shares)
    )
    return (
        '<div class="choices"><label>Layer<select id="layer">'
        f'{layers}</select></label><label>Grouped by<select id="grouping">'
        '<option value="family">family</option><option value="script">script</option>'
        f"</select></label></div>{''.join(maps)}"
    )


def _provenance(folder: ModelFolder) -> str:
    provenance = folder.provenance
    facts = {
        "Training command": provenance["command"],
        "Seed": provenance["seed"],
        "Parameters": f"{provenance['parameters']:,}",
        "Vocabulary": provenance["vocabulary"],
        "Host": provenance["host"],
        "Evaluated checkpoint": folder.evaluation["checkpoint"],
        "Maskings of a chunk": folder.evaluation["num_noise_samples"],
        "Bootstrap": folder.evaluation["bootstrap"],
    }
    items = html.definitions(
        ((name, _plain(value)) for name, value in facts.items()), is_code=True
    )
    sources = html.table(
        SOURCE_HEADINGS,
        [
            (*map(escape, facts), f"<code>{escape(sha256)}</code>")
            for *facts, sha256 in folder.sources()
        ],
        numeric=(2, 3),
    )
    versions = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(version)}</td></tr>"
        for name, version in sorted(provenance["versions"].items())
    )
    return (
        f"{items}<h3>Text sources</h3>{sources}<h3>Versions</h3>"
        f'<table class="plain versions"><tbody>{versions}</tbody></table>'
        "<details><summary>Full configuration (gin)</summary>"
        f"<pre>{escape(folder.config)}</pre></details>"
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    return str(value)
