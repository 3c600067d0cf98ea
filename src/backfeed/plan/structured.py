"""The structured route: interior point, certificate and repair, put together.

Iterates until the plan repaired from them is proven to be within the gap of the bound from their prices. Where plans
lose by running one way what the relaxation does not, further runs look for better plans (`plan/turns.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from backfeed.plan.certificate import lower_bound, values_of_energy, worth_of_limits
from backfeed.plan.compiled import first_call
from backfeed.plan.curtailing import share_with_homes, spare_at_homes
from backfeed.plan.interior import ITERATIONS_MAX, InteriorPoint
from backfeed.plan.layout import Layout, lay_out, to_table
from backfeed.plan.magnitude import in_kilowatts, in_unit, unit_of_power
from backfeed.plan.node import SHARE
from backfeed.plan.pace import CONVERGED, ENOUGH, LOOK
from backfeed.plan.problem import Bools, Floats, PlanProblem
from backfeed.plan.repair import Repaired, repaired
from backfeed.plan.schedule import Duals, Schedule, price_plan
from backfeed.plan.tree import hand_down
from backfeed.plan.turns import in_turns
from backfeed.plan.unfolding import (
    NOTHING,
    balance_at_nodes,
    burning_homes,
    dearer_nodes,
    limits_missed,
    worth_of_bounds,
    worth_of_curtailing,
)

TURNS_MAX = 3
WORTHWHILE = 0.05
"""Turns are taken anew, from the best plan so far, while that closes this share of the gap."""

KINK_KW = 1e-6
"""A net power this near to a kink stands at it."""


@dataclass
class _Best:
    """The best plan and the best bound so far, the prices that prove it, and what the last look found.

    `worth` is what the bounds of rows were worth last, `less` what they added (`unfolding.worth_of_bounds`).
    """

    schedule: Schedule | None = None
    last: Schedule | None = None
    worth: Floats = field(default_factory=lambda: np.zeros(0))
    less: Floats = field(default_factory=lambda: np.zeros(0))
    bound: float = -np.inf
    duals: Duals = field(default_factory=lambda: Duals(*np.zeros((3, 0))))

    def gap(self, cost_min: float) -> float:
        """Return the plan's gap, relative to `cost_min` at least."""
        if self.schedule is None:
            return np.inf
        objective, bound = self.schedule.objective, self.schedule.lower_bound
        return max(objective - bound, 0.0) / max(abs(objective), abs(bound), cost_min)


@dataclass(frozen=True)
class _Asked:
    """What is asked of a solution: see `solve_structured`. Gaps are relative to `cost_min` at least."""

    gap: float
    iteration_limit: int
    threads: int
    stop: Callable[[], bool] | None
    cost_min: float

    def is_proven(self, best: _Best) -> bool:
        """Return whether the gap is."""
        return best.gap(self.cost_min) <= self.gap

    def is_enough(self, iterations: int) -> bool:
        """Return whether there have been as many iterations as there may be, or somebody wants what there is."""
        return iterations >= self.iteration_limit or (self.stop is not None and self.stop())


def solve_structured(
    problem: PlanProblem,
    gap: float,
    iteration_limit: int | None = None,
    threads: int = 1,
    stop: Callable[[], bool] | None = None,
) -> Schedule:
    """Solve a valid problem.

    Parameters
    ----------
    problem
        The problem.
    gap
        Relative gap to prove.
    iteration_limit
        Where to stop without it.
    threads
        How many threads to use; the schedule does not depend on it.
    stop
        Asked before every iteration whether to return what there is.

    Raises
    ------
    NotStructuredError
        If the problem has a coupling that the tree can not carry.
    """
    unit_kw = unit_of_power(problem)
    asked = _Asked(gap, ITERATIONS_MAX if iteration_limit is None else iteration_limit, threads, stop, 1.0 / unit_kw)
    layout = lay_out(in_unit(problem, unit_kw))
    with first_call("the planner", Path(__file__).parent):
        return in_kilowatts(problem, _solve(layout, asked), unit_kw)


