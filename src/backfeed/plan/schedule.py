"""The schedule: what the planner answers, and what a given plan costs.

`price_plan` turns powers into a schedule: it follows the energy path in one direction per step, within
the hard limits, and then prices it by the definitions of `backfeed.plan.problem`, naming every promise
and limit that is broken.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from backfeed.core.axis import TimeAxis
from backfeed.plan.lowered import Lowered, sum_cells
from backfeed.plan.problem import Bools, Floats, Ints, PlanProblem, inner

SLACK_MIN_KWH = 1e-6
"""Breaches below this are rounding and are priced, but not listed."""

ROUNDING_KWH = 1e-9
"""A solver's path may ask for this much more than a power limit allows in a step."""


@dataclass(frozen=True, slots=True)
class Slack:
    """One promise or limit that the plan breaks.

    `kind` is departure, reserve, import_limit, export_limit, commitment_up or commitment_down; `where` the
    vehicle or node; `amount_kwh` energy missing (for a reserve, at the end of the step) or beyond.
    """

    kind: str
    where: str
    step: int
    amount_kwh: float
    cost: float


@dataclass(frozen=True)
class Duals:
    """The prices that prove the bound: each is what one unit more of something costs the plan.

    Parameters
    ----------
    energy_per_kwh
        Value of a kWh in the battery during a step, flat.
    balance_per_kwh
        Cost of a kWh more of net power at a node, from the node and all above it, `(node, step)`.
    commitment_per_kwh
        Cost of a kWh more promised, `(commitment,)`.
    """

    energy_per_kwh: Floats
    balance_per_kwh: Floats
    commitment_per_kwh: Floats

    @classmethod
    def none(cls, lowered: Lowered) -> "Duals":
        """Return prices of 0, which prove little."""
        problem = lowered.problem
        return cls(
            np.zeros(len(lowered.row)), np.zeros_like(lowered.nodes.fixed_kw), np.zeros(len(problem.commitments))
        )

    def vehicle_price_per_kwh(self, problem: PlanProblem) -> Floats:
        """Return what a kWh more taken by a vehicle at a node costs beyond its own price, `(node, step)`."""
        promised, nodes = problem.commitments, problem.nodes
        if not len(promised):
            return self.balance_per_kwh.copy()
        promise = np.zeros_like(self.balance_per_kwh)
        sign = np.where(promised.up, 1.0, -1.0)
        np.add.at(promise, (promised.node, promised.step), sign * self.commitment_per_kwh)
        for level in nodes.levels[1:]:
            promise[level] += promise[nodes.parent[level]]
        return self.balance_per_kwh + promise


