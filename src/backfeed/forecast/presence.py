"""How much longer: the empirical distribution of the rest of a stay, from similar moments of the past.

A car stands here now. Every past stay is asked for moments that resemble this one, and says how much
longer the car stood from there. Two kinds of moments resemble:

- **the same time on the clock**: on each day of the stay, the moment at which the clock showed what
  it shows now. It counts by weekday, and by how alike the times already stood are (their ratio);
- **the same time already stood**: the moment as long after its arrival as now is after this one. It
  counts by weekday, and by how alike the arrivals' times of day are.

Each counts less with age. Weekdays are alike in their evenings' and mornings' meaning: Monday to
Thursday are one class, Friday, Saturday and Sunday one each.

The user's own moments come first; where they are few, those of the location fill up, then those of
everybody, then a wide prior (a log-logistic stay with a median of six hours). With kernel masses
`s_u, s_l, s_a` and pseudo-counts `k_u, k_l, k_a` the share of the user is `s_u / (s_u + k_u)`, that of the
location `s_l / (s_l + k_l)` of what is left, and so on: a chain of Dirichlet priors, so that a new user
or a new place needs no rule of its own.

The kernels are rational, `1 / (1 + x^4)`, cheap and without a hard edge. Their widths were chosen once on
time-ordered folds of residential, fast-charging and workplace sessions; the loss is flat around them.
"""

from math import floor, log

import numpy as np
from numba import njit
from numpy.typing import NDArray

DAY_MIN = 1440.0

FINE_STEP_MIN, FINE_STEPS = 5.0, 48
MIDDLE_STEP_MIN, MIDDLE_STEPS = 15.0, 176
COARSE_STEP_MIN, COARSE_STEPS = 180.0, 96

_FINE_END_MIN = FINE_STEP_MIN * FINE_STEPS
_MIDDLE_END_MIN = _FINE_END_MIN + MIDDLE_STEP_MIN * MIDDLE_STEPS

REST_MIN: NDArray[np.float64] = np.concatenate(
    [
        FINE_STEP_MIN * np.arange(FINE_STEPS + 1),
        _FINE_END_MIN + MIDDLE_STEP_MIN * np.arange(1, MIDDLE_STEPS + 1),
        _MIDDLE_END_MIN + COARSE_STEP_MIN * np.arange(1, COARSE_STEPS + 1),
    ]
)
"""The grid of the rest of a stay [min]: 5 min steps for 4 h, quarter-hours to 2 days, then 3 h steps to 14 days."""

USER_ROWS = 200
LOCATION_ROWS = 300
ALL_ROWS = 400
"""How many of the latest stays are asked on each level."""

USER_PSEUDO_COUNT = 2.2
LOCATION_PSEUDO_COUNT = 22.0
ALL_PSEUDO_COUNT = 0.15

ARRIVAL_WIDTH_MIN = 90.0
ELAPSED_WIDTH = 0.9
ELAPSED_FLOOR = 0.8
ELAPSED_OFFSET_MIN = 6.0
SAME_ELAPSED_SHARE = 0.33
AGE_HALVES_DAYS = 180.0
SAME_CLASS_WEIGHT = 0.7
OTHER_CLASS_WEIGHT = 0.06

BLUR_SHARE = 0.03
BLUR_SHARE_MOST = 0.25
BLUR_LEAST_MIN = 15.0
BLUR_MOST_MIN = 60.0

PRIOR_MEDIAN_MIN = 360.0
PRIOR_SHAPE = 1.2

_DAYS_ALIKE = 3
_NEGLIGIBLE_WEIGHT = 1e-4
_NEGLIGIBLE_SHARE = 0.01
_PRESENCE_DAYS = 4


@njit(cache=True)
def _weekday(minute: float) -> int:
    """Return the weekday of a local minute, Monday 0 (1970-01-01 was a Thursday)."""
    return int(floor(minute / DAY_MIN) + 3.0) % 7


@njit(cache=True)
def _weekday_weight(one: int, other: int) -> float:
    if one == other:
        return 1.0
    if one <= _DAYS_ALIKE and other <= _DAYS_ALIKE:
        return SAME_CLASS_WEIGHT
    return OTHER_CLASS_WEIGHT


@njit(cache=True)
def _bump(x: float) -> float:
    return 1.0 / (1.0 + x * x * x * x)


