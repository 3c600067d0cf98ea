"""What folding has left out, found again: prices at every node, what the bounds of rows are worth, what must be held.

The step of a node's price over its parent's is what its own curve asks for. A row's bound is worth what is left of its
reduced cost: that is asked by the tightest node above. Nodes that are joined share what their sum asks for in the order
of their kinks, as the sum itself does.
"""

import numpy as np

from backfeed.plan.compiled import compiled
from backfeed.plan.curtailing import price_behind, worth_of_leaving
from backfeed.plan.folding import Bounds
from backfeed.plan.layout import Layout
from backfeed.plan.meter import FAR, best_less
from backfeed.plan.pieces import at_steps
from backfeed.plan.problem import NO_PARENT, Bools, Floats, Ints
from backfeed.plan.schedule import Schedule
from backfeed.plan.tree import hand_down, summed_up

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
    is less. Where the meter has variables of its own, its kinks are tried.

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
    asked, zone = _asked_above(layout, price, w.node[row], step), problem.nodes.zone[w.node[row]]
    own, energy = np.where(problem.row_price_node[row] < 0, step_h, 0.0), step_h * value[bounds.entry]
    a = asked + own * problem.prices.buy_per_kwh[zone, step] - energy * w.charge_efficiency[row]
    b = step_h * w.wear_per_kwh[row] - asked - own * problem.prices.sell_per_kwh[zone, step]
    b += energy / w.discharge_efficiency[row]
    (most, least), (left, left_out), limit = bounds.own_kw, bounds.left_kw, step_h * problem.penalties.limit_per_kwh
    bought, sold = bounds.tariff
    both = (least * b - most * a) / np.maximum(most + least, 1e-300)
    worth = np.where(a + b >= 0, np.clip(np.clip(-a, sold, bought), -a, np.maximum(b, -a)), both)
    worth = np.clip(worth, sold - np.where(left_out < least, limit, 0.0), bought + np.where(left < most, limit, 0.0))
    less = np.minimum(0.0, np.minimum(most * (a + worth), least * (b - worth)))
    less -= left * np.maximum(worth - bought, 0.0) + left_out * np.maximum(sold - worth, 0.0)
    less -= np.minimum(0.0, np.minimum(left * (a + bought), left_out * (b - sold)))
    _weigh_meters(bounds, (a, b, asked), limit, worth, less)
    return worth, less


def _asked_above(layout: Layout, price: Floats, node: Ints, step: Ints) -> Floats:
    """Return what kept nodes at or above nodes of the table ask for a kW at steps, all of one shape; 0 without one."""
    holder, column = layout.holder[node], layout.fleet.place_of_step[step]
    there = (holder >= 0) & (column >= 0)
    paid = price[:, : len(layout.steps)].copy()
    paid[:, layout.pieces.slots] += price[:, len(layout.steps) :]
    asked = np.zeros(there.shape)
    asked[there] = paid[holder[there], column[there]]
    return asked


@compiled
def _weigh_meters(
    bounds: Bounds, reduced: tuple[Floats, Floats, Floats], limit: float, worth: Floats, less: Floats
) -> None:
    """Write what `worth_of_bounds` returns where a meter has variables of its own; `limit` is the penalty.

    `reduced` are the row's reduced costs per kW, and what is asked above.
    """
    (a, b, asked), (most, least), (left, left_out) = reduced, bounds.own_kw, bounds.left_kw
    for e in range(len(a)):
        if bounds.rise[e] < 0.0:
            continue
        bought, spare = bounds.tariff[0, e], bounds.spare_kw[e]
        charging, giving, spared = a[e] + bought, b[e] - bought, asked[e] + bought
        low = -limit if bounds.tightest[0, e] >= 0 else 0.0
        high = bounds.rise[e] + (limit if bounds.tightest[1, e] >= 0 else 0.0)
        meter = bounds.kink_kw[e], bounds.rise[e], bounds.outlet_kw[e], left[e]
        own = most[e] * charging, least[e] * giving, spared
        bound = left[e] * charging, left_out[e] * giving, spared
        soft = best_less(own, (most[e], least[e], spare), meter, (low, high))
        hard = best_less(bound, (left[e], left_out[e], spare), meter, (0.0, FAR))
        worth[e], less[e] = bought - soft[0], soft[1] - hard[1]


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
        never = at_steps(nodes.pv_kw, at, layout.steps) - at_steps(layout.curve.curtail_max_kw, at, layout.steps)
        missed[at] = (np.minimum(price[kept, :count], 0.0) * never * nodes.metered[at, None]).sum(axis=1)
    folding, homes = layout.folding, layout.folding.homes
    own = folding.meters.node
    own = own[np.any(nodes.pv_kw[own] > 0, axis=1)]
    if len(own):
        none = np.zeros((len(price), count))
        asked = balance_at_nodes(layout, price[:, :count], (none, none), worth)
        never = nodes.pv_kw.copy()
        never[homes.node] = np.where(homes.spare_kw > 0, 0.0, never[homes.node])
        never[homes.node[homes.left.home], homes.left.step] = 0.0
        missed[own] = (np.minimum(asked[own], 0.0) * never[own]).sum(axis=1)
    if len(homes.left.home):
        asked_above = _asked_above(layout, price, homes.node[homes.left.home], homes.left.step)
        lost = worth_of_leaving(homes.left, asked_above)
        missed += np.bincount(homes.node[homes.left.home], lost, len(missed))
    return missed


def limits_missed(layout: Layout, schedule: Schedule) -> Bools:
    """Return the nodes that are left out, and whose limits the plan breaks, `(node,)`."""
    folding = layout.folding
    missed: Bools = _broken(layout, schedule) & ~folding.kept & ~folding.alone & (folding.base < 0)
    return missed


def burning_homes(layout: Layout, schedule: Schedule) -> Bools:
    """Return the nodes rows have for themselves whose limits the plan breaks, and that or below which PV is curtailed.

    A row's bounds count with none curtailed: a home that burns it all the same may take too much.
    """
    nodes, homes = layout.problem.nodes, np.zeros((len(layout.folding.alone), 1))
    homes[layout.folding.homes.node] = 1.0
    burning: Bools = _broken(layout, schedule) & layout.folding.alone & (summed_up(nodes, homes)[:, 0] > 0)
    return burning


def _broken(layout: Layout, schedule: Schedule) -> Bools:
    """Return the nodes whose limits the plan breaks, `(node,)`."""
    nodes = layout.problem.nodes
    if not any(slack.kind in LIMITS for slack in schedule.slacks):
        return np.zeros(len(nodes), np.bool_)
    over, beyond = schedule.net_kw - nodes.import_limit_kw, -schedule.net_kw - nodes.export_limit_kw
    broken: Bools = np.any(np.maximum(over, beyond) > BROKEN_KW, axis=1)
    return broken


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
    _ask_homes(layout, price, balance)
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


def _ask_homes(layout: Layout, price: Floats, own: Floats) -> None:
    """Write what homes ask for where no car stands and PV may be curtailed, and beyond their meters limits."""
    homes, left = layout.folding.homes, layout.folding.homes.left
    if not len(left.home):
        return
    node, asked = homes.node[left.home], _asked_above(layout, price, homes.node[left.home], left.step)
    worth = price_behind(left, asked) - asked
    metered = np.clip(worth, left.sell, left.buy)
    own[node, left.step] = metered
    np.add.at(own, (homes.tight[left.home, left.step], left.step), worth - metered)


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
