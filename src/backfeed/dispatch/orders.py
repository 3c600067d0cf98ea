"""The orders of a tick while it is made, and its first steps: schedule, surplus, hardware and owner."""

from typing import NamedTuple

import numpy as np
from numpy import uint64
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
def follow_plan(planned_kw: Floats, first: int, stop: int, orders: Orders) -> bool:
    """Let the EVSEs do what is planned, nothing where nothing is; return whether all are planned."""
    planned = 0
    for k in range(uint64(first), uint64(stop)):
        is_planned = not np.isnan(planned_kw[k])
        planned += 1 if is_planned else 0
        orders.power_kw[k] = planned_kw[k] if is_planned else 0.0
        orders.bound_by[k] = _SCHEDULE if is_planned else _SURPLUS
    return planned == stop - first


@compiled_for_any
def give_surplus(
    planned_kw: Floats, first: int, stop: int, base_load_kw: float, bounds: Bounds, orders: Orders, vessels: Vessels
) -> None:
    """Give the unplanned EVSEs of a place what it would otherwise push out."""
    net_kw, most_kw = 0.0, 0.0
    for k in range(first, stop):
        net_kw += orders.power_kw[k]
        span = max(bounds.ceiling_kw[k], 0.0) if np.isnan(planned_kw[k]) else 0.0
        vessels.span[k - first], vessels.taken[k - first] = span, 0.0
        vessels.weight[k - first] = willingness(1.0, k, bounds) if span > 0.0 else 0.0
        most_kw += span
    surplus_kw = -(base_load_kw + net_kw)
    if surplus_kw <= 0.0 or most_kw <= 0.0:
        return
    level = ALL
    if surplus_kw < most_kw:
        count = stop - first
        level = find_level(vessels.weight[:count], vessels.taken[:count], vessels.span[:count], surplus_kw)
    for k in range(first, stop):
        span = vessels.span[k - first]
        if span > 0.0:
            orders.power_kw[k] = min(vessels.weight[k - first] * level, span)


@compiled_for_any
def clip(cars: Cars, first: int, stop: int, bounds: Bounds, orders: Orders) -> None:
    """Bring every EVSE inside what its hardware and its owner leave open."""
    for k in range(uint64(first), uint64(stop)):
        power, ceiling, discharge_max = orders.power_kw[k], bounds.ceiling_kw[k], cars.discharge_max_kw[k]
        clipped = min(max(power, bounds.must_kw[k]), ceiling)
        rated = min(max(power, 0.0 if cars.charging_only[k] else -discharge_max), ceiling)
        by = _HARDWARE if clipped == rated else _OWNER
        before = orders.bound_by[k]
        orders.bound_by[k] = by if abs(clipped - power) > TOLERANCE_KW else before
        orders.wanted_kw[k] = clipped
        orders.power_kw[k] = clipped
