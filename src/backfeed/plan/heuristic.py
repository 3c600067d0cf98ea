"""A feasible plan in milliseconds, without a solver: what stands in when everything else fails.

1. Every row charges at once, as fast as it may, until it holds its floor and its target, skipping steps
   at which a node above it has no import left. Rows that leave first choose first; within its window a row
   takes the cheapest steps, unless it is below its floor, then the earliest.
2. Nothing is discharged: a fallback must not spend what it can not give back.

Limits are kept as long as keeping them breaks no promise to a driver... they are elastic, and so are the
promises: whatever remains undone is a slack with its price. No bound comes with it.
"""

import numpy as np

from backfeed.plan.lowered import Lowered
from backfeed.plan.problem import Floats


def plan_by_rule(lowered: Lowered) -> Floats:
    """Return energies at the ends of steps [kWh, flat] of a plan within all limits where that is possible."""
    problem, w = lowered.problem, lowered.problem.windows
    nodes, step_h = problem.nodes, problem.axis.step_h
    fixed = nodes.sum_up(lowered.nodes.fixed_kw)
    room = np.maximum(nodes.import_limit_kw - fixed, 0.0)
    buy = problem.prices.buy_per_kwh
    paths = _paths_to_root(nodes.parent)
    energy = np.zeros(len(lowered.row))
    for row in _in_order(lowered):
        start, stop = int(w.offsets[row]), int(w.offsets[row + 1])
        above = paths[int(w.node[row])]
        steps = lowered.step[start:stop]
        arrival = float(lowered.energy_start[row])
        if w.previous[row] >= 0:
            arrival += float(energy[w.offsets[w.previous[row] + 1] - 1])
        limit = np.minimum(lowered.charge_max[start:stop], room[np.ix_(above, steps)].min(axis=0))
        price = buy[nodes.zone[w.node[row]], steps]
        gain = step_h * float(w.charge_efficiency[row])
        capacity = float(w.energy_max_kwh[row])
        power = np.zeros(stop - start)
        floor = min(float(w.energy_min_kwh[row]), capacity)
        _fill(power, limit, np.arange(stop - start), (floor - arrival) / gain)
        target = min(max(float(w.energy_target_kwh[row]), floor), capacity)
        _fill(power, limit, np.argsort(price, kind="stable"), (target - arrival) / gain - power.sum())
        room[np.ix_(above, steps)] -= power
        energy[start:stop] = arrival + gain * np.cumsum(power)
    return energy


def _fill(power: Floats, limit: Floats, order: np.ndarray, needed: float) -> None:
    """Raise `power` towards `limit` in an order of steps, until `needed` (kW summed over steps) is placed."""
    for t in order:
        if needed <= 0:
            return
        more = min(max(float(limit[t] - power[t]), 0.0), needed)
        power[t] += more
        needed -= more


def _in_order(lowered: Lowered) -> list[int]:
    """Rows by departure, each after the row that it goes on from."""
    w = lowered.problem.windows
    return [int(row) for row in np.lexsort((np.arange(len(w)), w.depart_step))]


def _paths_to_root(parent: np.ndarray) -> list[np.ndarray]:
    """Return every node's ancestors, itself first."""
    paths = []
    for k in range(len(parent)):
        path = [k]
        while parent[path[-1]] >= 0:
            path.append(int(parent[path[-1]]))
        paths.append(np.array(path))
    return paths
