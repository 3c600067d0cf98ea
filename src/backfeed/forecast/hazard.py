"""Hazard: how many departures there were against how many were forecast, and what follows for the next.

`presence` asks similar moments of the past, and is a little wrong in ways that repeat: at some hours, after some
times stood, on days on which everybody stays. A finished stay is therefore looked at hour by hour. In each hour the
forecast expected some fraction of a departure (its integrated hazard); with the last hour one happened. The ratio of
both, `(departures + k) / (expected + k)`, multiplies the hazard of every hour like it. Three ratios multiply:

- **clock**: by the hour of the local day, and Monday to Thursday, Friday, Saturday or Sunday;
- **stood**: by the time already stood, and by how long this driver's stays have been;
- **drift**: one ratio of the last few days for all drivers alike. It sees holidays come and end, without a
  calendar: drivers follow their own.

Each counts what the other two leave unexplained (backfitting, one step a departure). This is a piecewise exponential
proportional-hazards model with the forecast as its offset and gamma priors, so a ratio is held to 1 until there is
evidence, and to evidence that fades.

Reference: M. Friedman, "Piecewise exponential models for survival data with covariates", Annals of Statistics 10
(1982) 101-113, doi:10.1214/aos/1176345693.
"""

from math import exp, floor, log

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_DAY
from backfeed.forecast.presence import DAY_MIN, REST_MIN

PRIOR_DEPARTURES = 15.0
"""How many departures as forecast the belief is worth that an hour of the clock, or a time stood, is as forecast."""

MEMORY_DAYS = 365.0
"""After how many days a departure has faded to 1/e there."""

DRIFT_PRIOR_DEPARTURES = 30.0
DRIFT_MEMORY_DAYS = 2.0

HABIT_STAYS = 3
"""From how many stays on a driver has a habit; before, he belongs to a class of his own."""

_STOOD_EDGES_H = np.array([1.0, 2.0, 4.0, 7.0, 10.0, 14.0, 20.0, 30.0, 48.0])
_HABIT_EDGES_H = np.exp(np.array([1.5, 2.0, 2.5, 3.0]))
_DAY_CLASSES, _HOURS = 4, 24
_HOUR_MIN = 60.0
_DAYS_ALIKE = 3
_NOBODY = 1e-9
_DRIFT_SHARE: NDArray[np.float64] = np.exp(-REST_MIN / (DRIFT_MEMORY_DAYS * DAY_MIN))
"""How much of the drift holds so far ahead: what was seen in two days says little of the next week."""
_SHORTEST_H = 0.25


@njit(cache=True)
def habit_class(lengths_h: NDArray[np.float64]) -> int:
    """Return the class of a driver by the lengths of his last stays [h]: 0 for one who is new, then shorter to longer.

    >>> [habit_class(np.full(count, 9.0)) for count in (2, 3)]
    [0, 3]
    """
    if len(lengths_h) < HABIT_STAYS:
        return 0
    logs = 0.0
    for length_h in lengths_h:
        logs += log(max(length_h, _SHORTEST_H))
    habit = 1
    for edge_h in _HABIT_EDGES_H:
        habit += logs >= log(edge_h) * len(lengths_h)
    return habit


