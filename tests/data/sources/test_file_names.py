"""Which files count."""

from __future__ import annotations

import pytest

from mtmoe.data.sources.file_names import counts, files_of_pattern
from mtmoe.errors import CorpusError


@pytest.mark.parametrize(
    "name",
    [
        *(".DS_Store", "._sw.txt", "sw/._a.jsonl", ".cache/sw.txt", "sw.txt~"),
        *("#sw.txt#", ".sw.txt.swp", "sw.txt.SWP", "sw.txt.bak", "Thumbs.db"),
        *("__MACOSX/sw.txt", "sw.jsonl.gz.part", "sw.parquet.incomplete"),
        *("README.txt", "sw/readme_sw.txt", "LICENSE.txt", "Citation.txt"),
    ],
)
def test_passed_over(name):
    assert not counts(name)


@pytest.mark.parametrize(
    "name", ["sw.txt", "SW.TXT", "sw/part-1.jsonl.gz", "sw.v1/a~b.txt", "rea.txt"]
)
def test_counted(name):
    assert counts(name)


def test_a_pattern_passes_over_what_does_not_count_and_refuses_copies(tmp_path):
    for name in ("a.0.jsonl", "a.1.jsonl", "._a.2.jsonl", "a.3.jsonl~"):
        (tmp_path / name).write_text("{}\n")
    found = files_of_pattern(f"{tmp_path}/*a.*")
    assert [path.rpartition("/")[2] for path in found] == ["a.0.jsonl", "a.1.jsonl"]
    assert files_of_pattern(f"{tmp_path}/a.3.jsonl~") == [f"{tmp_path}/a.3.jsonl~"]
    (tmp_path / "a.1.jsonl.gz").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"a\.1\.jsonl and .*a\.1\.jsonl\.gz are two"):
        files_of_pattern(f"{tmp_path}/a.*")
