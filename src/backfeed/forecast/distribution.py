"""A departure as a distribution: quantiles, survival, hazard on any axis."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN
from backfeed.forecast.presence import REST_MIN

_REST_MS: NDArray[np.float64] = REST_MIN * MS_PER_MIN
_CERTAIN = 1e-12


@dataclass(frozen=True)
class DepartureDistribution:
    """When a car that is here at `now_ms` will leave.

    Parameters
    ----------
    now_ms
        The instant of the forecast.
    left_by
        P(left by `now + REST_MIN[k]`), non-decreasing from 0, shape `(321,)`; the rest to 1 leaves after the
        grid's last point.
    """

    now_ms: int
    left_by: NDArray[np.float64]

    def left_share(self, at_ms: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return P(left by an instant), 0 before now, shape of `at_ms`."""
        return np.interp(np.asarray(at_ms, dtype=np.float64) - self.now_ms, _REST_MS, self.left_by)

    def quantiles_ms(self, levels: NDArray[np.float64] | tuple[float, ...]) -> NDArray[np.int64]:
        """Return the instants by which the car has left with the given probabilities.

        A level beyond the share that leaves within the grid gets the grid's last point.
        """
        rest = np.interp(np.asarray(levels, dtype=np.float64), self.left_by, _REST_MS)
        return self.now_ms + np.rint(rest).astype(np.int64)

    def survival(self, axis: TimeAxis) -> NDArray[np.float64]:
        """Return P(still here) at the start of every step, 1 before now, shape `(step,)`."""
        return 1.0 - self.left_share(axis.starts_ms)

    def hazard(self, axis: TimeAxis) -> NDArray[np.float64]:
        """Return P(leaves within the step | here at its start), shape `(step,)`.

        Steps before now have hazard 0; the step that contains now counts from now on. Where nobody
        is left the hazard is 1.
        """
        edges = 1.0 - self.left_share(np.append(axis.starts_ms, axis.end_ms))
        here, after = edges[:-1], edges[1:]
        return np.where(here > _CERTAIN, 1.0 - after / np.maximum(here, _CERTAIN), 1.0)
