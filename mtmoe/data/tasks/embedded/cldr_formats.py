"""Rows of dates, numbers, amounts and lists as Unicode CLDR writes them (`babel`).

Only what a language has of its own is asked for, not what it inherits from CLDR's
root. Digits are European. Every kind of space becomes a plain one, and marks of
direction are left out, so that what a model writes can be what is right.
"""

from __future__ import annotations

import datetime
import itertools
import random
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from mtmoe.data.sources.embedded import cldr
from mtmoe.data.tasks.embedded import cldr_names
from mtmoe.data.tasks.embedded.cldr_names import locale_name, plural_form
from mtmoe.data.tasks.embedded.rows import Row
from mtmoe.data.tasks.embedded.splits import task_split
from mtmoe.languages import language

NUM_DATES = 600
FIRST_YEAR, LAST_YEAR = 1900, 2099
TIME_UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
MOST_TIME = 40
NUM_NUMBERS = 600
CURRENCIES = ("USD", "EUR", "GBP", "JPY", "CNY", "INR", "BRL", "KRW", "CHF", "NGN")
LISTS = {"train": 500, "validation": 50, "test": 50}
LIST_STYLES = {"standard": "and", "or": "or"}
LIST_SIZES = (2, 3, 4)

_JOINERS = frozenset("\u200c\u200d")


def plain(text: str) -> str:
    """Returns a text with plain spaces, composed, without marks of direction."""
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(c for c in text if c in _JOINERS or unicodedata.category(c) != "Cf")


def long_date_rows(code: str) -> Iterator[Row]:
    """Yields dates with the month in words, given in ISO 8601."""
    name = language(code).name
    for date, text in _long_dates(code).items():
        question = f"date in {name}: {date}"
        yield f"date/{date}", {"inputs": question, "targets": text}


def parse_date_rows(code: str) -> Iterator[Row]:
    """Yields dates in ISO 8601, given with the month in words."""
    name = language(code).name
    for date, text in _long_dates(code).items():
        question = f"ISO date of this {name} date: {text}"
        yield f"date/{date}", {"inputs": question, "targets": date}


def relative_time_rows(code: str) -> Iterator[Row]:
    """Yields how far away a time is: `3 days ago`."""
    name = language(code).name
    fields = _own(code).get("date_fields", {})
    for unit, tense in itertools.product(TIME_UNITS, ("past", "future")):
        patterns = fields.get(unit, {}).get(tense, {})
        if not isinstance(patterns, Mapping) or "other" not in patterns:
            continue
        for number in range(1, MOST_TIME + 1):
            pattern = patterns.get(plural_form(code, number), patterns["other"])
            # The root's patterns are "+{0} d" and the like.
            if pattern[0] in "+-":
                continue
            text = pattern.replace("{0}", str(number))
            amount = f"{number} {unit}{'s' if number > 1 else ''}"
            when = f"{amount} ago" if tense == "past" else f"in {amount}"
            question = f"time in {name}: {when}"
            key = f"relative_time/{tense}/{number} {unit}"
            yield key, {"inputs": question, "targets": plain(text)}


def plural_rows(code: str) -> Iterator[Row]:
    """Yields the plural category a number takes, where there are three or more."""
    rule, name = _own(code).get("plural_form"), language(code).name
    if rule is None or len(rule.tags) < 2:
        return
    for number in _plural_numbers():
        question = f"plural category of this number in {name}: {number}"
        yield f"number/{number}", {"inputs": question, "targets": rule(number)}


def ordinal_category_rows(code: str) -> Iterator[Row]:
    """Yields the category an ordinal number takes, where there are two or more."""
    rule, name = _own(code).get("ordinal_form"), language(code).name
    if rule is None or not rule.tags:
        return
    for number in _plural_numbers():
        if isinstance(number, int):
            question = f"ordinal category of this number in {name}: {number}"
            yield f"number/{number}", {"inputs": question, "targets": rule(number)}


def list_rows(code: str) -> Iterator[Row]:
    """Yields lists of names with the words or marks that join them.

    All names of a list, territories and languages, are of one split.
    """
    from babel.lists import format_list

    patterns = _own(code).get("list_patterns") or {}
    styles = [style for style in LIST_STYLES if style in patterns]
    for split, most in LISTS.items() if styles else ():
        names = [(k, n) for k, n in _names(code) if task_split(k) == split]
        generator = random.Random(f"lists/{split}")
        for _ in range(most if len(names) >= min(LIST_SIZES) else 0):
            size = min(generator.choice(LIST_SIZES), len(names))
            chosen = generator.sample(names, size)
            style = generator.choice(styles)
            items = [name for _, name in chosen]
            text = format_list(items, style=style, locale=_locale(code))
            joined = f'"{LIST_STYLES[style]}": {"; ".join(items)}'
            question = f"{language(code).name} list with {joined}"
            yield chosen[0][0], {"inputs": question, "targets": plain(text)}


def format_number_rows(code: str) -> Iterator[Row]:
    """Yields numbers with a language's separators, where they are not English's."""
    name = language(code).name
    for number, text in _formatted_numbers(code).items():
        question = f"write this number as in {name}: {number}"
        yield f"number/{number}", {"inputs": question, "targets": text}


