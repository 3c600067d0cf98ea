"""Backtest: what would have been forecast of past stays, hour by hour, from what was known at each hour.

The stays are replayed in the order of time. Each is asked about at its arrival and every hour after, and taught
when it ends. Altering a stay changes no case before it ended, which is the test that nothing looks ahead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_H
from backfeed.forecast.departure import DepartureForecaster
from backfeed.forecast.distribution import DepartureDistribution
from backfeed.forecast.history import Stay
from backfeed.forecast.score import coverage, folds_by_time, log_loss, pinball_loss, ranking

LEVELS = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
"""Levels at which quantiles are checked."""

SOON_H = 4.0
"""'Leaves soon' is within these hours."""

LONGEST_H = 72
"""After so many hours a stay is not asked about any more: a car left for months would be most of all cases."""

_FIRST_GUESS_H = 8.0


@dataclass(frozen=True)
class Backtest:
    """Forecasts and what came of them, one row a case, in the order of time.

    Parameters
    ----------
    stay
        Index of the stay.
    at_ms
        When it was asked about.
    is_arrival, is_stated
        Whether that was its arrival, and whether its driver had stated a departure.
    rest_h
        How much longer it stood.
    level
        P(left by its departure): early departures have low levels.
    quantiles_h
        Of the rest at `LEVELS`, shape `(case, level)`.
    soon
        P(leaves within `SOON_H`).
    naive_h
        The rest if the stay were as long as its driver's last one; zero once it is longer.
    stated_h
        The rest by the driver's word, zero once it has passed, NaN where he is silent.
    """

    stay: NDArray[np.int64]
    at_ms: NDArray[np.int64]
    is_arrival: NDArray[np.bool_]
    is_stated: NDArray[np.bool_]
    rest_h: NDArray[np.float64]
    level: NDArray[np.float64]
    quantiles_h: NDArray[np.float64]
    soon: NDArray[np.float64]
    naive_h: NDArray[np.float64]
    stated_h: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self.stay)

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Backtest":
        """Return some of the cases."""
        return Backtest(
            self.stay[chosen],
            self.at_ms[chosen],
            self.is_arrival[chosen],
            self.is_stated[chosen],
            self.rest_h[chosen],
            self.level[chosen],
            self.quantiles_h[chosen],
            self.soon[chosen],
            self.naive_h[chosen],
            self.stated_h[chosen],
        )


@dataclass(frozen=True, slots=True)
class Score:
    """How good the forecasts of some cases were.

    Parameters
    ----------
    cases
        How many.
    coverage
        Share of cases at or below every level's quantile, shape `(level,)`.
    width_h
        Mean width of the middle 80 %.
    pinball_h, naive_h, stated_h
        Mean pinball loss over the levels, of the forecast, the driver's last stay, and the driver's word where there
        is one (NaN where there is none); the last two as point forecasts.
    soon_log_loss, soon_ranking
        Of 'leaves soon': negative log likelihood [nats] and area under the ROC curve.
    """

    cases: int
    coverage: NDArray[np.float64]
    width_h: float
    pinball_h: float
    naive_h: float
    stated_h: float
    soon_log_loss: float
    soon_ranking: float

    @property
    def off(self) -> float:
        """The largest distance of a level from its coverage."""
        return float(np.abs(self.coverage - LEVELS).max())


def backtest(past: Sequence[Stay], asked: Sequence[Stay], timezone: str, *, step_h: int = 1) -> Backtest:
    """Replay stays.

    Parameters
    ----------
    past
        Stays that are only learnt from.
    asked
        Stays that are asked about, and learnt from when they end.
    timezone
        IANA zone by whose clock the drivers live.
    step_h
        Hours from one question about a stay to the next.
    """
    forecaster = DepartureForecaster(timezone)
    last_h: dict[str, float] = {}
    cases: list[_Case] = []
    for at_ms, _, stay, number in _moments(past, asked, step_h):
        if at_ms == stay.departure_ms:
            forecaster.learn(stay, at_ms)
            last_h[stay.user_id] = (stay.departure_ms - stay.arrival_ms) / MS_PER_H
            continue
        told = forecaster.distribution(stay.user_id, stay.location, stay.arrival_ms, at_ms, stay.stated_ms)
        naive_h = last_h.get(stay.user_id, _FIRST_GUESS_H) if stay.user_id else _FIRST_GUESS_H
        cases.append(_Case(number, at_ms, stay, told, naive_h))
    return _columns(cases)


class _Case(NamedTuple):
    number: int
    at_ms: int
    stay: Stay
    told: DepartureDistribution
    naive_h: float


def _columns(cases: Sequence[_Case]) -> Backtest:
    at_ms = np.array([case.at_ms for case in cases], dtype=np.int64)
    arrival_ms = np.array([case.stay.arrival_ms for case in cases], dtype=np.int64)
    departure_ms = np.array([case.stay.departure_ms for case in cases], dtype=np.int64)
    naive_h = np.array([case.naive_h for case in cases], dtype=np.float64)
    words = [case.stay.stated_ms for case in cases]
    word_ms = np.array([np.nan if word is None else word for word in words], dtype=np.float64)
    quantiles_ms = np.array([case.told.quantiles_ms(LEVELS) for case in cases], dtype=np.int64).reshape(-1, len(LEVELS))
    soon_ms = round(SOON_H * MS_PER_H)
    soon = [float(case.told.left_share(np.array([case.at_ms + soon_ms]))[0]) for case in cases]
    return Backtest(
        stay=np.array([case.number for case in cases], dtype=np.int64),
        at_ms=at_ms,
        is_arrival=at_ms == arrival_ms,
        is_stated=~np.isnan(word_ms),
        rest_h=(departure_ms - at_ms) / MS_PER_H,
        level=np.array([_level_of(case) for case in cases], dtype=np.float64),
        quantiles_h=(quantiles_ms - at_ms[:, None]) / MS_PER_H,
        soon=np.array(soon, dtype=np.float64),
        naive_h=np.maximum(naive_h - (at_ms - arrival_ms) / MS_PER_H, 0.0),
        stated_h=np.maximum((word_ms - at_ms) / MS_PER_H, 0.0),
    )


def _level_of(case: _Case) -> float:
    return float(case.told.left_share(np.array([case.stay.departure_ms]))[0])


def _moments(past: Sequence[Stay], asked: Sequence[Stay], step_h: int) -> list[tuple[int, int, Stay, int]]:
    """Return when something is learnt or asked, with whom; at one instant, what is learnt comes first."""
    moments = [(stay.departure_ms, 0, stay, -1) for stay in (*past, *asked)]
    for number, stay in enumerate(asked):
        for hours in range(0, LONGEST_H, step_h):
            at_ms = stay.arrival_ms + hours * MS_PER_H
            if at_ms >= stay.departure_ms:
                break
            moments.append((at_ms, 1, stay, number))
    return sorted(moments, key=lambda moment: (moment[0], moment[1], moment[2].arrival_ms, moment[2].user_id))


def score(cases: Backtest) -> Score:
    """Return the scores of some cases, at least one."""
    soon = cases.rest_h <= SOON_H
    stated = cases.is_stated
    return Score(
        cases=len(cases),
        coverage=coverage(cases.quantiles_h, cases.rest_h),
        width_h=float((cases.quantiles_h[:, -2] - cases.quantiles_h[:, 1]).mean()),
        pinball_h=float(pinball_loss(cases.quantiles_h, cases.rest_h, LEVELS).mean()),
        naive_h=_point_loss(cases.naive_h, cases.rest_h),
        stated_h=_point_loss(cases.stated_h[stated], cases.rest_h[stated]) if stated.any() else float("nan"),
        soon_log_loss=log_loss(cases.soon, soon),
        soon_ranking=ranking(cases.soon, soon),
    )


def fold_scores(cases: Backtest, folds: int) -> tuple[Score, ...]:
    """Return the scores of folds of equal size, each wholly before the next in time."""
    return tuple(score(cases.where(rows)) for rows in folds_by_time(cases.at_ms, folds) if len(rows))


def _point_loss(guess_h: NDArray[np.float64], rest_h: NDArray[np.float64]) -> float:
    return float(pinball_loss(np.repeat(guess_h[:, None], len(LEVELS), axis=1), rest_h, LEVELS).mean())
