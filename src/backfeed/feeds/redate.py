"""Moving real sessions to another time and place: same wall-clock times, whole weeks away, another zone.

A driver who plugs in at 17:00 in Oslo on a Monday plugs in at 17:00 in Shanghai on a Monday. What is
kept is what the clock on the wall showed: the instant plus the offset it was written in. A time
written with "Z" names no clock; it is read on the clock of the new zone.

Where the new zone changes its clocks, a kept time may not exist or exist twice; each such row is
reported. If both ends of a stay come to lie in the wrong order by that, the row is rejected, as is one
that the shift would move out of the years in which a session may lie.
"""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import to_datetime
from backfeed.core.problem import InputError, Problem
from backfeed.feeds.judge import YEARS, local_time_note
from backfeed.feeds.session_file import RejectedRow, RowProblem, SessionFile, Severity
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
        If there is no such zone, or the shift moves every session out of the years that one may lie in.
    """
    mover = _Mover(zone_named(timezone, "timezone"), shift_weeks)
    stays, left = _stays_in_years(file, mover)
    table, offsets = file.table.select(stays), file.offsets.select(stays)
    arrival, arrival_offset = table.arrival_ms.copy(), offsets.arrival.copy()
    departure, departure_offset = table.departure_ms.copy(), offsets.departure.copy()
    stated, stated_offset = table.departure_stated_ms.copy(), offsets.stated.copy()
    for i in range(len(table)):
        named = (int(table.row[i]), table.session_id[i])
        arrival[i], arrival_offset[i] = mover.move(*named, "arrival", int(arrival[i]), arrival_offset[i])
        departure[i], departure_offset[i] = mover.move(*named, "departure", int(departure[i]), departure_offset[i])
        if not math.isnan(stated[i]):
            if mover.can_move(int(stated[i]), stated_offset[i]):
                stated[i], stated_offset[i] = mover.move(*named, "departure_stated", int(stated[i]), stated_offset[i])
            else:
                mover.report(*named, "departure_stated", f"{mover.out_of_years}; treated as not stated", "warning")
                stated[i], stated_offset[i] = math.nan, math.nan
    moved = replace(table, arrival_ms=arrival, departure_ms=departure, departure_stated_ms=stated)
    turned = departure <= arrival
    rejected = [*left, *(mover.move_rejected(each) for each in file.rejected)]
    for at in np.flatnonzero(turned):
        row, session_id = int(table.row[at]), table.session_id[at]
        mover.report(row, session_id, "departure", mover.turned, "rejected")
        rejected.append(RejectedRow(row, session_id, int(arrival[at]), int(arrival_offset[at])))
    written = type(offsets)(arrival_offset, departure_offset, stated_offset)
    return replace(
        file,
        table=moved.select(~turned),
        offsets=written.select(~turned),
        problems=tuple(sorted([*file.problems, *mover.problems], key=lambda problem: problem.row)),
        rejected=tuple(sorted(rejected, key=lambda each: each.row)),
    ).sorted_by_arrival()


def _stays_in_years(file: SessionFile, mover: "_Mover") -> tuple[NDArray[np.bool_], list[RejectedRow]]:
    """Return which sessions stay in the years that one may lie in, and the others as rejected rows."""
    table, offsets = file.table, file.offsets
    stays = np.array(
        [
            mover.can_move(int(table.arrival_ms[i]), offsets.arrival[i])
            and mover.can_move(int(table.departure_ms[i]), offsets.departure[i])
            for i in range(len(table))
        ],
        dtype=np.bool_,
    )
    if len(table) and not stays.any():
        raise InputError([Problem("shift_weeks", mover.out_of_years)])
    left = []
    for at in np.flatnonzero(~stays):
        row, session_id = int(table.row[at]), table.session_id[at]
        mover.report(row, session_id, "arrival", mover.out_of_years, "rejected")
        left.append(RejectedRow(row, session_id, None, None))
    return stays, left


class _Mover:
    """Moves one written time after another and notes what it meets."""

    def __init__(self, zone: ZoneInfo, shift_weeks: int) -> None:
        self._zone = zone
        self._weeks = shift_weeks
        self.problems: list[RowProblem] = []
        self.out_of_years = f"expected a time that {shift_weeks} weeks leave in the years {YEARS[0]} to {YEARS[-1]}"
        self.turned = (
            f"expected a time after the arrival, found none with both on the clocks of {zone.key}: between them "
            "a clock changes, there or where they were written"
        )

    def report(self, row: int, session_id: str, name: str, reason: str, severity: Severity) -> None:
        """Note what was met."""
        self.problems.append(RowProblem(row, name, reason, severity, session_id))

    def move(self, row: int, session_id: str, name: str, at_ms: int, offset_ms: float) -> tuple[int, int]:
        """Return the moved instant and its offset in the new zone."""
        moved = self._shifted(at_ms, offset_ms)
        assert moved is not None, "asked of times that can move"
        preferred = None if math.isnan(offset_ms) else int(offset_ms)
        moved_ms, moved_offset, reading = resolve(moved, self._zone, preferred)
        if reading is not Reading.PLAIN and moved_offset != preferred:
            self.report(row, session_id, name, local_time_note(moved, self._zone, reading), "warning")
        return moved_ms, moved_offset

    def move_rejected(self, each: RejectedRow) -> RejectedRow:
        """Return a rejected row with its arrival moved along, if it has a readable one that can move."""
        if each.arrival_ms is None:
            return each
        offset = math.nan if each.arrival_offset_ms is None else float(each.arrival_offset_ms)
        if not self.can_move(each.arrival_ms, offset):
            return RejectedRow(each.row, each.session_id, None, None)
        noted = len(self.problems)
        moved_ms, moved_offset = self.move(each.row, each.session_id, "arrival", each.arrival_ms, offset)
        del self.problems[noted:]
        return RejectedRow(each.row, each.session_id, moved_ms, moved_offset)

    def can_move(self, at_ms: int, offset_ms: float) -> bool:
        """Say whether a time stays in the years that a session may lie in."""
        return self._shifted(at_ms, offset_ms) is not None

    def _shifted(self, at_ms: int, offset_ms: float) -> datetime | None:
        """Return what the clock on the wall is to show, None if no session may lie there."""
        try:
            if math.isnan(offset_ms):
                local = to_datetime(at_ms).astimezone(self._zone).replace(tzinfo=None)
            else:
                local = (to_datetime(at_ms) + timedelta(milliseconds=offset_ms)).replace(tzinfo=None)
            moved = local + self._weeks * _WEEK
        except OverflowError:
            return None
        return moved if moved.year in YEARS else None
