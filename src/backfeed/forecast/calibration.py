"""Calibration: a forecast's own record corrects its levels (distributional conformal prediction).

When a stay ends, the platform looks back: at which level `u = F(departure)` did the departure fall, by
the forecast that would have been made at some hours after the arrival? If forecasts are right the
levels are uniform. Where they are not, their running distribution `G` is the correction: the calibrated
distribution is `G(F(t))`, and the calibrated quantile of a level is `F^-1(G^-1(level))`.

Levels are counted twice. A slow record in narrow bins learns the edges, where risk is read and where
little happens; a fast one in a few wide bins, which sees what the slow one has corrected, follows
holidays and drift. Both are kept apart for short and long elapsed times, fade exponentially with time, and
start from a prior that holds `G` to the identity until there is evidence. Even the fast one remembers
several days: stays become known in the order in which they end, short ones of a day before its long
ones, so that a memory of hours would mistake the evening for a trend.

Reference: V. Chernozhukov, K. Wüthrich, Y. Zhu, "Distributional conformal prediction", PNAS 118(48), 2021,
doi:10.1073/pnas.2107794118.
"""

from bisect import bisect_right
from math import exp

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_DAY

PROBE_H = (0.0, 2.0, 6.0, 12.0, 20.0, 36.0)
"""Hours after the arrival at which a finished stay is looked back upon."""

SLOW_EDGES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
SLOW_PRIOR_COUNT = 200.0
SLOW_MEMORY_DAYS = 45.0

FAST_EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
FAST_PRIOR_COUNT = 60.0
FAST_MEMORY_DAYS = 6.0
"""How many uniform levels a prior is worth, and after how many days a level has faded to 1/e."""


class _LevelCounts:
    """Counts of levels in bins that fade, and the distribution function they make."""

    def __init__(self, edges: tuple[float, ...], prior_count: float, memory_days: float) -> None:
        self._edges = edges
        self._memory_ms = memory_days * MS_PER_DAY
        self._prior = prior_count * np.diff(edges)
        self._counts = np.zeros(len(edges) - 1)
        self._left: NDArray[np.float64] = np.array(edges)
        self._latest_ms = 0

    def observe(self, level: float, at_ms: int) -> None:
        """Count a level that became known at an instant, and let the others fade until then."""
        self._counts *= exp(-max(at_ms - self._latest_ms, 0) / self._memory_ms)
        self._latest_ms = max(at_ms, self._latest_ms)
        self._counts[min(bisect_right(self._edges, level) - 1, len(self._counts) - 1)] += 1.0
        shares = self._counts + self._prior
        self._left = np.concatenate([[0.0], np.cumsum(shares) / shares.sum()])

    def correct(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of past levels at or below each of some levels."""
        return np.interp(levels, self._edges, self._left)


class Calibration:
    """The running records of levels, one pair for each span of elapsed time."""

    def __init__(self) -> None:
        """Begin with no evidence: every correction is the identity."""
        self._slow = [_LevelCounts(SLOW_EDGES, SLOW_PRIOR_COUNT, SLOW_MEMORY_DAYS) for _ in PROBE_H]
        self._fast = [_LevelCounts(FAST_EDGES, FAST_PRIOR_COUNT, FAST_MEMORY_DAYS) for _ in PROBE_H]

    def observe(self, elapsed_h: float, level: float, known_at_ms: int) -> None:
        """Record at which level a departure fell by the forecast made at an elapsed time."""
        span = _span_of(elapsed_h)
        self._fast[span].observe(float(self._slow[span].correct(np.array([level]))[0]), known_at_ms)
        self._slow[span].observe(level, known_at_ms)

    def correct(self, elapsed_h: float, cdf: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the calibrated distribution function for the raw one, same shape."""
        span = _span_of(elapsed_h)
        return self._fast[span].correct(self._slow[span].correct(cdf))


def _span_of(elapsed_h: float) -> int:
    """Return the span whose probe is the nearest below."""
    return max(0, bisect_right(PROBE_H, elapsed_h) - 1)
