"""Planning: the rolling plan, site by site where nothing joins them, and the orders it stands for.

A site is planned again when something changed there, and every site at the latest every
quarter-hour. Only a commitment of the whole fleet joins sites; while one lies on the horizon the
fleet is planned as one. A solver that fails, lies or is late is replaced by a rule that needs no
solver, and a plan that breaks a limit is never adopted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backfeed.app.budget import TRIES, within_budgets
from backfeed.app.commitment import Commitment
from backfeed.app.enrolment import Enrolment
from backfeed.app.knowledge import LIMIT_WITHIN_KWH, Car
from backfeed.app.need_price import price_shift_per_kwh, tail_of
from backfeed.app.plan_path import FleetPlan
from backfeed.app.plan_promise import care_of, needed_kwh
from backfeed.app.plan_wear import PlanWear, WearPrices
from backfeed.app.subsidy_cap import WORTH_TRIES, SubsidyPurse
from backfeed.app.workers import WorkerLostError, Workers
from backfeed.core.axis import TimeAxis
from backfeed.core.ids import IdSource
from backfeed.fleet.event import PlanMade
from backfeed.market.price import PriceSeries
from backfeed.plan.check import cost_of
from backfeed.plan.highs import HighsSolver
from backfeed.plan.problem import PlanProblem
from backfeed.plan.rolling import PluggedFleet, SiteLimits, Terms, rolling_axis, rolling_problem
from backfeed.plan.schedule import Schedule
from backfeed.plan.solve import solve, solve_by_rule

Floats = NDArray[np.float64]

ITERATION_LIMIT = 100_000
"""Far beyond what a plan needs; a run must repeat to the byte, so there is no wall-clock limit."""

SOLVE_DEADLINE_S = 20.0
PLAN_GAP = 1e-4

VIOLATION_MAX = 1e-5
"""How far rounding may pass a hard limit [kW, kWh]."""

CLAIM_TOLERANCE = 1e-6
"""How far a plan's claimed cost may lie from the recomputed one, relative."""

FULL_SOC = 0.99
"""The most that is planned into a battery. Taper makes the last percents slower than planned, but nothing above a
target is promised: what is missing of it is not sold, and that is all."""

SOONER_SHARE = 0.006
"""What it is worth to buy or sell a kWh an hour sooner at the same price, as a share of the mean price of energy, where
sites have limits: what is done sooner leaves room below them for who comes later."""

SHOWS_SHARE = 0.006
"""What it is worth beside that to have charged a car which hides its state of charge an hour sooner: it ends at its
driver's limit, and what it holds is known for the hours that follow."""

ALIKE = 0.005
"""Plans whose costs differ by less a car are alike [currency]: of these the last is kept, whose prices are nearest."""

SITE_MARGIN = 0.015
"""Kept free below every limit for the error of chargers and meters; dispatch keeps the same."""


@dataclass(frozen=True, slots=True)
class PlannedPower:
    """What a plan wants of one car: its power at every step of the plan's axis, charging positive [kW].

    `passes_target` says whether it is to hold more than its driver wants at any time.
    """

    axis: TimeAxis
    power_kw: NDArray[np.float64]
    energy_kwh: NDArray[np.float64]
    passes_target: bool

    def at(self, now_ms: int) -> float | None:
        """Return the planned power now, None where the plan does not reach."""
        if not self.axis.start_ms <= now_ms < self.axis.end_ms:
            return None
        power_kw = float(self.power_kw[self.axis.index_of(now_ms)])
        return None if np.isnan(power_kw) else power_kw


