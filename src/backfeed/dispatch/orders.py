"""The orders of a tick while it is made, and its first steps: schedule, surplus, hardware and owner."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backfeed.dispatch.authority import Authority
from backfeed.dispatch.bounds import Bounds, Cars, willingness
from backfeed.dispatch.columns import Floats
from backfeed.dispatch.pour import ALL, Vessels, find_level
from backfeed.plan.compiled import compiled_for_any

TOLERANCE_KW = 1e-9
"""Powers closer than this are the same power."""

_HARDWARE, _OWNER = int(Authority.HARDWARE), int(Authority.OWNER)
_SCHEDULE, _SURPLUS = int(Authority.SCHEDULE), int(Authority.SURPLUS)


class Orders(NamedTuple):
    """Orders in the tree's order.

    Parameters
    ----------
    wanted_kw
        The power inside what hardware and owner leave open, charging positive, shape `(evse,)`.
    power_kw
        The power as limits and promises have moved it, shape `(evse,)`.
    bound_by
        The `Authority` that moved it last, shape `(evse,)`.
    """

    wanted_kw: Floats
    power_kw: Floats
    bound_by: NDArray[np.int8]


@compiled_for_any
def narrow(
    cars: Cars, first: int, stop: int, base_load_kw: float, bounds: Bounds, orders: Orders, vessels: Vessels
) -> None:
    """Write what a place's own EVSEs are to do as long as no limit and no promise objects."""
    is_unplanned, net_kw = _follow_plan(cars.planned_kw, first, stop, orders)
    surplus_kw = -(base_load_kw + net_kw)
    if is_unplanned and surplus_kw > 0.0:
        _give_surplus(cars.planned_kw, bounds, first, stop, surplus_kw, orders, vessels)
    _clip(cars, bounds, first, stop, orders)


@compiled_for_any
def _follow_plan(planned_kw: Floats, first: int, stop: int, orders: Orders) -> tuple[bool, float]:
    """Let the EVSEs do what is planned, nothing where nothing is; return whether such are there, and the sum."""
    planned, net_kw = 0, 0.0
    for k in range(first, stop):
        is_planned = not np.isnan(planned_kw[k])
        power = planned_kw[k] if is_planned else 0.0
        planned += is_planned
        net_kw += power
        orders.power_kw[k] = power
        orders.bound_by[k] = _SCHEDULE if is_planned else _SURPLUS
    return planned < stop - first, net_kw


@compiled_for_any
def _give_surplus(
    planned_kw: Floats, bounds: Bounds, first: int, stop: int, surplus_kw: float, orders: Orders, vessels: Vessels
) -> None:
    """Give unplanned EVSEs what their site would otherwise push out."""
    most_kw = 0.0
    for k in range(first, stop):
        span = max(bounds.ceiling_kw[k], 0.0) if np.isnan(planned_kw[k]) else 0.0
        vessels.span[k - first], vessels.taken[k - first] = span, 0.0
        vessels.weight[k - first] = willingness(1.0, k, bounds) if span > 0.0 else 0.0
        most_kw += span
    level = ALL
    if surplus_kw < most_kw:
        count = stop - first
        level = find_level(vessels.weight[:count], vessels.taken[:count], vessels.span[:count], surplus_kw)
    for k in range(first, stop):
        span = vessels.span[k - first]
        if span > 0.0:
            orders.power_kw[k] = min(vessels.weight[k - first] * level, span)


@compiled_for_any
def _clip(cars: Cars, bounds: Bounds, first: int, stop: int, orders: Orders) -> None:
    """Bring every EVSE inside what its hardware and its owner leave open."""
    for k in range(first, stop):
        power, ceiling = orders.power_kw[k], bounds.ceiling_kw[k]
        clipped = min(max(power, bounds.must_kw[k]), ceiling)
        rated = min(max(power, 0.0 if cars.charging_only[k] else -cars.discharge_max_kw[k]), ceiling)
        if abs(clipped - power) > TOLERANCE_KW:
            orders.bound_by[k] = _HARDWARE if clipped == rated else _OWNER
        orders.wanted_kw[k] = clipped
        orders.power_kw[k] = clipped