def parse_number_rows(code: str) -> Iterator[Row]:
    """Yields plain numbers, given with separators that are not English's."""
    name = language(code).name
    for number, text in _formatted_numbers(code).items():
        question = f"plain form of this {name} number: {text}"
        yield f"number/{number}", {"inputs": question, "targets": number}


def currency_rows(code: str) -> Iterator[Row]:
    """Yields amounts of money, written with the sign of the currency."""
    from babel.numbers import format_currency, get_currency_precision

    if not (_own(code).get("currency_formats") or _own(code).get("currency_symbols")):
        return
    name = language(code).name
    for number, currency in zip(_numbers(), itertools.cycle(CURRENCIES), strict=False):
        amount = round(Decimal(number), get_currency_precision(currency))
        text = format_currency(amount, currency, locale=_locale(code))
        question = f"amount in {name}: {currency} {amount}"
        yield f"number/{number}", {"inputs": question, "targets": plain(text)}


def compact_number_rows(code: str) -> Iterator[Row]:
    """Yields round numbers with the words for thousand, million ...: `3.4 million`."""
    from babel.numbers import format_compact_decimal

    if not _own(code).get("compact_decimal_formats", {}).get("long"):
        return
    name = language(code).name
    for number in _round_numbers():
        text = format_compact_decimal(
            number, format_type="long", locale=_locale(code), fraction_digits=1
        )
        # Some languages have no word for thousand.
        if any(map(str.isalpha, text)):
            question = f"short form of this number in {name}: {number}"
            yield f"number/{number}", {"inputs": question, "targets": plain(text)}


def _own(code: str) -> Mapping[str, Any]:
    """What CLDR has of a language; nothing of one whose formats are not its own."""
    from babel import localedata

    if not localedata.exists(locale_name(code)):
        return {}
    data = cldr.own_data(locale_name(code))
    return data if data.get("date_formats") and data.get("months") else {}


def _names(code: str) -> list[tuple[str, str]]:
    """Key and name of each territory and language that has one of its own."""
    return [
        (f"cldr/{part}/{name}", text)
        for part in ("territories", "languages")
        for name, text in sorted(cldr_names.names(code, part).items())
    ]


@cache
def _locale(code: str) -> Any:
    from babel import Locale

    return Locale.parse(locale_name(code))


@cache
def _dates() -> Sequence[datetime.date]:
    generator = random.Random("dates")
    first = datetime.date(FIRST_YEAR, 1, 1).toordinal()
    last = datetime.date(LAST_YEAR, 12, 31).toordinal()
    days = sorted(generator.sample(range(first, last + 1), NUM_DATES))
    return [datetime.date.fromordinal(day) for day in days]


@cache
def _long_dates(code: str) -> Mapping[str, str]:
    """Dates in words by ISO 8601."""
    from babel.dates import format_date

    return {
        date.isoformat(): plain(format_date(date, "long", locale=_locale(code)))
        for date in (_dates() if _own(code) else ())
    }


@cache
def _numbers() -> Sequence[str]:
    """Numbers of 4 to 9 digits before the point and 0 to 3 behind it."""
    generator = random.Random("numbers")
    found: dict[str, None] = {}
    while len(found) < NUM_NUMBERS:
        size, decimals = generator.randrange(4, 10), generator.randrange(4)
        whole = str(generator.randrange(10 ** (size - 1), 10**size))
        # A last zero would not be written.
        digits = "0123456789"[: 10 if decimals > 1 else 1]
        part = "".join(generator.choice(digits) for _ in range(decimals - 1))
        last = generator.choice("123456789")
        found[f"{whole}.{part}{last}" if decimals else whole] = None
    return list(found)


@cache
def _round_numbers() -> Sequence[int]:
    """Numbers of one to four significant digits, such that one decimal is enough."""
    generator = random.Random("round numbers")
    found: dict[int, None] = {}
    while len(found) < NUM_NUMBERS:
        power = generator.choice((3, 6, 9, 12))
        whole = generator.choice((10, 100, 1000))
        tenths = generator.randrange(1, whole) * generator.choice((1, 10))
        if tenths >= 10:
            found[tenths * 10 ** (power - 1)] = None
    return list(found)


@cache
def _plural_numbers() -> Sequence[int | Decimal]:
    """0 to 200, larger numbers, and some with decimals."""
    generator = random.Random("plural numbers")
    return [
        *range(201),
        *sorted(generator.sample(range(201, 10**6), 250)),
        *(k * 10**6 for k in range(1, 30)),
        *(Decimal(k).scaleb(-1) for k in range(1, 100) if k % 10),
    ]


@cache
def _formatted_numbers(code: str) -> Mapping[str, str]:
    """Numbers with separators; none where they are all as in English."""
    from babel.numbers import format_decimal

    texts = {
        number: plain(format_decimal(Decimal(number), locale=_locale(code)))
        for number in (_numbers() if _own(code) else ())
    }
    is_english = all(f"{Decimal(number):,}" == text for number, text in texts.items())
    return {} if is_english else texts