def _solve(layout: Layout, asked: _Asked) -> Schedule:
    """Iterate until the gap is proven; where folded nodes keep it from that, hold them and begin again.

    Where running one way leaves the gap open, look for a better plan by turns.
    """
    best, iterations = _Best(), 0
    held = np.zeros(len(layout.problem.nodes), np.bool_)

    def prove(now: InteriorPoint) -> None:
        value = values_of_energy(now)
        best.worth, best.less = worth_of_bounds(now.layout, now.price, value)
        bound = lower_bound(now, best.worth, best.less)
        if bound > best.bound or best.schedule is None:
            best.bound, best.duals = bound, _duals(now, value, best.worth)
        _keep(now, best, iterations + now.iteration)

    while True:
        point = InteriorPoint(layout, asked.threads, cost_min=asked.cost_min)
        _iterate(point, best, prove, asked, iterations)
        iterations += point.iteration
        assert best.schedule is not None
        more = _to_hold(point, best, asked) & ~held
        if not more.any() or asked.is_enough(iterations):
            break
        held |= more
        layout = lay_out(layout.problem, held)
    if not asked.is_proven(best):
        _take_turns(point, best, asked, iterations)
    return best.schedule


def _to_hold(point: InteriorPoint, best: _Best, asked: _Asked) -> Bools:
    """Return the nodes that folding can not do without, or limits that are broken."""
    assert best.last is not None
    layout = point.layout
    missed = limits_missed(layout, best.last)
    if asked.is_proven(best):
        return missed
    missed |= dearer_nodes(layout, best.less) | burning_homes(layout, best.last)
    missed |= worth_of_curtailing(layout, point.price, best.worth) < -NOTHING
    missed[layout.node_of[(worth_of_limits(point) < -NOTHING) & (layout.node_of >= 0)]] = True
    return missed


def _take_turns(point: InteriorPoint, best: _Best, asked: _Asked, iterations: int) -> None:
    """Look for better plans by turns, from the relaxation's iterates and then from the best plan."""
    plan: Schedule | None = None
    for _ in range(TURNS_MAX):
        assert best.schedule is not None
        before = best.schedule.objective
        if asked.is_proven(best) or asked.is_enough(iterations):
            break
        layout_in_turns = in_turns(point, plan)
        if layout_in_turns is None:
            break

        def take(now: InteriorPoint, earlier: int = iterations) -> None:
            _keep(now, best, earlier + now.iteration)

        turned = InteriorPoint(layout_in_turns, asked.threads, cost_min=asked.cost_min)
        _iterate(turned, best, take, asked, iterations)
        iterations += turned.iteration
        if plan is not None and before - best.schedule.objective < WORTHWHILE * (before - best.bound):
            break
        plan = best.schedule


def _iterate(
    point: InteriorPoint, best: _Best, look: Callable[[InteriorPoint], None], asked: _Asked, earlier: int
) -> None:
    """Iterate, and look at the iterates, until the gap is proven or rounding is all that is left.

    Where nothing runs both ways and no node must be held, what complementarity no longer tells of the gap is what plans
    lose by keeping limits to the last digit, and more digits close it.
    """
    looked, gap = np.inf, asked.gap
    while True:
        if point.pursue(gap, looked, asked.iteration_limit - earlier, asked.stop) == LOOK:
            looked = point.progress.products
            look(point)
            if asked.is_proven(best):
                return
        elif gap < CONVERGED or _is_all(point, best, asked, earlier):
            break
        else:
            gap *= ENOUGH
    if best.schedule is None or np.isfinite(point.progress.products):
        look(point)


def _is_all(point: InteriorPoint, best: _Best, asked: _Asked, earlier: int) -> bool:
    """Return whether more digits are of no use: rounding is all that moves, or what keeps the gap open is known."""
    if point.stalled or asked.is_enough(earlier + point.iteration) or in_turns(point) is not None:
        return True
    return best.last is not None and bool(_to_hold(point, best, asked).any())


def _keep(point: InteriorPoint, best: _Best, iteration: int) -> None:
    """Repair the iterates and price the plan; keep the better one."""
    layout, plan = point.layout, repaired(point)
    energy = to_table(layout, plan.energy)
    schedule = price_plan(
        layout.problem,
        energy,
        _curtailed_at(layout, plan, energy),
        best.duals,
        best.bound,
        "structured",
        iteration,
    )
    best.last = schedule
    if best.schedule is None or schedule.objective <= best.schedule.objective:
        best.schedule = schedule
    else:
        best.schedule = replace(
            best.schedule, lower_bound=best.bound, duals=best.duals, price_per_kwh=schedule.price_per_kwh
        )


