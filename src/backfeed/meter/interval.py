"""How much energy flowed in which quarter-hour: registers to integer watt-hours, to the last one.

A charger reports two registers that only grow, at instants of its own choosing. Between two readings
energy is taken to flow evenly. The register is therefore read off a straight line at every boundary of
a quarter-hour, rounded down to whole Wh, and an interval's energy is the difference of two such values.
What rounding takes from one interval it gives to the next: the sum over any run of intervals is the
difference of two registers, so no watt-hour appears or is lost.

Readings are kept as a set and looked at in the order of their instants, never of their arrival. Late,
repeated and reordered messages therefore give the same intervals as a clean run. A reading that can not
be true is set apart with the reason, unpaid until somebody clears it:

- a register below the last believed one;
- more energy than the rated power can move in the time since;
- a first reading, such as a 0 before the register is read, that most of the others contradict.
"""

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import inf

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_H, MS_PER_MIN

INTERVAL_MS = 15 * MS_PER_MIN

# A meter may round up to the next Wh at both ends and be read some seconds late.
POWER_TOLERANCE = 1.1
READING_SLACK_WH = 100

FALSE_STARTS_MAX = 3
"""How many first readings are given up if more of the others agree without them: stations begin with a 0."""


class Suspicion(StrEnum):
    """Why a reading was set apart."""

    BACKWARDS = "register below the last believed one"
    IMPOSSIBLE = "more energy than the rated power can move"
    CONFLICT = "another value at the same instant"
    ALONE = "a first value that hardly any later one agrees with"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A reading that can not be true beside the readings that are believed."""

    station: str
    evse: int
    transaction: str
    measured_ms: int
    import_wh: int
    export_wh: int
    reason: Suspicion


@dataclass(frozen=True, slots=True)
class MeterKey:
    """Whose energy it is: one transaction at one EVSE, of one owner at one site."""

    transaction: str
    owner: str
    site: str
    station: str
    evse: int


@dataclass(frozen=True)
class IntervalTable:
    """Metered energy as columns, row = one transaction in one quarter-hour.

    Parameters
    ----------
    keys
        The transactions; rows refer to them by number.
    key
        Number of the row's transaction in `keys`, shape `(row,)`.
    start_ms
        Start of the quarter-hour in milliseconds since 1970 UTC, on the grid counted from 1970.
    import_wh, export_wh
        Energy into and out of the vehicle at the EVSE [Wh], both >= 0.
    """

    keys: tuple[MeterKey, ...]
    key: NDArray[np.int64]
    start_ms: NDArray[np.int64]
    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.key)

    def between(self, from_ms: int, until_ms: int) -> "IntervalTable":
        """Return the rows whose quarter-hour starts in `[from_ms, until_ms)`, with the same keys."""
        keep = (self.start_ms >= from_ms) & (self.start_ms < until_ms)
        return IntervalTable(self.keys, self.key[keep], self.start_ms[keep], self.import_wh[keep], self.export_wh[keep])


class IntervalMeter:
    """The registers of one transaction.

    Parameters
    ----------
    power_max_kw
        Rated power of the EVSE; energy beyond it is not believed. Infinite where it is not known.

    >>> meter = IntervalMeter()
    >>> for at_min, wh in [(0, 0), (45, 1000)]:
    ...     meter.add(at_min * 60_000, wh, 0)
    >>> meter.energy()[1].tolist()
    [333, 333, 334]
    """

    def __init__(self, power_max_kw: float = inf) -> None:
        """Begin with no reading."""
        self._power_max_kw = power_max_kw
        self._readings: list[tuple[int, int, int]] = []
        self._known: set[tuple[int, int, int]] = set()
        self._energy: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None = None

    def add(self, measured_ms: int, import_wh: int, export_wh: int) -> None:
        """Take in what both registers showed at an instant; the same reading again changes nothing."""
        reading = (measured_ms, import_wh, export_wh)
        if reading not in self._known:
            self._known.add(reading)
            insort(self._readings, reading)
            self._energy = None

    def believed(self) -> tuple[list[tuple[int, int, int]], list[tuple[tuple[int, int, int], Suspicion]]]:
        """Return the readings that can all be true together, by instant, and the others with the reason."""
        best = self._chain(0)
        for first in range(1, min(FALSE_STARTS_MAX, len(self._readings) - 1) + 1):
            if not best[1]:
                break
            other = self._chain(first)
            if len(other[0]) > len(best[0]):
                best = other
        return best

    def _chain(self, first: int) -> tuple[list[tuple[int, int, int]], list[tuple[tuple[int, int, int], Suspicion]]]:
        """Return the readings that agree with the one at `first`, and those that do not."""
        kept: list[tuple[int, int, int]] = []
        doubted = [(reading, Suspicion.ALONE) for reading in self._readings[:first]]
        for reading in self._readings[first:]:
            reason = _suspicion(kept[-1], reading, self._power_max_kw) if kept else None
            if reason is None:
                kept.append(reading)
            else:
                doubted.append((reading, reason))
        return kept, doubted

    def energy(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return `(start_ms, import_wh, export_wh)` of every quarter-hour that readings touch, in order."""
        if self._energy is None:
            self._energy = self._split()
            for column in self._energy:
                column.setflags(write=False)
        return self._energy

    def _split(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        kept, _ = self.believed()
        if len(kept) < 2:  # noqa: PLR2004 - one register says nothing about a flow
            none = np.zeros(0, dtype=np.int64)
            return none, none, none
        at_ms, imported, exported = (np.array(column, dtype=np.int64) for column in zip(*kept, strict=True))
        first = at_ms[0] // INTERVAL_MS * INTERVAL_MS
        starts = np.arange(first, at_ms[-1], INTERVAL_MS, dtype=np.int64)
        bounds = np.clip(np.append(starts, starts[-1] + INTERVAL_MS), at_ms[0], at_ms[-1])
        return starts, np.diff(_register_at(bounds, at_ms, imported)), np.diff(_register_at(bounds, at_ms, exported))


def _suspicion(last: tuple[int, int, int], reading: tuple[int, int, int], power_max_kw: float) -> Suspicion | None:
    elapsed_ms = reading[0] - last[0]
    imported, exported = reading[1] - last[1], reading[2] - last[2]
    if elapsed_ms == 0:
        return Suspicion.CONFLICT
    if imported < 0 or exported < 0:
        return Suspicion.BACKWARDS
    possible_wh = power_max_kw * POWER_TOLERANCE * elapsed_ms * 1000 / MS_PER_H + READING_SLACK_WH
    return Suspicion.IMPOSSIBLE if imported + exported > possible_wh else None


def _register_at(
    bounds: NDArray[np.int64], at_ms: NDArray[np.int64], register_wh: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the register at every boundary, on the straight line between readings, rounded down.

    Integers throughout: a day is 8.6e7 ms, so the product with a register difference below 1e11 Wh fits int64.
    """
    after: NDArray[np.int64] = np.maximum(np.searchsorted(at_ms, bounds, side="left"), 1)
    before = after - 1
    span_ms = at_ms[after] - at_ms[before]
    register: NDArray[np.int64] = register_wh[before] + (
        (register_wh[after] - register_wh[before]) * (bounds - at_ms[before]) // span_ms
    )
    return register


class MeterBook:
    """The registers of many transactions, and the table they give."""

    def __init__(self) -> None:
        """Begin with no transaction."""
        self._meters: dict[tuple[str, int, str], IntervalMeter] = {}

    def add(
        self,
        where: tuple[str, int, str],
        measured_ms: int,
        import_wh: int,
        export_wh: int,
        power_max_kw: float = inf,
    ) -> None:
        """Take in a reading of `where = (station, evse, transaction)`; see `IntervalMeter.add`."""
        meter = self._meters.get(where)
        if meter is None:
            meter = self._meters[where] = IntervalMeter(power_max_kw)
        meter.add(measured_ms, import_wh, export_wh)

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Return every reading that was set apart, by station, EVSE, transaction and instant."""
        return tuple(
            Quarantined(*where, *reading, reason)
            for where in sorted(self._meters)
            for reading, reason in self._meters[where].believed()[1]
        )

    def table(self, keys: Iterable[MeterKey]) -> IntervalTable:
        """Return the energy of the given transactions, rows by transaction and quarter-hour.

        A transaction without readings has no rows; a transaction that is not asked for is left out.
        """
        ordered = tuple(sorted(keys, key=lambda key: (key.station, key.evse, key.transaction)))
        columns: list[tuple[NDArray[np.int64], ...]] = []
        for number, key in enumerate(ordered):
            meter = self._meters.get((key.station, key.evse, key.transaction))
            if meter is not None:
                starts, imported, exported = meter.energy()
                columns.append((np.full(len(starts), number, dtype=np.int64), starts, imported, exported))
        empty = np.zeros(0, dtype=np.int64)
        joined = [np.concatenate(parts) for parts in zip(*columns, strict=True)] if columns else [empty] * 4
        return IntervalTable(ordered, *joined)
