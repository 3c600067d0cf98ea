"""Calibration: a forecast's own record corrects its levels (distributional conformal prediction).

When a stay ends, the platform looks back: at which level `u = F(departure)` did the departure fall, by
the forecast that would have been made at some hours after the arrival? If forecasts are right the
levels are uniform. Where they are not, their running distribution `G` is the correction: the calibrated
distribution is `G(F(t))`, and the calibrated quantile of a level is `F^-1(G^-1(level))`. Levels are
counted in bins that are narrow at the edges, where risk is read, apart for short and long elapsed
times, with a prior that holds `G` to the identity until there is evidence, and forgotten slowly, so
that the correction follows a drift.

Reference: V. Chernozhukov, K. Wüthrich, Y. Zhu, "Distributional conformal prediction", PNAS 118(48), 2021,
doi:10.1073/pnas.2107794118.
"""

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

LEVEL_EDGES: NDArray[np.float64] = np.array(
    [0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0]
)
PROBE_H = (0.0, 2.0, 6.0, 12.0, 20.0, 36.0)
"""Hours after the arrival at which a finished stay is looked back upon."""

PRIOR_COUNT = 150.0
"""How many uniform levels the prior is worth."""

MEMORY_COUNT = 1500.0
"""After so many levels of its elapsed time, one has faded to 1/e."""

_EDGES = [float(edge) for edge in LEVEL_EDGES]


class Calibration:
    """The running record of levels, one for each span of elapsed time."""

    def __init__(self) -> None:
        """Begin with no evidence: every correction is the identity."""
        self._counts = np.zeros((len(PROBE_H), len(LEVEL_EDGES) - 1))
        self._maps: list[NDArray[np.float64] | None] = [None] * len(PROBE_H)

    def observe(self, elapsed_h: float, level: float) -> None:
        """Record at which level a departure fell by the forecast made at an elapsed time."""
        span = _span_of(elapsed_h)
        position = min(bisect_right(_EDGES, level) - 1, len(_EDGES) - 2)
        self._counts[span] *= 1.0 - 1.0 / MEMORY_COUNT
        self._counts[span, position] += 1.0
        self._maps[span] = None

    def correct(self, elapsed_h: float, cdf: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the calibrated distribution function for the raw one, same shape."""
        span = _span_of(elapsed_h)
        corrected = self._maps[span]
        if corrected is None:
            shares = self._counts[span] + PRIOR_COUNT * np.diff(LEVEL_EDGES)
            corrected = self._maps[span] = np.concatenate([[0.0], np.cumsum(shares) / shares.sum()])
        return np.interp(cdf, LEVEL_EDGES, corrected)


def _span_of(elapsed_h: float) -> int:
    """Return the span whose probe is the nearest below."""
    return max(0, bisect_right(PROBE_H, elapsed_h) - 1)