def _curtailed_at(layout: Layout, plan: Repaired, energy: Floats) -> Floats:
    """Return a plan's curtailed PV at the table's nodes; `energy` is that of the table's entries."""
    total, homes = np.zeros_like(layout.problem.nodes.pv_kw), layout.folding.homes
    if plan.curtailed.any():
        kept = layout.node_of >= 0
        total[np.ix_(layout.node_of[kept], layout.steps)] = plan.curtailed[kept]
    if len(homes.node):
        share_with_homes(homes, total)
        spare_at_homes(layout.problem, homes, (energy, to_table(layout, plan.spared)), total)
    return total


def _duals(point: InteriorPoint, value: Floats, worth: Floats) -> Duals:
    """Return the prices that prove the bound, at the table's nodes; `value` of energy, and what bounds are worth."""
    layout = point.layout
    step_h, price = layout.problem.axis.step_h, point.price
    peak_share = np.zeros_like(price)
    peak_share[point.nodes.charged >= 0, : point.count] = point.nodes.heads[:, SHARE]
    promise = _promise_prices(layout, price, peak_share)
    shares = peak_share[:, : point.count], _of_promises(layout, promise)
    balance = balance_at_nodes(layout, price[:, : point.count], shares, worth)
    return Duals(value, balance / step_h, promise / step_h)


def _of_promises(layout: Layout, promise: Floats) -> Floats:
    """Return what of kept nodes' prices is due to the promises at them and above, `(kept node, step)`."""
    promised, forest, columns = layout.problem.commitments, layout.forest, layout.pieces.promise_column
    own = np.zeros_like(layout.pieces.low_kw)
    np.add.at(own, (layout.holder[promised.node], columns), np.where(promised.up, 1.0, -1.0) * promise)
    if len(promised):
        hand_down(forest.upwards, forest.parent, own)
    return own[:, : len(layout.steps)]


def _promise_prices(layout: Layout, price: Floats, peak_share: Floats) -> Floats:
    """Split the step of a price at a node with promises among them [currency/kW and step].

    At the net power that the price asks for, what meter, limits and peak do not account for belongs to the promises
    whose kink stands there; those that are missed cost their shortfall, those that are exceeded nothing.
    """
    problem, curve, pieces = layout.problem, layout.curve, layout.pieces
    promised, step_h = problem.commitments, problem.axis.step_h
    shares = np.zeros(len(promised))
    fixed, count = curve.fixed_below_kw, len(layout.steps)
    cells: dict[tuple[int, int], list[int]] = {}
    for q in range(len(promised)):
        cells.setdefault((int(promised.node[q]), int(pieces.promise_column[q])), []).append(q)
    for (node, column), members in cells.items():
        k = layout.holder[node]
        above = layout.forest.parent[k]
        asked = price[k, column] - (price[above, column] if above >= 0 else 0.0) - peak_share[k, column]
        own = slice(pieces.piece_ptr[k], pieces.piece_ptr[k + 1])
        power = pieces.low_kw[k, column] + pieces.width_kw[own, column][pieces.slope[own, column] < asked].sum()
        rest, vehicles = asked, power
        if column < count:  # of the net power
            step = layout.steps[column]
            rest, vehicles = asked - _slope_without_promises(layout, node, step, power), power - fixed[node, step]
        bent = []
        for q in members:
            sign, cost = (1.0 if promised.up[q] else -1.0), float(step_h * promised.shortfall_per_kwh[q])
            missing = promised.power_kw[q] + sign * vehicles
            if abs(missing) <= KINK_KW:
                bent.append((q, sign, cost))
            elif missing > 0:
                shares[q] = cost
                rest -= sign * cost
        for q, sign, cost in bent:
            shares[q] = min(max(sign * rest, 0.0), cost)
            rest -= sign * shares[q]
    return shares


def _slope_without_promises(layout: Layout, node: int, step: int, net: float) -> float:
    """Return a slope of meter and limits at a node's net power: at a kink, the one nearest to 0."""
    nodes, curve = layout.problem.nodes, layout.curve
    slope = curve.import_cost[node, step] if net >= 0 else curve.export_cost[node, step]
    if net > nodes.import_limit_kw[node, step] + KINK_KW:
        slope += curve.over_rise[node, step]
    if net < -nodes.export_limit_kw[node, step] - KINK_KW:
        slope -= curve.beyond_rise[node, step]
    return float(slope)
