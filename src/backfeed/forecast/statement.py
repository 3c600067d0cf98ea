"""What a driver's word is worth: the departure, given what he said and how well he kept his word before.

A statement is either **kept** - the departure then scatters normally about the stated time, with the
driver's own bias and spread - or **void**, and then the departure is what his history says. Which of the
two a past statement was is not marked on it; it is inferred from how likely each kind makes the true
departure (one step of expectation maximisation a departure). The driver's share of kept statements is
a Beta posterior whose prior is the share of all drivers, his spread one whose prior is their spread: a
new driver's word is worth as much as the average driver's.

As time passes without a departure the evidence shifts: with `p` the share of kept statements,

    P(kept | still here) = p S_kept(now) / (p S_kept(now) + (1 - p) S_history(now)),

so a driver who is still here an hour after his word is forecast by his history again. Records are
learnt at departures only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from backfeed.core.instant import MS_PER_MIN
from backfeed.forecast.distribution import DepartureDistribution
from backfeed.forecast.presence import REST_MIN

PRIOR_KEPT_SHARE = 0.9
PRIOR_STATEMENTS = 10.0
"""What is believed of drivers before any statement was seen, and how many statements that is worth."""

PRIOR_SPREAD_MIN = 25.0
PRIOR_SPREADS = 10.0
SPREAD_LEAST_MIN = 3.0

DRIVER_PSEUDO_COUNT = 4.0
"""How many statements of his own move a driver half way from the average driver to himself."""

_HALF_WINDOW_MIN = 7.5
_DENSITY_FLOOR_PER_MIN = 1e-6


@dataclass(slots=True)
class _Tally:
    """Counts of statements: all, those kept, and first and second moments of the kept ones' errors [min]."""

    statements: float = 0.0
    kept: float = 0.0
    error: float = 0.0
    error_squared: float = 0.0

    def add(self, kept: float, error_min: float) -> None:
        self.statements += 1.0
        self.kept += kept
        self.error += kept * error_min
        self.error_squared += kept * error_min**2


@dataclass(frozen=True, slots=True)
class Worth:
    """What a driver's statement is worth.

    Parameters
    ----------
    kept_share
        Probability that a statement is kept.
    bias_min
        Mean of departure minus statement where kept [min].
    spread_min
        Standard deviation of the same [min].
    """

    kept_share: float
    bias_min: float
    spread_min: float

    def left_share(self, after_stated_min: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return P(left by so many minutes after the stated time | kept)."""
        return np.asarray(ndtr((after_stated_min - self.bias_min) / self.spread_min), dtype=np.float64)


class StatementRecord:
    """How every driver has kept his word so far."""

    def __init__(self) -> None:
        """Begin with the prior."""
        self._all = _Tally()
        self._drivers: dict[str, _Tally] = {}

    def worth(self, user_id: str) -> Worth:
        """Return what a statement of this driver is worth now; "" is a driver without a record."""
        total, own = self._all, self._drivers.get(user_id, _Tally())
        share = (total.kept + PRIOR_KEPT_SHARE * PRIOR_STATEMENTS) / (total.statements + PRIOR_STATEMENTS)
        variance = (total.error_squared + PRIOR_SPREADS * PRIOR_SPREAD_MIN**2) / (total.kept + PRIOR_SPREADS)
        own_share = (own.kept + DRIVER_PSEUDO_COUNT * share) / (own.statements + DRIVER_PSEUDO_COUNT)
        bias = own.error / (own.kept + DRIVER_PSEUDO_COUNT)
        about_bias = own.error_squared - 2 * bias * own.error + own.kept * bias**2
        own_variance = (about_bias + DRIVER_PSEUDO_COUNT * variance) / (own.kept + DRIVER_PSEUDO_COUNT)
        return Worth(own_share, bias, max(SPREAD_LEAST_MIN, float(np.sqrt(own_variance))))

    def learn(self, user_id: str, stated_ms: int, departure_ms: int, by_history: DepartureDistribution) -> None:
        """Record a statement whose departure is now known.

        Parameters
        ----------
        user_id
            The driver.
        stated_ms, departure_ms
            What he said and what he did.
        by_history
            The forecast at his arrival that did not hear the statement.
        """
        worth = self.worth(user_id)
        error_min = (departure_ms - stated_ms) / MS_PER_MIN
        window = np.array([error_min - _HALF_WINDOW_MIN, error_min + _HALF_WINDOW_MIN])
        if_kept = float(np.diff(worth.left_share(window))[0])
        around = departure_ms + np.array([-_HALF_WINDOW_MIN, _HALF_WINDOW_MIN]) * MS_PER_MIN
        if_void = float(np.diff(by_history.left_share(around))[0]) + 2 * _HALF_WINDOW_MIN * _DENSITY_FLOOR_PER_MIN
        joint = worth.kept_share * if_kept
        kept = joint / (joint + (1.0 - worth.kept_share) * if_void)
        self._all.add(kept, error_min)
        if user_id:
            self._drivers.setdefault(user_id, _Tally()).add(kept, error_min)


def with_statement(
    by_history: DepartureDistribution, here_by_history: float, stated_ms: int, worth: Worth
) -> DepartureDistribution:
    """Return the departure given a statement.

    Parameters
    ----------
    by_history
        The forecast now that does not hear the statement.
    here_by_history
        P(still here now) by the forecast at the arrival: what speaks for a void statement.
    stated_ms
        The stated departure.
    worth
        What the driver's word is worth.
    """
    grid_min = (by_history.now_ms - stated_ms) / MS_PER_MIN + REST_MIN
    left = worth.left_share(grid_min)
    here_if_kept = 1.0 - left[0]
    joint = worth.kept_share * here_if_kept
    kept = joint / (joint + (1.0 - worth.kept_share) * max(here_by_history, _DENSITY_FLOOR_PER_MIN))
    if kept <= _DENSITY_FLOOR_PER_MIN:
        return by_history
    if_kept = (left - left[0]) / here_if_kept
    return DepartureDistribution(by_history.now_ms, kept * if_kept + (1.0 - kept) * by_history.left_by)
