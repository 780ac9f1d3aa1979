"""The layouts in which web text is published: how files are named, what records hold.

A layout is known by the names of its files, relative to the folder the user gives or to
any folder below it, so that a whole repository and the part of it with the files will
both do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mtmoe.errors import UnknownNameError
from mtmoe.languages import language


@dataclass(frozen=True, eq=False)
class Layout:
    """How one publisher names files and fields.

    Attributes:
      name: what messages call it.
      example: the name of one file.
      pattern: what a file's name matches, in capitals or not. Groups: `code`, the
        publisher's code of the language; `split`, if names tell; `part`, if the same
        text comes in several; `total`, of how many files it is one.
      preferred_part: the part that is read where there are several and none is chosen.
      url_key: the field of a record with its URL, "" if there is none.
      has_escaped_newlines: whether a line break stands as a backslash and an n.
      codes: the publisher's codes that mean another language to `mtmoe.languages`, and
        what they mean.
    """

    name: str
    example: str
    pattern: re.Pattern[str]
    preferred_part: str = ""
    url_key: str = "url"
    has_escaped_newlines: bool = False
    codes: Mapping[str, str] = field(default_factory=dict)

    def language(self, code: str) -> str | None:
        """Returns our code of the language a publisher's code means, None if none."""
        try:
            return language(self.codes.get(code, code)).code
        except UnknownNameError:
            return None


def _below_any_folder(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:.*?/)??{pattern}$", re.IGNORECASE)


ALLENAI_301 = Layout(
    "AllenAI's mC4 3.0.1",
    "multilingual/c4-sw.tfrecord-00000-of-00032.json.gz",
    _below_any_folder(
        r"c4-(?P<code>[a-z]{2,3}(?:-Latn)?)(?P<split>-validation)?"
        r"\.tfrecord-\d{5}-of-(?P<total>\d{5})\.json\.gz"
    ),
)

# A file of that branch holds several shards, and its name lists them all.
ALLENAI_310 = Layout(
    "AllenAI's mC4 3.1.0",
    "multilingual/c4-ar.00064-00065-00066-00067.json.gz",
    _below_any_folder(
        r"c4-(?P<code>[a-z]{2,3}(?:-Latn)?)(?P<split>-validation)?"
        r"\.\d{5}(?:-\d{5})*\.json\.gz"
    ),
)

MADLAD_400 = Layout(
    "MADLAD-400",
    "data/sw/sw_clean_0000.jsonl.gz",
    _below_any_folder(
        r"(?:[^/]+/)?(?P<code>[^/]+)_(?P<part>clean|noisy)_\d{4}\.jsonl\.gz"
    ),
    preferred_part="clean",
    url_key="",
    has_escaped_newlines=True,
)

# OSCAR, half of CulturaX, writes `als` for Alemannic; ISO 639-3 for Tosk Albanian.
CULTURAX = Layout(
    "CulturaX",
    "sw/sw_part_00000.parquet",
    _below_any_folder(r"(?:[^/]+/)?(?P<code>[^/]+)_part_\d{5}\.parquet"),
    codes={"als": "gsw"},
)

HPLT_1 = Layout(
    "HPLT 1.2",
    "cleaned/sw/sw_1.jsonl.zst",
    _below_any_folder(
        r"(?:(?P<part>cleaned|deduplicated)/)?(?:[^/]+/)?"
        r"(?P<code>[A-Za-z]{2,3}(?:[_-][A-Za-z]{4})?)_\d+\.jsonl\.zst"
    ),
    preferred_part="cleaned",
)

HPLT_2 = Layout(
    "HPLT 2.0",
    "swh_Latn/train-00000-of-00003.parquet",
    _below_any_folder(
        r"(?P<code>[a-z]{3}_[a-z]{4})/(?P<split>train)-\d{5}-of-(?P<total>\d{5})"
        r"\.parquet"
    ),
    url_key="u",
)

# A file's name begins with the class of quality of its pages: 10 is the best one.
HPLT_3 = Layout(
    "HPLT 3.0",
    "sorted/swh_Latn/10_1.jsonl.zst",
    _below_any_folder(r"(?P<code>[a-z]{3}_[a-z]{4})/\d{1,2}_\d+\.jsonl\.zst"),
    url_key="u",
)

# What filters removed lies under `_removed`.
FINEWEB_2 = Layout(
    "FineWeb2",
    "data/swh_Latn/train/000_00000.parquet",
    _below_any_folder(
        r"(?P<code>[a-z]{3}_[a-z]{4}(?:_removed)?)/(?P<split>train|test)"
        r"/\d{3}_\d{5}\.parquet"
    ),
)

_SPLITS = r"train|validation|valid|val|dev|test"

PLAIN = Layout(
    "a plain folder",
    "sw.jsonl.gz, sw-validation.txt or sw/anything.parquet",
    re.compile(
        rf"^(?:(?P<code>[^/]+)/(?:(?P<split>{_SPLITS})(?![a-z]))?[^/]*"
        rf"|(?P<stem>[^/.]+?)(?:[-_.](?P<stem_split>{_SPLITS}))?)"
        r"\.(?:(?:txt|jsonl|ndjson)(?:\.gz|\.zst)?|parquet)$",
        re.IGNORECASE,
    ),
)

ENGLISH_C4 = Layout(
    "AllenAI's C4",
    "en/c4-train.00000-of-01024.json.gz",
    re.compile(
        r"^(?:(?:.*/)?en/)?c4-(?P<split>train|validation)"
        r"\.\d{5}-of-(?P<total>\d{5})\.json\.gz$",
        re.IGNORECASE,
    ),
)

TFDS = Layout(
    "TensorFlow Datasets' c4",
    "c4/multilingual/3.0.1/dataset_info.json",
    re.compile(
        r"^(?P<folder>(?:(?:c4/)?(?:multilingual|en)/)?(?:\d+\.\d+\.\d+/)?)"
        r"dataset_info\.json$"
    ),
)

MULTILINGUAL: tuple[Layout, ...] = (
    ALLENAI_301,
    ALLENAI_310,
    MADLAD_400,
    CULTURAX,
    HPLT_1,
    HPLT_2,
    HPLT_3,
    FINEWEB_2,
)
"""Published layouts of many languages; PLAIN fits what is left, TFDS has its own."""
