"""Solve one component of the foresight program, with wear made linear at its own plan.

The wear of a path is not linear. Two prices per stay stand for it, one per kWh discharged and one per
kWh held for an hour, both taken at a plan: the first is what the plan's cycling would save, per kWh,
if the path were pulled a little towards a straight line from its first to its last energy; the second
is the slope of the storage cost when the path is lifted. A first plan is made with prices of a plain
day; then the prices are taken at the plan and the plan is made again. Of all plans the one that is
best under the true, closed-form wear is kept.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from backfeed.app.foresight_grid import StayGrid
from backfeed.app.foresight_program import Component
from backfeed.app.judge_account import JudgeTerms, damage_costs
from backfeed.battery.law import WEAR_LAWS
from backfeed.battery.linear import linear_coefficients
from backfeed.battery.wear import SocPaths
from backfeed.core.instant import MS_PER_H
from backfeed.sim.columns import WorldSessions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PASSES: Final = 3
"""How often a plan is made: once with the prices of a plain day, then with its own."""
_PULL: Final = 0.1
_LIFT: Final = 0.05
_DISCHARGES_KWH: Final = 1e-3
_BOTH_WAYS_KW: Final = 1e-6
_PLAIN_DAY_SOC: Final = (0.55, 0.55, 0.85, 0.85)


@dataclass(frozen=True)
class ComponentPlan:
    """The best plan of a component, per entry of it.

    Parameters
    ----------
    energy_kwh
        In the battery at the end of each entry.
    power_kw
        Mean power of each entry, charging positive.
    value
        Value of the plan under the true wear [currency], demand response included.
    """

    energy_kwh: Floats
    power_kw: Floats
    value: float


@dataclass(frozen=True)
class WearTerms:
    """What wear pricing needs besides the stays."""

    terms: JudgeTerms
    day_start_ms: int


class InfeasibleProgramError(RuntimeError):
    """A component has no solution: an event asks for more than its cars can give."""


def first_wear_prices(sessions: WorldSessions, wear: WearTerms) -> tuple[Floats, Floats]:
    """Return wear per kWh discharged and per kWh held and hour of every stay, at a plain day."""
    discharge, hold = np.zeros(len(sessions)), np.zeros(len(sessions))
    for chemistry in dict.fromkeys(sessions.chemistry):
        rows = np.flatnonzero([each == chemistry for each in sessions.chemistry])
        found = linear_coefficients(
            WEAR_LAWS[chemistry],
            np.repeat(_PLAIN_DAY_SOC, 24),
            sessions.capacity_kwh[rows],
            discharge_efficiency=sessions.discharge_efficiency[rows],
            value_per_kwh=wear.terms.value_per_kwh,
        )
        discharge[rows], hold[rows] = found.wear_per_kwh, found.hold_per_kwh_h
    return discharge, hold


def plan_component(
    component: Component,
    sessions: WorldSessions,
    grid: StayGrid,
    wear: WearTerms,
    prices: tuple[Floats, Floats],
) -> ComponentPlan:
    """Plan one component.

    Parameters
    ----------
    component
        The program.
    sessions, grid
        All stays and their entries.
    wear
        How wear is valued.
    prices
        First wear prices of every stay: per kWh discharged, per kWh held and hour.

    Raises
    ------
    InfeasibleProgramError
        If there is no solution.
    """
    n = len(component.entries)
    own = np.searchsorted(component.sessions, grid.session[component.entries])
    hours = grid.hours[component.entries]
    paths = _StayPaths(component, sessions, grid)
    discharge_price, hold_price = (price[component.sessions] for price in prices)
    solver = _Solver(component)
    best: ComponentPlan | None = None
    for _ in range(PASSES):
        cost = component.cost.copy()
        cost[n : 2 * n] += discharge_price[own] * hours
        cost[2 * n : 3 * n] += hold_price[own] * hours
        answer = solver.solve(cost)
        energy_kwh, power_kw = answer[2 * n : 3 * n], answer[:n] - answer[n : 2 * n]
        calendar, cycling = paths.costs(energy_kwh, wear)
        value = float(-(component.cost @ answer) - calendar.sum() - cycling.sum())
        if best is None or value > best.value:
            best = ComponentPlan(energy_kwh, power_kw, value)
        discharged = np.zeros(len(component.sessions))
        np.add.at(discharged, own, answer[n : 2 * n] * hours)
        discharge_price, hold_price = paths.prices(energy_kwh, discharged, (calendar, cycling), discharge_price, wear)
    assert best is not None
    return best


class _StayPaths:
    """The SoC paths of a component's stays."""

    def __init__(self, component: Component, sessions: WorldSessions, grid: StayGrid) -> None:
        """Lay out instants and offsets once."""
        who = component.sessions
        length = (grid.offsets[who + 1] - grid.offsets[who]) + 1
        self._offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
        self._starts = self._offsets[:-1]
        self._later = np.ones(self._offsets[-1], dtype=np.bool_)
        self._later[self._starts] = False
        self._stay = np.repeat(np.arange(len(who)), length)
        self._at_ms = np.empty(self._offsets[-1], np.int64)
        self._at_ms[self._starts] = sessions.arrival_ms[who]
        self._at_ms[self._later] = grid.until_ms[component.entries]
        self._arrival_kwh = sessions.energy_arrival_kwh[who]
        self._capacity = sessions.capacity_kwh[who]
        self._chemistry = tuple(sessions.chemistry[i] for i in who)
        self._hours = (self._at_ms[self._offsets[1:] - 1] - self._at_ms[self._starts]) / MS_PER_H

    def costs(self, energy_kwh: Floats, wear: WearTerms) -> tuple[Floats, Floats]:
        """Return storage and cycling cost of every stay."""
        return self._costs(self._soc(energy_kwh), wear)

    def prices(
        self,
        energy_kwh: Floats,
        discharged_kwh: Floats,
        costs: tuple[Floats, Floats],
        fallback: Floats,
        wear: WearTerms,
    ) -> tuple[Floats, Floats]:
        """Return the wear prices at a plan; stays that discharge nothing keep the price they had."""
        soc = self._soc(energy_kwh)
        ends = self._offsets[1:] - 1
        along = (self._at_ms - self._at_ms[self._starts][self._stay]) / (self._hours * MS_PER_H)[self._stay]
        straight = soc[self._starts][self._stay] + along * (soc[ends] - soc[self._starts])[self._stay]
        pulled = self._costs(soc + _PULL * (straight - soc), wear)[1]
        lifted, lowered = (self._costs(soc + lift, wear)[0] for lift in (_LIFT, -_LIFT))
        active = discharged_kwh > _DISCHARGES_KWH
        saved = (costs[1] - pulled) / (_PULL * np.where(active, discharged_kwh, 1.0))
        hold = (lifted - lowered) / (2 * _LIFT * self._capacity * self._hours)
        return np.where(active, np.maximum(saved, 0.0), fallback), hold

    def _soc(self, energy_kwh: Floats) -> Floats:
        energy = np.empty(self._offsets[-1])
        energy[self._starts], energy[self._later] = self._arrival_kwh, energy_kwh
        soc: Floats = energy / self._capacity[self._stay]
        return soc

    def _costs(self, soc: Floats, wear: WearTerms) -> tuple[Floats, Floats]:
        paths = SocPaths(self._at_ms, soc, self._offsets)
        return damage_costs(self._chemistry, paths, self._capacity, wear.terms, wear.day_start_ms)


