from __future__ import annotations

from mtmoe.data.sources.embedded.corpus import EmbeddedCorpus, SourceRecord
from mtmoe.data.sources.embedded.documents import LanguageText
from mtmoe.data.sources.embedded.table import counts_table, sources_table

CORPUS = EmbeddedCorpus(
    texts={
        "de": LanguageText(
            {"train": ("eins\nzwei",), "validation": ("drei",)},
            prose_documents=0,
            characters={"django": 8, "babel": 4},
            dropped={},
        )
    },
    sources=(
        SourceRecord("django", "5.2", "0", ("de",), 1_008, {"leak": 3}),
        SourceRecord("babel", "2.18", "0", ("de",), 4, {}),
    ),
    missing=(),
)


def test_counts_add_up() -> None:
    rows = counts_table(CORPUS).splitlines()
    assert rows[2] == "| de | German | 8 | 4 | 8 | 4 | 12 |"
    assert rows[3] == "|  | all | 8 | 4 | 8 | 4 | 12 |"


def test_sources_show_what_was_dropped() -> None:
    rows = sources_table(CORPUS).splitlines()
    assert rows[2] == "| django | 5.2 | 1 | 1,008 | 0 | 0 | 3 |"
