"""Session files: from a path to judged sessions.

Reading has two halves. This one recognises the layout of a file and turns it into `RawSessions`, columns
of text in the session schema; `judge` then looks at every row. Columns that a layout does not know are
ignored, optional ones may be missing, rows may stand in any order and rows without a station form one
location.
"""

from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

from backfeed.core.problem import InputError, Problem
from backfeed.feeds import acn
from backfeed.feeds.delimited import Delimited, read_delimited
from backfeed.feeds.judge import judge
from backfeed.feeds.layouts import LAYOUTS, in_schema, layout_of, plain
from backfeed.feeds.session_file import OPTIONAL, REQUIRED, RawSessions, SessionFile
from backfeed.feeds.wallclock import zone_named
from backfeed.feeds.written_time import iso_columns

OWN_LAYOUT = "backfeed"
LAYOUT_NAMES = (OWN_LAYOUT, acn.NAME, *(layout.name for layout in LAYOUTS))
TIMES = ("arrival", "departure", "departure_stated")


def read_sessions(
    path: str | Path, timezone: str | None = None, layout: str | None = None, *, otherwise: str | None = None
) -> SessionFile:
    """Read and judge a session file.

    Parameters
    ----------
    path
        A CSV file whose encoding and delimiter are found out, or an ACN-Data JSON file.
    timezone
        IANA zone of times without an offset, also where the layout has a zone of its own.
    layout
        One of `LAYOUT_NAMES`; found out if None.
    otherwise
        IANA zone of times without an offset where neither `timezone` nor the layout names one; without it
        such times are rejected.

    Raises
    ------
    InputError
        If the file can not be read, has no header or lacks an indispensable column, or if there is
        no such zone or layout.
    """
    path = Path(path)
    zone = zone_named(timezone, "timezone") if timezone else None
    last = zone_named(otherwise, "timezone") if otherwise else None
    if layout is not None and layout not in LAYOUT_NAMES:
        raise InputError([Problem("format", f"expected one of {', '.join(LAYOUT_NAMES)}, found {layout!r}")])
    if layout == acn.NAME or (layout is None and path.suffix.lower() == ".json"):
        return judge(acn.read_acn(path, zone))
    return judge(_delimited_sessions(read_delimited(path), zone, last, layout, str(path)))


def _delimited_sessions(
    found: Delimited, zone: ZoneInfo | None, last: ZoneInfo | None, layout: str | None, where: str
) -> RawSessions:
    own = set(REQUIRED) <= {name.strip().lower() for name in found.header}
    if layout == OWN_LAYOUT or (layout is None and own):
        return raw_sessions(found, zone or last, where)
    if layout is None:
        recognised = layout_of(found.header)
        return in_schema(found, recognised, zone) if recognised else raw_sessions(found, zone or last, where)
    named = next(each for each in LAYOUTS if each.name == layout)
    missing = named.known_by - {plain(name) for name in found.header}
    if missing:
        problems = [
            Problem(
                f"{where}: header",
                f"expected a column {name!r} of the layout {layout}, found {', '.join(found.header)}",
            )
            for name in sorted(missing)
        ]
        raise InputError(problems)
    return in_schema(found, named, zone)


def raw_sessions(found: Delimited, zone: ZoneInfo | None, where: str) -> RawSessions:
    """Return the columns of Backfeed's own schema that a delimited file has.

    Raises
    ------
    InputError
        If an indispensable column is missing or a column stands there twice.
    """
    names = [name.strip().lower() for name in found.header]
    counts = Counter(names)
    problems = [
        Problem(f"{where}: header", f"expected a column {name!r}, found {', '.join(found.header)}")
        for name in REQUIRED
        if name not in counts
    ]
    problems += [
        Problem(f"{where}: header", f"expected one column {name!r}, found {counts[name]}")
        for name in REQUIRED + OPTIONAL
        if counts[name] > 1
    ]
    if problems:
        raise InputError(problems)
    columns = {
        name: [cells[index] for cells in found.cells] for index, name in enumerate(names) if name in REQUIRED + OPTIONAL
    }
    times = [name for name in TIMES if name in columns]
    columns.update(zip(times, iso_columns([columns[name] for name in times], habit=None), strict=True))
    return RawSessions(found.row, columns, found.unreadable, zone, decimal_comma=found.delimiter != ",")
