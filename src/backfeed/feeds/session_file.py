"""The words of a session file: raw rows, verdicts on rows, and the file after judgement.

The schema is `session_id, station_id, user_id, arrival, departure, energy_kwh` and, where known,
`max_power_kw, soc_arrival, soc_departure, capacity_kwh, departure_stated, energy_requested_kwh`.
Only arrival, departure and energy are indispensable.
"""

from dataclasses import dataclass, field, replace
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.core.columns import Columns
from backfeed.fleet.session import SessionTable

REQUIRED = ("arrival", "departure", "energy_kwh")
OPTIONAL = (
    "session_id",
    "station_id",
    "user_id",
    "max_power_kw",
    "soc_arrival",
    "soc_departure",
    "capacity_kwh",
    "departure_stated",
    "energy_requested_kwh",
)

Severity = Literal["rejected", "warning"]


@dataclass(frozen=True, slots=True)
class RowProblem:
    """What is wrong with one field of one row; a rejected row is not served.

    `row` counts as a spreadsheet does, the header being row 1.
    """

    row: int
    field: str
    reason: str
    severity: Severity
    session_id: str = ""

    def __str__(self) -> str:
        """Return one line for a person."""
        return f"row {self.row}, {self.field}: {self.reason} [{self.severity}]"


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that is not served.

    `arrival_ms` is None where the arrival can not be read; `arrival_offset_ms` is the offset it was
    written in, None where none is known.
    """

    row: int
    session_id: str
    arrival_ms: int | None
    arrival_offset_ms: int | None


@dataclass(frozen=True)
class WrittenOffsets(Columns):
    """The UTC offsets in which the times of a `SessionTable` were written, row by row [ms].

    The instant plus the offset is what the clock on the wall showed; re-dating keeps that. NaN where
    no local time is known: a time that ends in "Z" names an instant but no clock (RFC 9557, 2.2).
    """

    arrival: NDArray[np.float64]
    departure: NDArray[np.float64]
    stated: NDArray[np.float64]


@dataclass(frozen=True)
class SessionFile:
    """A session file after judgement: `total == len(table) + len(rejected)`.

    Parameters
    ----------
    table
        The accepted sessions, sorted by arrival and then id.
    problems
        Everything that was found, sorted by row.
    total
        Rows in the file that are not blank, without the header.
    rejected
        The rows that are not served, sorted by row.
    offsets
        The offsets in which the accepted rows were written.
    layout
        The layout the file came in.
    """

    table: SessionTable
    problems: tuple[RowProblem, ...]
    total: int
    rejected: tuple[RejectedRow, ...]
    offsets: WrittenOffsets
    layout: str = "backfeed"

    @property
    def warnings(self) -> tuple[RowProblem, ...]:
        """The problems of rows that are served all the same."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    def rejected_between(self, start_ms: int, end_ms: int) -> tuple[RejectedRow, ...]:
        """Return the rejected rows whose arrival is readable and lies in `[start_ms, end_ms)`."""
        return tuple(
            each for each in self.rejected if each.arrival_ms is not None and start_ms <= each.arrival_ms < end_ms
        )

    def sorted_by_arrival(self) -> "SessionFile":
        """Return the same file with its sessions sorted by arrival, id and row."""
        table = self.table
        keys = [(int(table.arrival_ms[i]), table.session_id[i], int(table.row[i])) for i in range(len(table))]
        order = np.array(sorted(range(len(table)), key=keys.__getitem__), dtype=np.intp)
        return replace(self, table=table.select(order), offsets=self.offsets.select(order))


@dataclass(frozen=True)
class RawSessions:
    """Rows in the session schema, as text, before judgement: where every importer ends.

    Parameters
    ----------
    row
        Row number in the file.
    columns
        Text per column of the schema, one entry a row; a column that the file does not have is absent.
    unreadable
        Row numbers of rows that could not be taken apart, with the reason.
    timezone
        The zone of times without an offset, if the layout or the caller knows one.
    layout
        The name of the layout.
    decimal_comma
        Whether a comma may be a decimal point.
    """

    row: list[int]
    columns: dict[str, list[str]]
    unreadable: dict[int, str] = field(default_factory=dict)
    timezone: ZoneInfo | None = None
    layout: str = "backfeed"
    decimal_comma: bool = False


def window(table: SessionTable, start_ms: int, end_ms: int) -> SessionTable:
    """Return the sessions that arrive in `[start_ms, end_ms)`."""
    return table.select((table.arrival_ms >= start_ms) & (table.arrival_ms < end_ms))


def departed_between(table: SessionTable, start_ms: int, end_ms: int) -> SessionTable:
    """Return the sessions that have departed in `[start_ms, end_ms)`: what is known at `end_ms`."""
    return table.select((table.departure_ms >= start_ms) & (table.departure_ms < end_ms))