class _Solver:
    """HiGHS holding one component; later solves start from the answer before."""

    def __init__(self, component: Component) -> None:
        """Load the component."""
        import highspy  # noqa: PLC0415 - slow to load, and small commands do without

        library: Any = highspy

        self._n = len(component.entries)
        self._charge, self._discharge = component.charge_efficiency, 1.0 / component.discharge_efficiency
        self._highs: Any = library.Highs()
        for option, value in (("output_flag", False), ("threads", 1), ("random_seed", 0)):
            self._highs.setOptionValue(option, value)
        self._highs.passModel(_lowered(component, library))
        self._optimal = library.HighsModelStatus.kOptimal

    def solve(self, cost: Floats) -> Floats:
        """Return the best columns; an entry that would do both at once does what changes its battery more."""
        columns = np.arange(len(cost), dtype=np.int32)
        self._highs.changeColsCost(len(cost), columns, cost)
        answer = self._run()
        while True:
            n = self._n
            both = np.minimum(answer[:n], answer[n : 2 * n]) > _BOTH_WAYS_KW
            if not both.any():
                return answer
            charging = self._charge * answer[:n] > self._discharge * answer[n : 2 * n]
            closed = np.flatnonzero(both) + np.where(charging[both], n, 0)
            zero = np.zeros(len(closed))
            self._highs.changeColsBounds(len(closed), closed.astype(np.int32), zero, zero)
            answer = self._run()

    def _run(self) -> Floats:
        self._highs.run()
        status = self._highs.getModelStatus()
        if status != self._optimal:
            raise InfeasibleProgramError(str(status))
        return np.asarray(self._highs.getSolution().col_value, dtype=np.float64)


def _lowered(component: Component, library: Any) -> Any:  # noqa: ANN401 - highspy has no types
    """Return the component as HiGHS takes it."""
    matrix = sparse.csr_array(component.matrix)
    lp = library.HighsLp()
    lp.num_col_, lp.num_row_ = len(component.cost), matrix.shape[0]
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = component.cost, component.column_lower, component.column_upper
    lp.row_lower_, lp.row_upper_ = component.row_lower, component.row_upper
    lp.a_matrix_.format_ = library.MatrixFormat.kRowwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.indptr, matrix.indices
    lp.a_matrix_.value_ = matrix.data
    return lp
