"""Session files in Backfeed's own schema: from a path to judged sessions.

Reading has two halves. This one turns a file into `RawSessions`, columns of text in the schema of
`session_file`; importers of other layouts end there too. `judge` then looks at every row. Columns
that the schema does not know are ignored, optional ones may be missing, rows may stand in any order
and rows without a station form one location.
"""

from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

from backfeed.core.problem import InputError, Problem
from backfeed.feeds.delimited import Delimited, read_delimited
from backfeed.feeds.judge import judge
from backfeed.feeds.session_file import OPTIONAL, REQUIRED, RawSessions, SessionFile
from backfeed.feeds.wallclock import zone_named


def read_sessions(path: str | Path, timezone: str | None = None) -> SessionFile:
    """Read and judge a session file in Backfeed's schema.

    Parameters
    ----------
    path
        A CSV file; encoding and delimiter are found out.
    timezone
        IANA zone of times without an offset. Without it such times are rejected.

    Raises
    ------
    InputError
        If the file can not be read, has no header or lacks an indispensable column, or if there is
        no such zone.
    """
    zone = zone_named(timezone, "timezone") if timezone else None
    return judge(raw_sessions(read_delimited(Path(path)), zone, str(path)))


def raw_sessions(found: Delimited, zone: ZoneInfo | None, where: str) -> RawSessions:
    """Return the columns of the schema that a delimited file has.

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
    unreadable = {row: f"expected {len(names)} cells as in the header, found more" for row in sorted(found.overlong)}
    return RawSessions(found.row, columns, unreadable, zone, decimal_comma=found.delimiter != ",")
