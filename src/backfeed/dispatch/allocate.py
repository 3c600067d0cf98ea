"""What every charger does now: the schedule, narrowed by all who outrank it.

Theory of operation. A tick starts from what the schedule wants and lets the authorities act, inside the
bounds of those above them:

1. *Schedule*: each EVSE stands at its planned power; one without a plan stands at 0.
2. *Surplus*: unplanned EVSEs take what the sun would otherwise push out of their site.
3. *Hardware and owner* clip each EVSE to its bounds (see `bounds`).
4. *Grid operator and site connection*: where a site would take or give too much, the excess is poured
   back over its EVSEs.
5. *Delivery*: if the fleet's sum differs from what has been promised, the difference is poured over all
   EVSEs, inside the bounds of step 3 and the room that step 4 leaves.

Steps 4 and 5 share by laxity, the hours a car could wait: power is taken from whom has the most time to
spare and given to whom has the least, in proportion to the charger's size. They go in stages, and a
stage begins when the one before it is exhausted. Downwards: charging falls towards zero but not below
what departures need; then cars discharge towards their reserves; then, for site and grid only, charging
that departures need gives way. Upwards: discharging falls to zero; then cars charge beyond the plan, up
to full. No authority goes below a reserve: a building that alone exceeds its connection is reported.

Site limits are kept for the worst case of errors and of cars that leave (see `limit`): charging alone fills
the import limit, discharging alone the export limit. Every stage moves power on one side of zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.dispatch.authority import Authority
from backfeed.dispatch.bounds import Bounds, laxity_h, owner_bounds
from backfeed.dispatch.columns import EvseColumns, Floats, SiteColumns
from backfeed.dispatch.limit import MORE, SiteLimits, site_limits
from backfeed.dispatch.pour import pour, pour_by_group

TOLERANCE_KW = 1e-9
"""Powers closer than this are the same power."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """What a tick decides.

    Parameters
    ----------
    power_kw
        The power of every EVSE, charging positive, shape `(evse,)`.
    bound_by
        The `Authority` that last moved it away from the schedule, or the lowest that had a wish, shape `(evse,)`.
    site_net_kw
        What each site takes with this, base load included, import positive, shape `(site,)`.
    site_excess_kw
        By how much a site still passes a limit in the worst case, for its base load [kW, >= 0], shape `(site,)`.
    shortfall_kw
        How far the fleet's sum stays from the committed target [kW, >= 0]; 0 without a commitment.
    """

    power_kw: Floats
    bound_by: NDArray[np.int64]
    site_net_kw: Floats
    site_excess_kw: Floats
    shortfall_kw: float


@dataclass(frozen=True, slots=True)
class _Stage:
    """One stage of moving powers on one side of zero: how far each goes."""

    goal_kw: Floats
    charges: bool


@dataclass(frozen=True, slots=True)
class _Way:
    """A direction of moving powers (+1 up, -1 down), whom it asks first, and its stages."""

    direction: int
    weight: Floats
    stages: tuple[_Stage, ...]


def allocate(evses: EvseColumns, sites: SiteColumns, fleet_target_kw: float | None, now_ms: int) -> Allocation:
    """Decide the power of every EVSE for this tick.

    Parameters
    ----------
    evses, sites
        Who is here, and the limits of the places.
    fleet_target_kw
        What the whole fleet is committed to take, charging positive; None without a commitment.
    now_ms
        The present instant.
    """
    bounds = owner_bounds(evses, now_ms)
    limits = site_limits(evses.site, sites)
    up, down, down_for_limits = _ways(evses, bounds, now_ms)

    unplanned = np.isnan(evses.planned_kw)
    bound_by = np.where(unplanned, Authority.SURPLUS, Authority.SCHEDULE)
    power = np.where(unplanned, 0.0, evses.planned_kw)
    if unplanned.any():
        power = _with_surplus(power, unplanned, bounds, limits, up)
    power = _clip(power, bounds, evses, bound_by)
    power = _keep_limits(power, limits, up, down_for_limits, bound_by)
    shortfall_kw = 0.0
    if fleet_target_kw is not None:
        power = _deliver(power, fleet_target_kw, limits, up, down, bound_by)
        shortfall_kw = abs(fleet_target_kw - float(power.sum()))
    import_excess, export_excess = limits.excess_kw(power)
    excess = np.maximum(import_excess, export_excess)
    return Allocation(
        power_kw=power,
        bound_by=bound_by,
        site_net_kw=sites.base_load_kw + limits.by_site(power),
        site_excess_kw=np.where(excess > TOLERANCE_KW, excess, 0.0),
        shortfall_kw=shortfall_kw if shortfall_kw > TOLERANCE_KW else 0.0,
    )


def _ways(evses: EvseColumns, bounds: Bounds, now_ms: int) -> tuple[_Way, _Way, _Way]:
    """Return the ways up, down, and down for those who outrank the owner's departure."""
    laxity = laxity_h(evses, now_ms)
    size = np.maximum(evses.charge_max_kw, TOLERANCE_KW)
    zero = np.zeros(len(evses))
    up = (_Stage(zero, charges=False), _Stage(bounds.ceiling_kw, charges=True))
    down = (
        _Stage(np.maximum(bounds.must_kw, 0.0), charges=True),
        _Stage(np.minimum(bounds.must_kw, 0.0), charges=False),
    )
    further = (_Stage(zero, charges=True), _Stage(np.minimum(bounds.floor_kw, 0.0), charges=False))
    return _Way(1, size / laxity, up), _Way(-1, size * laxity, down), _Way(-1, size * laxity, down + further)


