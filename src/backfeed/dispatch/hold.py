"""Grid operator and site connection: bringing every place of the tree inside its limits.

Places are gone through from the ends of the tree to its roots. Where more charges (or discharges) than the place has
room for, EVSEs give way to one level theta: each gives `weight * theta`, those with the most time first, and
what it has given for a place further down counts. So the level of a car is the highest of all places above it,
whichever of them is the tight one, and two cars that are alike in all but their site differ only if their sites do.

Charging gives way in two stages: all that no departure needs, and when nothing of that is left below the place,
what departures need. Nobody changes the side of zero: a car that neither takes nor gives harms no limit.
"""

from typing import NamedTuple

from backfeed.dispatch.authority import Authority
from backfeed.dispatch.bounds import Bounds, Cars, Now, bound, willingness
from backfeed.dispatch.columns import Floats, Ints
from backfeed.dispatch.limit import Limits
from backfeed.dispatch.orders import TOLERANCE_KW, Orders, narrow
from backfeed.dispatch.pour import ALL, Vessels, find_level, room_for_vessels
from backfeed.dispatch.tree import Slices
from backfeed.plan.compiled import compiled_for_any

_GRID, _SITE = int(Authority.GRID_OPERATOR), int(Authority.SITE_CONNECTION)

BLOCK = 2_048
"""So many EVSEs are bounded at a time: their columns still stand in the processor's cache when they are held."""

CHARGING, DISCHARGING = 1.0, -1.0
"""The two sides of zero."""


class Totals(NamedTuple):
    """What charges and what discharges at and below every place [kW, >= 0], shape `(site,)`."""

    charging_kw: Floats
    discharging_kw: Floats


@compiled_for_any
def begin(
    places: Ints,
    cars: Cars,
    slices: Slices,
    limits: Limits,
    now: Now,
    bounds: Bounds,
    orders: Orders,
    totals: Totals,
) -> None:
    """Take the first steps for some neighbouring places: bounds, plan, surplus, and their limits if none is below.

    Places share nothing here, so threads may take some each.
    """
    begun, last = places[0], places[-1]
    vessels = room_for_vessels(_most_own(slices, begun, last))
    while begun <= last:
        done = begun + 1
        while done <= last and slices.own_stop[done] - slices.first[begun] <= BLOCK:
            done += 1
        bound(cars, slices.first[begun], slices.own_stop[done - 1], now, bounds)
        for j in range(begun, done):
            narrow(cars, slices.first[j], slices.own_stop[j], limits.base_load_kw[j], bounds, orders, vessels)
            add_up(j, slices, orders, totals)
            if slices.stop[j] == slices.own_stop[j]:
                _hold_place(j, slices, limits, bounds, orders, totals, vessels)
        begun = done


@compiled_for_any
def _most_own(slices: Slices, begun: int, last: int) -> int:
    """Return the highest number of EVSEs that stand at one of some places."""
    most = 0
    for j in range(begun, last + 1):
        most = max(most, slices.own_stop[j] - slices.first[j])
    return most


@compiled_for_any
def hold(slices: Slices, limits: Limits, bounds: Bounds, orders: Orders, totals: Totals, vessels: Vessels) -> bool:
    """Bring the places above others inside their limits; return whether one of them was not."""
    is_moved = False
    for j in range(len(slices.first) - 1, -1, -1):
        if slices.stop[j] > slices.own_stop[j]:
            is_moved |= _hold_place(j, slices, limits, bounds, orders, totals, vessels)
        if slices.parent[j] >= 0:
            totals.charging_kw[slices.parent[j]] += totals.charging_kw[j]
            totals.discharging_kw[slices.parent[j]] += totals.discharging_kw[j]
    return is_moved


@compiled_for_any
def add_up(j: int, slices: Slices, orders: Orders, totals: Totals) -> None:
    """Write what the EVSEs that stand at a place charge and discharge."""
    charging, discharging = 0.0, 0.0
    for k in range(slices.first[j], slices.own_stop[j]):
        charging += max(orders.power_kw[k], 0.0)
        discharging += max(-orders.power_kw[k], 0.0)
    totals.charging_kw[j], totals.discharging_kw[j] = charging, discharging


