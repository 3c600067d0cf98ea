"""What a driver's word is worth: the departure, given what he said and how well he kept his word before.

A statement is one of three things, and which is inferred:

- **kept**: he said when he leaves, with an error that scatters normally, with his own bias and spread;
- **off**: he missed by one of the errors that drivers, and this one, make when they do not keep their word -
  hours too early as a rule, since people state the end of the day and leave after lunch;
- **void**: he said anything at all, whenever he leaves.

Each kind says how likely these very words are if the car leaves at some time, and history says how likely it
leaves then. By Bayes, P(kind, departure | words) is proportional to P(kind) P(words | kind, departure)
P(departure). So a word that fits the driver's habits is believed although he has broken others, a stay of
sixteen hours where nobody stays overnight is doubted at once, and a driver who is still here an hour after his
word is forecast by his history again.

The shares of the three are a Dirichlet posterior of the driver whose prior is the share of all drivers;
spread and errors are pooled in the same way. So a new driver's word is worth the average driver's, and a
record of his own outweighs that after some statements. Each departure adds one step of online expectation
maximisation. Records are learnt at departures only.
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

PRIOR_SPREAD_MIN, PRIOR_SPREAD_STATEMENTS = 25.0, 1.0
"""How kept statements scatter before any was seen. Some are to the minute and some to the half-hour, so that is little
to go by and a few statements outweigh it."""
SPREAD_LEAST_MIN = 1.0

EARLY_MOST_MIN = 15
"""A driver who leaves this much earlier than said has still kept the statement."""

EARLY_CERTAINTY = 0.99
"""With what chance a driver who keeps the statement leaves no earlier than `Worth.early_min` before it."""

PRIOR_EARLY = 0.5
"""How many kept statements that end so early as they may are believed in before any was seen (Jeffreys)."""

DRIVER_PSEUDO_COUNT = 8.0
"""How many statements of his own move a driver half way from the average driver to himself: one bad word out of three
is mostly bad luck, four out of twelve are a habit."""

_QUARTERS_EARLY = np.array([0, 1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 192]) * 15.0
ERROR_EDGES_MIN: NDArray[np.float64] = np.concatenate([-_QUARTERS_EARLY[:0:-1], _QUARTERS_EARLY])
"""Bins of departure minus statement, in which the errors of statements that are off are counted [min]."""

_PRIOR_ERRORS = 30.0
_HALF_WINDOW_MIN = 7.5

VOID_MEDIAN_MIN, VOID_SHAPE = 600.0, 2.5
"""Void words name a log-logistic stay: people make up an end of the day, not of a holiday."""

UNHEARD_SHARE = 0.15
UNHEARD_MEDIAN_MIN, UNHEARD_SHAPE = 720.0, 1.2
"""How much of a departure's probability is spread widely over the time to come, whatever history says: a driver may
know of something that never happened before."""


def _log_logistic(minutes: NDArray[np.float64], median_min: float, shape: float) -> NDArray[np.float64]:
    """Return P(within so many minutes), 0 before the first."""
    scaled = (np.maximum(minutes, 0.0) / median_min) ** shape
    return np.asarray(scaled / (1.0 + scaled), dtype=np.float64)


def _void_share(stay_min: float) -> float:
    """Return how likely void words name a stay within the window about one of so many minutes."""
    window = max(stay_min, _HALF_WINDOW_MIN) + np.array([-_HALF_WINDOW_MIN, _HALF_WINDOW_MIN])
    return float(np.diff(_log_logistic(window, VOID_MEDIAN_MIN, VOID_SHAPE))[0])


_UNHEARD = _log_logistic(REST_MIN, UNHEARD_MEDIAN_MIN, UNHEARD_SHAPE)


def _no_errors() -> NDArray[np.float64]:
    return np.zeros(len(ERROR_EDGES_MIN) - 1)


def _none_early() -> NDArray[np.float64]:
    return np.zeros(EARLY_MOST_MIN + 1)


@dataclass(slots=True)
class _Tally:
    """What has been seen: statements by kind, moments of the kept ones' errors [min], errors of the others.

    `early` counts the kept ones by how many minutes earlier than stated the car left, 0 and less at first, the most and
    more at last.
    """

    kinds: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    error: float = 0.0
    error_squared: float = 0.0
    errors: NDArray[np.float64] = field(default_factory=_no_errors)
    early: NDArray[np.float64] = field(default_factory=_none_early)

    def add(self, shares: NDArray[np.float64], error_min: float) -> None:
        kept = float(shares[0])
        self.kinds += shares
        self.error += kept * error_min
        self.error_squared += kept * error_min**2
        self.early[int(np.clip(np.ceil(-error_min), 0, EARLY_MOST_MIN))] += kept
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
    early_min
        How much earlier than stated the car leaves at most if the statement is kept, with `EARLY_CERTAINTY` [min].
    """

    shares: NDArray[np.float64]
    bias_min: float
    spread_min: float
    off_by: NDArray[np.float64]
    early_min: int

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
        believed = PRIOR_SPREAD_STATEMENTS
        variance = (total.error_squared + believed * PRIOR_SPREAD_MIN**2) / (float(total.kinds[0]) + believed)
        spread = float(np.sqrt((about_bias + pseudo * variance) / (kept + pseudo)))
        widths = np.diff(ERROR_EDGES_MIN)
        errors = total.errors + _PRIOR_ERRORS * widths / widths.sum()
        errors = own.errors + pseudo * errors / errors.sum()
        off_by = np.concatenate([[0.0], np.cumsum(errors) / errors.sum()])
        early = _early_min(own.early, total.early)
        return Worth(shares / shares.sum(), bias, max(SPREAD_LEAST_MIN, spread), off_by, early)

    def learn(self, user_id: str, arrival_ms: int, stated_ms: int, departure_ms: int) -> None:
        """Record a statement of a driver whose departure is now known."""
        worth = self.worth(user_id)
        error_min = (departure_ms - stated_ms) / MS_PER_MIN
        window = error_min + np.array([-_HALF_WINDOW_MIN, _HALF_WINDOW_MIN])
        likely = np.array(
            [
                np.diff(worth.left_if_kept(window))[0],
                np.diff(worth.left_if_off(window))[0],
                _void_share((stated_ms - arrival_ms) / MS_PER_MIN),
            ]
        )
        joint = worth.shares * likely
        shares = joint / joint.sum()
        self._worths.clear()
        self._all.add(shares, error_min)
        if user_id:
            self._drivers.setdefault(user_id, _Tally()).add(shares, error_min)


