"""Times as files of the world write them, rewritten to ISO 8601.

`3/14/2019 5:09 PM`, `14-03-2019 17:09`, `2019/3/14 17:09:00` and `Thu, 14 Mar 2019 17:09:00 GMT` are one
time. Whether the day or the month comes first is asked of all times of a file: one value above 12 settles
it; where none does, the layout's own habit holds. Text that fits no form is returned as it is, so that
the judgement of its row can show it; likewise a text of which nobody can tell what comes first.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from email.utils import parsedate_to_datetime

_FORM = re.compile(
    r"(?P<a>\d{1,4})[/.-](?P<b>\d{1,2})[/.-](?P<c>\d{1,4})[ T]*"
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?\s*(?P<half>[AaPp][Mm])?"
    r"\s*(?P<offset>Z|[+-]\d{2}(?::?\d{2})?)?"
)
_YEAR_DIGITS = 4
_CENTURY = 2000
_MONTHS = 12
_HALF_DAY_H = 12

ABBREVIATED_OFFSETS_H = {
    "UTC": 0,
    "GMT": 0,
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
    "AKST": -9,
    "AKDT": -8,
    "HST": -10,
}
"""Offsets of the abbreviations that North American files use."""


def iso_columns(columns: Sequence[Sequence[str]], *, habit: bool | None) -> list[list[str]]:
    """Return columns of times by one hand in ISO 8601, each time as `iso_text` does.

    Parameters
    ----------
    columns
        The times of a file.
    habit
        Whether the day comes before the month where no value tells; None if nothing is known of that.
    """
    other = [[text for text in column if not _is_iso(text)] for column in columns]
    if not any(other):
        return [list(column) for column in columns]
    day_first = day_comes_first((text for column in other for text in column), habit=habit)
    return [[text if _is_iso(text) else iso_text(text, day_first=day_first) for text in column] for column in columns]


def _is_iso(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def day_comes_first(texts: Iterable[str], *, habit: bool | None = None) -> bool | None:
    """Say whether the day comes before the month in times of one hand; `habit` where no value tells."""
    for text in texts:
        found = _FORM.match(text)
        if found is None or len(found["a"]) == _YEAR_DIGITS:
            continue
        if int(found["a"]) > _MONTHS:
            return True
        if int(found["b"]) > _MONTHS:
            return False
    return habit


def iso_text(text: str, *, day_first: bool | None) -> str:
    """Return a written time in ISO 8601, or the text itself if it fits no form or names no time.

    Parameters
    ----------
    text
        As it is written.
    day_first
        Whether the day comes before the month; None where nobody can tell.

    >>> iso_text("3/14/2019 5:09 PM", day_first=False)
    '2019-03-14T17:09:00'
    """
    found = _FORM.fullmatch(text)
    if found is None:
        return text
    first, second, third = found["a"], found["b"], found["c"]
    if len(first) == _YEAR_DIGITS:
        year, month, day = first, second, third
    elif day_first is None:
        return text
    else:
        day, month = (first, second) if day_first else (second, first)
        year = third if len(third) == _YEAR_DIGITS else str(_CENTURY + int(third))
    hour = int(found["hour"])
    if found["half"]:
        hour = hour % _HALF_DAY_H + (_HALF_DAY_H if found["half"].lower() == "pm" else 0)
    try:
        clock = time(hour, int(found["minute"]), int(found["second"] or 0))
        local = datetime.combine(date(int(year), int(month), int(day)), clock)
    except ValueError:
        return text
    return f"{local.isoformat()}{found['offset'] or ''}"


def with_abbreviation(text: str, abbreviation: str) -> str:
    """Return ISO text with the offset of a zone's abbreviation in place of its own, if it is a known one.

    Exports exist that append "+00" to local times and name the zone in a column beside; the column is
    right.
    """
    hours = ABBREVIATED_OFFSETS_H.get(abbreviation.upper())
    if hours is None:
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment.replace(tzinfo=timezone(timedelta(hours=hours))).isoformat()


def from_rfc_1123(text: str) -> datetime | None:
    """Return the aware datetime of `Thu, 14 Mar 2019 17:09:00 GMT`, None if the text is no such time."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
