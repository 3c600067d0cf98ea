"""What folding has left out, found again: prices at every node, what the bounds of rows are worth, what must be held.

The step of a node's price over its parent's is what its own curve asks for. A row's bound is worth what is left of its
reduced cost: that is asked by the tightest node above. Nodes that are joined share what their sum asks for in the order
of their kinks, as the sum itself does.
"""

import numpy as np

from backfeed.plan.folding import Bounds
from backfeed.plan.layout import Layout
from backfeed.plan.pieces import at_steps
from backfeed.plan.problem import NO_PARENT, Bools, Floats
from backfeed.plan.schedule import Schedule
from backfeed.plan.tree import hand_down

LIMITS = ("import_limit", "export_limit")

NOTHING = 1e-9
"""What a bound may add to the Lagrangian by rounding [currency]."""

BROKEN_KW = 1e-6
"""A limit that was left out is broken if it is by more than this."""


def worth_of_bounds(layout: Layout, price: Floats, value: Floats) -> tuple[Floats, Floats]:
    """Return what a kW more is worth to the nodes above every bound, and what it adds to the Lagrangian, `(entry,)`.

    A price m makes of the row's reduced costs a of charging and b of giving, per kW, `a + m` and `b - m`. Between what
    the meter charges and pays (0 without one) it costs nothing; above, m is also the import limit's and costs what is
    above times the power that is left, below the export's. The Lagrangian is greatest where neither is below 0. It then
    is what the row has at hard bounds; where the limit's part would be more than the penalty, or `a + b` is below 0, it
    is less.

    Parameters
    ----------
    layout
        The problem.
    price
        Prices of kept nodes, `(kept node, column)`.
    value
        Values of energy, flat [currency/kWh].
    """
    problem, bounds = layout.problem, layout.folding.bounds
    w, row, step, step_h = problem.windows, bounds.row, bounds.step, problem.axis.step_h
    node, column = w.node[row], layout.fleet.place_of_step[step]
    holder, zone = layout.holder[node], problem.nodes.zone[node]
    there, asked = (holder >= 0) & (column >= 0), np.zeros(len(row))
    paid = price[:, : len(layout.steps)].copy()
    paid[:, layout.pieces.slots] += price[:, len(layout.steps) :]
    asked[there] = paid[holder[there], column[there]]
    own, energy = np.where(problem.row_price_node[row] < 0, step_h, 0.0), step_h * value[bounds.entry]
    a = asked + own * problem.prices.buy_per_kwh[zone, step] - energy * w.charge_efficiency[row]
    b = step_h * w.wear_per_kwh[row] - asked - own * problem.prices.sell_per_kwh[zone, step]
    b += energy / w.discharge_efficiency[row]
    (most, least), (left, left_out), limit = bounds.own_kw, bounds.left_kw, step_h * problem.penalties.limit_per_kwh
    bought, sold = bounds.tariff
    both = (least * b - most * a) / np.maximum(most + least, 1e-300)
    middle = np.clip(np.where(bounds.kink_kw < 0, b, -a), sold, bought)
    worth = np.where(a + b >= 0, np.clip(middle, -a, np.maximum(b, -a)), both)
    worth = np.clip(worth, sold - np.where(left_out < least, limit, 0.0), bought + np.where(left < most, limit, 0.0))
    soft = np.minimum(0.0, np.minimum(most * (a + worth), least * (b - worth)))
    soft -= left * np.maximum(worth - bought, 0.0) + left_out * np.maximum(sold - worth, 0.0)
    soft += (bought - np.clip(worth, sold, bought)) * bounds.kink_kw
    return worth, soft - _least_at_bounds(bounds, a + bought, b - np.where(bounds.rise > 0, bought, sold))


def _least_at_bounds(bounds: Bounds, charging: Floats, giving: Floats) -> Floats:
    """Return the least that rows cost within their bounds, at reduced costs per kW, `(entry,)`: at a corner or a kink.

    `charging` and `giving` are at the price that a row with a kink buys at; below it, it also loses the rise.
    """
    (left, left_out), kink, rise = bounds.left_kw, bounds.kink_kw, bounds.rise
    ends = left * charging, left_out * giving
    least = np.minimum(rise * np.maximum(kink, 0.0), ends[0] + rise * np.maximum(kink - left, 0.0))
    least = np.minimum(least, ends[1] + rise * np.maximum(kink + left_out, 0.0))
    share = (kink + left_out) / np.maximum(left + left_out, 1e-300)
    inside = (rise > 0) & (share >= 0) & (share <= 1)
    at_kink = np.minimum(np.where(kink > 0, kink * charging, -kink * giving), share * ends[0] + (1.0 - share) * ends[1])
    bound: Floats = np.where(inside, np.minimum(least, at_kink), least)
    return bound


def dearer_nodes(layout: Layout, less: Floats) -> Bools:
    """Return the nodes that rows have for themselves and whose hard bounds promise more than limits do, `(node,)`."""
    nodes, folding = layout.problem.nodes, layout.folding
    found, at = np.zeros(len(nodes), np.bool_), layout.problem.windows.node[folding.bounds.row[less < -NOTHING]]
    while len(at):
        found[at] = folding.alone[at]
        at = nodes.parent[at]
        at = at[at >= 0]
    return found


