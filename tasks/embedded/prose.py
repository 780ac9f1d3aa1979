"""Order of paragraphs, summaries of code.

embedded.next_paragraph.<code>  which of two paragraphs of the Declaration comes next
embedded.docstring.en           the first sentence of a Python function's docstring
"""

from __future__ import annotations

from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.generation import chrf_plus_plus
from mtmoe.data.tasks.embedded import declaration, paragraph_order, python_functions
from mtmoe.data.tasks.embedded.registration import (
    EmbeddedKind,
    languages_except,
    register_kinds,
)

UDHR_LANGUAGES = languages_except("fy sd")

KINDS = (
    EmbeddedKind(
        "next_paragraph",
        UDHR_LANGUAGES,
        paragraph_order.next_paragraph_rows,
        family="classification",
        metrics=(t5_metrics.accuracy,),
        scores=("accuracy",),
        labels="gold",
        origin=declaration.ORIGIN,
        licence=declaration.LICENCE,
        is_prose=True,
    ),
    EmbeddedKind(
        "docstring",
        ("en",),
        python_functions.docstring_rows,
        family="generation",
        metrics=(chrf_plus_plus,),
        scores=("chrf++",),
        labels="gold",
        origin=python_functions.ORIGIN,
        licence=python_functions.LICENCE,
        note="functions differ between versions of Python",
    ),
)

TASKS = register_kinds(KINDS)
