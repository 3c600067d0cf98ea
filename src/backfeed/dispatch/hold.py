"""Grid operator and site connection: bringing every place of the tree inside its limits.

Places are gone through from the ends of the tree to its roots. Where more charges (or discharges) than the place has
room for, EVSEs give way to one level theta: each gives `weight * theta`, those with the most time first, and
what it has given for a place further down counts. So the level of a car is the highest of all places above it,
whichever of them is the tight one, and two cars that are alike in all but their site differ only if their sites do.

Charging gives way in two stages: all that no departure needs, and when nothing of that is left below the place,
what departures need. Nobody changes the side of zero: a car that neither takes nor gives harms no limit.
"""

from typing import NamedTuple

from numpy import uint64

from backfeed.dispatch.authority import Authority
from backfeed.dispatch.bounds import Bounds, Cars, Now, bound, willingness
from backfeed.dispatch.columns import Bools, Floats, Ints
from backfeed.dispatch.limit import Limits
from backfeed.dispatch.orders import TOLERANCE_KW, Orders, clip, follow_plan, give_surplus
from backfeed.dispatch.pour import ALL, Vessels, find_level, room_for_vessels
from backfeed.dispatch.tree import Slices, is_above
from backfeed.plan.compiled import compiled_for_any

_GRID, _SITE = int(Authority.GRID_OPERATOR), int(Authority.SITE_CONNECTION)

BLOCK = 1_024
"""So many EVSEs are bounded at a time: their columns still stand in the processor's cache when they are held."""

CHARGING, DISCHARGING = 1.0, -1.0
"""The two sides of zero."""


class Totals(NamedTuple):
    """What charges and what discharges at and below every place [kW, >= 0], shape `(site,)`."""

    charging_kw: Floats
    discharging_kw: Floats


class Tick(NamedTuple):
    """All that is known and all that is found in a tick."""

    now: Now
    cars: Cars
    slices: Slices
    limits: Limits
    bounds: Bounds
    orders: Orders
    totals: Totals


@compiled_for_any
def begin(units: Ints, tick: Tick, is_moved: Bools) -> None:
    """Take the first steps for some neighbouring units: bounds, plan, surplus, and the limits inside of branches.

    Units share nothing here, so threads may take some each. Those in which a place above others was not inside its
    limits are marked in `is_moved`, shape `(unit,)`.
    """
    slices, limits, bounds, orders, totals = tick.slices, tick.limits, tick.bounds, tick.orders, tick.totals
    begun, stop = slices.unit[units[0]], slices.unit[units[-1] + 1]
    vessels = room_for_vessels(_most_at_once(slices, units))
    while begun < stop:
        done = begun + 1
        while done < stop and slices.own_stop[done] - slices.first[begun] <= BLOCK:
            done += 1
        _begin_block(begun, done, tick, vessels)
        begun = done
    for u in units[::-1]:
        is_moved[u] = not is_above(u, slices) and _hold_branch(u, slices, limits, bounds, orders, totals, vessels)


@compiled_for_any
def _most_at_once(slices: Slices, units: Ints) -> int:
    """Return the highest number of EVSEs that a branch holds, or that stand at a place above."""
    most = 0
    for u in units:
        j = slices.unit[u]
        most = max(most, (slices.own_stop[j] if is_above(u, slices) else slices.stop[j]) - slices.first[j])
    return most


@compiled_for_any
def _begin_block(begun: int, done: int, tick: Tick, vessels: Vessels) -> None:
    """Write what the EVSEs of the places `begun <= j < done` are to do as long as no place above others objects."""
    slices, limits, bounds, orders, totals = tick.slices, tick.limits, tick.bounds, tick.orders, tick.totals
    first, stop, planned_kw = slices.first[begun], slices.own_stop[done - 1], tick.cars.planned_kw
    bound(tick.cars, first, stop, tick.now, bounds)
    if not follow_plan(planned_kw, first, stop, orders):
        for j in range(begun, done):
            give_surplus(
                planned_kw, slices.first[j], slices.own_stop[j], limits.base_load_kw[j], bounds, orders, vessels
            )
    clip(tick.cars, first, stop, bounds, orders)
    for j in range(begun, done):
        add_up(j, slices, orders, totals)
        if slices.stop[j] == slices.own_stop[j]:
            _hold_place(j, slices, limits, bounds, orders, totals, vessels)


