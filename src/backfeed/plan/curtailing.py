"""PV that is curtailed behind meters that rows have for themselves, told without the homes' nodes.

A home with PV and one car at a time sells at most what the limits above let out, `room`, and may curtail `spare` of its
PV. While a car stands there, both are told in the car's kernel (`plan/meter.py`). While none does, what limits do not
let out is curtailed whatever anybody decides (`lift`), and where selling costs and nothing further up matters, all that
would be sold. Where limits further up are crowded, or selling costs, what is still sold may be curtailed, too
(`width`): at what selling pays, it is curtailed PV of the kept node above. As that is one box, what it pays must be one
price: that of a zone.

That is right unless breaking a limit or burning what is bought pays better; `worth_of_leaving` says what that takes
from the Lagrangian, and the home's node is held then.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from backfeed.plan.lowered import LEVEL, REACH_TOLERANCE_KW, NodeCurve
from backfeed.plan.problem import NO_PARENT, Bools, Floats, Ints, PlanProblem, nearest_of, place_among
from backfeed.plan.schedule import net_energy_path
from backfeed.plan.tree import summed_up


class Left(NamedTuple):
    """Where PV may be curtailed behind a meter and no car stands, flat.

    `low_kw` and `high_kw` are what is fixed with none and with all of it curtailed, `sold_max_kw` is what limits let
    out, `lift_kw` and `width_kw` what is curtailed anyway and what may be; `buy` and `sell` what the meter charges and
    pays per kW and step, `limit` what a broken limit costs.
    """

    home: Ints
    step: Ints
    low_kw: Floats
    high_kw: Floats
    sold_max_kw: Floats
    lift_kw: Floats
    width_kw: Floats
    buy: Floats
    sell: Floats
    limit: float


class Curtailing(NamedTuple):
    """Homes whose PV is curtailed without a node of theirs; `node` `(home,)`, the others `(home, step)`.

    `room_kw` is what limits let out, `tight` the node that lets out no more, `spare_kw` what may be curtailed where a
    car stands, `net_kw` what is fixed without. `holder` `(home,)` is the kept node above, -1 for none.
    """

    node: Ints
    holder: Ints
    room_kw: Floats
    tight: Ints
    spare_kw: Floats
    net_kw: Floats
    left: Left


def may_be_told(problem: PlanProblem, curve: NodeCurve, held: Bools) -> Bools:
    """Return the metered nodes whose curtailed PV a car may tell, if they have one car at a time, `(node,)`.

    No node below can break its export limit, to buy and to burn always costs something, and in each tree they are of
    one zone.
    """
    nodes = problem.nodes
    buy, some = curve.import_cost, curve.curtail_max_kw > 0
    burns = some & ((buy < 0) | (buy - curve.export_cost <= LEVEL * np.abs(buy)))
    may = nodes.metered & ~held & np.any(some, axis=1) & ~np.any(burns, axis=1)
    if not may.any() or len(problem.commitments) or curve.inverted.any():
        return np.zeros_like(may)
    pinched = np.any(-curve.reach_low_kw > nodes.export_limit_kw + REACH_TOLERANCE_KW, axis=1)
    may &= summed_up(nodes, pinched.astype(np.float64)[:, None])[:, 0] == pinched
    root, home = nearest_of(nodes.parent, nodes.parent < 0), np.flatnonzero(may)
    zone = np.full(len(nodes), NO_PARENT)
    zone[root[home[::-1]]] = nodes.zone[home[::-1]]
    return np.asarray(may & (zone[root] == nodes.zone))


def curtailing(
    problem: PlanProblem, curve: NodeCurve, told: Bools, alone: Bools, where: tuple[Bools, Bools]
) -> tuple[Curtailing, NodeCurve]:
    """Return the homes that are told, and the nodes' curves with what is curtailed there anyway.

    `told` and `alone` are nodes; `where` a row stands under a node, and where it matters `(node, step)`.
    """
    nodes, home = problem.nodes, np.flatnonzero(told)
    if not len(home):
        return _none(problem), curve
    fixed, most = curve.fixed_below_kw[home], curve.curtail_max_kw[home]
    room = 2.0 * np.maximum(np.abs(curve.reach_low_kw), np.abs(curve.reach_high_kw))[home] + 1.0  # beyond reach
    tight, at = np.full(fixed.shape, NO_PARENT), home.copy()
    under, above = np.append(nearest_of(nodes.parent, alone) >= 0, False), np.append(nodes.parent, NO_PARENT)
    while np.any(under[at]):
        let_out = nodes.export_limit_kw[at] + curve.fixed_below_kw[at] - fixed
        tighter = (under[at] & alone[at])[:, None] & (let_out < room)
        room, tight = np.where(tighter, let_out, room), np.where(tighter, at[:, None], tight)
        at = above[at]
    others = ~alone[:, None]
    away, asked, costs = ~where[0][home], nodes.at_or_above(where[1] & others)[home], curve.export_cost[home] < 0
    beyond = np.where(costs & ~asked, 0.0, -room)
    lift = np.where(away, np.clip(beyond - fixed, 0.0, most), 0.0)
    curve = _lifted(problem, curve, home, lift)
    crowded = nodes.at_or_above((curve.fixed_below_kw < -nodes.export_limit_kw) & others)[home]
    width = np.where(away & asked & (crowded | costs), np.clip(-fixed - lift, 0.0, most - lift), 0.0)
    at_home, step = np.nonzero((lift > 0) | (width > 0))
    here, own = (at_home, step), (home[at_home], step)
    left = Left(
        home=at_home,
        step=step,
        low_kw=fixed[here],
        high_kw=fixed[here] + nodes.pv_kw[own],
        sold_max_kw=room[here],
        lift_kw=lift[here],
        width_kw=width[here],
        buy=curve.import_cost[own],
        sell=curve.export_cost[own],
        limit=problem.axis.step_h * problem.penalties.limit_per_kwh,
    )
    return Curtailing(home, np.full(len(home), NO_PARENT), room, tight, np.where(away, 0.0, most), fixed, left), curve


def _none(problem: PlanProblem) -> Curtailing:
    """Return no homes."""
    node, amount, flat = np.zeros(0, np.int64), np.zeros((0, problem.axis.count)), np.zeros(0)
    left = Left(node, node, flat, flat, flat, flat, flat, flat, flat, 0.0)
    return Curtailing(node, node, amount, amount.astype(np.int64), amount, amount, left)


def _lifted(problem: PlanProblem, curve: NodeCurve, home: Ints, lift: Floats) -> NodeCurve:
    """Return the nodes' curves where homes curtail nothing of their own, and what they curtail anyway is fixed."""
    own, most = np.zeros_like(curve.fixed_kw), curve.curtail_max_kw.copy()
    own[home], most[home] = lift, 0.0
    below = curve.fixed_below_kw + summed_up(problem.nodes, own)
    return replace(curve, fixed_kw=curve.fixed_kw + own, fixed_below_kw=below, curtail_max_kw=most)


