"""What every charger does now: the schedule, narrowed by all who outrank it.

Theory of operation. A tick starts from what the schedule wants and lets the authorities act, inside the
bounds of those above them:

1. *Schedule*: each EVSE stands at its planned power; one without a plan stands at 0.
2. *Surplus*: unplanned EVSEs take what the sun would otherwise push out of their site.
3. *Hardware and owner* clip each EVSE to its bounds (see `bounds`).
4. *Grid operator and site connection*: where a place would take or give too much, the excess is poured
   back over the EVSEs below it (see `hold`).
5. *Delivery*: if the fleet's sum differs from what has been promised, the difference is poured over all
   EVSEs, inside the bounds of step 3 and the room that step 4 leaves (see `deliver`).

Steps 4 and 5 share by laxity, the hours a car could wait: power is taken from whom has the most time to
spare and given to whom has the least, in proportion to the charger's size. They go in stages, and a
stage begins when the one before it is exhausted. Downwards: charging falls towards zero but not below
what departures need; then cars discharge towards their reserves; then, for site and grid only, charging
that departures need gives way. Upwards: discharging falls to zero; then cars charge beyond the plan, up
to full. No authority goes below a reserve: a building that alone exceeds its connection is reported.

Limits are kept for the worst case of errors and of cars that leave (see `limit`): charging alone fills
the import limit, discharging alone the export limit. Every stage moves power on one side of zero.

The steps are compiled and go through the places in the order of their tree (see `tree`). Loops over EVSEs count
unsigned, so that no sign of an index has to be looked at, and select instead of branching: so they vectorise.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from backfeed.dispatch.bounds import SECONDS_PER_HOUR, Bounds, Now, cars_of
from backfeed.dispatch.columns import EvseColumns, Floats, Ints, SiteColumns
from backfeed.dispatch.deliver import deliver, fleet_kw, settle
from backfeed.dispatch.hold import Tick, Totals, begin, hold
from backfeed.dispatch.limit import MORE, limits_of
from backfeed.dispatch.orders import TOLERANCE_KW, Orders
from backfeed.dispatch.tree import Arrangement, arrange
from backfeed.plan.threads import Threads

Number = TypeVar("Number", np.float64, np.int8)

ONE_THREAD = Threads(1)
"""Fleets below some ten thousand are done before others could begin."""


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
    bound_by: NDArray[np.int8]
    site_net_kw: Floats
    site_excess_kw: Floats
    shortfall_kw: float


def allocate(
    evses: EvseColumns,
    sites: SiteColumns,
    fleet_target_kw: float | None,
    now_ms: int,
    tree: Arrangement | None = None,
    threads: Threads = ONE_THREAD,
) -> Allocation:
    """Decide the power of every EVSE for this tick.

    Parameters
    ----------
    evses, sites
        Who is here, and the limits of the places.
    fleet_target_kw
        What the whole fleet is committed to take, charging positive; None without a commitment.
    now_ms
        The present instant.
    tree
        Where everybody stands, if that is known from before: `tree.arrange(evses.site, sites)`.
    threads
        Who shares the work on large fleets; the orders do not depend on how many there are.
    """
    tree = arrange(evses.site, sites) if tree is None else tree
    slices, limits, room = tree.slices, limits_of(sites, tree), tree.room
    cars = cars_of(evses, tree.order)
    bounds = Bounds(room.must_kw, room.ceiling_kw, room.laxity_h, cars.charge_max_kw)
    orders = Orders(room.wanted_kw, np.empty(len(evses)), np.empty(len(evses), np.int8))
    totals = Totals(np.zeros(len(sites)), np.zeros(len(sites)))
    units = np.arange(len(slices.unit) - 1)
    is_moved = np.zeros(len(units), dtype=np.bool_)
    if len(units):
        now = Now(now_ms, evses.step_s / SECONDS_PER_HOUR)
        threads.share(begin, units, Tick(now, cars, slices, limits, bounds, orders, totals), is_moved)
    is_settled = not (hold(slices, limits, bounds, orders, totals, room.vessels) or is_moved.any())
    if fleet_target_kw is not None:
        deliver(fleet_target_kw, tree, limits, bounds, orders, totals, threads)
    elif not is_settled:
        settle(slices, limits, orders, totals, threads)
    excess = np.maximum(
        limits.load_kw + MORE * totals.charging_kw - limits.import_limit_kw,
        MORE * totals.discharging_kw - limits.load_kw - limits.export_limit_kw,
    )
    shortfall_kw = 0.0 if fleet_target_kw is None else abs(fleet_target_kw - fleet_kw(slices, totals))
    return Allocation(
        power_kw=_by_row(orders.power_kw, tree.order),
        bound_by=_by_row(orders.bound_by, tree.order),
        site_net_kw=_by_row(limits.load_kw + totals.charging_kw - totals.discharging_kw, tree.place),
        site_excess_kw=_by_row(np.where(excess > TOLERANCE_KW, excess, 0.0), tree.place),
        shortfall_kw=shortfall_kw if shortfall_kw > TOLERANCE_KW else 0.0,
    )


def _by_row(values: NDArray[Number], order: Ints | None) -> NDArray[Number]:
    """Bring values from the tree's order back to that of the rows."""
    if order is None:
        return values
    rows = np.empty_like(values)
    rows[order] = values
    return rows
