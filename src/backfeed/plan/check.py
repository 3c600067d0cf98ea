"""The judge of plans: cost, violations and a lower bound, recomputed from the definitions.

Nothing here is shared with the solvers: only the problem's columns, the powers and the prices are read.

**Cost.** Energies follow from the powers by the dynamics; every term of the objective is then written as
`backfeed.plan.problem` defines it.

**Bound.** For *any* prices the Lagrangian is below every plan's cost. With `y` the value of stored energy
(row, step), `m` the cost of net power (node, step) and `w` the price of a promise, it falls apart into

    vehicle and step   min over {nothing, full charge, full discharge} of its cost at m and w, less y's energy
    energy and step    min over e of holding and slacks + (y[t] - y[t+1]) e
    node and step      min over n of meter and limits + (m[parent] - m[node]) n, peaks jointly over the steps
    curtailed PV       min(m, 0) pv
    promise            w power,  0 <= w <= its shortfall price

Every inner function is piecewise linear on an interval, so its least value stands at an end or at a kink,
convex or not: the bound holds for the problem with one direction per step, not only for its relaxation.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backfeed.plan.problem import Floats, PlanProblem

if TYPE_CHECKING:
    from backfeed.plan.schedule import Schedule


@dataclass(frozen=True)
class Proposal:
    """A plan as somebody proposes it.

    Parameters
    ----------
    power_kw
        Power while connected, flat over (row, step) [kW].
    curtailed_kw
        PV curtailed, `(node, step)`.
    energy_price, balance_price, commitment_price
        Prices for the bound, as in `backfeed.plan.schedule.Duals` [currency/kWh].
    """

    power_kw: Floats
    curtailed_kw: Floats
    energy_price: Floats
    balance_price: Floats
    commitment_price: Floats


@dataclass(frozen=True)
class Costing:
    """What a plan costs, and by how much it breaks hard bounds: power limits, capacity, empty battery, curtailment.

    `terms` are the parts of the objective; broken promises and limits are priced in it.
    """

    terms: dict[str, float]
    max_violation_kw: float
    max_violation_kwh: float

    @property
    def objective(self) -> float:
        """The cost of the plan."""
        return float(sum(self.terms.values()))


@dataclass(frozen=True)
class Verdict(Costing):
    """What the judge found: the costing, and a cost below which no plan can be."""

    lower_bound: float

    @property
    def gap(self) -> float:
        """Relative gap between objective and bound."""
        return max(self.objective - self.lower_bound, 0.0) / max(abs(self.objective), abs(self.lower_bound), 1.0)


def proposal_of(schedule: "Schedule") -> Proposal:
    """Return a schedule's powers and prices as a proposal."""
    prices = schedule.duals
    return Proposal(
        power_kw=schedule.power_flat_kw,
        curtailed_kw=schedule.curtailed_kw,
        energy_price=prices.energy_per_kwh,
        balance_price=prices.balance_per_kwh,
        commitment_price=prices.commitment_per_kwh,
    )


def check(problem: PlanProblem, proposal: Proposal) -> Verdict:
    """Judge a plan for a valid problem."""
    found = cost_of(problem, proposal.power_kw, proposal.curtailed_kw)
    bound = lagrangian(problem, proposal)
    return Verdict(found.terms, found.max_violation_kw, found.max_violation_kwh, lower_bound=bound)


def cost_of(problem: PlanProblem, power_kw: Floats, curtailed_kw: Floats) -> Costing:
    """Recompute what a plan costs and breaks, without asking how good it could be.

    Parameters
    ----------
    problem
        A valid problem.
    power_kw, curtailed_kw
        As in `Proposal`.
    """
    energy, share = energies_of(problem, power_kw)
    average = power_kw * share
    vehicles = _by_node(problem, average)
    net = _subtree_sums(problem, vehicles + _own_fixed(problem) + curtailed_kw)
    terms = _vehicle_terms(problem, average, energy) | _node_terms(problem, net)
    terms["commitments"] = _commitment_term(problem, vehicles)
    w = problem.windows
    row = w.row_of
    over = np.maximum(power_kw - w.charge_max_kw[row], -w.discharge_max_kw[row] - power_kw)
    curtailable = np.where(problem.nodes.metered[:, None], problem.nodes.pv_kw, 0.0)
    uncurtailable = np.maximum(curtailed_kw - curtailable, -curtailed_kw)
    outside = np.maximum(energy - w.energy_max_kwh[row], np.where(w.keeps_above_empty[row], -energy, -np.inf))
    return Costing(
        terms=terms,
        max_violation_kw=max(float(over.max(initial=0.0)), float(uncurtailable.max(initial=0.0))),
        max_violation_kwh=float(outside.max(initial=0.0)),
    )


