"""Instants: UTC as integer milliseconds since 1970, ISO 8601 text at the borders.

Integers compare, sort and hash exactly and are the same bytes on every machine; that is what the
determinism contract needs. Aware datetimes exist only where a person or a protocol reads them.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MS_PER_S = 1_000
MS_PER_MIN = 60_000
MS_PER_H = 3_600_000
MS_PER_DAY = 86_400_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(moment: datetime) -> int:
    """Convert an aware datetime to milliseconds since 1970 UTC, rounding down.

    Raises
    ------
    ValueError
        If `moment` has no offset.

    >>> to_ms(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000
    """
    if moment.tzinfo is None:
        message = f"an instant needs an offset, found {moment.isoformat()}"
        raise ValueError(message)
    return (moment - _EPOCH) // _MILLISECOND


def to_datetime(at_ms: int) -> datetime:
    """Convert milliseconds since 1970 UTC to an aware datetime in UTC."""
    return _EPOCH + at_ms * _MILLISECOND


def parse_instant(text: str) -> int:
    """Parse ISO 8601 text with an offset to milliseconds.

    Raises
    ------
    ValueError
        If the text is not ISO 8601 or has no offset.

    >>> parse_instant("2026-07-06T17:00:00+08:00") == parse_instant("2026-07-06T09:00:00Z")
    True
    """
    return to_ms(datetime.fromisoformat(text))


def format_instant(at_ms: int) -> str:
    """Format milliseconds as the `YYYY-MM-DDTHH:MM:SS.mmmZ` that OCPP's dateTime asks for.

    >>> format_instant(0)
    '1970-01-01T00:00:00.000Z'
    """
    return to_datetime(at_ms).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def local_midnight_ms(day: date, zone: ZoneInfo) -> int:
    """Return the instant at which the local `day` begins in `zone`."""
    return to_ms(datetime.combine(day, time(), tzinfo=zone))


def local_datetime(at_ms: int, zone: ZoneInfo) -> datetime:
    """Return the wall-clock datetime of an instant in `zone`."""
    return to_datetime(at_ms).astimezone(zone)