@dataclass(frozen=True)
class Schedule:
    """An answer: powers, energies, what it costs, how far from the best it may be.

    Parameters
    ----------
    axis, offsets, arrive_step
        The steps, and where each row's begin in the flat columns.
    power_flat_kw
        Power while connected [kW at the EVSE, charging positive], every step of every row.
    energy_flat_kwh
        Energy in the battery at the end of each of these steps.
    curtailed_kw
        PV curtailed, `(node, step)`.
    net_kw
        Net power of every node's subtree, `(node, step)`.
    price_per_kwh
        What a kWh more taken by a vehicle at a node costs beyond the vehicle's own price, `(node, step)`.
    duals
        The prices that prove the lower bound.
    objective, lower_bound
        Cost of this plan; cost below which no plan can be (-inf where none is known).
    """

    axis: TimeAxis
    offsets: Ints
    arrive_step: Ints
    power_flat_kw: Floats
    energy_flat_kwh: Floats
    curtailed_kw: Floats
    net_kw: Floats
    price_per_kwh: Floats
    duals: Duals
    objective: float
    lower_bound: float
    costs: dict[str, float]
    slacks: tuple[Slack, ...]
    method: str
    status: str = "optimal"
    iterations: int = 0

    @property
    def gap(self) -> float:
        """Relative gap between the objective and the lower bound."""
        return max(self.objective - self.lower_bound, 0.0) / max(abs(self.objective), abs(self.lower_bound), 1.0)

    def _dense(self, flat: Floats, absent: float) -> Floats:
        dense = np.full((len(self.offsets) - 1, self.axis.count), absent)
        lengths = np.diff(self.offsets)
        row = np.repeat(np.arange(len(lengths)), lengths)
        step = np.arange(len(flat)) - np.repeat(self.offsets[:-1] - self.arrive_step, lengths)
        dense[row, step] = flat
        return dense

    @cached_property
    def power_kw(self) -> Floats:
        """Power while connected, `(row, step)`, 0 outside the window."""
        return self._dense(self.power_flat_kw, 0.0)

    @cached_property
    def energy_kwh(self) -> Floats:
        """Energy at the end of every step, `(row, step)`, NaN outside the window."""
        return self._dense(self.energy_flat_kwh, np.nan)

    @cached_property
    def statistics(self) -> dict[str, float]:
        """How large the problem is, what it took, and what the plan leaves unused or breaks, by kind of slack [kWh]."""
        told: dict[str, float] = {
            "rows": len(self.arrive_step),
            "entries": len(self.power_flat_kw),
            "nodes": len(self.net_kw),
            "steps": self.axis.count,
            "iterations": self.iterations,
            "curtailed_kwh": self.axis.step_h * float(self.curtailed_kw.sum()),
        }
        for slack in self.slacks:
            name = f"{slack.kind}_kwh"
            told[name] = told.get(name, 0.0) + slack.amount_kwh
        return told

    @property
    def shortfall_kwh(self) -> float:
        """Energy missing at departures."""
        return sum(slack.amount_kwh for slack in self.slacks if slack.kind == "departure")


def net_energy_path(problem: PlanProblem, energy: Floats) -> tuple[Floats, Floats]:
    """Follow an energy path in one direction per step; return average powers and the energies reached.

    Where the path asks for more than a power limit allows, the limit holds and the path is caught up with
    as soon as it can be. Energies are kept within capacity and, in rows that are not drained, above empty.
    """
    w, row, step_h = problem.windows, problem.windows.row_of, problem.axis.step_h
    charge_max, discharge_max = _most_powers(problem)
    gain, loss = step_h * w.charge_efficiency[row], step_h / w.discharge_efficiency[row]
    low = np.where(w.keeps_above_empty, 0.0, -np.inf)
    wanted = np.clip(energy, low[row], w.energy_max_kwh[row])
    change = _changes(problem, wanted)
    too_much = np.any(change > gain * charge_max + ROUNDING_KWH)
    if too_much or np.any(change < -loss * discharge_max - ROUNDING_KWH):
        wanted, change = _follow_within_limits(problem, wanted, -loss * discharge_max, gain * charge_max)
    power = np.where(change >= 0, change / gain, change / loss)
    return np.clip(power, -discharge_max, charge_max, out=power), wanted


def _most_powers(problem: PlanProblem) -> tuple[Floats, Floats]:
    """Return the most that can be charged and discharged in every step of every row, on average over the step."""
    w, row, share = problem.windows, problem.windows.row_of, problem.hours / problem.axis.step_h
    return w.charge_max_kw[row] * share, w.discharge_max_kw[row] * share


def _changes(problem: PlanProblem, wanted: Floats) -> Floats:
    """Return what every step adds to the energy before it."""
    w = problem.windows
    start, linked = _starts(problem)
    before = np.empty_like(wanted)
    before[1:] = wanted[:-1]
    before[w.offsets[:-1]] = start
    before[w.offsets[:-1][linked]] += wanted[w.offsets[w.previous[linked] + 1] - 1]
    return np.subtract(wanted, before, out=before)


