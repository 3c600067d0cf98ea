"""The tick's decision in numpy, as it was before it was compiled: its tests' oracle, its benchmark's baseline.

Sites stand by themselves here. What each step means is told in `backfeed.dispatch.allocate`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_H
from backfeed.dispatch.allocate import Allocation
from backfeed.dispatch.authority import Authority
from backfeed.dispatch.bounds import (
    LAXITY_MAX_H,
    LAXITY_MIN_H,
    LAXITY_UNKNOWN_H,
    METERING_ERROR,
    PROMISED_SHARE,
    SECONDS_PER_HOUR,
)
from backfeed.dispatch.columns import EvseColumns, Floats, SiteColumns
from backfeed.dispatch.limit import MORE

TOLERANCE_KW = 1e-9


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds on the power of every EVSE [kW, charging positive], shape `(evse,)`.

    Parameters
    ----------
    floor_kw
        Nobody may order less: hardware and the owner's reserve.
    must_kw
        The least that keeps the owner's departure; only grid and site may go below it.
    ceiling_kw
        Nobody may order more: hardware and the full battery.
    """

    floor_kw: Floats
    must_kw: Floats
    ceiling_kw: Floats


def owner_bounds(evses: EvseColumns, now_ms: int) -> Bounds:
    """Return what hardware and owner leave open at an instant."""
    step_h = evses.step_s / SECONDS_PER_HOUR
    room_kwh = np.maximum(evses.full_kwh - evses.energy_low_kwh, 0.0)
    ceiling = np.minimum(evses.charge_max_kw, room_kwh / (evses.charge_efficiency * step_h))
    spare_kwh = np.maximum(evses.energy_low_kwh - evses.reserve_kwh, 0.0)
    reserve = spare_kwh * evses.discharge_efficiency / ((1.0 + METERING_ERROR) * step_h)
    floor = np.where(evses.charging_only, 0.0, -np.minimum(evses.discharge_max_kw, reserve))
    must = np.minimum(np.maximum(departure_floor_kw(evses, now_ms), floor), ceiling)
    return Bounds(floor, must, ceiling)


def departure_floor_kw(evses: EvseColumns, now_ms: int) -> Floats:
    """Return the least power that still leaves the target within reach, -inf where no departure is known."""
    step_h = evses.step_s / SECONDS_PER_HOUR
    left_h = (evses.departure_ms - now_ms) / MS_PER_H
    later_h = np.maximum(left_h - step_h, 0.0)
    # A car that leaves within this order has less time; one that has outstayed its departure charges on.
    order_h = np.where((left_h > 0.0) & (left_h < step_h), left_h, step_h)
    later_kwh = PROMISED_SHARE * evses.charge_max_kw * evses.charge_efficiency * later_h
    needed_kwh = evses.target_kwh - evses.energy_low_kwh - later_kwh
    battery_kw = needed_kwh / order_h
    power = np.where(battery_kw > 0.0, battery_kw / evses.charge_efficiency, battery_kw * evses.discharge_efficiency)
    return np.where(evses.departure_ms >= 0, power, -np.inf)


def laxity_h(evses: EvseColumns, now_ms: int) -> Floats:
    """Return the hours a car could wait and still reach its target: time left less charging time needed."""
    needed_kwh = np.maximum(evses.target_kwh - evses.energy_low_kwh, 0.0)
    power_kw = np.maximum(evses.charge_max_kw * evses.charge_efficiency, 1e-9)
    known = (evses.departure_ms - now_ms) / MS_PER_H - needed_kwh / power_kw
    return np.clip(np.where(evses.departure_ms >= 0, known, LAXITY_UNKNOWN_H), LAXITY_MIN_H, LAXITY_MAX_H)


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


def pour(span_kw: Floats, weight: Floats, amount_kw: float) -> Floats:
    """Share an amount over vessels in proportion to their weights, none beyond its span.

    Parameters
    ----------
    span_kw
        Room of every vessel [kW], at least 0, shape `(vessel,)`.
    weight
        Willingness of every vessel, above 0, shape `(vessel,)`.
    amount_kw
        What is to be shared [kW]; at least 0.

    Returns
    -------
    NDArray
        What each takes [kW]; they sum to the amount, or to all spans if those are less.

    >>> pour(np.array([1.0, 9.0, 9.0]), np.array([1.0, 1.0, 2.0]), 7.0)
    array([1., 2., 4.])
    """
    if amount_kw <= 0.0:
        return np.zeros_like(span_kw)
    if amount_kw >= span_kw.sum():
        return span_kw.copy()
    level = span_kw / weight
    order = np.argsort(level, kind="stable")
    filled = np.cumsum(span_kw[order])
    still_filling = np.cumsum(weight[order][::-1])[::-1]
    # Poured when theta reaches each breakpoint: the vessels below it are full, the others stand at theta.
    poured = filled + (still_filling - weight[order]) * level[order]
    first = min(int(np.searchsorted(poured, amount_kw)), len(level) - 1)
    below = filled[first - 1] if first else 0.0
    theta = (amount_kw - below) / still_filling[first]
    taken: Floats = np.minimum(span_kw, weight * theta)
    return taken


def pour_by_group(
    span_kw: Floats, weight: Floats, amount_kw: float, group: NDArray[np.int64], room_kw: Floats
) -> Floats:
    """Share an amount as `pour` does, no group of vessels taking more than its room.

    A group that would take too much is filled to its room and set aside; what it can not take goes to
    the others. Since the others then only take more, no group set aside would come back, so the result
    is the one level at which every vessel stops at its span, its group's room, or that level.

    Parameters
    ----------
    span_kw, weight, amount_kw
        As for `pour`.
    group
        The group of every vessel, shape `(vessel,)`.
    room_kw
        What each group may take in all [kW], at least 0, shape `(group,)`.
    """
    taken = np.zeros_like(span_kw)
    open_vessel = np.ones(len(span_kw), dtype=np.bool_)
    left_kw = amount_kw
    while left_kw > 0.0 and open_vessel.any():
        poured = np.zeros_like(span_kw)
        poured[open_vessel] = pour(span_kw[open_vessel], weight[open_vessel], left_kw)
        by_group = np.bincount(group, weights=poured, minlength=len(room_kw))
        overfull = np.flatnonzero(by_group > room_kw)
        if not len(overfull):
            return taken + poured
        for index in overfull:
            members = np.flatnonzero((group == index) & open_vessel)
            taken[members] = pour(span_kw[members], weight[members], room_kw[index])
            open_vessel[members] = False
            left_kw -= float(taken[members].sum())
    return taken


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


def allocate_by_numpy(evses: EvseColumns, sites: SiteColumns, fleet_target_kw: float | None, now_ms: int) -> Allocation:
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
