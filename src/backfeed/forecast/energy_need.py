"""What this car will have taken: the distribution of a stay's recorded energy, from similar stays.

The same chain as for departures: the user's own stays first, filled up by the location's, then by
everybody's, then by a wide prior (exponential about 12 kWh). Stays count by the time of day of their
arrival and less with age. A driver's own stays are spread out, the more the fewer they are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from backfeed.forecast.history import Known
from backfeed.forecast.presence import (
    AGE_HALVES_DAYS,
    ALL_PSEUDO_COUNT,
    ALL_ROWS,
    DAY_MIN,
    LOCATION_PSEUDO_COUNT,
    LOCATION_ROWS,
    USER_PSEUDO_COUNT,
    USER_ROWS,
)

ARRIVAL_WIDTH_MIN = 240.0
PRIOR_MEAN_KWH = 12.0

OWN_SPREAD = 0.3
OWN_SPREAD_HALF_STAYS = 8.0
"""How far what a driver takes may lie from each of his past stays, as the standard deviation of its logarithm, and
after how many stays it is half as far: a few stays have not shown the most that he will ever take, many have."""

_NORMAL: NDArray[np.float64] = np.asarray(ndtri((np.arange(5) + 0.5) / 5), dtype=np.float64)
"""The middles of five equally likely parts of a normal distribution."""

_PRIOR_LEVELS: NDArray[np.float64] = (np.arange(20) + 0.5) / 20
_PRIOR_KWH: NDArray[np.float64] = -PRIOR_MEAN_KWH * np.log1p(-_PRIOR_LEVELS)


@dataclass(frozen=True)
class EnergyDistribution:
    """The energy a stay will have recorded, as weighted examples.

    Parameters
    ----------
    energy_kwh
        Examples in ascending order [kWh], shape `(example,)`.
    level
        Cumulated weight up to the middle of each, in `(0, 1)`, same shape.
    """

    energy_kwh: NDArray[np.float64]
    level: NDArray[np.float64]

    def quantiles_kwh(
        self, levels: NDArray[np.float64] | tuple[float, ...], beyond_kwh: float = 0.0
    ) -> NDArray[np.float64]:
        """Return the energies that are not exceeded with the given probabilities [kWh], shape `(level,)`.

        A stay that has taken `beyond_kwh` and goes on taking is one of those that exceed it.
        """
        passed = float(np.interp(beyond_kwh, self.energy_kwh, self.level, left=0.0)) if beyond_kwh > 0 else 0.0
        among = passed + (1.0 - passed) * np.asarray(levels, dtype=np.float64)
        return np.maximum(np.interp(among, self.level, self.energy_kwh), beyond_kwh)


def energy_need(known: Known, user: str, location: str, arrival_ms: int) -> EnergyDistribution:
    """Return the distribution of the energy that a stay beginning at `arrival_ms` will have recorded.

    Parameters
    ----------
    known
        What was known at the instant of the forecast.
    user, location
        Who and where; "" for an unknown user.
    arrival_ms
        The arrival.
    """
    arrival = known.clock.minute(arrival_ms)
    energies, weights = [_PRIOR_KWH], []
    left_over = 1.0
    for rows, pseudo, spread in (
        (known.rows_of_user(user, USER_ROWS), USER_PSEUDO_COUNT, OWN_SPREAD),
        (known.rows_at(location, LOCATION_ROWS), LOCATION_PSEUDO_COUNT, 0.0),
        (known.rows(ALL_ROWS), ALL_PSEUDO_COUNT, 0.0),
    ):
        weight = _likeness(known.arrival_min[rows], arrival)
        mass = float(weight.sum())
        factor = np.exp(spread / (1.0 + mass / OWN_SPREAD_HALF_STAYS) * _NORMAL) if spread > 0 else np.ones(1)
        energies.append(np.outer(factor, known.energy_kwh[rows]).ravel())
        weights.append(np.tile(weight * (left_over / (mass + pseudo) / len(factor)), len(factor)))
        left_over *= pseudo / (mass + pseudo)
    weights.insert(0, np.full(len(_PRIOR_KWH), left_over / len(_PRIOR_KWH)))
    energy, weight = np.concatenate(energies), np.concatenate(weights)
    order = np.argsort(energy, kind="stable")
    weight = weight[order]
    return EnergyDistribution(energy[order], np.cumsum(weight) - weight / 2)


def energy_quantiles(
    known: Known, user: str, location: str, arrival_ms: int, levels: NDArray[np.float64] | tuple[float, ...]
) -> NDArray[np.float64]:
    """Return the energies that a stay's record does not exceed with the given probabilities [kWh]."""
    return energy_need(known, user, location, arrival_ms).quantiles_kwh(levels)


def _likeness(arrivals: NDArray[np.float64], arrival: float) -> NDArray[np.float64]:
    """Weigh past arrivals by time of day and age, shape `(row,)`."""
    age_min = arrival - arrivals
    apart = np.abs(age_min - np.round(age_min / DAY_MIN) * DAY_MIN) / ARRIVAL_WIDTH_MIN
    recency = 1.0 / (1.0 + np.maximum(age_min, 0.0) / (DAY_MIN * AGE_HALVES_DAYS))
    return recency / (1.0 + apart**4)
