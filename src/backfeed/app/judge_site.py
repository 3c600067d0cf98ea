"""What flowed through each connection point, instant by instant.

A limit holds at every instant, not on average, so the power of a site is swept over all moments at
which anything changes: the ends of every segment of every car, and every quarter-hour of the
building's load. A segment counts with its largest power over its whole length; a car that takes less
and less near full is therefore never underestimated.

A violation is a stretch of time, without a gap, in which the net power lies beyond a limit while the
cars push it there. Where the building alone exceeds the limit and the cars take nothing, nobody is
blamed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis, utc_offset_ms
from backfeed.fleet.site import Site
from backfeed.report.summary import SiteResult
from backfeed.sim.columns import WorldSessions
from backfeed.sim.truth import Segments, Truth

Floats = NDArray[np.float64]

LIMIT_TOLERANCE: Final = 1e-6
"""How far, relative to a limit, a power may exceed it: rounding, no more."""


@dataclass(frozen=True)
class PowerSweep:
    """A power that changes at instants: `power_kw[k]` holds from `at_ms[k]` until `at_ms[k + 1]`."""

    at_ms: NDArray[np.int64]
    power_kw: Floats


def sweep(segments: Segments, keep: NDArray[np.bool_], extra_ms: NDArray[np.int64], *, only_out: bool) -> PowerSweep:
    """Add up the powers of segments at every instant.

    Parameters
    ----------
    segments, keep
        Which of them count, shape `(segment,)`.
    extra_ms
        Further instants at which the sweep is to have a breakpoint.
    only_out
        Whether charging counts as nothing.
    """
    from_ms, until_ms, power_kw = segments.from_ms[keep], segments.until_ms[keep], segments.power_kw[keep]
    if only_out:
        power_kw = np.minimum(power_kw, 0.0)
    at_ms = np.unique(np.concatenate([from_ms, until_ms, extra_ms]))
    change = np.zeros(len(at_ms))
    np.add.at(change, np.searchsorted(at_ms, from_ms), power_kw)
    np.subtract.at(change, np.searchsorted(at_ms, until_ms), power_kw)
    return PowerSweep(at_ms, np.cumsum(change))


def sites_of(sessions: WorldSessions, sites: Sequence[Site]) -> NDArray[np.int64]:
    """Return the index of the site at which each session stands, shape `(session,)`."""
    site_of = {location: index for index, site in enumerate(sites) for location in site.locations}
    return np.array([site_of[location] for location in sessions.location], dtype=np.int64)


def judge_sites(truth: Truth, sites: Sequence[Site], axis: TimeAxis, zone: ZoneInfo) -> dict[str, SiteResult]:
    """Find peaks and violations of every site over the window of `axis`."""
    where = sites_of(truth.sessions, sites)[truth.segments.session] if len(truth.segments) else np.empty(0, np.int64)
    offset_ms = utc_offset_ms(axis, zone)
    return {
        site.site_id: _judge_site(site, truth.segments, where == index, axis, site.base_load_over(axis, offset_ms))
        for index, site in enumerate(sites)
    }


def discharge_power_max_kw(truth: Truth) -> float:
    """Return the largest combined discharge power of the fleet [kW, a magnitude]."""
    everyone = np.ones(len(truth.segments), dtype=np.bool_)
    out = sweep(truth.segments, everyone, np.empty(0, np.int64), only_out=True)
    return float(-out.power_kw.min(initial=0.0)) + 0.0


def _judge_site(site: Site, segments: Segments, keep: NDArray[np.bool_], axis: TimeAxis, base_kw: Floats) -> SiteResult:
    fleet = sweep(segments, keep, axis.starts_ms, only_out=False)
    inside = (fleet.at_ms >= axis.start_ms) & (fleet.at_ms < axis.end_ms)
    fleet_kw = fleet.power_kw[inside]
    net_kw = fleet_kw + base_kw[(fleet.at_ms[inside] - axis.start_ms) // axis.step_ms]
    over_import = (net_kw > _beyond(site.import_limit_kw)) & (fleet_kw > LIMIT_TOLERANCE)
    over_export = (-net_kw > _beyond(site.export_limit_kw)) & (fleet_kw < -LIMIT_TOLERANCE)
    return SiteResult(
        peak_import_kw=float(net_kw.max(initial=0.0)),
        peak_export_kw=float(-net_kw.min(initial=0.0)) + 0.0,
        violations=_stretches(over_import) + _stretches(over_export),
    )


def _beyond(limit_kw: float) -> float:
    return limit_kw + LIMIT_TOLERANCE * max(limit_kw, 1.0)


def _stretches(flags: NDArray[np.bool_]) -> int:
    """Count the runs of true values."""
    return int(np.count_nonzero(flags[1:] & ~flags[:-1])) + int(flags[:1].sum())
