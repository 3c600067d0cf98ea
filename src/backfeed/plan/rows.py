"""The rows in the solver's order, as its kernels read them."""

from typing import NamedTuple

import numpy as np

from backfeed.plan.compiled import compiled
from backfeed.plan.problem import NO_PARENT, Bools, Floats, Ints, PlanProblem
from backfeed.plan.vectors import LANES

ENTRIES_MAX = 1024
"""The most entries of a unit: twice the longest horizon, for as many departures as steps."""

METER_GIVEN = 5
"""Quantities that are given of a row's own meter, in the order of `plan/unit.py`."""

ROW_PLACE = (ENTRY, LENGTH, ARRIVE, ZONE, BOUND, KINK) = tuple(range(6))
ROW_FIGURE = (
    ROW_CHARGE,
    ROW_DISCHARGE,
    ROW_GAIN,
    ROW_LOSS,
    ROW_START,
    ROW_FLOOR,
    ROW_CAPACITY,
    ROW_TARGET,
    ROW_EMPTY,
    ROW_WEAR,
    ROW_HOLD,
    ROW_VALUE,
    ROW_MISSING,
    ROW_FIRST_SHARE,
    ROW_LAST_SHARE,
    ROW_PRICED,
) = tuple(range(16))


class Fleet(NamedTuple):
    """The rows in the solver's order, a row's figures next to each other, and what else is needed to price them.

    A row has `LENGTH` steps and, from place `ENTRY` on, one entry more than that; units begin at whole vectors.
    `ROW_START` is the arrival energy, or minus the drain of a linked row; gain and loss are hours times or over the
    efficiency; wear is per kW and step. `unit_ptr` is the first row of every unit, `node_ptr` the first unit of every
    kept node; `place_of_step` is the place of every step among those at which some node matters, -1 for the others;
    `buy` and `sell` are prices per kW and step `(zone, step)`. `BOUND` is a row's place in `bound` `(row, way, step)`,
    the shares of what it can charge and discharge that limits leave it at every step; -1 where they leave it all.
    `KINK` is where its unit begins in `meters` `(quantity, place)`, what is given of rows' own meters
    (`plan/meter.py`); -1 for a unit without any.
    """

    places: Ints
    figures: Floats
    unit_ptr: Ints
    node_ptr: Ints
    place_of_step: Ints
    buy: Floats
    sell: Floats
    bound: Floats
    meters: Floats
    step_h: float
    reserve_per_kwh_h: float

    def figure(self, which: int) -> Floats:
        """Return one figure of all rows."""
        return self.figures[:, which]


class Chain(NamedTuple):
    """How units follow each other: the first columns of `plan/drives.py`'s `Drives`."""

    came: Ints
    goes: Ints
    turn: Ints
    row_before: Ints
    least: Floats
    likely: Floats
    most: Floats


def gather(problem: PlanProblem, order: Ints, at: Ints, unit_ptr: Ints, node_ptr: Ints, steps: Ints) -> Fleet:
    """Return the rows in the solver's order.

    `at` is every row's first entry and its steps, `steps` those at which some node matters.
    """
    w, step_h = problem.windows, problem.axis.step_h
    first, last = step_shares(problem)
    figures = np.empty((len(w), len(ROW_FIGURE)))
    for which, values in (
        (ROW_CHARGE, w.charge_max_kw),
        (ROW_DISCHARGE, w.discharge_max_kw),
        (ROW_GAIN, step_h * w.charge_efficiency),
        (ROW_LOSS, step_h / w.discharge_efficiency),
        (ROW_START, np.where(w.previous < 0, np.minimum(w.energy_arrival_kwh, w.energy_max_kwh), -w.drain_kwh)),
        (ROW_FLOOR, w.energy_min_kwh),
        (ROW_CAPACITY, w.energy_max_kwh),
        (ROW_TARGET, np.minimum(w.energy_target_kwh, w.energy_max_kwh)),
        (ROW_EMPTY, lowest_energies(problem)),
        (ROW_WEAR, step_h * w.wear_per_kwh),
        (ROW_HOLD, w.hold_per_kwh_h),
        (ROW_VALUE, w.energy_value_per_kwh),
        (ROW_MISSING, problem.missing_per_kwh),
        (ROW_FIRST_SHARE, first),
        (ROW_LAST_SHARE, last),
        (ROW_PRICED, problem.row_price_node < 0),
    ):
        figures[:, which] = values[order]
    place_of_step = np.full(problem.axis.count, -1)
    place_of_step[steps] = np.arange(len(steps))
    unbound = np.full(len(w), -1)
    return Fleet(
        places=np.column_stack((at, w.arrive_step[order], problem.nodes.zone[w.node][order], unbound, unbound)),
        figures=figures,
        unit_ptr=unit_ptr,
        node_ptr=node_ptr,
        place_of_step=place_of_step,
        buy=np.ascontiguousarray(step_h * problem.prices.buy_per_kwh),
        sell=np.ascontiguousarray(step_h * problem.prices.sell_per_kwh),
        bound=np.ones((0, 2, problem.axis.count)),
        meters=np.zeros((METER_GIVEN, 0)),
        step_h=step_h,
        reserve_per_kwh_h=problem.penalties.reserve_per_kwh_h,
    )