def _early_min(own: NDArray[np.float64], total: NDArray[np.float64]) -> int:
    """Return how much earlier than stated a car leaves at most, by its driver's kept statements and all of them."""
    most = np.eye(EARLY_MOST_MIN + 1)[-1]
    pooled = total + PRIOR_EARLY * most
    counts = own + DRIVER_PSEUDO_COUNT * pooled / pooled.sum()
    earlier_share = 1.0 - np.cumsum(counts) / counts.sum()
    return int(np.argmax(earlier_share <= 1.0 - EARLY_CERTAINTY))


def with_statement(
    by_history: DepartureDistribution, arrival_ms: int, stated_ms: int, worth: Worth
) -> DepartureDistribution:
    """Return the departure given a statement.

    Parameters
    ----------
    by_history
        The forecast now that does not hear the statement.
    arrival_ms, stated_ms
        Since when the car is here, and the stated departure.
    worth
        What the driver's word is worth.
    """
    steps_min = np.diff(REST_MIN)
    left_by = (1.0 - UNHEARD_SHARE) * by_history.left_by + UNHEARD_SHARE * _UNHEARD
    leaves = np.diff(left_by)
    after_stated_min = (by_history.now_ms - stated_ms) / MS_PER_MIN + REST_MIN
    kept_by = worth.left_if_kept(after_stated_min)
    off = leaves * np.diff(worth.left_if_off(after_stated_min)) / steps_min
    # P(kind, words, still here): the words' likelihood, averaged over the departures to come.
    kept = leaves * np.diff(kept_by) / steps_min
    kept_odds = worth.shares[0] * float(kept.sum())
    off_odds = worth.shares[1] * float(off.sum())
    void_odds = worth.shares[2] * _void_share((stated_ms - arrival_ms) / MS_PER_MIN) / (2 * _HALF_WINDOW_MIN)
    heard = void_odds * left_by + worth.shares[1] * np.concatenate([[0.0], np.cumsum(off)])
    if kept_odds > 0.0:
        by_word = (kept_by - kept_by[0]) / (1.0 - kept_by[0])
        by_both = np.concatenate([[0.0], np.cumsum(kept)]) / kept.sum()
        heard = heard + kept_odds * (by_word + by_both) / 2
    return DepartureDistribution(by_history.now_ms, heard / (kept_odds + off_odds + void_odds))