@compiled_for_any
def _hold_branch(
    u: int, slices: Slices, limits: Limits, bounds: Bounds, orders: Orders, totals: Totals, vessels: Vessels
) -> bool:
    """Bring the places of a branch that stand above others inside their limits; return whether one was not."""
    is_moved, root = False, slices.unit[u]
    for j in range(slices.unit[u + 1] - 1, root - 1, -1):
        if slices.stop[j] > slices.own_stop[j]:
            is_moved |= _hold_place(j, slices, limits, bounds, orders, totals, vessels)
        if j > root:
            totals.charging_kw[slices.parent[j]] += totals.charging_kw[j]
            totals.discharging_kw[slices.parent[j]] += totals.discharging_kw[j]
    return is_moved


@compiled_for_any
def hold(slices: Slices, limits: Limits, bounds: Bounds, orders: Orders, totals: Totals, vessels: Vessels) -> bool:
    """Bring the places above all branches inside their limits; return whether one of them was not."""
    is_moved = False
    for u in range(len(slices.unit) - 2, -1, -1):
        j = slices.unit[u]
        if is_above(u, slices):
            is_moved |= _hold_place(j, slices, limits, bounds, orders, totals, vessels)
        if slices.parent[j] >= 0:
            totals.charging_kw[slices.parent[j]] += totals.charging_kw[j]
            totals.discharging_kw[slices.parent[j]] += totals.discharging_kw[j]
    return is_moved


@compiled_for_any
def add_up(j: int, slices: Slices, orders: Orders, totals: Totals) -> None:
    """Write what the EVSEs that stand at a place charge and discharge."""
    charging, discharging = 0.0, 0.0
    for k in range(uint64(slices.first[j]), uint64(slices.own_stop[j])):
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
    count, keeps_needs = stop - first, True
    asked, least = _offer(side, keeps_needs, first, stop, bounds, orders, vessels)
    if least >= room_kw:
        keeps_needs = False
        asked, _ = _offer(side, keeps_needs, first, stop, bounds, orders, vessels)
    level = ALL
    if room_kw > 0.0:
        level = find_level(vessels.weight[:count], vessels.taken[:count], vessels.span[:count], asked - room_kw)
    left, zeroth = 0.0, uint64(first)
    for k in range(uint64(first), uint64(stop)):
        top, floor = _stage(side, k, keeps_needs, bounds, orders)
        power, before = orders.power_kw[k], orders.bound_by[k]
        now = max(side * power, 0.0)
        kept = min(now, max(top - vessels.weight[k - zeroth] * level, floor))
        left += kept
        orders.power_kw[k] = side * kept if now > 0.0 else power
        orders.bound_by[k] = by if now - kept > TOLERANCE_KW else before
    return left if left <= room_kw else scale(side, room_kw / left, first, stop, orders)


@compiled_for_any
def _offer(
    side: float,
    keeps_needs: bool,  # noqa: FBT001 compiled code has no keywords
    first: int,
    stop: int,
    bounds: Bounds,
    orders: Orders,
    vessels: Vessels,
) -> tuple[float, float]:
    """Write how far EVSEs may give way in a stage; return from where all do, and what their departures need [kW]."""
    asked, least, zeroth = 0.0, 0.0, uint64(first)
    for k in range(uint64(first), uint64(stop)):
        top, floor = _stage(side, k, keeps_needs, bounds, orders)
        now = max(side * orders.power_kw[k], 0.0)
        taken = max(top - now, 0.0)
        weight = willingness(-side, k, bounds)
        vessels.weight[k - zeroth] = weight if top > 0.0 else 0.0
        vessels.taken[k - zeroth] = taken
        vessels.span[k - zeroth] = max(top - floor, taken)
        asked += top
        least += min(_needed(side, k, bounds, orders), now)
    return asked, least


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
