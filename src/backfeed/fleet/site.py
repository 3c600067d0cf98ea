"""Sites: places behind one meter, with limits each way and a load of their own."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY


@dataclass(frozen=True, slots=True)
class Site:
    """A place behind one connection to the grid.

    Parameters
    ----------
    site_id
        Name of the site.
    locations
        The locations whose stations stand here.
    import_limit_kw, export_limit_kw
        Magnitudes at the connection point; infinity where there is no limit. An export limit of 0
        forbids reverse flow.
    base_load_kw
        The building's load over the day, one value a quarter-hour of the local day (96), constant if
        all are equal. It counts against both limits.
    """

    site_id: str
    locations: tuple[str, ...]
    import_limit_kw: float
    export_limit_kw: float
    base_load_kw: tuple[float, ...]

    def base_load_over(self, axis: TimeAxis, offset_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the building's load at the steps of an axis [kW], shape `(step,)`.

        `offset_ms` says how far the local clock is ahead of UTC at each of them, see `core.axis.utc_offset_ms`.
        """
        quarter_ms = MS_PER_DAY // len(self.base_load_kw)
        quarter = (axis.starts_ms + offset_ms) % MS_PER_DAY // quarter_ms
        return np.array([self.base_load_kw[k] for k in quarter.tolist()])


@dataclass(frozen=True, slots=True)
class Charger:
    """One EVSE of a charging station."""

    station: str
    evse: int
    site_id: str
    location: str
    power_max_kw: float
    bidirectional: bool