@njit(cache=True)
def _first_after(rest: float) -> int:
    """Return the first grid point after a rest."""
    if rest < _FINE_END_MIN:
        return int(rest // FINE_STEP_MIN) + 1
    if rest < _MIDDLE_END_MIN:
        return FINE_STEPS + int((rest - _FINE_END_MIN) // MIDDLE_STEP_MIN) + 1
    return FINE_STEPS + MIDDLE_STEPS + int((rest - _MIDDLE_END_MIN) // COARSE_STEP_MIN) + 1


@njit(cache=True)
def _deposit(density: NDArray[np.float64], rest: float, weight: float) -> None:
    """Add a stay's rest, blurred evenly over some minutes either side, as increments on the grid."""
    blur = min(max(BLUR_SHARE * rest, min(BLUR_LEAST_MIN, BLUR_SHARE_MOST * rest)), BLUR_MOST_MIN)
    low, high = rest - blur, rest + blur
    k = _first_after(low)
    slope, before = weight / (high - low), 0.0
    while k < len(density):
        at = REST_MIN[k]
        until = weight if at >= high else (at - low) * slope
        density[k] += until - before
        before = until
        if at >= high:
            break
        k += 1


@njit(cache=True)
def _ask(
    density: NDArray[np.float64],
    rows: NDArray[np.int64],
    arrivals: NDArray[np.float64],
    departures: NDArray[np.float64],
    arrival: float,
    now: float,
) -> float:
    """Ask past stays for moments like now; add their rests to `density` and return the kernel mass."""
    clock = now - floor(now / DAY_MIN) * DAY_MIN
    arrival_clock = arrival - floor(arrival / DAY_MIN) * DAY_MIN
    elapsed = now - arrival
    elapsed_log = log(elapsed + ELAPSED_OFFSET_MIN)
    today = _weekday(now)
    mass = 0.0
    for row in rows:
        came, left = arrivals[row], departures[row]
        recency = 1.0 / (1.0 + (now - left) / (DAY_MIN * AGE_HALVES_DAYS))
        if left - came > elapsed:
            moment = came + elapsed
            apart = abs(came - floor(came / DAY_MIN) * DAY_MIN - arrival_clock)
            apart = min(apart, DAY_MIN - apart)
            alike = SAME_ELAPSED_SHARE * _bump(apart / ARRIVAL_WIDTH_MIN)
            weight = recency * alike * _weekday_weight(_weekday(moment), today)
            if weight > _NEGLIGIBLE_WEIGHT:
                mass += weight
                _deposit(density, left - moment, weight)
        moment = (floor((came - clock) / DAY_MIN) + 1.0) * DAY_MIN + clock
        for _ in range(_PRESENCE_DAYS):
            if moment >= left:
                break
            apart = (log(moment - came + ELAPSED_OFFSET_MIN) - elapsed_log) / ELAPSED_WIDTH
            alike = (ELAPSED_FLOOR + _bump(apart)) / (ELAPSED_FLOOR + 1.0)
            weight = recency * alike * _weekday_weight(_weekday(moment), today)
            if weight > _NEGLIGIBLE_WEIGHT:
                mass += weight
                _deposit(density, left - moment, weight)
            moment += DAY_MIN
    return mass


@njit(cache=True)
def _prior_survival(stood: float) -> float:
    return float(1.0 / (1.0 + (stood / PRIOR_MEDIAN_MIN) ** PRIOR_SHAPE))


@njit(cache=True)
def rest_of_stay(
    of_user: NDArray[np.int64],
    at_location: NDArray[np.int64],
    of_all: NDArray[np.int64],
    arrivals: NDArray[np.float64],
    departures: NDArray[np.float64],
    arrival: float,
    now: float,
) -> NDArray[np.float64]:
    """Return the distribution function of the rest of a stay on `REST_MIN`.

    Parameters
    ----------
    of_user, at_location, of_all
        Rows of past stays, the broader levels including the narrower.
    arrivals, departures
        Local minutes of all past stays, shape `(row,)`.
    arrival, now
        Of the stay in question [local min].

    Returns
    -------
    ndarray
        P(rest <= grid point), shape `(321,)`, from 0 at no rest to below 1 after 14 days.
    """
    cdf = np.zeros(len(REST_MIN))
    left_over = 1.0
    for level in range(3):
        rows = of_user if level == 0 else (at_location if level == 1 else of_all)
        pseudo = USER_PSEUDO_COUNT if level == 0 else (LOCATION_PSEUDO_COUNT if level == 1 else ALL_PSEUDO_COUNT)
        if len(rows) == 0 or left_over < _NEGLIGIBLE_SHARE:
            continue
        density = np.zeros(len(REST_MIN))
        mass = _ask(density, rows, arrivals, departures, arrival, now)
        cdf += density * (left_over / (mass + pseudo))
        left_over *= pseudo / (mass + pseudo)
    elapsed = now - arrival
    present = _prior_survival(elapsed)
    total = 0.0
    for k in range(len(cdf)):
        total += cdf[k]
        cdf[k] = total + left_over * (1.0 - _prior_survival(elapsed + REST_MIN[k]) / present)
    return cdf
