"""The proof: a lower bound from prices alone, whatever the iterates are worth.

For any node prices and any values of energy the Lagrangian is below every plan's cost. It falls apart into
closed forms: an entry chooses nothing, full charge or full discharge; a piece of energy or of net power is
empty or full by the sign of its reduced cost. The peak's price is scaled back to its charge.
"""

import numpy as np

from backfeed.plan.balance import Room
from backfeed.plan.columns import gather_price
from backfeed.plan.compiled import compiled, nested
from backfeed.plan.drives import Drives, is_joined, join, lead_of
from backfeed.plan.interior import InteriorPoint
from backfeed.plan.layout import Layout, to_table
from backfeed.plan.meter import least_with_meter, load_meters
from backfeed.plan.node import CHARGE as PEAK_CHARGE
from backfeed.plan.node import SHARE, Nodes
from backfeed.plan.pieces import NodePieces
from backfeed.plan.problem import Floats, Ints, inner
from backfeed.plan.rows import ENTRY, LENGTH, ROW_FIRST_SHARE, ROW_FLOOR, ROW_HOLD, ROW_LAST_SHARE, Fleet
from backfeed.plan.unfolding import worth_of_curtailing
from backfeed.plan.unit import (
    CHARGE,
    COST_A,
    COST_B,
    DISCHARGE,
    DOWN_COST,
    DOWN_THERE,
    DOWN_WIDTH,
    GAIN,
    JUMP,
    LOSS,
    METERED,
    PRICE,
    REFERENCE,
    UP_COST,
    UP_THERE,
    UP_WIDTH,
    State,
    Y,
    expand,
    load,
)


@nested
def unit_bound(u: Floats, n: int) -> float:
    """Return the least of one unit's part of the Lagrangian at its node's prices and its values of energy."""
    total = -float(u[Y] * u[JUMP])
    for t in range(n):
        y, slope = u[Y + t], u[Y + t] - u[Y + t + 1]
        ra = u[COST_A + t] + u[CHARGE + t] * u[PRICE + t] - u[GAIN + t] * y
        rb = u[COST_B + t] - u[DISCHARGE + t] * u[PRICE + t] + u[LOSS + t] * y
        least = least_with_meter(u, t, ra, rb) if u[METERED] > 0 else min(0.0, ra, rb)
        total += least + slope * u[REFERENCE + t]
        total += u[UP_THERE + t] * u[UP_WIDTH + t] * min(0.0, u[UP_COST + t] + slope)
        total += u[DOWN_THERE + t] * u[DOWN_WIDTH + t] * min(0.0, u[DOWN_COST + t] - slope)
    for t in range(1, n):
        total -= u[Y + t] * u[JUMP + t]
    return total


@compiled
def bound_nodes(
    some: Ints, fleet: Fleet, state: State, drives: Drives, nodes: Nodes, bound: Floats, room: Room
) -> None:
    """Write the vehicles' part of the Lagrangian of some nodes."""
    unit, price = room.unit, room.price
    came, goes = drives.came, drives.goes
    u = unit.u
    for k in some:
        gather_price(nodes.slots, nodes.price[k], price)
        total = 0.0
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop, lead = fleet.unit_ptr[i], fleet.unit_ptr[i + 1], lead_of(drives, i)
            n = expand(fleet, price, first, stop, lead, unit)
            load(unit, n, state, fleet.places[first, ENTRY] - lead)
            load_meters(unit, n, fleet, first, state.meters)
            if is_joined(came[i], goes[i]):
                join(unit, n, came[i], goes[i], drives)
            total += unit_bound(u, n)
        bound[k] = total


@compiled
def write_entries(some: Ints, fleet: Fleet, state: State, drives: Drives, place: int, out: Floats, room: Room) -> None:
    """Write a quantity of the iterates, by its place in a unit, for every entry of some nodes' vehicles."""
    unit = room.unit
    for k in some:
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, last = fleet.unit_ptr[i], fleet.unit_ptr[i + 1] - 1
            o = fleet.places[first, ENTRY] - lead_of(drives, i)
            n = fleet.places[last, ENTRY] + fleet.places[last, LENGTH] + 1 - o
            load(unit, n, state, o)
            for t in range(n):
                out[o + t] = unit.u[place + t]


def lower_bound(point: InteriorPoint, worth: Floats, less: Floats) -> float:
    """Return the Lagrangian at the iterates' prices, constants of the problem included.

    `worth` is what the bounds are worth and `less` what they add (`unfolding.worth_of_bounds`).
    """
    layout, nodes = point.layout, point.nodes
    bound = np.zeros(point.nodes_count)
    point.share(bound_nodes, *point.vehicles, nodes, bound)
    return float(bound.sum()) + _nodes_bound(layout, point, worth) + float(less.sum()) + constant(layout)


def values_of_energy(point: InteriorPoint) -> Floats:
    """Return the iterates' values of energy, flat in the table's order."""
    value = np.zeros(point.layout.entries)
    point.share(write_entries, *point.vehicles, Y, value)
    return to_table(point.layout, value)


def _nodes_bound(layout: Layout, point: InteriorPoint, worth: Floats) -> float:
    """Return the nodes' part of the Lagrangian."""
    price = point.price
    total = float(_own_bounds(layout.pieces, _push(point)).sum()) + float((price * layout.pieces.fixed_kw).sum())
    total += float(worth_of_curtailing(layout, price, worth).sum())
    return total + float((np.minimum(price + layout.pieces.curtail_cost, 0.0) * layout.pieces.curtail_kw).sum())


def worth_of_limits(point: InteriorPoint) -> Floats:
    """Return what breaking limits that are taken to be hard takes from the Lagrangian, `(kept node,)`."""
    push = _push(point)
    worth: Floats = _own_bounds(point.layout.pieces, push) - _own_bounds(point.layout.within, push)
    return worth


def _own_bounds(pieces: NodePieces, push: Floats) -> Floats:
    """Return the least of every node's curve and `push` times its power, `(node,)`."""
    least = (pieces.width_kw * np.minimum(pieces.slope + push[pieces.owner], 0.0)).sum(axis=1)
    bounds: Floats = (pieces.low_cost + push * pieces.low_kw).sum(axis=1)
    return bounds + np.bincount(pieces.owner, least, len(bounds))


def _push(point: InteriorPoint) -> Floats:
    """Return what a kW of nodes' power costs beside their own curves: the prices above less theirs, and peaks."""
    nodes, price = point.nodes, point.price
    push: Floats = np.where(nodes.parent[:, None] >= 0, price[nodes.parent], 0.0) - price
    charged = nodes.charged >= 0
    share, charge = nodes.heads[:, SHARE], nodes.peaks[:, PEAK_CHARGE]
    scale = charge / np.maximum(share.sum(axis=1), charge)
    push[charged, : share.shape[1]] += share * scale[:, None]
    return push


def constant(layout: Layout) -> float:
    """Return what every plan costs and the pieces do not tell: holding the reference, and unreachable targets."""
    problem, fleet = layout.problem, layout.fleet
    w, steps = problem.windows, fleet.places[:, LENGTH]
    shorter = 1 - fleet.figure(ROW_FIRST_SHARE) + np.where(steps > 1, 1 - fleet.figure(ROW_LAST_SHARE), 0.0)
    missed = np.maximum(w.energy_target_kwh - w.energy_max_kwh, 0.0)
    held = problem.axis.step_h * float(((steps - shorter) * fleet.figure(ROW_HOLD) * fleet.figure(ROW_FLOOR)).sum())
    return held + inner(problem.missing_per_kwh, missed) + layout.curve.hull_constant + layout.folding.meters.constant
