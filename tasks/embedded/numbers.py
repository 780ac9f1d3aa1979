"""Numbers, dates and lists as languages write them.

embedded.spell_number, read_number, spell_ordinal .<code>   numbers in words
embedded.long_date, parse_date, relative_time .<code>       dates and times
embedded.plural_category, ordinal_category .<code>          forms that numbers govern
embedded.format_number, parse_number, format_currency, compact_number .<code>
embedded.list_format.<code>                                 A, B und C
"""

from __future__ import annotations

import functools

from t5.evaluation import metrics as t5_metrics

from mtmoe.data.metrics.classification import macro_f1
from mtmoe.data.metrics.qa import exact_match
from mtmoe.data.metrics.sequence import character_error_rate
from mtmoe.data.tasks.embedded import cldr_formats, cldr_names, spelled_numbers
from mtmoe.data.tasks.embedded.registration import (
    EmbeddedKind,
    languages_except,
    languages_of,
    register_kinds,
)

SPELLED_LANGUAGES = languages_of(
    "de eo es fa fi fr hu id it iw ja ko lt nl pl pt ru sk th tr"
)
ORDINAL_LANGUAGES = languages_of("de eo fi fr hu id nl tr")
DATE_LANGUAGES = languages_except("hmn ht ny sm sn st")
RELATIVE_TIME_LANGUAGES = languages_except("ceb co haw hmn ht mg ny sm sn st su xh")
PLURAL_LANGUAGES = languages_of(
    "ar be ca cs cy es fr ga gd it iw lt lv mt pl pt ro ru sk sl sr uk"
)
ORDINAL_CATEGORY_LANGUAGES = languages_of(
    "az be bn ca cy en fil fr ga gd gu hi hu hy it ka kk lo mk mr ms ne ro sq sv uk vi"
)
LIST_LANGUAGES = languages_except("ceb fil haw hmn ht mg ny sm sn st su xh")
NUMBER_LANGUAGES = languages_of(
    "af az be bg bn ca cs da de el eo es et eu fi fr fy gl gu hi hu hy id is it jv ka "
    "kk ku ky lb lo lt lv mk ml mr ne nl no pa pl ps pt ro ru sk sl sq sr su sv ta te "
    "tg tr uk uz vi xh"
)
CURRENCY_LANGUAGES = languages_except("co eo hmn ht la ny sm sn st yi")
COMPACT_LANGUAGES = languages_except(
    "ceb co haw hmn ht ig ja ko mg mi mt ny sm sn st su xh yi zh"
)

_of_numbers = functools.partial(
    EmbeddedKind,
    family="numbers",
    metrics=(exact_match,),
    scores=("exact_match",),
    labels="rule",
    origin=cldr_names.ORIGIN,
    licence=cldr_names.LICENCE,
)
_in_words = functools.partial(
    _of_numbers,
    metrics=(exact_match, character_error_rate),
    scores=("exact_match", "character_error_rate"),
)
_spelled = functools.partial(
    _in_words, origin=spelled_numbers.ORIGIN, licence=spelled_numbers.LICENCE
)
_category = functools.partial(
    _of_numbers,
    metrics=(t5_metrics.accuracy, macro_f1),
    scores=("accuracy", "macro_f1"),
)

KINDS = (
    _spelled("spell_number", SPELLED_LANGUAGES, spelled_numbers.spell_rows),
    _spelled(
        "read_number",
        SPELLED_LANGUAGES,
        spelled_numbers.read_rows,
        metrics=(exact_match,),
        scores=("exact_match",),
    ),
    _spelled("spell_ordinal", ORDINAL_LANGUAGES, spelled_numbers.ordinal_rows),
    _in_words("long_date", DATE_LANGUAGES, cldr_formats.long_date_rows),
    _of_numbers("parse_date", DATE_LANGUAGES, cldr_formats.parse_date_rows),
    _in_words(
        "relative_time", RELATIVE_TIME_LANGUAGES, cldr_formats.relative_time_rows
    ),
    _category("plural_category", PLURAL_LANGUAGES, cldr_formats.plural_rows),
    _category(
        "ordinal_category",
        ORDINAL_CATEGORY_LANGUAGES,
        cldr_formats.ordinal_category_rows,
    ),
    _in_words("list_format", LIST_LANGUAGES, cldr_formats.list_rows),
    _of_numbers("format_number", NUMBER_LANGUAGES, cldr_formats.format_number_rows),
    _of_numbers("parse_number", NUMBER_LANGUAGES, cldr_formats.parse_number_rows),
    _of_numbers("format_currency", CURRENCY_LANGUAGES, cldr_formats.currency_rows),
    _in_words("compact_number", COMPACT_LANGUAGES, cldr_formats.compact_number_rows),
)

TASKS = register_kinds(KINDS)