class Powers(NamedTuple):
    """What the rows at every node itself can charge and discharge at most, and how many there are, `(node, step)`."""

    charge_kw: Floats
    discharge_kw: Floats
    rows: Floats


def summed_powers(problem: PlanProblem) -> Powers:
    """Return the sums of the rows' powers."""
    w = problem.windows
    powers = Powers(*np.zeros((3, len(problem.nodes), problem.axis.count)))
    stays = np.stack((w.node, w.arrive_step, w.depart_step), axis=-1)
    _add_powers(stays, np.stack((w.charge_max_kw, w.discharge_max_kw, *step_shares(problem)), axis=-1), powers)
    return powers


@compiled
def _add_powers(stays: Ints, figures: Floats, powers: Powers) -> None:
    """Add up rows, of `(node, arrival, departure)` and `(charge, discharge, first step's share, last step's)`."""
    for r in range(len(stays)):
        node, first, end = stays[r, 0], stays[r, 1], stays[r, 2]
        for t in range(first, end):
            share = figures[r, 2] if t == first else (figures[r, 3] if t == end - 1 else 1.0)
            powers.charge_kw[node, t] += figures[r, 0] * share
            powers.discharge_kw[node, t] += figures[r, 1] * share
            powers.rows[node, t] += 1.0


def step_shares(problem: PlanProblem) -> tuple[Floats, Floats]:
    """Return the connected share of the first and last step; a row of one step has both in `first`."""
    w, step_h = problem.windows, problem.axis.step_h
    first = np.where(np.isnan(w.first_step_h), 1.0, np.minimum(w.first_step_h / step_h, 1.0))
    last = np.where(np.isnan(w.last_step_h), 1.0, np.minimum(w.last_step_h / step_h, 1.0))
    single = w.depart_step - w.arrive_step == 1
    both = np.minimum(first, last)
    return np.where(single, both, first), np.where(single, both, last)


def places(length: Ints, unit_ptr: Ints, arrives: Bools) -> tuple[Ints, int]:
    """Return where every row's entries begin, and how many places there are.

    Units begin at whole vectors; those that arrive from others have an entry for that before their first row's.
    """
    packed = np.concatenate(([0], np.cumsum(length + 1)))
    whole = -(-(np.diff(packed[unit_ptr]) + arrives) // LANES) * LANES
    lead = np.cumsum(whole) - whole + arrives - packed[unit_ptr[:-1]]
    return packed[:-1] + np.repeat(lead, np.diff(unit_ptr)), int(whole.sum())


def chained(problem: PlanProblem, order: Ints, unit_ptr: Ints, unit_of: Ints) -> Chain:
    """Return how units follow each other; `unit_of` is the unit of every row of the table."""
    w = problem.windows
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    row_before = np.where(w.previous[order] >= 0, place[w.previous[order]], NO_PARENT)
    entered = order[unit_ptr[:-1]]
    before = w.previous[entered]
    entering = np.flatnonzero(before >= 0)
    entered, before = entered[entering], before[entering]
    units = len(unit_ptr) - 1
    came, goes, came_from = np.full((3, units), NO_PARENT)
    came[entering] = goes[unit_of[before]] = np.arange(len(entering))
    came_from[entering] = unit_of[before]
    turn, walk = np.zeros(units, np.int64), np.arange(units)
    while np.any(walk >= 0):
        walk = np.where(walk >= 0, came_from[walk], NO_PARENT)
        turn[walk >= 0] += 1
    least = lowest_energies(problem)[before] - w.drain_kwh[entered] - 1.0
    most = w.energy_max_kwh[before] - w.drain_kwh[entered] + 1.0
    likely = np.minimum(w.energy_target_kwh, w.energy_max_kwh)[before] - w.drain_kwh[entered]
    likely = np.clip(likely, 0.9 * least + 0.1 * most, 0.1 * least + 0.9 * most)
    return Chain(came, goes, turn, row_before, least, likely, most)


def lowest_energies(problem: PlanProblem) -> Floats:
    """Return an energy that no plan of a row goes below, `(row,)`: empty, or what drives and discharging leave."""
    w, step_h = problem.windows, problem.axis.step_h
    given = (w.depart_step - w.arrive_step) * step_h * w.discharge_max_kw / w.discharge_efficiency
    lowest = np.zeros(len(w))
    for row in np.flatnonzero(~w.keeps_above_empty):
        before = lowest[w.previous[row]] - w.drain_kwh[row]
        lowest[row] = min(before - given[row], w.energy_min_kwh[row], w.energy_target_kwh[row]) - 1.0
    return lowest
