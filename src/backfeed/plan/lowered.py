"""The problem lowered to arrays that the solvers share: every law a piecewise linear curve.

Flat columns run over (row, step), row by row. Powers are averages over a step, so that a partial step
is only a smaller limit. Money is per kW and step, or per kWh.

The battery's energy at the end of a step costs a convex curve with at most three pieces. It is told
from a reference, the level below which a promise is broken:

    e = reference + up - down - deep,   0 <= up <= up_width,  0 <= down <= down_width,  0 <= deep <= deep_width

where `up` costs holding (less the value of energy at departure), `down` misses the nearer promise and
`deep` misses both the target and the floor. Because the curve is convex, the pieces fill in order.

A metered node's net power `n` costs `buy max(n, 0) + sell min(n, 0)`. Where sell exceeds buy that is
concave; `import_cost` and `export_cost` then both hold the slope of its convex hull, and `hull_constant`
what the hull adds. The hull goes from one limit to the other, beyond which the true cost goes on: breaking
a limit costs more than selling above buying earns. Where it does not, it goes as far as the node can reach.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backfeed.plan.problem import Bools, Floats, Ints, PlanProblem, inner

REACH_TOLERANCE_KW = 1e-9
"""A limit that the sum of all powers exceeds by less than this can not bind."""

LEVEL = 1e-9
"""Prices that differ by no more than this share are one: a meter's bound is below it then by no more."""


@dataclass(frozen=True)
class EnergyCurve:
    """What the energy at the end of every step costs; flat columns [kWh] and [currency/kWh]."""

    reference_kwh: Floats
    up_width: Floats
    up_cost: Floats
    down_width: Floats
    down_cost: Floats
    deep_width: Floats
    deep_cost: Floats
    constant: float


@dataclass(frozen=True)
class NodeCurve:
    """What the net power of every node costs, and what it can reach; `(node, step)` [kW] and [currency/kW].

    `fixed_kw` is the node's own base load less PV, `fixed_below_kw` that of its subtree; `curtail_max_kw` what of
    the PV may be curtailed, at `curtail_cost`; `reach_*_kw` the least and the greatest net power of the subtree,
    `hull_*_kw` the ends of the hull where prices are inverted, `within_limits` where these are limits, or nearer;
    `over_rise` and `beyond_rise` are by how much the slope rises over the import limit and falls beyond the export
    limit.
    """

    fixed_kw: Floats
    fixed_below_kw: Floats
    curtail_max_kw: Floats
    curtail_cost: Floats
    reach_low_kw: Floats
    reach_high_kw: Floats
    import_cost: Floats
    export_cost: Floats
    inverted: Bools
    within_limits: Bools
    hull_low_kw: Floats
    hull_high_kw: Floats
    hull_constant: float
    over_rise: Floats
    beyond_rise: Floats


@dataclass(frozen=True)
class Lowered:
    """A problem as flat columns and node matrices."""

    problem: PlanProblem
    row: Ints
    step: Ints
    node: Ints
    hours: Floats
    charge_max: Floats
    discharge_max: Floats
    charge_cost: Floats
    discharge_cost: Floats
    charge_gain: Floats
    discharge_loss: Floats
    energy_start: Floats
    energy: EnergyCurve
    nodes: NodeCurve

    @property
    def constant(self) -> float:
        """What the plan costs whatever is decided, apart from the arrival's own terms."""
        return self.energy.constant + self.nodes.hull_constant


def sum_cells(cell: Ints, values: Floats, shape: tuple[int, ...]) -> Floats:
    """Sum flat values into the (node, step) cells that they belong to."""
    size = int(np.prod(shape))
    return np.bincount(cell, weights=values, minlength=size).astype(np.float64).reshape(shape)


def lower(problem: PlanProblem) -> Lowered:
    """Lower a valid problem."""
    w, step_h = problem.windows, problem.axis.step_h
    row, step = w.row_of, w.step_of
    node, hours = w.node[row], problem.hours
    share = hours / step_h
    charge_max, discharge_max = w.charge_max_kw[row] * share, w.discharge_max_kw[row] * share
    shape = problem.nodes.base_load_kw.shape
    cell = node * shape[1] + step
    zone, own_price = problem.nodes.zone[node], problem.row_price_node[row] < 0
    buy = np.where(own_price, problem.prices.buy_per_kwh[zone, step], 0.0)
    sell = np.where(own_price, problem.prices.sell_per_kwh[zone, step], 0.0)
    return Lowered(
        problem=problem,
        row=row,
        step=step,
        node=node,
        hours=hours,
        charge_max=charge_max,
        discharge_max=discharge_max,
        charge_cost=step_h * buy,
        discharge_cost=step_h * (w.wear_per_kwh[row] - sell),
        charge_gain=step_h * w.charge_efficiency,
        discharge_loss=step_h / w.discharge_efficiency,
        energy_start=np.where(w.previous < 0, np.minimum(w.energy_arrival_kwh, w.energy_max_kwh), -w.drain_kwh),
        energy=_energy_curve(problem, row, hours),
        nodes=node_curve(
            problem, sum_cells(cell, charge_max, shape), sum_cells(cell, discharge_max, shape), problem.nodes.sum_up
        ),
    )


