"""The proof: a lower bound from prices alone, whatever the iterates are worth.

For any node prices and any values of energy the Lagrangian is below every plan's cost. It falls apart into
closed forms: an entry chooses nothing, full charge or full discharge; a piece of energy or of net power is
empty or full by the sign of its reduced cost. The peak's price is scaled back to its charge.
"""

import numpy as np

from backfeed.plan.compiled import compiled
from backfeed.plan.elimination import Fleet
from backfeed.plan.interior import InteriorPoint
from backfeed.plan.layout import Layout
from backfeed.plan.problem import Floats, Ints, inner
from backfeed.plan.vehicle import (
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
    PRICE,
    REFERENCE,
    UP_COST,
    UP_THERE,
    UP_WIDTH,
    Y,
    expand,
    new_unit,
)


@compiled
def unit_bound(u: Floats, n: int) -> float:
    """Return the least of one unit's part of the Lagrangian at its node's prices and its values of energy."""
    total = -float(u[Y] * u[JUMP])
    for t in range(n):
        y, slope = u[Y + t], u[Y + t] - u[Y + t + 1]
        ra = u[COST_A + t] + u[CHARGE + t] * u[PRICE + t] - u[GAIN + t] * y
        rb = u[COST_B + t] - u[DISCHARGE + t] * u[PRICE + t] + u[LOSS + t] * y
        total += min(0.0, ra, rb) + slope * u[REFERENCE + t]
        total += u[UP_THERE + t] * u[UP_WIDTH + t] * min(0.0, u[UP_COST + t] + slope)
        total += u[DOWN_THERE + t] * u[DOWN_WIDTH + t] * min(0.0, u[DOWN_COST + t] - slope)
    for t in range(1, n):
        total -= u[Y + t] * u[JUMP + t]
    return total


@compiled
def bound_nodes(level: Ints, fleet: Fleet, value: Floats, price: Floats, bound: Floats) -> None:
    """Write the vehicles' part of the Lagrangian of some nodes."""
    unit = new_unit()
    u = unit.u
    for k in level:
        total = 0.0
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop = fleet.unit_ptr[i], fleet.unit_ptr[i + 1]
            n = expand(fleet.rows, fleet.money, price[k], first, stop, unit)
            for t in range(n):
                u[Y + t] = value[fleet.rows.entry[first] + t]
            u[Y + n] = 0.0
            total += unit_bound(u, n)
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
    steps = rows.length
    hours = problem.axis.step_h * (steps - (1 - rows.first_share) - np.where(steps > 1, 1 - rows.last_share, 0.0))
    missed = np.maximum(w.energy_target_kwh - w.energy_max_kwh, 0.0)
    held = float((rows.hold * hours * rows.floor_kwh).sum())
    return held + inner(problem.missing_per_kwh, missed) + layout.curve.hull_constant
