"""Delivery: moving the fleet's sum to what has been promised, and the last look at every limit.

The difference is poured over the whole fleet in two stages. First what is against it goes back towards zero, which
harms no limit: charging down to what departures need, or discharging. Then the side that helps grows: up to full
batteries, or down to reserves and departures. There a place has only the room that is left, so it has a level of its
own at which its EVSEs fill that room, and the level of a car is the lowest of the fleet's and of all places above it.
"""

import numpy as np
from numpy import uint64

from backfeed.dispatch.authority import Authority
from backfeed.dispatch.bounds import Bounds, willingness
from backfeed.dispatch.columns import Floats, Ints
from backfeed.dispatch.hold import CHARGING, DISCHARGING, Totals, add_up, scale
from backfeed.dispatch.limit import Limits
from backfeed.dispatch.orders import TOLERANCE_KW, Orders
from backfeed.dispatch.pour import ALL, Vessels, find_level, total
from backfeed.dispatch.tree import Arrangement, Slices, evses_of, is_above
from backfeed.plan.compiled import compiled_for_any
from backfeed.plan.threads import Threads

_DELIVERY = int(Authority.DELIVERY)


def deliver(
    target_kw: float,
    tree: Arrangement,
    limits: Limits,
    bounds: Bounds,
    orders: Orders,
    totals: Totals,
    threads: Threads,
) -> None:
    """Move the fleet's sum towards the target as far as owners, hardware and places allow."""
    slices = tree.slices
    lack_kw = target_kw - fleet_kw(slices, totals)
    direction, lack = 1.0 if lack_kw > 0.0 else -1.0, abs(lack_kw)
    if lack <= TOLERANCE_KW:
        settle(slices, limits, orders, totals, threads)
        return
    # Nobody has taken anything yet.
    vessels = tree.room.vessels._replace(taken=tree.room.nothing)
    units = np.arange(len(slices.unit) - 1)
    most = np.zeros(len(units))
    threads.share(_return, units, direction, slices, bounds, orders, vessels, most)
    level, lack = _pour_out(lack, float(most.sum()), vessels)
    if lack > TOLERANCE_KW:
        # The side that helps has not moved yet: what it is at every place still holds.
        charges = direction > 0.0
        room = limits.import_room_kw - totals.charging_kw if charges else limits.export_room_kw - totals.discharging_kw
        most = np.zeros(len(room))
        threads.share(_open, units, direction, slices, room, bounds, orders, vessels, most)
        level, _ = _pour_out(lack, _fit_together(slices, room, vessels, most), vessels)
    threads.share(_move, units, direction, level, slices, orders, vessels, totals)
    _scale_down(slices, limits, orders, totals)


@compiled_for_any
def fleet_kw(slices: Slices, totals: Totals) -> float:
    """Return the sum of all orders [kW]."""
    total_kw = 0.0
    for j in range(len(slices.parent)):
        if slices.parent[j] < 0:
            total_kw += totals.charging_kw[j] - totals.discharging_kw[j]
    return total_kw


@compiled_for_any
def _return(
    units: Ints, direction: float, slices: Slices, bounds: Bounds, orders: Orders, vessels: Vessels, most: Floats
) -> None:
    """Write how far what is against the change may go back towards zero, and the sum of that for every unit [kW]."""
    for u in units:
        first, stop = evses_of(u, slices)
        for k in range(uint64(first), uint64(stop)):
            span, weight = _returnable(direction, k, bounds, orders), willingness(direction, k, bounds)
            vessels.span[k], vessels.weight[k] = span, weight if span > 0.0 else 0.0
        most[u] = total(vessels.span, first, stop)


@compiled_for_any
def _returnable(direction: float, k: int, bounds: Bounds, orders: Orders) -> float:
    """Return by how much: upwards all that discharges, downwards all charging that no departure needs [kW]."""
    needed = max(bounds.must_kw[k], 0.0)
    return float(max(-direction * orders.power_kw[k] - (0.0 if direction > 0.0 else needed), 0.0))


@compiled_for_any
def _open(
    units: Ints,
    direction: float,
    slices: Slices,
    room: Floats,
    bounds: Bounds,
    orders: Orders,
    vessels: Vessels,
    most: Floats,
) -> None:
    """Return all that may be returned, and write how far EVSEs may grow inside the room of their branch."""
    for u in units:
        first, stop = evses_of(u, slices)
        for k in range(uint64(first), uint64(stop)):
            _move_by(k, direction * _returnable(direction, k, bounds, orders), orders)
            ceiling, deepest = bounds.ceiling_kw[k], max(-bounds.must_kw[k], 0.0)
            end = ceiling if direction > 0.0 else deepest
            span, weight = max(end - max(direction * orders.power_kw[k], 0.0), 0.0), willingness(direction, k, bounds)
            vessels.span[k], vessels.weight[k] = span, weight if span > 0.0 else 0.0
        _fit_branch(u, slices, room, vessels, most)