@dataclass
class Planning:
    """The plan that holds, by EVSE.

    Parameters
    ----------
    enrolment
        Sites with their limits.
    prices
        Over the whole run and the horizon beyond it, in quarter-hours.
    workers
        Where the solver runs.
    ids
        Names of plans.
    step_ms, horizon_ms
        Length of a step and of the look-ahead.
    discharges
        Whether cars may discharge at all.
    terms
        What missing and stored energy are worth.
    wear
        What wear costs.
    end_ms
        When the pilot ends: a car that is there still is planned to have what its owner wants by then, if that costs no
        more than the dearest energy, at which it can be bought afterwards.
    purse
        What capped subsidies can still pay.
    """

    enrolment: Enrolment
    prices: PriceSeries
    workers: Workers
    ids: IdSource
    step_ms: int
    horizon_ms: int
    discharges: bool
    terms: Terms
    wear: PlanWear
    end_ms: int
    purse: SubsidyPurse
    plans: int = 0
    fallbacks: int = 0
    gap_max: float = 0.0
    _planned: dict[tuple[str, int], tuple[str, PlannedPower]] = field(default_factory=dict)

    def planned(self, car: Car) -> PlannedPower | None:
        """Return what the plan wants of a car, None for one that no plan has seen."""
        held = self._planned.get(car.key)
        return held[1] if held is not None and held[0] == car.plug.transaction else None

    async def replan(
        self, now_ms: int, cars: Sequence[Car], sites: Iterable[str], commitments: Sequence[Commitment]
    ) -> PlanMade | None:
        """Plan the cars at some sites anew; return what to write down, None if there was nobody to plan.

        With a commitment ahead every site is planned, whatever `sites` says.
        """
        ahead = [c for c in commitments if c.axis.end_ms > now_ms and c.axis.start_ms < now_ms + self.horizon_ms]
        wanted = set(self.enrolment.sites if ahead else sites)
        cars = [car for car in cars if car.site_id in wanted]
        if not cars:
            return None
        outside = [car for car in cars if not all(each.takes_part(car.owner.owner_id) for each in ahead)]
        groups = [cars] if ahead and not outside else _by_site(cars)
        schedules = [await self._plan_group(now_ms, group, () if outside else ahead) for group in groups]
        inside = [car for car in cars if car not in outside] if outside else []
        if inside:
            # Whoever takes no part is planned as on any day, and the others keep the promise around them.
            schedules = [await self._plan_group(now_ms, inside, ahead, outside)]
        self.plans += 1
        gap = max(schedule.gap for schedule in schedules)
        self.gap_max = max(self.gap_max, gap if np.isfinite(gap) else 0.0)
        return PlanMade(
            at_ms=now_ms,
            plan=self.ids.next_id(),
            method="+".join(dict.fromkeys(schedule.method for schedule in schedules)),
            status="+".join(dict.fromkeys(schedule.status for schedule in schedules)),
            objective=round(sum(schedule.objective for schedule in schedules), 6),
            gap=round(gap, 9) if np.isfinite(gap) else -1.0,
            vehicles=len(cars),
            steps=max(schedule.axis.count for schedule in schedules),
            shortfall_kwh=round(sum(schedule.shortfall_kwh for schedule in schedules), 6),
        )

    async def _plan_group(
        self, now_ms: int, cars: list[Car], commitments: Sequence[Commitment], beside: Sequence[Car] = ()
    ) -> Schedule:
        """Plan cars together, again while their prices of wear move; keep the plan that is best under the true wear.

        Cars `beside` them keep the plan that they have.
        """
        best: tuple[float, Schedule, FleetPlan, list[WearPrices]] | None = None
        passes = self.wear.passes(now_ms, cars)
        for _ in range(passes):
            prices = [self.wear.prices(car) for car in cars]
            schedule, plan = await self._plan_within_subsidies(now_ms, cars, commitments, beside)
            cost, again = self.wear.take(now_ms, plan) if passes > 1 else (0.0, False)
            if best is None or cost < best[0] + ALIKE * len(cars):
                best = cost, schedule, plan, prices
            if not again:
                break
        assert best is not None, "a group is planned at least once"
        _, schedule, plan, prices = best
        if passes > 1:
            self.wear.keep(now_ms, cars, prices)
        self.fallbacks += schedule.method == "rule"
        for k, car in enumerate(cars):
            power_kw, energy_kwh = plan.power_kw[k], plan.energy_kwh[k]
            passes = float(np.nanmax(energy_kwh)) > needed_kwh(car) + LIMIT_WITHIN_KWH
            self._planned[car.key] = car.plug.transaction, PlannedPower(plan.axis, power_kw, energy_kwh, passes)
        return schedule

    async def _plan_within_subsidies(
        self, now_ms: int, cars: list[Car], commitments: Sequence[Commitment], beside: Sequence[Car]
    ) -> tuple[Schedule, FleetPlan]:
        """Plan cars together so that nobody counts on more than is left of a capped subsidy, standing plans included.

        Where the plan at its full price draws more, its last kWh are worth less: as much less as makes it fit.
        """
        found = await self._plan_within_budgets(now_ms, cars, commitments, beside)
        if not self.purse.left(now_ms):
            return found
        mine = {car.key for car in cars}
        others = [(held.axis, held.power_kw) for key, (_, held) in self._planned.items() if key not in mine]

        def fits(plan: FleetPlan) -> bool:
            return not self.purse.is_overdrawn(now_ms, [*others, *((plan.axis, power) for power in plan.power_kw)])

        if fits(found[1]):
            return found
        low, high, kept = 0.0, 1.0, None
        for _ in range(WORTH_TRIES):
            worth = (low + high) / 2
            found = await self._plan_within_budgets(now_ms, cars, commitments, beside, worth)
            if fits(found[1]):
                low, kept = worth, found
            else:
                high = worth
        return kept or await self._plan_within_budgets(now_ms, cars, commitments, beside, 0.0)

    async def _plan_within_budgets(
        self,
        now_ms: int,
        cars: list[Car],
        commitments: Sequence[Commitment],
        beside: Sequence[Car],
        worth: float = 1.0,
    ) -> tuple[Schedule, FleetPlan]:
        """Plan cars together so that none discharges more than its warranty allows."""
        for left in range(TRIES, -1, -1):
            problem = self._problem(now_ms, cars, commitments, beside, worth)
            schedule = await self._solved(problem)
            plan = _of_cars(cars, problem, schedule)
            fewer = within_budgets(now_ms, plan, for_certain=left <= 1)
            if fewer is None:
                break
            cars = fewer
        return schedule, plan

    async def _solved(self, problem: PlanProblem) -> Schedule:
        try:
            schedule = await self.workers.run(solve_plan, problem, deadline_s=SOLVE_DEADLINE_S)
        except WorkerLostError:
            return solve_by_rule(problem)
        return schedule if schedule.method == "rule" or is_sound(problem, schedule) else solve_by_rule(problem)

    async def cost_alone(self, now_ms: int, car: Car) -> float:
        """Return what the best plan of a car is expected to cost if it had its site to itself [currency]."""
        return (await self._solved(self._problem(now_ms, [car], (), ()))).objective

    def _problem(
        self,
        now_ms: int,
        cars: list[Car],
        commitments: Sequence[Commitment],
        beside: Sequence[Car],
        worth: float = 1.0,
    ) -> PlanProblem:
        fleet = self._fleet(now_ms, cars)
        axis = rolling_axis(now_ms, fleet.left_by_ms, now_ms + self.horizon_ms, self.step_ms)
        first = self.prices.axis.index_of(axis.start_ms)
        # A plan finer than the prices' quarter-hours repeats each of them.
        step = first + np.arange(axis.count) * axis.step_ms // self.prices.axis.step_ms
        buy_per_kwh = self.prices.buy_per_kwh[step]
        fleet = replace(fleet, shift_per_kwh=np.stack([price_shift_per_kwh(car, axis, buy_per_kwh) for car in cars]))
        promises = (promise.over(axis) for promise in commitments)
        limits = self._limits(axis, sorted({car.site_id for car in cars}), beside)
        sell_per_kwh = self.prices.sell_per_kwh[step] + self.purse.per_kwh(now_ms, step, worth)
        later = SOONER_SHARE * self._usual_per_kwh * hours_at_one_price(axis, buy_per_kwh) if limits.bind else 0.0
        return rolling_problem(
            now_ms,
            axis,
            fleet,
            limits,
            buy_per_kwh + later,
            without_burning(sell_per_kwh - later, fleet),
            self.terms,
            tuple(promise for promise in promises if promise is not None),
        )

    def _fleet(self, now_ms: int, cars: list[Car]) -> PluggedFleet:
        number_of = {site: number for number, site in enumerate(sorted({car.site_id for car in cars}))}
        rows = [self._row(car) for car in cars]
        numbers = np.array(rows, dtype=np.float64).T
        return PluggedFleet(
            name=tuple(f"{car.plug.station}/{car.plug.evse}" for car in cars),
            site=np.array([number_of[car.site_id] for car in cars], dtype=np.int64),
            energy_kwh=numbers[0],
            reserve_kwh=numbers[1],
            target_kwh=numbers[2],
            energy_max_kwh=numbers[3],
            charge_max_kw=numbers[4],
            discharge_max_kw=numbers[5],
            charge_efficiency=numbers[6],
            discharge_efficiency=numbers[7],
            wear_per_kwh=numbers[8],
            hold_per_kwh_h=numbers[9],
            left_by_ms=np.minimum([car.left_by_ms for car in cars], self.end_ms),
            care=np.stack([care_of(car, now_ms, self.end_ms, self._end_care) for car in cars]),
            above_share=numbers[10],
        )

    def _row(self, car: Car) -> tuple[float, ...]:
        """Return a car's numbers, seen from the edge by which its reserve is judged."""
        vehicle = car.owner.vehicle
        energy = car.judged_kwh
        target = needed_kwh(car)
        tail_kwh, above_share = tail_of(car)
        reaches = car.is_energy_known and self.discharges and car.discharge_max_kw > 0
        energy_max = max(FULL_SOC * vehicle.capacity_kwh if reaches else 0.0, target, energy)
        wear = self.wear.prices(car)
        shows_per_kwh_h = 0.0 if car.is_energy_known else SHOWS_SHARE * self._usual_per_kwh
        return (
            energy,
            car.owner.reserve_soc * vehicle.capacity_kwh,
            max(target - tail_kwh, min(energy, target)),
            energy_max,
            car.charge_max_kw,
            car.discharge_max_kw if self.discharges else 0.0,
            vehicle.charge_efficiency,
            vehicle.discharge_efficiency,
            wear.wear_per_kwh,
            wear.hold_per_kwh_h - shows_per_kwh_h,
            above_share,
        )

    @cached_property
    def _end_care(self) -> float:
        """Return how many times the price of missing energy counts what a car lacks at the end that does not leave."""
        missing_per_kwh = self.terms.missing_per_kwh
        return max(float(self.prices.buy_per_kwh.max()), 0.0) / missing_per_kwh if missing_per_kwh > 0 else 1.0

    @cached_property
    def _usual_per_kwh(self) -> float:
        return float(np.abs(self.prices.buy_per_kwh).mean())

    def _limits(self, axis: TimeAxis, names: list[str], beside: Sequence[Car]) -> SiteLimits:
        """Return the sites' limits, less what cars beside are planned to take or give: each may go at any time."""
        sites = [self.enrolment.sites[name] for name in names]
        keep = 1 - SITE_MARGIN
        ones = np.ones(axis.count)
        took, gave = np.zeros((len(sites), axis.count)), np.zeros((len(sites), axis.count))
        for car in beside:
            planned = self.planned(car)
            if car.site_id in names and planned is not None:
                power_kw = np.array([planned.at(max(at_ms, planned.axis.start_ms)) or 0.0 for at_ms in axis])
                took[names.index(car.site_id)] += np.maximum(power_kw, 0.0)
                gave[names.index(car.site_id)] += np.maximum(-power_kw, 0.0)
        offset_ms = self.enrolment.utc_offset_ms(axis)
        return SiteLimits(
            name=tuple(names),
            import_limit_kw=np.maximum(np.array([site.import_limit_kw * keep * ones for site in sites]) - took, 0.0),
            export_limit_kw=np.maximum(np.array([site.export_limit_kw * keep * ones for site in sites]) - gave, 0.0),
            base_load_kw=np.array([site.base_load_over(axis, offset_ms) for site in sites]),
        )

    def forget(self, station: str, evse: int) -> None:
        """Drop the plan of an EVSE whose car is gone."""
        self._planned.pop((station, evse), None)