def energies_of(problem: PlanProblem, power_kw: Floats) -> tuple[Floats, Floats]:
    """Follow the dynamics; return energies at the ends of steps and the connected share of every step."""
    w, step_h = problem.windows, problem.axis.step_h
    energy, share = np.empty_like(power_kw), np.ones_like(power_kw)
    for edge, hours in ((w.offsets[:-1], w.first_step_h), (w.offsets[1:] - 1, w.last_step_h)):
        share[edge] = np.fmin(share[edge], hours / step_h)  # NaN stands for the whole step
    flow = power_kw * share * step_h
    stored = np.where(flow > 0, flow * w.charge_efficiency[w.row_of], flow / w.discharge_efficiency[w.row_of])
    ends, previous = w.offsets.tolist(), w.previous.tolist()
    for i, before in enumerate(previous):
        start = energy[ends[before + 1] - 1] - w.drain_kwh[i] if before >= 0 else w.energy_arrival_kwh[i]
        at = slice(ends[i], ends[i + 1])
        energy[at] = start + np.cumsum(stored[at])
    return energy, share


def _by_node(problem: PlanProblem, average: Floats) -> Floats:
    """Add the vehicles' powers at their nodes, `(node, step)`."""
    total = np.zeros_like(problem.nodes.pv_kw)
    np.add.at(total, (problem.windows.node[problem.windows.row_of], problem.windows.step_of), average)
    return total


def _own_fixed(problem: PlanProblem) -> Floats:
    """Return base load less PV of every node itself."""
    return problem.nodes.base_load_kw - problem.nodes.pv_kw


def _subtree_sums(problem: PlanProblem, own: Floats) -> Floats:
    """Walk from every node to the root and add its values on the way."""
    parent, total = problem.nodes.parent, own.copy()
    above = parent.copy()
    while np.any(above >= 0):
        there = above >= 0
        np.add.at(total, above[there], own[there])
        above = np.where(there, parent[above], -1)
    return total


def _vehicle_terms(problem: PlanProblem, average: Floats, energy: Floats) -> dict[str, float]:
    """Price energy, wear, holding, reserves and departures."""
    w, step_h, penalties = problem.windows, problem.axis.step_h, problem.penalties
    row, step = w.row_of, w.step_of
    charged, discharged = np.maximum(average, 0.0) * step_h, np.maximum(-average, 0.0) * step_h
    zone, own_price = problem.nodes.zone[w.node[row]], problem.row_price_node[row] < 0
    price = np.where(average > 0, problem.prices.buy_per_kwh[zone, step], problem.prices.sell_per_kwh[zone, step])
    hours = problem.hours
    end = energy[w.offsets[1:] - 1]
    below = np.maximum(w.energy_min_kwh[row] - energy, 0.0)
    surplus = np.maximum(end - np.minimum(w.energy_target_kwh, w.energy_max_kwh), 0.0)
    return {
        "vehicle_energy": float(np.sum((charged - discharged) * price * own_price)),
        "wear": float(np.sum(w.wear_per_kwh[row] * discharged)),
        "hold": float(np.sum(w.hold_per_kwh_h[row] * hours * energy)),
        "reserve": penalties.reserve_per_kwh_h * float(np.sum(hours * below)),
        "departure": float(np.sum(_missing_price(problem) * np.maximum(w.energy_target_kwh - end, 0.0))),
        "energy_value": -float(np.sum(w.energy_value_per_kwh * surplus)),
    }


def _node_terms(problem: PlanProblem, net: Floats) -> dict[str, float]:
    """Price metered energy, limits and peaks."""
    nodes = problem.nodes
    return {
        "node_energy": float(_meter_cost(problem, net).sum()),
        "limits": float(_limit_cost(problem, net).sum()),
        "peak": float(np.sum(nodes.peak_charge_per_kw * np.maximum(net.max(axis=1, initial=0.0), 0.0))),
    }