def _record(
    bound_by: NDArray[np.int64], before: Floats, after: Floats, authority: Authority | NDArray[np.int64]
) -> None:
    """Write down, in place, who moved a power."""
    np.copyto(bound_by, authority, where=np.abs(after - before) > TOLERANCE_KW)


def _with_surplus(power: Floats, unplanned: NDArray[np.bool_], bounds: Bounds, limits: SiteLimits, up: _Way) -> Floats:
    """Give unplanned EVSEs what their site would otherwise push out."""
    surplus = np.maximum(-(limits.base_load_kw + limits.by_site(power)), 0.0)
    span = np.where(unplanned, bounds.ceiling_kw, 0.0)
    return power + pour_by_group(span, up.weight, float(surplus.sum()), limits.site, surplus)


def _clip(power: Floats, bounds: Bounds, evses: EvseColumns, bound_by: NDArray[np.int64]) -> Floats:
    """Bring every EVSE inside what its hardware and its owner leave open."""
    clipped = np.minimum(np.maximum(power, bounds.must_kw), bounds.ceiling_kw)
    rated_floor = np.where(evses.charging_only, 0.0, -evses.discharge_max_kw)
    rated = np.minimum(np.maximum(power, rated_floor), bounds.ceiling_kw)
    _record(bound_by, power, clipped, np.where(clipped == rated, Authority.HARDWARE, Authority.OWNER))
    return clipped


def _keep_limits(power: Floats, limits: SiteLimits, up: _Way, down: _Way, bound_by: NDArray[np.int64]) -> Floats:
    """Bring every site inside its limits, as far as its EVSEs can."""
    excess = limits.excess_kw(power)
    if max(side.max(initial=0.0) for side in excess) <= TOLERANCE_KW:
        return power
    kept = power.copy()
    ways = ((0, down, limits.import_by_grid), (1, up, limits.export_by_grid))
    for side, way, by_grid in ways:
        for site in np.flatnonzero(excess[side] > TOLERANCE_KW):
            here = np.flatnonzero(limits.site == site)
            moved = _move(way, here, kept[here], float(excess[side][site]))
            changed = here[np.abs(moved - kept[here]) > TOLERANCE_KW]
            bound_by[changed] = Authority.GRID_OPERATOR if by_grid[site] else Authority.SITE_CONNECTION
            kept[here] = moved
    return kept


def _move(way: _Way, here: NDArray[np.int64], power_here: Floats, excess_kw: float) -> Floats:
    """Return one site's powers, moved on the side that is in excess until it is gone or nothing can move."""
    moved = power_here
    for stage in way.stages:
        # Down is asked for by an import limit, which only charging fills; up by an export limit.
        if stage.charges is not (way.direction < 0):
            continue
        side = np.maximum(moved, 0.0) if stage.charges else np.minimum(moved, 0.0)
        span = np.maximum(way.direction * (stage.goal_kw[here] - side), 0.0)
        share = pour(span, way.weight[here], excess_kw / MORE)
        moved = moved + way.direction * share
        excess_kw -= MORE * float(share.sum())
        if excess_kw <= TOLERANCE_KW:
            break
    return moved


def _deliver(
    power: Floats, target_kw: float, limits: SiteLimits, up: _Way, down: _Way, bound_by: NDArray[np.int64]
) -> Floats:
    """Move the fleet's sum towards the target as far as owners, hardware and sites allow."""
    way = up if target_kw > power.sum() else down
    shifted = power
    boundless = np.full(len(limits.base_load_kw), np.inf)
    for stage in way.stages:
        lack_kw = abs(target_kw - float(shifted.sum()))
        if lack_kw <= TOLERANCE_KW:
            break
        import_excess, export_excess = limits.excess_kw(shifted)
        # Only what grows on its side of zero needs room there.
        grows = stage.charges is (way.direction > 0)
        room = np.maximum(-(import_excess if stage.charges else export_excess), 0.0) / MORE if grows else boundless
        side = np.maximum(shifted, 0.0) if stage.charges else np.minimum(shifted, 0.0)
        span = np.maximum(way.direction * (stage.goal_kw - side), 0.0)
        shifted = shifted + way.direction * pour_by_group(span, way.weight, lack_kw, limits.site, room)
    _record(bound_by, power, shifted, Authority.DELIVERY)
    return shifted