@compiled_for_any
def _hold_place(
    j: int, slices: Slices, limits: Limits, bounds: Bounds, orders: Orders, totals: Totals, vessels: Vessels
) -> bool:
    """Bring one place inside its limits; return whether it was not."""
    first, stop = slices.first[j], slices.stop[j]
    is_moved = False
    if totals.charging_kw[j] > limits.import_room_kw[j]:
        by = _GRID if limits.import_by_grid[j] else _SITE
        room = limits.import_room_kw[j]
        totals.charging_kw[j] = _shrink(CHARGING, room, first, stop, bounds, by, vessels, orders)
        is_moved = True
    if totals.discharging_kw[j] > limits.export_room_kw[j]:
        by = _GRID if limits.export_by_grid[j] else _SITE
        room = limits.export_room_kw[j]
        totals.discharging_kw[j] = _shrink(DISCHARGING, room, first, stop, bounds, by, vessels, orders)
        is_moved = True
    return is_moved


@compiled_for_any
def _shrink(
    side: float, room_kw: float, first: int, stop: int, bounds: Bounds, by: int, vessels: Vessels, orders: Orders
) -> float:
    """Let one side of some EVSEs give way until it fits; return what is left of it [kW]."""
    least = 0.0
    for k in range(first, stop):
        least += min(_needed(side, k, bounds, orders), max(side * orders.power_kw[k], 0.0))
    keeps_needs = least < room_kw
    asked = 0.0
    for k in range(first, stop):
        top, floor = _stage(side, k, keeps_needs, bounds, orders)
        taken = max(top - max(side * orders.power_kw[k], 0.0), 0.0)
        vessels.weight[k - first] = willingness(-side, k, bounds) if top > 0.0 else 0.0
        vessels.taken[k - first] = taken
        vessels.span[k - first] = max(top - floor, taken)
        asked += top
    level, count = ALL, stop - first
    if room_kw > 0.0:
        level = find_level(vessels.weight[:count], vessels.taken[:count], vessels.span[:count], asked - room_kw)
    left = 0.0
    for k in range(first, stop):
        top, floor = _stage(side, k, keeps_needs, bounds, orders)
        now = max(side * orders.power_kw[k], 0.0)
        kept = min(now, max(top - vessels.weight[k - first] * level, floor))
        left += kept
        if now > 0.0:
            orders.power_kw[k] = side * kept
            if now - kept > TOLERANCE_KW:
                orders.bound_by[k] = by
    return left if left <= room_kw else scale(side, room_kw / left, first, stop, orders)


@compiled_for_any
def scale(side: float, factor: float, first: int, stop: int, orders: Orders) -> float:
    """Shrink one side of some EVSEs by a factor next to 1, for roundings; return what is left of it [kW]."""
    left = 0.0
    for k in range(first, stop):
        if side * orders.power_kw[k] > 0.0:
            orders.power_kw[k] *= factor
            left += abs(orders.power_kw[k])
    return left


@compiled_for_any
def _needed(side: float, k: int, bounds: Bounds, orders: Orders) -> float:
    """Return what an EVSE wants for its departure [kW]: nothing where it discharges."""
    return min(max(bounds.must_kw[k], 0.0), max(orders.wanted_kw[k], 0.0)) if side > 0.0 else 0.0


@compiled_for_any
def _stage(side: float, k: int, keeps_needs: bool, bounds: Bounds, orders: Orders) -> tuple[float, float]:  # noqa: FBT001 compiled code has no keywords
    """Return from where to where an EVSE gives way [kW]: down to what its departure needs, or from there on."""
    needed = _needed(side, k, bounds, orders)
    top = max(side * orders.wanted_kw[k], 0.0)
    return (top, needed) if keeps_needs or side < 0.0 else (needed, 0.0)