def _meter_cost(problem: PlanProblem, net: Floats) -> Floats:
    """Return what metered nodes pay for a net power, `(node, step)`."""
    nodes, prices = problem.nodes, problem.prices
    price = np.where(net > 0, prices.buy_per_kwh[nodes.zone], prices.sell_per_kwh[nodes.zone])
    return problem.axis.step_h * np.where(nodes.metered[:, None], price * net, 0.0)


def _limit_cost(problem: PlanProblem, net: Floats) -> Floats:
    """Return what power beyond the limits costs, `(node, step)`."""
    over = np.maximum(net - problem.nodes.import_limit_kw, 0.0)
    beyond = np.maximum(-net - problem.nodes.export_limit_kw, 0.0)
    return problem.axis.step_h * problem.penalties.limit_per_kwh * (over + beyond)


def _commitment_term(problem: PlanProblem, vehicles: Floats) -> float:
    """Price what is missing to the promises, given the vehicles' power at every node."""
    c = problem.commitments
    if not len(c):
        return 0.0
    given = np.where(c.up, -1.0, 1.0) * _subtree_sums(problem, vehicles)[c.node, c.step]
    return float(np.sum(c.shortfall_per_kwh * problem.axis.step_h * np.maximum(c.power_kw - given, 0.0)))


def lagrangian(problem: PlanProblem, proposal: Proposal) -> float:
    """Return the Lagrangian at the proposal's prices: no plan costs less."""
    step_h, c = problem.axis.step_h, problem.commitments
    balance = proposal.balance_price * step_h
    promise = np.clip(proposal.commitment_price, 0.0, c.shortfall_per_kwh) * step_h
    price = balance.copy()
    own = np.zeros_like(balance)
    np.add.at(own, (c.node, c.step), np.where(c.up, promise, -promise))
    above = np.arange(len(problem.nodes))
    while np.any(above >= 0):
        price[above >= 0] += own[above[above >= 0]]
        above = np.where(above >= 0, problem.nodes.parent[above], -1)
    return (
        _vehicles_least(problem, price, proposal.energy_price)
        + _nodes_least(problem, balance)
        + float(np.sum(promise * c.power_kw))
    )


def _vehicles_least(problem: PlanProblem, price: Floats, value: Floats) -> float:
    """Return the vehicles' part of the Lagrangian at prices (node, step) and values of energy (flat)."""
    w, step_h = problem.windows, problem.axis.step_h
    row, step = w.row_of, w.step_of
    hours = problem.hours
    share = hours / step_h
    node = w.node[row]
    zone, own_price = problem.nodes.zone[node], problem.row_price_node[row] < 0
    buy = step_h * problem.prices.buy_per_kwh[zone, step] * own_price + price[node, step]
    sell = step_h * problem.prices.sell_per_kwh[zone, step] * own_price + price[node, step]
    charge = (buy - value * step_h * w.charge_efficiency[row]) * w.charge_max_kw[row] * share
    wear, loss = step_h * w.wear_per_kwh[row], step_h / w.discharge_efficiency[row]
    discharge = (wear - sell + value * loss) * w.discharge_max_kw[row] * share
    powers = np.minimum(0.0, np.minimum(charge, discharge)).sum()

    first, last = w.offsets[:-1], w.offsets[1:] - 1
    following = np.zeros_like(value)
    following[:-1] = value[1:]
    following[last] = 0.0
    linked = np.flatnonzero(w.previous >= 0)
    np.add.at(following, last[w.previous[linked]], value[first[linked]])
    arrival = np.where(w.previous >= 0, -w.drain_kwh, np.minimum(w.energy_arrival_kwh, w.energy_max_kwh))
    return float(powers + _energies_least(problem, value - following, hours).sum() - np.sum(value[first] * arrival))


def _missing_price(problem: PlanProblem) -> Floats:
    """Return what a missing kWh costs each row: its own price, else the common one."""
    own = problem.windows.missing_per_kwh
    common = np.full(len(own), problem.penalties.departure_per_kwh)
    return np.where(own >= 0, own, common)


