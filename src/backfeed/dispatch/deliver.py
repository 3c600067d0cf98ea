"""Delivery: moving the fleet's sum to what has been promised, and the last look at every limit.

The difference is poured over the whole fleet in two stages. First what is against it goes back towards zero, which
harms no limit: charging down to what departures need, or discharging. Then the side that helps grows: up to full
batteries, or down to reserves and departures. There a place has only the room that is left, so it has a level of its
own at which its EVSEs fill that room, and the level of a car is the lowest of the fleet's and of all places above it.
"""

import numpy as np

from backfeed.dispatch.authority import Authority
from backfeed.dispatch.bounds import Bounds, willingness
from backfeed.dispatch.columns import Floats, Ints
from backfeed.dispatch.hold import CHARGING, DISCHARGING, Totals, add_up, scale
from backfeed.dispatch.limit import Limits
from backfeed.dispatch.orders import TOLERANCE_KW, Orders
from backfeed.dispatch.pour import ALL, Vessels, find_level
from backfeed.dispatch.tree import Arrangement, Slices
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
    # Nobody has taken anything yet.
    vessels = tree.room.vessels._replace(taken=tree.room.nothing)
    lack = target_kw - fleet_kw(slices, totals)
    direction = 1.0 if lack > 0.0 else -1.0
    lack = abs(lack)
    if lack > TOLERANCE_KW:
        lack -= _return(direction, lack, bounds, orders, vessels)
    if lack > TOLERANCE_KW:
        # The side that helps has not moved yet: what it is at every place still holds.
        charges = direction > 0.0
        room = limits.import_room_kw - totals.charging_kw if charges else limits.export_room_kw - totals.discharging_kw
        most = np.zeros(len(room))
        threads.share(_open, np.arange(len(room)), direction, slices, room, bounds, orders, vessels, most)
        _pour(direction, lack, _fit_together(slices, room, vessels, most), orders, vessels)
    settle(slices, limits, orders, totals, threads)


@compiled_for_any
def fleet_kw(slices: Slices, totals: Totals) -> float:
    """Return the sum of all orders [kW]."""
    total = 0.0
    for j in range(len(slices.parent)):
        if slices.parent[j] < 0:
            total += totals.charging_kw[j] - totals.discharging_kw[j]
    return total


@compiled_for_any
def _return(direction: float, lack: float, bounds: Bounds, orders: Orders, vessels: Vessels) -> float:
    """Bring the side that is against the change towards zero; return what that gave [kW]."""
    most = 0.0
    for k in range(len(orders.power_kw)):
        most += _returnable(direction, k, bounds, orders)
    if most <= lack:
        for k in range(len(orders.power_kw)):
            span = _returnable(direction, k, bounds, orders)
            if span > 0.0:
                _move(k, direction * span, orders)
        return most
    for k in range(len(orders.power_kw)):
        span = _returnable(direction, k, bounds, orders)
        vessels.span[k], vessels.weight[k] = span, willingness(direction, k, bounds) if span > 0.0 else 0.0
    return _pour(direction, lack, most, orders, vessels)


@compiled_for_any
def _returnable(direction: float, k: int, bounds: Bounds, orders: Orders) -> float:
    """Return by how much: upwards all that discharges, downwards all charging that no departure needs [kW]."""
    least = 0.0 if direction > 0.0 else max(bounds.must_kw[k], 0.0)
    return float(max(-direction * orders.power_kw[k] - least, 0.0))


@compiled_for_any
def _move(k: int, by_kw: float, orders: Orders) -> None:
    """Move an EVSE's power for a promise."""
    orders.power_kw[k] += by_kw
    if abs(by_kw) > TOLERANCE_KW:
        orders.bound_by[k] = _DELIVERY


@compiled_for_any
def _open(
    places: Ints,
    direction: float,
    slices: Slices,
    room: Floats,
    bounds: Bounds,
    orders: Orders,
    vessels: Vessels,
    most: Floats,
) -> None:
    """Write how far the EVSEs that stand at some places may grow, inside the room of those that none is below."""
    for j in places:
        for k in range(slices.first[j], slices.own_stop[j]):
            end = bounds.ceiling_kw[k] if direction > 0.0 else max(-bounds.must_kw[k], 0.0)
            span = max(end - max(direction * orders.power_kw[k], 0.0), 0.0)
            vessels.span[k], vessels.weight[k] = span, willingness(direction, k, bounds) if span > 0.0 else 0.0
            most[j] += span
        if slices.stop[j] == slices.own_stop[j] and most[j] > room[j]:
            most[j] = _narrow_spans(slices.first[j], slices.stop[j], room[j], vessels)


@compiled_for_any
def _fit_together(slices: Slices, room: Floats, vessels: Vessels, most: Floats) -> float:
    """Cut spans to the room of the places above others; return the sum of all spans that are left [kW]."""
    total = 0.0
    for j in range(len(room) - 1, -1, -1):
        if slices.stop[j] > slices.own_stop[j] and most[j] > room[j]:
            most[j] = _narrow_spans(slices.first[j], slices.stop[j], room[j], vessels)
        if slices.parent[j] >= 0:
            most[slices.parent[j]] += most[j]
        else:
            total += most[j]
    return total


@compiled_for_any
def _narrow_spans(first: int, stop: int, room: float, vessels: Vessels) -> float:
    """Cut the spans of a place's EVSEs at the level where they fill its room; return the sum of what is left."""
    level = 0.0
    if room > 0.0:
        level = find_level(vessels.weight[first:stop], vessels.taken[first:stop], vessels.span[first:stop], room)
    left = 0.0
    for k in range(first, stop):
        vessels.span[k] = min(vessels.span[k], vessels.weight[k] * level)
        left += vessels.span[k]
    return left


@compiled_for_any
def _pour(direction: float, amount: float, most: float, orders: Orders, vessels: Vessels) -> float:
    """Move the powers by an amount, or by all spans; return by how much."""
    if most <= 0.0:
        return 0.0
    level = ALL if amount >= most else find_level(vessels.weight, vessels.taken, vessels.span, amount)
    poured = 0.0
    for k in range(len(orders.power_kw)):
        share = min(vessels.weight[k] * level, vessels.span[k])
        poured += share
        if share > 0.0:
            _move(k, direction * share, orders)
    return poured


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