@compiled_for_any
def _fit_branch(u: int, slices: Slices, room: Floats, vessels: Vessels, most: Floats) -> None:
    """Cut spans to the room of a branch's places; of a place above branches only add up what stands at it."""
    root = slices.unit[u]
    for j in range(slices.unit[u + 1] - 1, root - 1, -1):
        most[j] += total(vessels.span, slices.first[j], slices.own_stop[j])
        if most[j] > room[j] and not is_above(u, slices):
            most[j] = _narrow_spans(slices.first[j], slices.stop[j], room[j], vessels)
        if j > root:
            most[slices.parent[j]] += most[j]


@compiled_for_any
def _fit_together(slices: Slices, room: Floats, vessels: Vessels, most: Floats) -> float:
    """Cut spans to the room of the places above branches; return the sum of all spans that are left [kW]."""
    total_kw = 0.0
    for u in range(len(slices.unit) - 2, -1, -1):
        j = slices.unit[u]
        if most[j] > room[j] and is_above(u, slices):
            most[j] = _narrow_spans(slices.first[j], slices.stop[j], room[j], vessels)
        if slices.parent[j] >= 0:
            most[slices.parent[j]] += most[j]
        else:
            total_kw += most[j]
    return total_kw


@compiled_for_any
def _narrow_spans(first: int, stop: int, room: float, vessels: Vessels) -> float:
    """Cut the spans of a place's EVSEs at the level where they fill its room; return the sum of what is left."""
    level = 0.0
    if room > 0.0:
        level = find_level(vessels.weight[first:stop], vessels.taken[first:stop], vessels.span[first:stop], room)
    for k in range(uint64(first), uint64(stop)):
        vessels.span[k] = min(vessels.span[k], vessels.weight[k] * level)
    return total(vessels.span, first, stop)


def _pour_out(amount: float, most: float, vessels: Vessels) -> tuple[float, float]:
    """Return the level at which the vessels hold an amount, and what of it they have no room for [kW]."""
    if amount < most:
        return find_level(vessels.weight, vessels.taken, vessels.span, amount), 0.0
    return ALL if most > 0.0 else 0.0, amount - most


@compiled_for_any
def _move(
    units: Ints, direction: float, level: float, slices: Slices, orders: Orders, vessels: Vessels, totals: Totals
) -> None:
    """Move the powers of some units to a level, and add up what their places charge and discharge then."""
    for u in units:
        first, stop = evses_of(u, slices)
        for k in range(uint64(first), uint64(stop)):
            _move_by(k, direction * min(vessels.weight[k] * level, vessels.span[k]), orders)
        for j in range(slices.unit[u], slices.unit[u + 1]):
            add_up(j, slices, orders, totals)


@compiled_for_any
def _move_by(k: int, by_kw: float, orders: Orders) -> None:
    """Move an EVSE's power for a promise."""
    before = orders.bound_by[k]
    orders.power_kw[k] += by_kw
    orders.bound_by[k] = _DELIVERY if abs(by_kw) > TOLERANCE_KW else before


def settle(slices: Slices, limits: Limits, orders: Orders, totals: Totals, threads: Threads) -> None:
    """Add up the orders anew, and take away what roundings left above any limit."""
    threads.share(_add_up, np.arange(len(slices.first)), slices, orders, totals)
    _scale_down(slices, limits, orders, totals)


@compiled_for_any
def _add_up(places: Ints, slices: Slices, orders: Orders, totals: Totals) -> None:
    """Write what the EVSEs that stand at some places charge and discharge."""
    for j in places:
        add_up(j, slices, orders, totals)


@compiled_for_any
def _scale_down(slices: Slices, limits: Limits, orders: Orders, totals: Totals) -> None:
    """Add up places from the ends of the tree, and shrink what passes a limit by a rounding."""
    for j in range(len(slices.first) - 1, -1, -1):
        first, stop = slices.first[j], slices.stop[j]
        if totals.charging_kw[j] > limits.import_room_kw[j]:
            factor = limits.import_room_kw[j] / totals.charging_kw[j]
            totals.charging_kw[j] = scale(CHARGING, factor, first, stop, orders)
        if totals.discharging_kw[j] > limits.export_room_kw[j]:
            factor = limits.export_room_kw[j] / totals.discharging_kw[j]
            totals.discharging_kw[j] = scale(DISCHARGING, factor, first, stop, orders)
        if slices.parent[j] >= 0:
            totals.charging_kw[slices.parent[j]] += totals.charging_kw[j]
            totals.discharging_kw[slices.parent[j]] += totals.discharging_kw[j]
