"""What a clock on the wall shows, and which instant that is.

Twice a year a zone with daylight saving has an hour that does not exist and an hour that exists
twice. Both are legal input and neither may pass in silence: `resolve` says which it met. A skipped
time is read with the offset that held before the change, so that it lands as much later as the
clock was put forward; a repeated one is its first occurrence unless an offset is preferred that
fits the second (PEP 495).
"""

from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backfeed.core.instant import MS_PER_S, to_ms
from backfeed.core.problem import InputError, Problem

_SECOND = timedelta(seconds=1)


class Reading(StrEnum):
    """Whether a local time exists once, not at all, or twice."""

    PLAIN = "plain"
    SKIPPED = "skipped"
    REPEATED = "repeated"


def zone_named(name: str, where: str) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Raises
    ------
    InputError
        If there is none of that name; `where` is the place that named it.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        what = f"expected an IANA time zone such as Asia/Shanghai, found {name!r}"
        raise InputError([Problem(where, what)]) from error


def offset_ms(aware: datetime) -> int:
    """Return the UTC offset of an aware datetime in milliseconds."""
    offset = aware.utcoffset()
    assert offset is not None, "an aware datetime has an offset"
    return offset // _SECOND * MS_PER_S


def resolve(local: datetime, zone: ZoneInfo, preferred_offset_ms: int | None = None) -> tuple[int, int, Reading]:
    """Return the instant that a local time names in a zone, its offset there, and how it was read.

    Parameters
    ----------
    local
        A naive datetime: what the clock showed.
    zone
        Where the clock hung.
    preferred_offset_ms
        Which of two occurrences is meant, if it fits one of them [ms].

    >>> resolve(datetime(2026, 3, 29, 2, 30), ZoneInfo("Europe/Oslo"))[2].value
    'skipped'
    """
    first = local.replace(tzinfo=zone, fold=0)
    second = local.replace(tzinfo=zone, fold=1)
    first_offset, second_offset = offset_ms(first), offset_ms(second)
    if first_offset == second_offset:
        return to_ms(first), first_offset, Reading.PLAIN
    if first_offset < second_offset:
        return to_ms(first), first_offset, Reading.SKIPPED
    if preferred_offset_ms == second_offset:
        return to_ms(second), second_offset, Reading.REPEATED
    return to_ms(first), first_offset, Reading.REPEATED
