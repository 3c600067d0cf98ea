"""The proof: a lower bound from prices alone, whatever the iterates are worth.

For any node prices and any values of energy the Lagrangian is below every plan's cost. It falls apart into
closed forms: an entry chooses nothing, full charge or full discharge; a piece of energy or of net power is
empty or full by the sign of its reduced cost. The values of energy are improved first, exactly and unit by
unit, by the dynamic program of `storage`; the peak's price is scaled back to its charge.
"""

import numpy as np

from backfeed.plan.compiled import compiled
from backfeed.plan.elimination import Fleet
from backfeed.plan.interior import InteriorPoint
from backfeed.plan.layout import Layout
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.vehicle import Unit, expand, new_unit


@compiled
def unit_bound(u: Unit, n: int, value: Floats, o: int, price: Floats) -> float:
    """Return the least of one unit's part of the Lagrangian at node prices and values of energy."""
    total = -value[o] * u.jump[0]
    for t in range(n):
        j = o + t
        y = value[j]
        following = value[j + 1] if t + 1 < n else 0.0
        if u.step[t] >= 0:
            p = price[u.step[t]]
            ra = u.cost_a[t] + u.charge[t] * p - u.gain[t] * y
            rb = u.cost_b[t] - u.discharge[t] * p + u.loss[t] * y
            total += min(0.0, min(ra, rb))
        slope = y - following
        total += slope * u.reference[t]
        total += u.up_width[t] * min(0.0, u.up_cost[t] + slope) + u.down_width[t] * min(0.0, u.down_cost[t] - slope)
        if t + 1 < n:
            total -= following * u.jump[t + 1]
    return total


@compiled
def bound_nodes(level: Ints, fleet: Fleet, value: Floats, price: Floats, bound: Floats) -> None:
    """Write the vehicles' part of the Lagrangian of some nodes."""
    for k in level:
        unit = new_unit(fleet.entries_max)
        total = 0.0
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop = fleet.unit_ptr[i], fleet.unit_ptr[i + 1]
            n = expand(fleet.rows, fleet.money, first, stop, unit)
            total += unit_bound(unit, n, value, fleet.rows.entry[first], price[k])
        bound[k] = total


def lower_bound(point: InteriorPoint) -> float:
    """Return the Lagrangian at the iterates' prices, constants of the problem included."""
    layout, nodes = point.layout, point.nodes
    bound = np.zeros(point.nodes_count)
    point.threads.share(bound_nodes, point.everything, point.fleet, point.state.y, nodes.price, bound)
    return float(bound.sum()) + _nodes_bound(layout, point) + constant(layout)


def _nodes_bound(layout: Layout, point: InteriorPoint) -> float:
    """Return the nodes' part of the Lagrangian."""
    pieces, nodes = layout.pieces, point.nodes
    push = nodes.above(nodes.price) - nodes.price
    if nodes.charged.any():
        scale = nodes.charge / np.maximum(nodes.share.sum(axis=1), nodes.charge)
        push[nodes.charged] += nodes.share * scale[:, None]
    total = float(pieces.low_cost.sum() + (push * pieces.low_kw).sum())
    total += float((pieces.width_kw * np.minimum(pieces.slope + push[..., None], 0.0)).sum())
    total += float((nodes.price * pieces.fixed_kw).sum())
    return total + float((np.minimum(nodes.price, 0.0) * pieces.curtail_kw).sum())


def constant(layout: Layout) -> float:
    """Return what every plan costs and the pieces do not tell: holding the reference, and unreachable targets."""
    problem, rows = layout.problem, layout.rows
    w = problem.windows
    steps = np.diff(rows.entry) - 1
    hours = problem.axis.step_h * (steps - (1 - rows.first_share) - np.where(steps > 1, 1 - rows.last_share, 0.0))
    missed = np.maximum(w.energy_target_kwh - w.energy_max_kwh, 0.0)
    held = float((rows.hold * hours * rows.floor_kwh).sum())
    return held + problem.penalties.departure_per_kwh * float(missed.sum()) + layout.curve.hull_constant
