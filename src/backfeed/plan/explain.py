"""Why a car does what it does in a step: the limit, price or promise that made it so, in words and numbers.

The plan's prices hold the answer. A kWh in the battery is worth `y`; charging one costs the price of energy plus
what the nodes above ask, over the efficiency; giving one earns the price of energy plus what the nodes pay, less
wear. The car charges where the first is below `y`, gives where the second is above it, and else rests.

`y` itself has a reason in another step. It stays the same, but for the cost of holding energy, until the battery is
full or at its reserve, or the car leaves. In that span of steps either the car trades at its margin, and then `y` is
what it pays or earns there, or the promise at the span's end makes it: the target of a departure, a drive.
"""

from dataclasses import dataclass

import numpy as np

from backfeed.plan.problem import PlanProblem
from backfeed.plan.schedule import Schedule

NEAR = 1e-6
"""Quantities nearer than this to a limit stand at it."""

SAME = 1e-3
"""Values of energy whose difference is below this share of them are one: plans are solved to a gap."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: `kind` names what it is, `amount` its number in `unit`, `words` tell it to a person."""

    kind: str
    amount: float
    unit: str
    words: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a car does in a step, and why; the first reason weighs most."""

    power_kw: float
    energy_kwh: float
    reasons: tuple[Reason, ...]

    def __str__(self) -> str:
        """Return the explanation as sentences."""
        return " ".join(reason.words for reason in self.reasons)


def explain(problem: PlanProblem, schedule: Schedule, row: int, step: int) -> Explanation:
    """Explain a row's power in a step.

    Parameters
    ----------
    problem, schedule
        The problem and its plan.
    row, step
        The row of the table, counted from 0, and a step within its window.

    Raises
    ------
    IndexError
        If the row is not connected in the step.
    """
    w = problem.windows
    if not w.arrive_step[row] <= step < w.depart_step[row]:
        message = f"{w.vehicle[row]} is not connected in step {step}"
        raise IndexError(message)
    at = int(w.offsets[row] + step - w.arrive_step[row])
    power, energy = float(schedule.power_flat_kw[at]), float(schedule.energy_flat_kwh[at])
    reasons = [_trade(problem, schedule, row, step, at), _worth(problem, schedule, row, step, at)]
    reasons += _own_limits(problem, row, step, power, energy)
    reasons += _tree(problem, schedule, row, step)
    return Explanation(power, energy, tuple(reasons))


def _trade(problem: PlanProblem, schedule: Schedule, row: int, step: int, at: int) -> Reason:
    """Weigh the value of stored energy against what it costs to charge and what it earns to give."""
    value = float(schedule.duals.energy_per_kwh[at])
    charge, give = _margins(problem, schedule, row, step)
    power = float(schedule.power_flat_kw[at])
    did = "charges" if power > NEAR else ("gives" if power < -NEAR else "rests")
    words = (
        f"It {did}: a stored kWh is worth {value:.4f}; charging one costs {charge:.4f}, giving one earns {give:.4f} "
        "after losses and wear."
    )
    return Reason("trade", value, "currency/kWh", words)


def _margins(problem: PlanProblem, schedule: Schedule, row: int, step: int) -> tuple[float, float]:
    """Return what a stored kWh costs by charging in a step, and what it earns given [currency/kWh]."""
    w, node = problem.windows, int(problem.windows.node[row])
    own = problem.row_price_node[row] < 0
    zone = problem.nodes.zone[node]
    asked = float(schedule.price_per_kwh[node, step])
    buy = (float(problem.prices.buy_per_kwh[zone, step]) if own else 0.0) + asked
    sell = (float(problem.prices.sell_per_kwh[zone, step]) if own else 0.0) + asked
    give = (sell - float(w.wear_per_kwh[row])) * float(w.discharge_efficiency[row])
    return buy / float(w.charge_efficiency[row]), give


def _worth(problem: PlanProblem, schedule: Schedule, row: int, step: int, at: int) -> Reason:
    """Tell where the worth of a stored kWh comes from: a trade at the margin, or the promise at the end of its span."""
    w, value = problem.windows, schedule.duals.energy_per_kwh
    begin, end = int(w.offsets[row]), int(w.offsets[row + 1])
    hold = float(w.hold_per_kwh_h[row]) * problem.axis.step_h
    same = SAME * max(abs(float(value[at])), 1e-2)
    first, last = at, at
    while first > begin and abs(value[first] - value[first - 1] - hold) <= same:
        first -= 1
    while last + 1 < end and abs(value[last + 1] - value[last] - hold) <= same:
        last += 1
    for other in sorted(range(first, last + 1), key=lambda k: (abs(k - at), k)):
        there = step + other - at
        power, worth = float(schedule.power_flat_kw[other]), float(value[other])
        trades = zip(("charging one costs", "giving one earns"), (power > NEAR, power < -NEAR), strict=True)
        for (name, is_trading), price in zip(trades, _margins(problem, schedule, row, there), strict=True):
            if is_trading and abs(price - worth) <= same:
                words = f"That is what {name} in step {there}, where it does so at its margin: {price:.4f}."
                return Reason("margin", price, "currency/kWh", words)
    return _promise_at(problem, schedule, row, step + last - at, last)


def _promise_at(problem: PlanProblem, schedule: Schedule, row: int, step: int, at: int) -> Reason:
    """Name what a stored kWh is kept for, or held back by, at the end of a span."""
    w, energy = problem.windows, float(schedule.energy_flat_kwh[at])
    target = float(w.energy_target_kwh[row])
    if energy >= w.energy_max_kwh[row] - NEAR:
        return Reason("capacity", energy, "kWh", f"The battery is full at the end of step {step}: no more can be kept.")
    if step == w.depart_step[row] - 1:
        if energy < target + SAME:
            price, missing = float(problem.missing_per_kwh[row]), max(target - energy, 0.0)
            words = (
                f"It is kept for the departure after step {step}: {target:.2f} kWh, each missing one costs {price:.4f}"
            )
            return Reason("departure", target, "kWh", f"{words}; {missing:.2f} are missing.")
        if np.any(w.previous == row):
            return Reason(
                "drive", energy, "kWh", f"It is kept for the drive after step {step} and the stay that follows."
            )
        price = float(w.energy_value_per_kwh[row])
        return Reason(
            "energy_value", price, "currency/kWh", f"It leaves after step {step}, where a kWh counts {price:.4f}."
        )
    if energy <= w.energy_min_kwh[row] + NEAR:
        return Reason("reserve", energy, "kWh", f"The battery is at its reserve at the end of step {step}.")
    return Reason(
        "margin", 0.0, "currency/kWh", "No single step sets that worth: several trades are near their margins."
    )


def _own_limits(problem: PlanProblem, row: int, step: int, power: float, energy: float) -> list[Reason]:
    """Name the car's own limits and promises that the plan stands at or misses."""
    w = problem.windows
    limits = [
        ("charge_limit", float(w.charge_max_kw[row]), power, "kW", "It charges at its full {:.2f} kW."),
        ("discharge_limit", float(w.discharge_max_kw[row]), -power, "kW", "It gives its full {:.2f} kW."),
        ("capacity", float(w.energy_max_kwh[row]), energy, "kWh", "It is full at {:.2f} kWh."),
    ]
    reasons = [
        Reason(kind, limit, unit, words.format(limit))
        for kind, limit, now, unit, words in limits
        if limit > 0 and now > limit - NEAR
    ]
    floor, target = float(w.energy_min_kwh[row]), float(w.energy_target_kwh[row])
    if energy < floor + NEAR:
        kind, words = ("reserve", f"It stands at its reserve of {floor:.2f} kWh.")
        if energy < floor - NEAR:
            words = f"It is {floor - energy:.2f} kWh below its reserve of {floor:.2f} kWh."
        reasons.append(Reason(kind, floor, "kWh", words))
    if step == w.depart_step[row] - 1 and energy < target + NEAR:
        words = f"It leaves with just its target of {target:.2f} kWh."
        if energy < target - NEAR:
            words = f"It leaves {target - energy:.2f} kWh short of its target of {target:.2f} kWh."
        reasons.append(Reason("departure", target, "kWh", words))
    return reasons