@njit(cache=True)
def _clock_cell(minute: float) -> int:
    """Return the cell of a local minute (1970-01-01 was a Thursday)."""
    day = floor(minute / DAY_MIN)
    weekday = int(day + 3.0) % 7
    kind = 0 if weekday <= _DAYS_ALIKE else weekday - _DAYS_ALIKE
    return kind * _HOURS + int((minute - day * DAY_MIN) // _HOUR_MIN)


@njit(cache=True)
def _stood_cell(stood_min: float, habit: int) -> int:
    cell = 0
    for edge_h in _STOOD_EDGES_H:
        cell += stood_min >= edge_h * _HOUR_MIN
    return habit * (len(_STOOD_EDGES_H) + 1) + cell


@njit(cache=True)
def _corrected(
    left_by: NDArray[np.float64],
    arrival: float,
    now: float,
    habit: int,
    clock: NDArray[np.float64],
    stood: NDArray[np.float64],
    drift: float,
) -> NDArray[np.float64]:
    """Return the distribution function whose hazards are the forecast's times the ratios."""
    out = np.zeros(len(left_by))
    before, still = 1.0, 1.0
    for k in range(1, len(left_by)):
        here = max(1.0 - left_by[k], _NOBODY)
        if here < before:
            middle = now + (REST_MIN[k - 1] + REST_MIN[k]) / 2.0
            ratio = drift ** _DRIFT_SHARE[k] * clock[_clock_cell(middle)] * stood[_stood_cell(middle - arrival, habit)]
            still *= (here / before) ** ratio
            before = here
        out[k] = 1.0 - still
    return out


@njit(cache=True)
def _count(
    left_by: NDArray[np.float64],
    arrival: float,
    now: float,
    span: tuple[float, float],
    habit: int,
    ratios: tuple[NDArray[np.float64], NDArray[np.float64], float],
    seen: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    expected: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
) -> None:
    """Count the hours from `now` to the span's first minute; its second is the departure."""
    until, departure = span
    clock, stood, drift = ratios
    begin, here = now, 1.0
    while begin < until:
        end = min(begin + _HOUR_MIN, until)
        after = max(1.0 - np.interp(end - now, REST_MIN, left_by), _NOBODY)
        hazard = log(here / after)
        at_clock = _clock_cell((begin + end) / 2.0)
        at_stood = _stood_cell((begin + end) / 2.0 - arrival, habit)
        expected[0][at_clock] += hazard * stood[at_stood] * drift
        expected[1][at_stood] += hazard * clock[at_clock] * drift
        expected[2][0] += hazard * clock[at_clock] * stood[at_stood]
        if end >= departure:
            seen[0][at_clock] += 1.0
            seen[1][at_stood] += 1.0
            seen[2][0] += 1.0
        begin, here = end, after


class _Ratio:
    """Departures seen and expected in some cells, fading, and the ratio of both."""

    def __init__(self, cells: int, prior: float, memory_days: float) -> None:
        self._memory_ms = memory_days * MS_PER_DAY
        self._prior = prior
        self.seen: NDArray[np.float64] = np.zeros(cells)
        self.expected: NDArray[np.float64] = np.zeros(cells)

    def fade(self, passed_ms: int) -> None:
        share = exp(-passed_ms / self._memory_ms)
        self.seen *= share
        self.expected *= share

    def values(self) -> NDArray[np.float64]:
        return (self.seen + self._prior) / (self.expected + self._prior)


class HazardRecord:
    """The running ratios of departures seen to departures forecast."""

    def __init__(self) -> None:
        """Begin with no evidence: every ratio is 1."""
        habits = len(_HABIT_EDGES_H) + 2
        self._parts = (
            _Ratio(_DAY_CLASSES * _HOURS, PRIOR_DEPARTURES, MEMORY_DAYS),
            _Ratio(habits * (len(_STOOD_EDGES_H) + 1), PRIOR_DEPARTURES, MEMORY_DAYS),
            _Ratio(1, DRIFT_PRIOR_DEPARTURES, DRIFT_MEMORY_DAYS),
        )
        self._latest_ms = 0
        self._ratios = self._values()

    def correct(
        self, left_by: NDArray[np.float64], arrival_min: float, now_min: float, habit: int
    ) -> NDArray[np.float64]:
        """Return a forecast's distribution function with every hour's hazard corrected, same shape.

        Parameters
        ----------
        left_by
            As in `DepartureDistribution`, by history alone.
        arrival_min, now_min
            Of the stay and of the forecast, in local minutes.
        habit
            The driver's `habit_class`.
        """
        return np.asarray(_corrected(left_by, arrival_min, now_min, habit, *self._ratios))

    def observe(
        self,
        forecasts: list[tuple[float, NDArray[np.float64]]],
        arrival_min: float,
        departure_min: float,
        habit: int,
        known_at_ms: int,
    ) -> None:
        """Count the hours of a stay that has ended.

        Parameters
        ----------
        forecasts
            Local minute and distribution function of the forecasts by history alone that were made in its course, in
            order of time; each stands until the next.
        arrival_min, departure_min
            Local minutes.
        habit
            The driver's class at the arrival.
        known_at_ms
            When the platform came to know of the departure.
        """
        passed_ms = max(known_at_ms - self._latest_ms, 0) if self._latest_ms else 0
        self._latest_ms = max(known_at_ms, self._latest_ms)
        for part in self._parts:
            part.fade(passed_ms)
        clock, stood, drift = self._parts
        seen = (clock.seen, stood.seen, drift.seen)
        expected = (clock.expected, stood.expected, drift.expected)
        ends = [at for at, _ in forecasts[1:]] + [departure_min]
        for (now, left_by), until in zip(forecasts, ends, strict=True):
            _count(left_by, arrival_min, now, (until, departure_min), habit, self._ratios, seen, expected)
        self._ratios = self._values()

    def _values(self) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        clock, stood, drift = (part.values() for part in self._parts)
        return clock, stood, float(drift[0])