def worth_of_curtailing(layout: Layout, price: Floats, worth: Floats) -> Floats:
    """Return what PV that is never curtailed (`folding.uncurtailed`) takes from the Lagrangian, `(node,)`.

    `price` and `worth` are those of kept nodes and of bounds, as everywhere here. At a meter that rows have for
    themselves the price is that of its node.
    """
    nodes, node_of = layout.problem.nodes, layout.node_of
    kept, missed, count = np.flatnonzero(node_of >= 0), np.zeros(len(nodes)), len(layout.steps)
    if nodes.metered.any():
        at = node_of[kept]
        never = np.where(nodes.metered[at, None], at_steps(nodes.pv_kw, at, layout.steps), 0.0)
        never -= at_steps(layout.curve.curtail_max_kw, at, layout.steps)
        missed[at] = (np.minimum(price[kept, :count], 0.0) * never).sum(axis=1)
    own = layout.folding.meters.node
    own = own[np.any(nodes.pv_kw[own] > 0, axis=1)]
    if len(own):
        none = np.zeros((len(price), count))
        asked = balance_at_nodes(layout, price[:, :count], (none, none), worth)[own]
        missed[own] = (np.minimum(asked, 0.0) * nodes.pv_kw[own]).sum(axis=1)
    return missed


def limits_missed(layout: Layout, schedule: Schedule) -> Bools:
    """Return the nodes that are left out, and whose limits the plan breaks, `(node,)`."""
    nodes, folding = layout.problem.nodes, layout.folding
    if not any(slack.kind in LIMITS for slack in schedule.slacks):
        return np.zeros(len(nodes), np.bool_)
    over, beyond = schedule.net_kw - nodes.import_limit_kw, -schedule.net_kw - nodes.export_limit_kw
    broken = np.any(np.maximum(over, beyond) > BROKEN_KW, axis=1)
    missed: Bools = broken & ~folding.kept & ~folding.alone & (folding.base < 0)
    return missed


def balance_at_nodes(layout: Layout, price: Floats, shares: tuple[Floats, Floats], worth: Floats) -> Floats:
    """Return what a kW more of net power costs at every node of the table, `(node, step)` [currency/kW and step].

    Parameters
    ----------
    layout
        The problem.
    price
        Prices of kept nodes, `(kept node, step that matters)`.
    shares
        What of them is due to a node's own peak, and to the promises at it and above.
    worth
        What the bounds are worth (`worth_of_bounds`).
    """
    nodes, folding = layout.problem.nodes, layout.folding
    balance = np.zeros_like(nodes.base_load_kw)
    _ask_joined(layout, price - shares[0], price, balance)
    _ask_alone(layout, worth, balance)
    kept = np.flatnonzero(folding.kept)
    balance[np.ix_(kept, layout.steps)] = (price - shares[1])[: len(kept)]
    hand_down(nodes.upwards, np.where(folding.kept, NO_PARENT, nodes.parent), balance)
    return balance


def _ask_alone(layout: Layout, worth: Floats, own: Floats) -> None:
    """Write what rows' own meters ask for, and beyond that the tightest node above every bound."""
    bounds, meters = layout.folding.bounds, layout.folding.meters
    own[meters.node] = meters.tariff[1]
    metered = np.clip(worth, *bounds.tariff[::-1])
    of = layout.problem.row_price_node[bounds.row]
    at_meter = (of >= 0) & layout.folding.alone[of]
    own[of[at_meter], bounds.step[at_meter]] = metered[at_meter]
    beyond = worth - metered
    asking = beyond != 0
    own[np.where(beyond > 0, *bounds.tightest)[asking], bounds.step[asking]] += beyond[asking]


def _ask_joined(layout: Layout, asking: Floats, price: Floats, own: Floats) -> None:
    """Write what joined nodes ask for, of what their sum does: from kink to kink, `asking` less the price above.

    Those that as many are joined to are gone through at once: `(node, member, step)`.
    """
    problem, curve, base, steps = layout.problem, layout.curve, layout.folding.base, layout.steps
    nodes, below = problem.nodes, np.flatnonzero(base >= 0)
    if not len(below):
        return
    below = below[np.argsort(base[below], kind="stable")]
    joined, first, count = np.unique(base[below], return_index=True, return_counts=True)
    for many in np.unique(count):
        some = count == many
        members = np.column_stack((joined[some], below[first[some, None] + np.arange(many)]))
        k = layout.holder[joined[some]]
        above = layout.forest.parent[k]
        left = (asking[k] - np.where(above[:, None] >= 0, price[above], 0.0))[:, None]
        at = members[:, :, None], steps
        fixed, lowest = curve.fixed_below_kw[at], (curve.export_cost - curve.beyond_rise)[at]
        kinks = np.stack((-nodes.export_limit_kw[at], 0.0 * fixed, nodes.import_limit_kw[at]), axis=1)
        kinks -= (fixed - fixed[:, :1])[:, None]
        jumps = np.stack((curve.beyond_rise[at], curve.import_cost[at] - curve.export_cost[at], curve.over_rise[at]), 1)
        shape = (len(k), -1, len(steps))
        order = np.argsort(kinks.reshape(shape), axis=1, kind="stable")
        jump = np.take_along_axis(jumps.reshape(shape), order, 1)
        before = lowest.sum(axis=1, keepdims=True) + np.cumsum(jump, axis=1) - jump
        taken = np.empty_like(jump)
        np.put_along_axis(taken, order, np.clip(left - before, 0.0, jump), 1)
        own[members[:, 1:, None], steps] = (lowest + taken.reshape(kinks.shape).sum(axis=1))[:, 1:]