def _starts(problem: PlanProblem) -> tuple[Floats, Bools]:
    """Return every row's energy before its first step, apart from the row it goes on from, and whether there is one."""
    w = problem.windows
    linked = w.previous >= 0
    return np.where(linked, -w.drain_kwh, np.minimum(w.energy_arrival_kwh, w.energy_max_kwh)), linked


def _follow_within_limits(problem: PlanProblem, wanted: Floats, down: Floats, up: Floats) -> tuple[Floats, Floats]:
    """Follow a path step by step, all rows abreast; linked rows after the rows that they go on from."""
    w = problem.windows
    start, linked = _starts(problem)
    reached, change = wanted.copy(), np.zeros_like(wanted)
    for rows in _rows_in_link_order(w.previous):
        length = w.offsets[rows + 1] - w.offsets[rows]
        energy = start[rows].copy()
        onward = linked[rows]
        energy[onward] += reached[w.offsets[w.previous[rows[onward]] + 1] - 1]
        for k in range(int(length.max(initial=0))):
            going = length > k
            at = w.offsets[rows[going]] + k
            step = np.clip(wanted[at] - energy[going], down[at], up[at])
            energy[going] += step
            reached[at], change[at] = energy[going], step
    return reached, change


def _rows_in_link_order(previous: Ints) -> list[Ints]:
    """Group rows so that each stands after the row that it goes on from."""
    depth = np.zeros(len(previous), np.int64)
    above = previous.copy()
    while np.any(above >= 0):
        depth[above >= 0] += 1
        above = np.where(above >= 0, previous[above], -1)
    return [np.flatnonzero(depth == d) for d in range(int(depth.max(initial=-1)) + 1)]


def price_plan(
    problem: PlanProblem,
    energy: Floats,
    curtailed: Floats,
    duals: Duals,
    lower_bound: float,
    method: str,
    iterations: int = 0,
    status: str = "optimal",
) -> Schedule:
    """Return the schedule that follows an energy path, with its cost and its slacks.

    Parameters
    ----------
    problem
        The problem.
    energy
        Energies at the ends of steps to follow, flat [kWh].
    curtailed
        PV to curtail, `(node, step)` [kW].
    duals
        The prices that prove the bound.
    lower_bound, method, iterations, status
        Passed on into the schedule.
    """
    w, nodes, step_h = problem.windows, problem.nodes, problem.axis.step_h
    average, reached = net_energy_path(problem, energy)
    shape = nodes.base_load_kw.shape
    vehicles = sum_cells(w.node[w.row_of] * shape[1] + w.step_of, average, shape)
    curtailed = np.clip(curtailed, 0.0, np.where(nodes.metered[:, None], nodes.pv_kw, 0.0))
    net = nodes.sum_up(vehicles + nodes.base_load_kw - nodes.pv_kw + curtailed)
    costs, slacks = _vehicle_costs(problem, average, reached)
    node_costs, node_slacks = _node_costs(problem, net)
    promise_costs, promise_slacks = _commitment_costs(problem, vehicles)
    costs |= node_costs | promise_costs
    return Schedule(
        axis=problem.axis,
        offsets=w.offsets,
        arrive_step=w.arrive_step,
        power_flat_kw=average * (step_h / problem.hours),
        energy_flat_kwh=reached,
        curtailed_kw=curtailed,
        net_kw=net,
        price_per_kwh=duals.vehicle_price_per_kwh(problem),
        duals=duals,
        objective=float(sum(costs.values())),
        lower_bound=lower_bound,
        costs=costs,
        slacks=(*slacks, *node_slacks, *promise_slacks),
        method=method,
        status=status,
        iterations=iterations,
    )