def hung(problem: PlanProblem, homes: Curtailing, curve: NodeCurve, kept: Bools) -> tuple[Curtailing, NodeCurve]:
    """Return the homes with their kept nodes, and the nodes' curves with what these may curtail for them."""
    holder, left = nearest_of(problem.nodes.parent, kept)[homes.node], homes.left
    if not len(left.home):
        return homes._replace(holder=holder), curve
    width = np.where(holder[left.home] >= 0, left.width_kw, 0.0)
    most, cost = curve.curtail_max_kw.copy(), np.zeros_like(curve.curtail_max_kw)
    at, some = (holder[left.home], left.step), width > 0
    np.add.at(most, at, width)
    cost[at[0][some], at[1][some]] = left.sell[some]
    homes = homes._replace(holder=holder, left=left._replace(width_kw=width))
    return homes, replace(curve, curtail_max_kw=most, curtail_cost=cost)


def price_behind(left: Left, asked: Floats) -> Floats:
    """Return what a kW is worth behind homes' meters where none stands there and PV may be curtailed, `(place,)`.

    `asked` is what it costs above them. While the home sells, it is that and what selling pays, less what a limit asks
    for that is broken; nothing where PV is curtailed; and what buying costs where even that is worth its while.
    """
    price: Floats = np.clip(0.0, asked + left.sell - np.where(left.lift_kw > 0, left.limit, 0.0), asked + left.buy)
    return price


def worth_of_leaving(left: Left, asked: Floats) -> Floats:
    """Return what the Lagrangian loses by what is taken for granted where no car stands, `(place,)`; at most 0.

    What a home costs is convex in its net power, so its least stands at an end or at a kink.
    """
    low, high, least = left.low_kw, left.high_kw, np.full(len(left.step), np.inf)
    for net in (low, np.clip(-left.sold_max_kw, low, high), np.clip(0.0, low, high), high):
        beyond = np.maximum(-left.sold_max_kw - net, 0.0)
        least = np.minimum(least, (np.where(net > 0, left.buy, left.sell) + asked) * net + left.limit * beyond)
    earned = left.sell + asked
    lost: Floats = np.minimum(least - earned * (low + left.lift_kw) - left.width_kw * np.minimum(earned, 0.0), 0.0)
    return lost


def share_with_homes(homes: Curtailing, curtailed: Floats) -> None:
    """Give the homes what the kept nodes above them curtail for them, and what they curtail anyway.

    `curtailed` is `(node, step)`; homes share by what each of them may.
    """
    left, most = homes.left, np.zeros_like(curtailed)
    above = homes.holder[left.home], left.step
    np.add.at(most, above, left.width_kw)
    part = np.where(left.width_kw > 0, left.width_kw / np.maximum(most[above], 1e-300) * curtailed[above], 0.0)
    curtailed[homes.holder[homes.holder >= 0]] = 0.0
    curtailed[homes.node[left.home], left.step] = left.lift_kw + part


def spare_at_homes(problem: PlanProblem, homes: Curtailing, entries: tuple[Floats, Floats], curtailed: Floats) -> None:
    """Add what homes curtail where a car stands, at least what keeps limits; `entries` are energies and that of a plan.

    `curtailed` is `(node, step)`.
    """
    (energy, spared), w = entries, problem.windows
    home = place_among(homes.node, len(problem.nodes))[problem.row_price_node]
    at = np.flatnonzero((home >= 0)[w.row_of])
    home, step = home[w.row_of[at]], w.step_of[at]
    power = net_energy_path(problem, energy)[0][at]
    least = -homes.room_kw[home, step] - homes.net_kw[home, step] - power
    curtailed[homes.node[home], step] += np.minimum(np.maximum(spared[at], least), homes.spare_kw[home, step])