def hours_at_one_price(axis: TimeAxis, buy_per_kwh: Floats) -> Floats:
    """Return for how long energy has had a step's price when the step begins, shape `(step,)` [h]."""
    changes = np.flatnonzero(np.append(True, np.diff(buy_per_kwh) != 0))
    step = np.arange(axis.count)
    since = step - changes[np.searchsorted(changes, step, "right") - 1]
    return np.asarray(since * axis.step_h, dtype=np.float64)


def without_burning(sell_per_kwh: Floats, fleet: PluggedFleet) -> Floats:
    """Return prices of discharging at which losses are no income.

    Where energy has a negative price, one could be paid for what is lost in going round in circles. A discharge is
    therefore charged twice with the losses of the least efficient car there: going round then costs what it would at
    the same price above zero, and only a difference of prices pays, as elsewhere.
    """
    round_trip = float((fleet.charge_efficiency * fleet.discharge_efficiency).min())
    return np.where(sell_per_kwh < 0, sell_per_kwh * (2 / round_trip - 1), sell_per_kwh)


_SOLVER = HighsSolver()
"""One solver a process: keeping it saves a millisecond a plan."""


def solve_plan(problem: PlanProblem) -> Schedule:
    """Solve a plan in whatever process this is; a limit on iterations stands in for one on time."""
    return solve(problem, gap=PLAN_GAP, iteration_limit=ITERATION_LIMIT, solver=_SOLVER)


