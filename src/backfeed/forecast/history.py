"""History: the stays that have ended, each with the instant at which the platform came to know it.

A stay becomes known when it ends, never before; `History` only grows, in the order of `known_at`.
Whoever forecasts asks for the view `as_of(now)`, which holds what was known then and nothing else.
Reaching past its edge raises `PastKnownError`: a forecast that has seen the future is an error of
the program, not a good forecast.

Habits live on the clock on the wall, so arrivals and departures are kept as local minutes (minutes
that the local clock is away from 1970-01-01 00:00) beside the instants.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_H, MS_PER_MIN, format_instant, local_datetime
from backfeed.fleet.session import PastSession

MIN_PER_H = 60.0

_EMPTY_ROWS = np.zeros(0, dtype=np.int64)


class PastKnownError(LookupError):
    """A forecast asked for something that was not known at its instant."""


@dataclass(frozen=True, slots=True)
class Stay:
    """One ended stay at a charger.

    Parameters
    ----------
    user_id
        Who; "" where nobody is known.
    location
        Where.
    arrival_ms, departure_ms
        From when until when.
    energy_kwh
        Energy recorded at the meter [kWh].
    stated_ms
        The departure that the driver had stated, None if he was silent.
    """

    user_id: str
    location: str
    arrival_ms: int
    departure_ms: int
    energy_kwh: float
    stated_ms: int | None = None

    @classmethod
    def of(cls, session: PastSession) -> "Stay":
        """Return the stay of a session that the platform has metered."""
        stated_ms = session.departure_stated_ms
        return cls(
            session.user_id,
            session.location,
            session.arrival_ms,
            session.departure_ms,
            session.energy_kwh,
            stated_ms if stated_ms >= 0 else None,
        )


_Number = TypeVar("_Number", np.float64, np.int64)


class _Column(Generic[_Number]):
    """A growing array of one kind of number."""

    def __init__(self, kind: type[_Number]) -> None:
        self.values: NDArray[_Number] = np.zeros(16, dtype=kind)
        self.count = 0

    def append(self, value: float) -> None:
        if self.count == len(self.values):
            self.values = np.resize(self.values, 2 * self.count)
        self.values[self.count] = value
        self.count += 1


class LocalClock:
    """Instants as minutes on the local clock; offsets are looked up once an hour."""

    def __init__(self, timezone: str) -> None:
        """Show the clock of an IANA zone."""
        self._zone = ZoneInfo(timezone)
        self._offset_min: dict[int, float] = {}

    def minute(self, at_ms: int) -> float:
        """Return the minutes that the local clock is past its 1970-01-01 00:00."""
        hour = at_ms // (MS_PER_H // 4)
        offset = self._offset_min.get(hour)
        if offset is None:
            shown = local_datetime(at_ms, self._zone).utcoffset()
            assert shown is not None, "a zone has an offset"
            offset = self._offset_min[hour] = shown.total_seconds() / 60
        return at_ms / MS_PER_MIN + offset


class History:
    """Ended stays in the order in which they became known.

    >>> history = History("Asia/Shanghai")
    >>> history.add(Stay("u", "home", 0, 3_600_000, 7.0), known_at_ms=3_600_000)
    >>> len(history.as_of(3_599_999)), len(history.as_of(3_600_000))
    (0, 1)
    """

    def __init__(self, timezone: str) -> None:
        """Begin empty; `timezone` is the IANA zone whose clock the drivers live by."""
        self.clock = LocalClock(timezone)
        self._stays: list[Stay] = []
        self._known_at_ms: list[int] = []
        self._arrival_min = _Column(np.float64)
        self._departure_min = _Column(np.float64)
        self._energy_kwh = _Column(np.float64)
        self._rows = _Column(np.int64)
        self._rows_of_user: dict[str, _Column[np.int64]] = {}
        self._rows_at: dict[str, _Column[np.int64]] = {}

    def __len__(self) -> int:
        """Return the number of stays."""
        return len(self._stays)

    def add(self, stay: Stay, known_at_ms: int) -> None:
        """Add a stay that has just become known.

        Raises
        ------
        ValueError
            If the stay is not over at `known_at_ms`, has no length, or if a later one is known already.
        """
        if not stay.arrival_ms < stay.departure_ms <= known_at_ms:
            message = f"expected arrival < departure <= known at, found {stay} known at {known_at_ms}"
            raise ValueError(message)
        if self._known_at_ms and known_at_ms < self._known_at_ms[-1]:
            message = f"history grows forward: {known_at_ms} is before {self._known_at_ms[-1]}"
            raise ValueError(message)
        row = len(self._stays)
        self._stays.append(stay)
        self._known_at_ms.append(known_at_ms)
        self._arrival_min.append(self.clock.minute(stay.arrival_ms))
        self._departure_min.append(self.clock.minute(stay.departure_ms))
        self._energy_kwh.append(stay.energy_kwh)
        self._rows.append(row)
        self._rows_at.setdefault(stay.location, _Column(np.int64)).append(row)
        if stay.user_id:
            self._rows_of_user.setdefault(stay.user_id, _Column(np.int64)).append(row)

    def as_of(self, now_ms: int) -> "Known":
        """Return the view of what was known at an instant."""
        return Known(self, now_ms, bisect_right(self._known_at_ms, now_ms))


class Known:
    """What was known at an instant: the first `len(known)` stays of a history."""

    def __init__(self, history: History, now_ms: int, count: int) -> None:
        """Look at the first `count` stays; made by `History.as_of`."""
        self._history = history
        self.now_ms = now_ms
        self._count = count

    def __len__(self) -> int:
        """Return the number of stays known."""
        return self._count

    def stay(self, row: int) -> Stay:
        """Return one stay.

        Raises
        ------
        PastKnownError
            If it was not known at this view's instant.
        """
        if not 0 <= row < self._count:
            message = f"row {row} was not known at {format_instant(self.now_ms)}; known rows: {self._count}"
            raise PastKnownError(message)
        return self._history._stays[row]  # noqa: SLF001 - a view of its own history

    def as_of(self, then_ms: int) -> "Known":
        """Return the view of an earlier instant; it never knows more than this one."""
        return self._history.as_of(min(then_ms, self.now_ms))

    @property
    def clock(self) -> LocalClock:
        """The clock that the drivers live by."""
        return self._history.clock

    @property
    def arrival_min(self) -> NDArray[np.float64]:
        """Arrivals in local minutes, shape `(row,)`."""
        return self._history._arrival_min.values[: self._count]  # noqa: SLF001

    @property
    def departure_min(self) -> NDArray[np.float64]:
        """Departures in local minutes, shape `(row,)`."""
        return self._history._departure_min.values[: self._count]  # noqa: SLF001

    @property
    def energy_kwh(self) -> NDArray[np.float64]:
        """Recorded energies [kWh], shape `(row,)`."""
        return self._history._energy_kwh.values[: self._count]  # noqa: SLF001

    def rows(self, most: int) -> NDArray[np.int64]:
        """Return the rows that became known last, oldest first, at most `most`."""
        return self._latest(self._history._rows, most)  # noqa: SLF001

    def rows_of_user(self, user_id: str, most: int) -> NDArray[np.int64]:
        """Return a user's rows that became known last, oldest first, at most `most`."""
        return self._latest(self._history._rows_of_user.get(user_id), most)  # noqa: SLF001

    def rows_at(self, location: str, most: int) -> NDArray[np.int64]:
        """Return a location's rows that became known last, oldest first, at most `most`."""
        return self._latest(self._history._rows_at.get(location), most)  # noqa: SLF001

    def lengths_of_user_h(self, user_id: str, most: int) -> NDArray[np.float64]:
        """Return the lengths of a user's stays that became known last, oldest first, at most `most` [h]."""
        rows = self.rows_of_user(user_id, most)
        return (self.departure_min[rows] - self.arrival_min[rows]) / MIN_PER_H

    def _latest(self, column: _Column[np.int64] | None, most: int) -> NDArray[np.int64]:
        if column is None:
            return _EMPTY_ROWS
        end = column.count
        if self._count < len(self._history):
            end = bisect_left(column.values, self._count, 0, end)
        return column.values[max(0, end - most) : end]
