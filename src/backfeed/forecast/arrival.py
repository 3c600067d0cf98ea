"""Who will come: the expected number of arrivals per step, by location and for all.

Arrivals are a Poisson process whose rate repeats by the week. A past arrival counts for a future step
as far as weekday class and time of day are alike, and less with age; dividing by the weight of the days
that history covers gives arrivals per hour. Days of history on which nobody came count too: that is
what makes a Sunday at a workplace quiet.
"""

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis
from backfeed.forecast.history import Known
from backfeed.forecast.presence import DAY_MIN

ROWS_MOST = 4000
HISTORY_DAYS = 120
CLOCK_WIDTH_MIN = 30.0
AGE_HALVES_DAYS = 21.0
OTHER_CLASS_WEIGHT = 0.01
QUARTER_HOURS = 96

_CLASS_OF_WEEKDAY = np.array([0, 0, 0, 0, 1, 2, 3])
_MIN_PER_H = 60.0


def arrival_rate(known: Known, axis: TimeAxis, location: str | None = None) -> NDArray[np.float64]:
    """Return the expected number of arrivals in every step, shape `(step,)`.

    Only stays that have ended are known, so the day of `known.now_ms` looks quieter than it is: it is
    left out, unless it is the only one.

    Parameters
    ----------
    known
        What was known at the instant of the forecast.
    axis
        The steps to forecast.
    location
        A location, or None for all of them.
    """
    rows = known.rows(ROWS_MOST) if location is None else known.rows_at(location, ROWS_MOST)
    everywhere = known.rows(ROWS_MOST)
    if len(rows) == 0:
        return np.zeros(axis.count)
    now = known.clock.minute(known.now_ms)
    first_day = int(max(now - HISTORY_DAYS * DAY_MIN, known.arrival_min[everywhere].min()) // DAY_MIN)
    days = np.arange(first_day, max(int(now // DAY_MIN), first_day + 1))
    per_day = _arrivals_per_quarter(known.arrival_min[rows], days)
    starts = np.array([known.clock.minute(int(at)) for at in axis.starts_ms])
    quarter = (starts % DAY_MIN // (DAY_MIN / QUARTER_HOURS)).astype(np.int64)
    step_day = (starts // DAY_MIN).astype(np.int64)
    age = 1.0 / (1.0 + (days[-1] - days) / AGE_HALVES_DAYS)
    expected = np.zeros(axis.count)
    for day in np.unique(step_day):
        same = _class_of(days) == _class_of(np.array([day]))
        weight = age * np.where(same, 1.0, OTHER_CLASS_WEIGHT)
        profile = weight @ per_day / weight.sum()
        here = step_day == day
        expected[here] = profile[quarter[here]]
    return expected * axis.step_h * _MIN_PER_H / (DAY_MIN / QUARTER_HOURS)


def _class_of(days: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the weekday class of local days: Monday to Thursday, Friday, Saturday, Sunday."""
    return _CLASS_OF_WEEKDAY[(days + 3) % 7]


def _arrivals_per_quarter(arrivals: NDArray[np.float64], days: NDArray[np.int64]) -> NDArray[np.float64]:
    """Count arrivals by day and quarter-hour, blurred over the time of day, shape `(day, 96)`."""
    row = (arrivals // DAY_MIN).astype(np.int64) - days[0]
    inside = (row >= 0) & (row < len(days))
    counts = np.zeros((len(days), QUARTER_HOURS))
    np.add.at(counts, (row[inside], (arrivals[inside] % DAY_MIN // (DAY_MIN / QUARTER_HOURS)).astype(np.int64)), 1.0)
    apart = np.arange(QUARTER_HOURS) * (DAY_MIN / QUARTER_HOURS)
    apart = np.minimum(apart, DAY_MIN - apart)
    kernel = np.exp(-0.5 * (apart / CLOCK_WIDTH_MIN) ** 2)
    kernel /= kernel.sum()
    circulant = kernel[(np.arange(QUARTER_HOURS)[:, None] - np.arange(QUARTER_HOURS)) % QUARTER_HOURS]
    return np.asarray(counts @ circulant, dtype=np.float64)