def _of_cars(cars: Sequence[Car], problem: PlanProblem, schedule: Schedule) -> FleetPlan:
    """Return what a schedule wants of every car, joining its rows."""
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(problem.windows.vehicle):
        rows_of.setdefault(name, []).append(row)
    power, energy = np.full((2, len(cars), schedule.axis.count), np.nan)
    for k, car in enumerate(cars):
        for row in rows_of[f"{car.plug.station}/{car.plug.evse}"]:
            begin, end = schedule.offsets[row], schedule.offsets[row + 1]
            steps = slice(schedule.arrive_step[row], schedule.arrive_step[row] + end - begin)
            power[k, steps] = schedule.power_flat_kw[begin:end]
            energy[k, steps] = schedule.energy_flat_kwh[begin:end]
    return FleetPlan(cars, schedule.axis, power, energy, schedule.objective)


def is_sound(problem: PlanProblem, schedule: Schedule) -> bool:
    """Return whether an independent recomputation finds the plan within every hard limit and at the cost it claims."""
    found = cost_of(problem, schedule.power_flat_kw, schedule.curtailed_kw)
    kept = max(found.max_violation_kw, found.max_violation_kwh) <= VIOLATION_MAX
    return kept and abs(found.objective - schedule.objective) <= CLAIM_TOLERANCE * max(1.0, abs(found.objective))


def _by_site(cars: Sequence[Car]) -> list[list[Car]]:
    groups: dict[str, list[Car]] = {}
    for car in cars:
        groups.setdefault(car.site_id, []).append(car)
    return [groups[site] for site in sorted(groups)]