def _energy_curve(problem: PlanProblem, row: Ints, hours: Floats) -> EnergyCurve:
    """Return the curve of every step: the floor everywhere, the target in the last."""
    w, penalties = problem.windows, problem.penalties
    hold = w.hold_per_kwh_h[row] * hours
    floor, capacity = w.energy_min_kwh[row], w.energy_max_kwh[row]
    empty = np.where(w.keeps_above_empty[row], floor, np.inf)  # how far below the floor is empty
    reference, up_cost = floor.copy(), hold.copy()
    down_width, down_cost = empty.copy(), penalties.reserve_per_kwh_h * hours - hold
    deep_width, deep_cost = np.zeros_like(hold), np.zeros_like(hold)

    last = w.offsets[1:] - 1
    target = np.minimum(w.energy_target_kwh, w.energy_max_kwh)
    value = w.energy_value_per_kwh
    departure = problem.missing_per_kwh
    reserve_last = down_cost[last] + hold[last]
    above = target > w.energy_min_kwh  # the target is the nearer promise, else the floor is
    gap = np.abs(target - w.energy_min_kwh)
    reference[last] = np.maximum(target, w.energy_min_kwh)
    up_cost[last] -= value
    down_width[last] = np.where(above, gap, np.minimum(gap, empty[last]))
    down_cost[last] = np.where(above, departure, reserve_last + value) - hold[last]
    deep_width[last] = np.where(above, empty[last], np.maximum(empty[last] - gap, 0.0))
    deep_cost[last] = departure + reserve_last - hold[last]
    missed = w.energy_target_kwh - target
    constant = inner(hold, reference) + inner(departure, missed)
    constant -= inner(value, reference[last] - target)
    return EnergyCurve(
        reference_kwh=reference,
        up_width=np.maximum(capacity - reference, 0.0),
        up_cost=up_cost,
        down_width=down_width,
        down_cost=down_cost,
        deep_width=deep_width,
        deep_cost=deep_cost,
        constant=constant,
    )


def node_curve(
    problem: PlanProblem, charge_kw: Floats, discharge_kw: Floats, sum_up: Callable[[Floats], Floats]
) -> NodeCurve:
    """Return the nodes' curves and what their subtrees can reach.

    Parameters
    ----------
    problem
        The problem.
    charge_kw, discharge_kw
        What the rows at every node itself can charge and discharge at most, `(node, step)`.
    sum_up
        Adds every node's values to all of its ancestors': the nodes' own, or `tree.summed_up` where there is compiled
        code.
    """
    nodes, step_h = problem.nodes, problem.axis.step_h
    fixed = nodes.base_load_kw - nodes.pv_kw
    curtail = np.where(nodes.metered[:, None], nodes.pv_kw, 0.0)
    below = sum_up(fixed)
    high, low = below + sum_up(charge_kw + curtail), below - sum_up(discharge_kw)
    buy, sell = _meter_prices(problem)
    inverted = sell > buy
    limit_cost = step_h * problem.penalties.limit_per_kwh
    over = beyond = np.broadcast_to(limit_cost, low.shape)
    left, right, within = low, high, np.zeros_like(inverted)
    constant = 0.0
    if inverted.any():
        left, right = np.clip(-nodes.export_limit_kw, low, high), np.clip(nodes.import_limit_kw, low, high)
        within = inverted & (right > left) & (limit_cost >= sell - buy)
        left, right = np.where(within, left, low), np.where(within, right, high)
        cost_right = np.where(right > 0, buy, sell) * right
        cost_left = np.where(left > 0, buy, sell) * left
        slope = np.where(right > left, (cost_right - cost_left) / np.maximum(right - left, 1e-300), buy)
        constant = float((cost_right - slope * right)[inverted].sum())
        over = np.where(within, limit_cost + buy - slope, limit_cost)
        beyond = np.where(within, limit_cost + slope - sell, limit_cost)
        buy, sell = np.where(inverted, slope, buy), np.where(inverted, slope, sell)
    return NodeCurve(
        fixed_kw=fixed,
        fixed_below_kw=below,
        curtail_max_kw=curtail,
        curtail_cost=np.broadcast_to(0.0, curtail.shape),
        reach_low_kw=low,
        reach_high_kw=high,
        import_cost=buy,
        export_cost=sell,
        inverted=inverted,
        within_limits=within,
        hull_low_kw=left,
        hull_high_kw=right,
        hull_constant=constant,
        over_rise=over,
        beyond_rise=beyond,
    )


def _meter_prices(problem: PlanProblem) -> tuple[Floats, Floats]:
    """Return what meters pay for importing and earn by exporting, `(node, step)` [currency/kW and step]."""
    nodes, prices, step_h = problem.nodes, problem.prices, problem.axis.step_h
    metered = nodes.metered[:, None]
    if not metered.any():
        return (np.broadcast_to(0.0, nodes.pv_kw.shape),) * 2
    buy = np.where(metered, step_h * prices.buy_per_kwh[nodes.zone], 0.0)
    return buy, np.where(metered, step_h * prices.sell_per_kwh[nodes.zone], 0.0)


def import_may_bind(lowered: Lowered) -> Bools:
    """Return where the import limit is below what the subtree can reach, `(node, step)`."""
    return lowered.nodes.reach_high_kw > lowered.problem.nodes.import_limit_kw + REACH_TOLERANCE_KW


def export_may_bind(lowered: Lowered) -> Bools:
    """Return where the export limit is below what the subtree can reach, `(node, step)`."""
    return lowered.nodes.reach_low_kw < -lowered.problem.nodes.export_limit_kw - REACH_TOLERANCE_KW


def active_nodes(lowered: Lowered) -> Bools:
    """Return where a node's net power matters: it is metered, charged for its peak, or may hit a limit."""
    nodes = lowered.problem.nodes
    matters = nodes.metered | (nodes.peak_charge_per_kw > 0)
    return matters[:, None] | import_may_bind(lowered) | export_may_bind(lowered)