def _energies_least(problem: PlanProblem, slope: Floats, hours: Floats) -> Floats:
    """Return the least of `slope e + hold + slacks - value` over the energies that can be, flat."""
    w, penalties = problem.windows, problem.penalties
    row, last = w.row_of, w.offsets[1:] - 1
    floor, capacity = w.energy_min_kwh[row], w.energy_max_kwh[row]
    target, missing_price = w.energy_target_kwh, _missing_price(problem)

    def cost(energy: Floats) -> Floats:
        total = (slope + w.hold_per_kwh_h[row] * hours) * energy
        total += penalties.reserve_per_kwh_h * hours * np.maximum(floor - energy, 0.0)
        total[last] += missing_price * np.maximum(target - energy[last], 0.0)
        surplus = np.maximum(energy[last] - np.minimum(target, w.energy_max_kwh), 0.0)
        total[last] -= w.energy_value_per_kwh * surplus
        return total

    lowest = np.minimum(_lowest_energies(problem, hours)[row], floor)
    kink = floor.copy()
    kink[last] = np.clip(target, lowest[last], w.energy_max_kwh)
    least: Floats = np.stack([cost(point) for point in (lowest, floor, kink, capacity)]).min(axis=0)
    return least


def _lowest_energies(problem: PlanProblem, hours: Floats) -> Floats:
    """Return an energy that no plan of a row goes below, `(row,)`: empty, or what drives and discharging leave."""
    w = problem.windows
    given = np.bincount(w.row_of, weights=hours, minlength=len(w)) * w.discharge_max_kw / w.discharge_efficiency
    lowest = np.zeros(len(w))
    for i in np.flatnonzero(~w.keeps_above_empty):
        lowest[i] = lowest[w.previous[i]] - w.drain_kwh[i] - given[i]
    return lowest


def _nodes_least(problem: PlanProblem, balance: Floats) -> float:
    """Return the nodes' part of the Lagrangian at balance prices [currency/kW and step]."""
    nodes = problem.nodes
    curtailable = np.where(nodes.metered[:, None], nodes.pv_kw, 0.0)
    fixed = _own_fixed(problem)
    w = problem.windows
    share = problem.hours / problem.axis.step_h
    row = w.row_of
    high = _subtree_sums(problem, _by_node(problem, w.charge_max_kw[row] * share) + fixed + curtailable)
    low = _subtree_sums(problem, fixed - _by_node(problem, w.discharge_max_kw[row] * share))
    slope = np.where(nodes.parent[:, None] >= 0, balance[nodes.parent], 0.0) - balance
    kinks = [np.clip(kink, low, high) for kink in (-nodes.export_limit_kw, 0.0 * low, nodes.import_limit_kw)]
    points = np.stack([low, *kinks, high])
    costs = np.stack([_meter_cost(problem, n) + _limit_cost(problem, n) + slope * n for n in points])
    free = nodes.peak_charge_per_kw <= 0
    total = float(costs[:, free].min(axis=0).sum())
    total += sum(
        _peak_least(points[:, k], costs[:, k], float(nodes.peak_charge_per_kw[k])) for k in np.flatnonzero(~free)
    )
    return total + float(np.sum(balance * fixed) + np.sum(np.minimum(balance, 0.0) * curtailable))


def _peak_least(points: Floats, costs: Floats, charge: float) -> float:
    """Return the least of `charge peak + sum over steps of the least cost at powers up to the peak`.

    `points` and `costs` are `(kink, step)`, points ascending. The sum is piecewise linear in the peak, so
    its least value stands at a kink of some step, at 0 or at the least peak that is possible.
    """
    least = max(0.0, float(points[0].max()))
    candidates = np.unique(np.concatenate(([least], points[points > least])))
    best = np.inf
    for peak in candidates:
        reachable = np.where(points <= peak, costs, np.inf).min(axis=0)
        best = min(best, charge * peak + float(np.minimum(reachable, _cost_at(points, costs, float(peak))).sum()))
    return float(best)


def _cost_at(points: Floats, costs: Floats, at: float) -> Floats:
    """Interpolate every step's cost at one power; infinite where the power is beyond the last point."""
    right = np.clip((points < at).sum(axis=0), 1, len(points) - 1)
    steps = np.arange(points.shape[1])
    p0, p1, c0, c1 = points[right - 1, steps], points[right, steps], costs[right - 1, steps], costs[right, steps]
    inside = (at >= p0) & (at <= p1)
    weight = np.where(p1 > p0, (at - p0) / np.maximum(p1 - p0, 1e-300), 0.0)
    return np.where(inside, c0 + weight * (c1 - c0), np.inf)
