"""Writes the four files of a report."""

from __future__ import annotations

import json
from pathlib import Path

from mtmoe.files import write_together
from mtmoe.report.folder import read_model_folder
from mtmoe.report.markdown import markdown_page
from mtmoe.report.page import html_page
from mtmoe.report.results import headline_results, language_results
from mtmoe.report.summary import summary
from mtmoe.report.supervised import supervised_groups


def write_report(model_dir: Path, output_dir: Path, evaluation: str = "") -> Path:
    """Writes report.html, report.md, per_language.csv and summary.json.

    Args:
      model_dir: a trained and evaluated model folder.
      output_dir: made when absent; files of an earlier report are replaced.
      evaluation: as for `read_model_folder`, whose errors this raises too.

    Returns:
      The path of report.html.
    """
    folder = read_model_folder(model_dir, evaluation)
    all_results = language_results(folder)
    numbers = summary(folder, all_results)
    results = headline_results(all_results)
    supervised = supervised_groups(all_results)
    write_together(
        output_dir,
        {
            "per_language.csv": folder.per_language_csv,
            "summary.json": json.dumps(numbers, indent=2, ensure_ascii=False) + "\n",
            "report.md": markdown_page(folder, results, supervised, numbers),
            "report.html": html_page(folder, results, supervised, numbers),
        },
    )
    return output_dir / "report.html"
