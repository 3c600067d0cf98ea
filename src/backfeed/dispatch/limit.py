"""Limits of sites: how much room is left when meters and chargers err against us, and a car may leave.

With m the error, charging counts (1 + m) times towards import and discharging (1 + m) times towards
export. Neither counts against the other: a car that feeds its neighbour may be gone the next moment, and
the limit must hold then as well. The building's load is measured where the limit is and counts once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.dispatch.bounds import METERING_ERROR
from backfeed.dispatch.columns import Floats, SiteColumns

MORE = 1.0 + METERING_ERROR


@dataclass(frozen=True, slots=True)
class SiteLimits:
    """The limits that count at every site, and whose they are.

    Parameters
    ----------
    site
        The site of every EVSE, shape `(evse,)`.
    base_load_kw, import_limit_kw, export_limit_kw
        Per site [kW], shape `(site,)`; the tighter of connection and grid operator.
    import_by_grid, export_by_grid
        True where the grid operator's limit is the tighter one, shape `(site,)`.
    """

    site: NDArray[np.int64]
    base_load_kw: Floats
    import_limit_kw: Floats
    export_limit_kw: Floats
    import_by_grid: NDArray[np.bool_]
    export_by_grid: NDArray[np.bool_]

    def by_site(self, values: Floats) -> Floats:
        """Sum values of EVSEs by site, shape `(site,)`."""
        sums = np.bincount(self.site, weights=values, minlength=len(self.base_load_kw))
        return np.asarray(sums, dtype=np.float64)

    def excess_kw(self, power_kw: Floats) -> tuple[Floats, Floats]:
        """Return by how much each site passes its import and its export limit in the worst case.

        Below 0 it is the room that is left.
        """
        charging = MORE * self.by_site(np.maximum(power_kw, 0.0))
        discharging = MORE * self.by_site(np.maximum(-power_kw, 0.0))
        base = self.base_load_kw
        return base + charging - self.import_limit_kw, discharging - base - self.export_limit_kw

    def excess_at_kw(self, site: int, power_here_kw: Floats) -> tuple[float, float]:
        """Return what `excess_kw` says of one site, given the powers of its EVSEs alone."""
        charging = MORE * float(np.maximum(power_here_kw, 0.0).sum())
        discharging = MORE * float(np.maximum(-power_here_kw, 0.0).sum())
        base = float(self.base_load_kw[site])
        limits = float(self.import_limit_kw[site]), float(self.export_limit_kw[site])
        return base + charging - limits[0], discharging - base - limits[1]


def site_limits(site: NDArray[np.int64], sites: SiteColumns) -> SiteLimits:
    """Return the limits that count at every site."""
    none = np.full(len(sites), np.inf)
    grid_import = none if sites.grid_import_limit_kw is None else sites.grid_import_limit_kw
    grid_export = none if sites.grid_export_limit_kw is None else sites.grid_export_limit_kw
    return SiteLimits(
        site=site,
        base_load_kw=sites.base_load_kw,
        import_limit_kw=np.minimum(sites.import_limit_kw, grid_import),
        export_limit_kw=np.minimum(sites.export_limit_kw, grid_export),
        import_by_grid=grid_import < sites.import_limit_kw,
        export_by_grid=grid_export < sites.export_limit_kw,
    )