def _tree(problem: PlanProblem, schedule: Schedule, row: int, step: int) -> list[Reason]:
    """Name the nodes from the car to the root whose own terms change the price, and by how much."""
    nodes, reasons = problem.nodes, []
    node = int(problem.windows.node[row])
    while node >= 0:
        above = int(nodes.parent[node])
        price = float(schedule.price_per_kwh[node, step])
        change = price - (float(schedule.price_per_kwh[above, step]) if above >= 0 else 0.0)
        if abs(change) > NEAR:
            reasons.append(_node_reason(problem, schedule, node, step, change))
        node = above
    return reasons


def _node_reason(problem: PlanProblem, schedule: Schedule, node: int, step: int, change: float) -> Reason:
    """Tell which of a node's terms stands behind its price."""
    nodes, net = problem.nodes, float(schedule.net_kw[node, step])
    name, near = nodes.node[node], NEAR + 1e-4 * abs(net)
    kind, what = "price", "its terms"
    if net > float(nodes.import_limit_kw[node, step]) - near:
        kind, what = "import_limit", f"its import limit of {nodes.import_limit_kw[node, step]:.2f} kW"
    elif net < -float(nodes.export_limit_kw[node, step]) + near:
        kind, what = "export_limit", f"its export limit of {nodes.export_limit_kw[node, step]:.2f} kW"
    elif nodes.peak_charge_per_kw[node] > 0 and net > float(schedule.net_kw[node].max()) - near:
        kind, what = "peak", f"its peak of {net:.2f} kW, charged at {nodes.peak_charge_per_kw[node]:.2f} per kW"
    elif promises := _promises(problem, node, step):
        kind, what = "commitment", promises
    elif nodes.metered[node]:
        kind, what = "meter", f"its meter, at {net:.2f} kW"
    words = f"{name} asks {change:+.4f} per kWh for {what}."
    return Reason(kind, change, "currency/kWh", words)


def _promises(problem: PlanProblem, node: int, step: int) -> str:
    """Tell what has been promised for a node and a step, "" if nothing has."""
    c = problem.commitments
    told = [
        f"{'at least' if c.up[k] else 'at most'} {c.power_kw[k] if c.up[k] else -c.power_kw[k]:.2f} kW of injection "
        f"(a missing kWh costs {c.shortfall_per_kwh[k]:.4f})"
        for k in np.flatnonzero((c.node == node) & (c.step == step))
    ]
    return f"the promise of {' and of '.join(told)}" if told else ""
