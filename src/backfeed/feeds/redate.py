"""Moving real sessions to another time and place: same wall-clock times, whole weeks away, another zone.

A driver who plugs in at 17:00 in Oslo on a Monday plugs in at 17:00 in Shanghai on a Monday. What is
kept is what the clock on the wall showed: the instant plus the offset it was written in. A time
written with "Z" names no clock; it is read on the clock of the new zone.

Where the new zone changes its clocks, a kept time may not exist or exist twice; each such row is
reported. If both ends of a stay come to lie in the wrong order by that, the row is rejected.
"""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from backfeed.core.instant import to_datetime
from backfeed.core.problem import InputError, Problem
from backfeed.feeds.judge import YEARS, local_time_note
from backfeed.feeds.session_file import RejectedRow, RowProblem, SessionFile
from backfeed.feeds.wallclock import Reading, resolve, zone_named

_WEEK = timedelta(weeks=1)


def redate(file: SessionFile, shift_weeks: int, timezone: str) -> SessionFile:
    """Return the file's sessions moved by whole weeks into another zone.

    Parameters
    ----------
    file
        A judged session file.
    shift_weeks
        Weeks to move by; 0 only replaces the zone.
    timezone
        IANA name of the zone whose clocks are to show the times.

    Returns
    -------
    SessionFile
        The same rows, rejected ones included, with new times; problems that moving them met are
        added to those of the file.

    Raises
    ------
    InputError
        If there is no such zone, or the shift leaves the years that a session may lie in.
    """
    zone = zone_named(timezone, "timezone")
    mover = _Mover(zone, shift_weeks)
    table, offsets = file.table, file.offsets
    arrival, arrival_offset = table.arrival_ms.copy(), offsets.arrival.copy()
    departure, departure_offset = table.departure_ms.copy(), offsets.departure.copy()
    stated, stated_offset = table.departure_stated_ms.copy(), offsets.stated.copy()
    for i in range(len(table)):
        named = (int(table.row[i]), table.session_id[i])
        arrival[i], arrival_offset[i] = mover.move(*named, "arrival", int(arrival[i]), arrival_offset[i])
        departure[i], departure_offset[i] = mover.move(*named, "departure", int(departure[i]), departure_offset[i])
        if not math.isnan(stated[i]):
            stated[i], stated_offset[i] = mover.move(*named, "departure_stated", int(stated[i]), stated_offset[i])
    moved = replace(table, arrival_ms=arrival, departure_ms=departure, departure_stated_ms=stated)
    turned = departure <= arrival
    mover.problems += [
        RowProblem(int(table.row[i]), "departure", _turned(zone), "rejected", table.session_id[i])
        for i in np.flatnonzero(turned)
    ]
    rejected = [mover.move_rejected(each) for each in file.rejected]
    rejected += [
        RejectedRow(int(table.row[i]), table.session_id[i], int(arrival[i]), int(arrival_offset[i]))
        for i in np.flatnonzero(turned)
    ]
    written = type(offsets)(arrival_offset, departure_offset, stated_offset)
    return replace(
        file,
        table=moved.select(~turned),
        offsets=written.select(np.flatnonzero(~turned)),
        problems=tuple(sorted([*file.problems, *mover.problems], key=lambda problem: problem.row)),
        rejected=tuple(sorted(rejected, key=lambda each: each.row)),
    ).sorted_by_arrival()


def _turned(zone: ZoneInfo) -> str:
    return f"expected a time after the arrival, found none on the clocks of {zone.key} on the day they change"


class _Mover:
    """Moves one written time after another and notes what it meets."""

    def __init__(self, zone: ZoneInfo, shift_weeks: int) -> None:
        self._zone = zone
        self._weeks = shift_weeks
        self.problems: list[RowProblem] = []

    def move(self, row: int, session_id: str, name: str, at_ms: int, offset_ms: float) -> tuple[int, int]:
        """Return the moved instant and its offset in the new zone."""
        if math.isnan(offset_ms):
            local = to_datetime(at_ms).astimezone(self._zone).replace(tzinfo=None)
        else:
            local = (to_datetime(at_ms) + timedelta(milliseconds=offset_ms)).replace(tzinfo=None)
        moved = self._shifted(local)
        preferred = None if math.isnan(offset_ms) else int(offset_ms)
        moved_ms, moved_offset, reading = resolve(moved, self._zone, preferred)
        if reading is not Reading.PLAIN and moved_offset != preferred:
            note = local_time_note(moved, self._zone, reading)
            self.problems.append(RowProblem(row, name, note, "warning", session_id))
        return moved_ms, moved_offset

    def move_rejected(self, each: RejectedRow) -> RejectedRow:
        """Return a rejected row with its arrival moved along, if it has a readable one."""
        if each.arrival_ms is None:
            return each
        offset = math.nan if each.arrival_offset_ms is None else float(each.arrival_offset_ms)
        noted = len(self.problems)
        moved_ms, moved_offset = self.move(each.row, each.session_id, "arrival", each.arrival_ms, offset)
        del self.problems[noted:]
        return RejectedRow(each.row, each.session_id, moved_ms, moved_offset)

    def _shifted(self, local: datetime) -> datetime:
        try:
            moved = local + self._weeks * _WEEK
        except OverflowError:
            moved = None
        if moved is None or moved.year not in YEARS:
            what = f"expected a shift into the years {YEARS[0]} to {YEARS[-1]}, found {self._weeks} from {local.date()}"
            raise InputError([Problem("shift_weeks", what)])
        return moved
