"""What a driver's word is worth: the departure, given what he said and how well he kept his word before.

A statement is one of three things, and which is inferred from how likely each makes the departure:

- **kept**: the departure scatters normally about the stated time, with the driver's own bias and spread;
- **off**: the departure misses the stated time by one of the errors that drivers, and this one, make when
  they do not keep it - hours too early as a rule, since people state the end of the day and leave after lunch;
- **void**: the statement says nothing, and the departure is what the driver's history says.

The shares of the three are a Dirichlet posterior of the driver whose prior is the share of all drivers;
spread and errors are pooled in the same way. So a new driver's word is worth the average driver's, and a
record of his own outweighs that after some statements. Each departure adds one step of online expectation
maximisation. Records are learnt at departures only.

As time passes without a departure the evidence shifts: the share of each kind is weighed by how likely that
kind is to leave the car here until now. A driver who is still here an hour after his word is forecast by
his history again.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from backfeed.core.instant import MS_PER_MIN
from backfeed.forecast.distribution import DepartureDistribution
from backfeed.forecast.presence import REST_MIN

PRIOR_SHARES = (0.9, 0.05, 0.05)
PRIOR_STATEMENTS = 10.0
"""What is believed of kept, off and void statements before any was seen, and how many that belief is worth."""

PRIOR_SPREAD_MIN = 25.0
SPREAD_LEAST_MIN = 3.0

DRIVER_PSEUDO_COUNT = 8.0
"""How many statements of his own move a driver half way from the average driver to himself: one bad word out of three
is mostly bad luck, four out of twelve are a habit."""

_QUARTERS_EARLY = np.array([0, 1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 192]) * 15.0
ERROR_EDGES_MIN: NDArray[np.float64] = np.concatenate([-_QUARTERS_EARLY[:0:-1], _QUARTERS_EARLY])
"""Bins of departure minus statement, in which the errors of statements that are off are counted [min]."""

_PRIOR_ERRORS = 30.0
_HALF_WINDOW_MIN = 7.5
_DENSITY_FLOOR_PER_MIN = 1e-6
_NOTHING = 1e-9


def _no_errors() -> NDArray[np.float64]:
    return np.zeros(len(ERROR_EDGES_MIN) - 1)


@dataclass(slots=True)
class _Tally:
    """What has been seen: statements by kind, moments of the kept ones' errors [min], errors of the others."""

    kinds: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    error: float = 0.0
    error_squared: float = 0.0
    errors: NDArray[np.float64] = field(default_factory=_no_errors)

    def add(self, shares: NDArray[np.float64], error_min: float) -> None:
        kept = float(shares[0])
        self.kinds += shares
        self.error += kept * error_min
        self.error_squared += kept * error_min**2
        if ERROR_EDGES_MIN[0] < error_min < ERROR_EDGES_MIN[-1]:
            self.errors[int(np.searchsorted(ERROR_EDGES_MIN, error_min)) - 1] += 1.0 - kept


@dataclass(frozen=True, slots=True)
class Worth:
    """What a driver's statement is worth.

    Parameters
    ----------
    shares
        Probabilities that it is kept, off and void, shape `(3,)`.
    bias_min, spread_min
        Mean and standard deviation of departure minus statement where kept [min].
    off_by
        P(departure minus statement at or below an edge | off), shape of `ERROR_EDGES_MIN`.
    """

    shares: NDArray[np.float64]
    bias_min: float
    spread_min: float
    off_by: NDArray[np.float64]

    @property
    def kept_share(self) -> float:
        """Probability that the statement is kept."""
        return float(self.shares[0])

    def left_if_kept(self, after_stated_min: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return P(left by so many minutes after the stated time | kept)."""
        return np.asarray(ndtr((after_stated_min - self.bias_min) / self.spread_min), dtype=np.float64)

    def left_if_off(self, after_stated_min: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return P(left by so many minutes after the stated time | off)."""
        return np.interp(after_stated_min, ERROR_EDGES_MIN, self.off_by)


class StatementRecord:
    """How every driver has kept his word so far."""

    def __init__(self) -> None:
        """Begin with the prior."""
        self._all = _Tally()
        self._drivers: dict[str, _Tally] = {}
        self._worths: dict[str, Worth] = {}

    def worth(self, user_id: str) -> Worth:
        """Return what a statement of this driver is worth now; "" is a driver without a record."""
        known = self._worths.get(user_id)
        if known is None:
            known = self._worths[user_id] = self._worth(user_id)
        return known

    def _worth(self, user_id: str) -> Worth:
        total, own = self._all, self._drivers.get(user_id, _Tally())
        pooled = total.kinds + PRIOR_STATEMENTS * np.array(PRIOR_SHARES)
        shares = own.kinds + DRIVER_PSEUDO_COUNT * pooled / pooled.sum()
        kept, pseudo = float(own.kinds[0]), DRIVER_PSEUDO_COUNT
        bias = own.error / (kept + pseudo)
        about_bias = own.error_squared - 2 * bias * own.error + kept * bias**2
        prior_kept = PRIOR_STATEMENTS * PRIOR_SHARES[0]
        variance = (total.error_squared + prior_kept * PRIOR_SPREAD_MIN**2) / (float(total.kinds[0]) + prior_kept)
        spread = float(np.sqrt((about_bias + pseudo * variance) / (kept + pseudo)))
        widths = np.diff(ERROR_EDGES_MIN)
        errors = total.errors + _PRIOR_ERRORS * widths / widths.sum()
        errors = own.errors + pseudo * errors / errors.sum()
        off_by = np.concatenate([[0.0], np.cumsum(errors) / errors.sum()])
        return Worth(shares / shares.sum(), bias, max(SPREAD_LEAST_MIN, spread), off_by)

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
        window = np.array([-_HALF_WINDOW_MIN, _HALF_WINDOW_MIN])
        likely = np.array(
            [
                np.diff(worth.left_if_kept(error_min + window))[0],
                np.diff(worth.left_if_off(error_min + window))[0],
                np.diff(by_history.left_share(departure_ms + window * MS_PER_MIN))[0],
            ]
        )
        likely[2] += 2 * _HALF_WINDOW_MIN * _DENSITY_FLOOR_PER_MIN
        joint = worth.shares * likely
        shares = joint / joint.sum()
        self._worths.clear()
        self._all.add(shares, error_min)
        if user_id:
            self._drivers.setdefault(user_id, _Tally()).add(shares, error_min)


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
    after_stated = (by_history.now_ms - stated_ms) / MS_PER_MIN + REST_MIN
    kept, off = worth.left_if_kept(after_stated), worth.left_if_off(after_stated)
    here = np.array([1.0 - kept[0], 1.0 - off[0], max(here_by_history, _NOTHING)])
    joint = worth.shares * here
    weights = joint / joint.sum()
    left_by = weights[2] * by_history.left_by
    for weight, left, present in zip(weights[:2], (kept, off), here[:2], strict=True):
        if present > _NOTHING:
            left_by = left_by + weight * (left - left[0]) / present
    return DepartureDistribution(by_history.now_ms, left_by)
