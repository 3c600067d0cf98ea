"""What really happened, for the judge and nobody else.

The truth is broken into segments: stretches of one session within one quarter-hour during which the
same power was asked. Their ends carry the battery's energy, so the path between is known as well.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from backfeed.core.instant import MS_PER_H, MS_PER_MIN
from backfeed.sim.columns import IntColumn, WorldSessions
from backfeed.sim.vehicle import FloatColumn

QUARTER_MS = 15 * MS_PER_MIN


@dataclass(frozen=True)
class Segments:
    """Segments as columns of shape `(segment,)`, sorted by session and then time.

    Parameters
    ----------
    session
        Index of the session.
    from_ms, until_ms
        The stretch `[from_ms, until_ms)`, within one quarter-hour of UTC.
    energy_kwh
        Energy at the meter [kWh AC], charging positive.
    energy_end_kwh
        In the battery at the end.
    power_kw
        The power that is largest in magnitude, charging positive: the one at the start, since what is
        asked is constant and a battery only ever takes less of it.
    """

    session: IntColumn
    from_ms: IntColumn
    until_ms: IntColumn
    energy_kwh: FloatColumn
    energy_end_kwh: FloatColumn
    power_kw: FloatColumn

    def __len__(self) -> int:
        """Return the number of segments."""
        return len(self.session)

    @property
    def hours(self) -> FloatColumn:
        """The length of every segment [h]."""
        length: FloatColumn = (self.until_ms - self.from_ms) / MS_PER_H
        return length


@dataclass(frozen=True)
class Truth:
    """What happened to every session.

    Parameters
    ----------
    sessions
        The sessions.
    segments
        What happened in them; every connected moment of the window is in exactly one segment.
    energy_departure_kwh
        In the battery at the departure, or at the end of the window for who is still there; shape `(session,)`.
    """

    sessions: WorldSessions
    segments: Segments
    energy_departure_kwh: FloatColumn


class TruthRecorder:
    """Collects segments while a world runs."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._whole = array("q")
        self._real = array("d")

    def add(
        self, session: int, from_ms: int, until_ms: int, energy_kwh: float, energy_end_kwh: float, power_kw: float
    ) -> None:
        """Add a segment; those of one session come in order of time."""
        self._whole.extend((session, from_ms, until_ms))
        self._real.extend((energy_kwh, energy_end_kwh, power_kw))

    def segments(self) -> Segments:
        """Return what has been collected."""
        whole = np.frombuffer(self._whole, dtype=np.int64).reshape(-1, 3) if self._whole else np.empty((0, 3), np.int64)
        real = np.frombuffer(self._real, dtype=np.float64).reshape(-1, 3) if self._real else np.empty((0, 3))
        return sorted_segments(*whole.T, *real.T)


def sorted_segments(
    session: IntColumn,
    from_ms: IntColumn,
    until_ms: IntColumn,
    energy_kwh: FloatColumn,
    energy_end_kwh: FloatColumn,
    power_kw: FloatColumn,
) -> Segments:
    """Return segments given in any order."""
    order = np.lexsort((from_ms, session))
    return Segments(
        session[order], from_ms[order], until_ms[order], energy_kwh[order], energy_end_kwh[order], power_kw[order]
    )


def truth_of(sessions: WorldSessions, segments: Segments) -> Truth:
    """Return the truth that segments tell; a session without any keeps its arrival energy."""
    energy = sessions.energy_arrival_kwh.copy()
    energy[segments.session] = segments.energy_end_kwh
    return Truth(sessions, segments, energy)


def quarter_pieces(from_ms: int, until_ms: int) -> Iterator[tuple[int, int]]:
    """Cut `[from_ms, until_ms)` at the quarter-hours.

    >>> list(quarter_pieces(0, 1_000_000))
    [(0, 900000), (900000, 1000000)]
    """
    while from_ms < until_ms:
        piece_end_ms = min(until_ms, from_ms // QUARTER_MS * QUARTER_MS + QUARTER_MS)
        yield from_ms, piece_end_ms
        from_ms = piece_end_ms