def _vehicle_costs(problem: PlanProblem, average: Floats, energy: Floats) -> tuple[dict[str, float], list[Slack]]:
    """Price energy, wear, holding and the vehicles' broken promises."""
    w, step_h, penalties = problem.windows, problem.axis.step_h, problem.penalties
    row, step, last = w.row_of, w.step_of, w.offsets[1:] - 1
    hours = problem.hours
    zone = problem.nodes.zone[w.node[row]]
    price = np.where(average >= 0, problem.prices.buy_per_kwh[zone, step], problem.prices.sell_per_kwh[zone, step])
    price = np.where(problem.row_price_node[row] < 0, price, 0.0)
    discharged = np.maximum(-average, 0.0)
    below = np.maximum(w.energy_min_kwh[row] - energy, 0.0)
    missing = np.maximum(w.energy_target_kwh - energy[last], 0.0)
    above = np.maximum(energy[last] - np.minimum(w.energy_target_kwh, w.energy_max_kwh), 0.0)
    costs = {
        "vehicle_energy": step_h * inner(price, average),
        "wear": step_h * inner(w.wear_per_kwh[row], discharged),
        "hold": inner(w.hold_per_kwh_h[row] * hours, energy),
        "energy_value": -inner(w.energy_value_per_kwh, above),
        "reserve": penalties.reserve_per_kwh_h * inner(hours, below),
        "departure": inner(problem.missing_per_kwh, missing),
    }
    slacks = [
        Slack(
            "reserve",
            w.vehicle[row[j]],
            int(step[j]),
            float(below[j]),
            float(below[j] * hours[j]) * penalties.reserve_per_kwh_h,
        )
        for j in np.flatnonzero(below > SLACK_MIN_KWH)
    ]
    slacks += [
        Slack(
            "departure",
            w.vehicle[i],
            int(w.depart_step[i]) - 1,
            float(missing[i]),
            float(missing[i] * problem.missing_per_kwh[i]),
        )
        for i in np.flatnonzero(missing > SLACK_MIN_KWH)
    ]
    return costs, slacks


def _node_costs(problem: PlanProblem, net: Floats) -> tuple[dict[str, float], list[Slack]]:
    """Price metered energy, peaks and limits that are broken."""
    nodes, step_h, limit = problem.nodes, problem.axis.step_h, problem.penalties.limit_per_kwh
    imported = np.maximum(net, 0.0)
    costs = {"peak": inner(nodes.peak_charge_per_kw, imported.max(axis=1, initial=0.0))}
    costs["node_energy"] = 0.0
    if nodes.metered.any():
        buy = problem.prices.buy_per_kwh[nodes.zone]
        sell = problem.prices.sell_per_kwh[nodes.zone]
        cost = np.where(net >= 0, buy, sell) * net
        costs["node_energy"] = step_h * float(cost[nodes.metered].sum())
    slacks = []
    total = 0.0
    for kind, beyond_kw in (
        ("import_limit", net - nodes.import_limit_kw),
        ("export_limit", -net - nodes.export_limit_kw),
    ):
        beyond = step_h * np.maximum(beyond_kw, 0.0)
        total += limit * float(beyond.sum())
        slacks += [
            Slack(kind, nodes.node[k], int(t), float(beyond[k, t]), limit * float(beyond[k, t]))
            for k, t in np.argwhere(beyond > SLACK_MIN_KWH)
        ]
    costs["limits"] = total
    return costs, slacks


def _commitment_costs(problem: PlanProblem, vehicles: Floats) -> tuple[dict[str, float], list[Slack]]:
    """Price what is missing to the commitments."""
    promised, step_h = problem.commitments, problem.axis.step_h
    if not len(promised):
        return {"commitments": 0.0}, []
    power = problem.nodes.sum_up(vehicles)[promised.node, promised.step]
    given = np.where(promised.up, -power, power)
    short = step_h * np.maximum(promised.power_kw - given, 0.0)
    cost = promised.shortfall_per_kwh * short
    slacks = [
        Slack(
            "commitment_up" if promised.up[q] else "commitment_down",
            problem.nodes.node[promised.node[q]],
            int(promised.step[q]),
            float(short[q]),
            float(cost[q]),
        )
        for q in np.flatnonzero(short > SLACK_MIN_KWH)
    ]
    return {"commitments": float(cost.sum())}, slacks
