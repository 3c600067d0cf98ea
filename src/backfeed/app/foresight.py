"""The world of perfect foresight: what the same sessions could have been worth.

One linear program over the whole window, with the true sessions, the true cars, the same limits, reserve,
wear and accounting as the judge's (`foresight_program`). Its plan is turned into powers
(`foresight_drive`) and replayed by the same physics as every other world; the judge sees only that
replay. So the result is a schedule that could have been driven, and by how much the program's own
value differs from the judge's is the price of its approximations.

An invitation is delivered on if that is worth more than leaving it: the program is solved without and with all
accepted invitations and, if all together do not gain, with one more at a time.

It is held to what the platform is held to: cars whose owners, or whose sites, have said no are not discharged, none
gives more than its warranty leaves (`foresight_budget`), and a capped subsidy pays no more than its cap. Where the
program would draw more, it is solved again with the subsidy at a part of its worth, by which its last kilowatt-hours
go; of all these the one that is worth most is taken.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.app.foresight_budget import Budgets, SharedBudget, shared_budgets, without_hours_beyond
from backfeed.app.foresight_drive import powers_of
from backfeed.app.foresight_grid import SharedLimit, StayGrid, shared_limits, stay_grid
from backfeed.app.foresight_program import Component, ForesightEvent, StayTerms, build_components
from backfeed.app.foresight_solve import (
    ComponentPlan,
    InfeasibleProgramError,
    WearTerms,
    first_wear_prices,
    plan_component,
)
from backfeed.app.judge_account import JudgeTerms, owed_kwh
from backfeed.app.judge_site import sites_of
from backfeed.app.subsidy_cap import WORTH_TRIES, as_paid, with_worth
from backfeed.battery.limits import discharge_allowed
from backfeed.core.axis import utc_offset_ms
from backfeed.core.instant import local_datetime
from backfeed.fleet.site import Site
from backfeed.market.price import PriceSeries
from backfeed.report.run_report import GapCause
from backfeed.sim.columns import WorldConfig, WorldSessions
from backfeed.sim.replay import replay
from backfeed.sim.truth import Truth

__all__ = ["Foresight", "ForesightEvent", "foresee", "held_back"]

Floats = NDArray[np.float64]
Consents = Callable[[str, str, date], bool]


@dataclass(frozen=True)
class Foresight:
    """What perfect foresight would have done.

    Parameters
    ----------
    truth
        Its schedule, replayed.
    power_kw
        What each charger was asked [kW], shape `(session, step)`.
    value
        What the program says it is worth [currency], demand response included.
    events
        The invitations it delivers on.
    components
        Into how many independent programs it fell.
    worth
        The part of their price at which it counts capped subsidies.
    budgets
        The warranty budgets that could bind.
    """

    truth: Truth
    power_kw: Floats
    value: float
    events: tuple[ForesightEvent, ...]
    components: int
    worth: float = 1.0
    budgets: tuple[SharedBudget, ...] = ()


def foresee(  # noqa: PLR0913 - every option has a name
    sessions: WorldSessions,
    *,
    prices: PriceSeries,
    sites: Sequence[Site],
    zone: ZoneInfo,
    config: WorldConfig,
    terms: JudgeTerms | None = None,
    events: Sequence[ForesightEvent] = (),
    consents: Consents | None = None,
    budgets: Budgets | None = None,
) -> Foresight:
    """Plan with perfect foresight and replay the plan.

    Parameters
    ----------
    sessions
        The true sessions.
    prices
        Prices of the whole window, on quarter-hours.
    sites, zone
        Connection points, and whose clock their loads are read on.
    config
        The world: its end, and the owners' reserve.
    terms
        How the judge values things.
    events
        Invitations that the platform had accepted, baselines frozen from the V2G world.
    consents
        Whether an owner's car may be discharged at a site on a local day; always by default.
    budgets
        What the warranties of cars leave, by token (`foresight_budget.budgets_at_start`); nothing caps it by default.
    """
    grid = stay_grid(sessions, prices.axis)
    limits = _limits(sessions, grid, sites, zone)
    may = _agreed(sessions, grid, sites, zone, consents), shared_budgets(sessions, grid, budgets or {})

    def best_at(worth: float) -> tuple[_Plan, float, bool]:
        planner = _Planner(sessions, grid, with_worth(prices, worth), limits, config, terms or JudgeTerms(), may)
        plan = planner.best(events)
        sold_kwh = planner.sold_kwh(plan)
        paid = as_paid(prices, sold_kwh, zone).subsidy_per_kwh @ sold_kwh
        counted = with_worth(prices, worth).subsidy_per_kwh @ sold_kwh
        granted = prices.subsidy_per_kwh @ sold_kwh
        return replace(plan, value=plan.value + float(paid - counted)), worth, bool(granted > paid)

    best, worth = _most_worth(best_at)
    power_kw = powers_of(sessions, grid, best.energy_kwh, limits)
    truth = replay(sessions, prices.axis, power_kw, config, exact_chargers=True)
    return Foresight(truth, power_kw, best.value, best.events, best.components, worth, may[1])


def _most_worth(best_at: Callable[[float], "tuple[_Plan, float, bool]"]) -> "tuple[_Plan, float]":
    """Return the plan that is worth most, and at what part of their price it counts capped subsidies."""
    plan, worth, overdrawn = best_at(1.0)
    if not overdrawn:
        return plan, worth
    tried, low, high = [(plan, worth), best_at(0.0)[:2]], 0.0, 1.0
    for _ in range(WORTH_TRIES):
        plan, worth, overdrawn = best_at((low + high) / 2)
        tried.append((plan, worth))
        low, high = (low, worth) if overdrawn else (worth, high)
    return max(tried, key=lambda each: each[0].value)


def held_back(
    foresight: Foresight,
    *,
    prices: PriceSeries,
    sites: Sequence[Site],
    zone: ZoneInfo,
    config: WorldConfig,
    terms: JudgeTerms | None = None,
    consents: Consents | None = None,
) -> dict[GapCause, float]:
    """Return what perfect foresight would gain without reserves, limits, the promise at departure [currency].

    Each is relaxed alone, with the same events. Nothing of it is replayed, for it is not allowed; the other parameters
    are those of `foresee`.
    """
    sessions, valued = foresight.truth.sessions, terms or JudgeTerms()
    grid = stay_grid(sessions, prices.axis)
    limits = _limits(sessions, grid, sites, zone)
    may = _agreed(sessions, grid, sites, zone, consents), foresight.budgets
    counted = with_worth(prices, foresight.worth)

    def gain(shared: Sequence[SharedLimit], world: WorldConfig, values: JudgeTerms) -> float:
        planner = _Planner(sessions, grid, counted, shared, world, values, may)
        plan = planner.plan(foresight.events)
        sold_kwh = planner.sold_kwh(plan)
        paid = as_paid(prices, sold_kwh, zone).subsidy_per_kwh - counted.subsidy_per_kwh
        return max(plan.value + float(paid @ sold_kwh) - foresight.value, 0.0)

    # Whoever leaves short then charges elsewhere, at the window's dearest price, with the worst of the cars.
    elsewhere = float(prices.buy_per_kwh.max()) / float(sessions.charge_efficiency.min(initial=1.0))
    free = replace(valued, shortfall_per_kwh=min(valued.shortfall_per_kwh, elsewhere))
    return {
        "reserves": gain(limits, replace(config, reserve_soc=0.0), valued),
        "limits": gain((), config, valued),
        "rules": gain(limits, config, free),
    }


@dataclass(frozen=True)
class _Plan:
    energy_kwh: Floats
    power_kw: Floats
    value: float
    events: tuple[ForesightEvent, ...]
    components: int


class _Planner:
    """Plans the same stays with one set of events or another; parts that no event touches are planned once."""

    def __init__(
        self,
        sessions: WorldSessions,
        grid: StayGrid,
        prices: PriceSeries,
        limits: Sequence[SharedLimit],
        config: WorldConfig,
        terms: JudgeTerms,
        may: "tuple[NDArray[np.bool_], tuple[SharedBudget, ...]]",
    ) -> None:
        """Keep what does not depend on events; `may` is where owners agree to discharging, and within what budgets."""
        self._sessions, self._grid, self._limits = sessions, grid, limits
        self._stays = _stay_terms(sessions, grid, prices, config, terms, may)
        self._prices = prices.buy_per_kwh, prices.sell_per_kwh + prices.subsidy_per_kwh
        self._wear = WearTerms(terms, prices.axis.start_ms)
        self._first_prices = first_wear_prices(sessions, self._wear)
        self._known: dict[tuple[bytes, bytes], ComponentPlan] = {}

    def best(self, events: Sequence[ForesightEvent]) -> _Plan:
        """Return the best plan: with all events if that gains, else with those that gain one after another."""
        chosen = self.plan(())
        everything = self._tried(tuple(events)) if events else None
        if everything is not None and everything.value > chosen.value:
            return everything
        for event in events if len(events) > 1 else ():
            more = self._tried((*chosen.events, event))
            if more is not None and more.value > chosen.value:
                chosen = more
        return chosen

    def plan(self, events: tuple[ForesightEvent, ...]) -> _Plan:
        """Plan with all of these events delivered on.

        Raises
        ------
        InfeasibleProgramError
            If the cars can not deliver.
        """
        stays = self._stays
        while True:
            plan = self._planned(events, stays)
            fewer = without_hours_beyond(stays.budgets, self._grid, np.maximum(-plan.power_kw, 0.0), stays.discharges)
            if fewer is None:
                return plan
            stays = replace(stays, discharges=fewer)

    def _planned(self, events: tuple[ForesightEvent, ...], stays: StayTerms) -> _Plan:
        energy_kwh, power_kw, value, count = np.zeros(len(self._grid)), np.zeros(len(self._grid)), 0.0, 0
        for component in build_components(self._sessions, self._grid, stays, self._prices, self._limits, events):
            plan = self._component(component, stays.discharges[component.entries])
            energy_kwh[component.entries], power_kw[component.entries] = plan.energy_kwh, plan.power_kw
            value += plan.value
            count += 1
        return _Plan(energy_kwh, power_kw, value, events, count)

    def sold_kwh(self, plan: _Plan) -> Floats:
        """Return what a plan discharges in every step of the prices [kWh], shape `(step,)`."""
        who = self._grid.session
        before = np.where(
            self._grid.first, self._sessions.energy_arrival_kwh[who], np.append(0.0, plan.energy_kwh[:-1])
        )
        given = np.maximum(before - plan.energy_kwh, 0.0) * self._sessions.discharge_efficiency[who]
        return np.bincount(self._grid.step, weights=given, minlength=self._grid.axis.count).astype(np.float64)

    def _tried(self, events: tuple[ForesightEvent, ...]) -> _Plan | None:
        with contextlib.suppress(InfeasibleProgramError):
            return self.plan(events)
        return None

    def _component(self, component: Component, discharges: NDArray[np.bool_]) -> ComponentPlan:
        key = component.entries.tobytes(), discharges.tobytes()
        if component.events == 0 and key in self._known:
            return self._known[key]
        plan = plan_component(component, self._sessions, self._grid, self._wear, self._first_prices)
        if component.events == 0:
            self._known[key] = plan
        return plan


def _limits(sessions: WorldSessions, grid: StayGrid, sites: Sequence[Site], zone: ZoneInfo) -> list[SharedLimit]:
    """Return the limits that could bind; where the building alone exceeds one, the cars have no room."""
    offset_ms = utc_offset_ms(grid.axis, zone)
    base = np.array([site.base_load_over(grid.axis, offset_ms) for site in sites]).reshape(len(sites), grid.axis.count)
    import_limit = np.array([site.import_limit_kw for site in sites])[:, None]
    export_limit = np.array([site.export_limit_kw for site in sites])[:, None]
    return shared_limits(
        grid,
        sites_of(sessions, sites),
        np.maximum(import_limit - base, 0.0),
        export_limit + base,
        sessions.charge_max_kw,
        sessions.discharge_max_kw,
    )


def _agreed(
    sessions: WorldSessions, grid: StayGrid, sites: Sequence[Site], zone: ZoneInfo, consents: Consents | None
) -> NDArray[np.bool_]:
    """Return whether each entry's car may be discharged as far as owner and site have agreed, shape `(entry,)`."""
    if consents is None:
        return np.ones(len(grid), dtype=np.bool_)
    names = [sites[index].site_id for index in sites_of(sessions, sites)]
    days = [local_datetime(at_ms, zone).date() for at_ms in grid.axis]
    asked = {(session, days[step]) for session, step in zip(grid.session.tolist(), grid.step.tolist(), strict=True)}
    said = {(session, day): consents(sessions.token[session], names[session], day) for session, day in asked}
    return np.array(
        [said[i, days[k]] for i, k in zip(grid.session.tolist(), grid.step.tolist(), strict=True)], np.bool_
    )


def _stay_terms(
    sessions: WorldSessions,
    grid: StayGrid,
    prices: PriceSeries,
    config: WorldConfig,
    terms: JudgeTerms,
    may: tuple[NDArray[np.bool_], tuple[SharedBudget, ...]],
) -> StayTerms:
    departs = sessions.departure_ms <= prices.axis.end_ms
    owed = np.where(departs, owed_kwh(sessions), sessions.energy_required_kwh)
    reserve = np.maximum(config.reserve_soc * sessions.capacity_kwh, sessions.energy_empty_kwh)
    return StayTerms(
        floor_kwh=np.minimum(reserve, sessions.energy_arrival_kwh),
        owed_kwh=owed,
        missing_per_kwh=np.where(departs, terms.shortfall_per_kwh, float(prices.buy_per_kwh.max())),
        surplus_per_kwh=np.full(len(sessions), float(prices.buy_per_kwh.min())),
        discharges=discharge_allowed(terms.temperature.over(grid.from_ms)) & may[0],
        budgets=may[1],
    )
