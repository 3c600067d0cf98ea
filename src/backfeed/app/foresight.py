"""The world of perfect foresight: what the same sessions could have been worth.

One linear program over the whole window, with the true sessions, the true cars, the same limits, reserve,
wear and accounting as the judge's (`foresight_program`). Its plan is turned into powers
(`foresight_drive`) and replayed by the same physics as every other world; the judge sees only that
replay. So the result is a schedule that could have been driven, and by how much the program's own
value differs from the judge's is the price of its approximations.

An invitation is delivered on if that is worth more than leaving it: the program is solved with all
accepted invitations and, where there are any, without.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.app.foresight_drive import powers_of
from backfeed.app.foresight_grid import SharedLimit, StayGrid, shared_limits, stay_grid
from backfeed.app.foresight_program import ForesightEvent, StayTerms, build_components
from backfeed.app.foresight_solve import InfeasibleProgramError, WearTerms, first_wear_prices, plan_component
from backfeed.app.judge_account import JudgeTerms, owed_kwh
from backfeed.app.judge_site import base_load_kw, sites_of
from backfeed.fleet.site import Site
from backfeed.market.price import PriceSeries
from backfeed.report.run_report import GapCause
from backfeed.sim.columns import WorldConfig, WorldSessions
from backfeed.sim.replay import replay
from backfeed.sim.truth import Truth

__all__ = ["Foresight", "ForesightEvent", "foresee", "held_back"]

Floats = NDArray[np.float64]


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
    """

    truth: Truth
    power_kw: Floats
    value: float
    events: tuple[ForesightEvent, ...]
    components: int


def foresee(
    sessions: WorldSessions,
    *,
    prices: PriceSeries,
    sites: Sequence[Site],
    zone: ZoneInfo,
    config: WorldConfig,
    terms: JudgeTerms | None = None,
    events: Sequence[ForesightEvent] = (),
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
    """
    grid = stay_grid(sessions, prices.axis)
    limits = _limits(sessions, grid, sites, zone)
    best = _best_plan(sessions, grid, prices, limits, config, terms or JudgeTerms(), events)
    power_kw = powers_of(sessions, grid, best.energy_kwh, limits)
    truth = replay(sessions, prices.axis, power_kw, config, exact_chargers=True)
    return Foresight(truth, power_kw, best.value, best.events, best.components)


def held_back(
    sessions: WorldSessions,
    *,
    prices: PriceSeries,
    sites: Sequence[Site],
    zone: ZoneInfo,
    config: WorldConfig,
    terms: JudgeTerms | None = None,
    events: Sequence[ForesightEvent] = (),
) -> dict[GapCause, float]:
    """Return what perfect foresight would gain without the owners' reserves, and without the sites' limits [currency].

    The parameters are those of `foresee`. Each is relaxed alone; what is left out is never replayed, for it is not
    allowed.
    """
    grid, valued = stay_grid(sessions, prices.axis), terms or JudgeTerms()
    limits = _limits(sessions, grid, sites, zone)
    allowed = _best_plan(sessions, grid, prices, limits, config, valued, events).value
    without_reserve = _best_plan(sessions, grid, prices, limits, replace(config, reserve_soc=0.0), valued, events).value
    without_limits = _best_plan(sessions, grid, prices, (), config, valued, events).value
    return {"reserves": max(without_reserve - allowed, 0.0), "limits": max(without_limits - allowed, 0.0)}


@dataclass(frozen=True)
class _Plan:
    energy_kwh: Floats
    value: float
    events: tuple[ForesightEvent, ...]
    components: int


def _best_plan(
    sessions: WorldSessions,
    grid: StayGrid,
    prices: PriceSeries,
    limits: Sequence[SharedLimit],
    config: WorldConfig,
    terms: JudgeTerms,
    events: Sequence[ForesightEvent],
) -> _Plan:
    """Plan with the events and without them, and return what is worth more."""
    stays = _stay_terms(sessions, prices, config, terms)
    wear = WearTerms(terms.value_per_kwh, prices.axis.start_ms)
    plans = [_plan(sessions, grid, stays, prices, limits, (), wear)]
    if events:
        with contextlib.suppress(InfeasibleProgramError):
            plans.append(_plan(sessions, grid, stays, prices, limits, tuple(events), wear))
    return max(plans, key=lambda plan: plan.value)


def _plan(
    sessions: WorldSessions,
    grid: StayGrid,
    stays: StayTerms,
    prices: PriceSeries,
    limits: Sequence[SharedLimit],
    events: tuple[ForesightEvent, ...],
    wear: WearTerms,
) -> _Plan:
    energy_kwh, value, components = np.zeros(len(grid)), 0.0, 0
    earns = prices.sell_per_kwh + prices.subsidy_per_kwh
    first_prices = first_wear_prices(sessions, wear)
    for component in build_components(sessions, grid, stays, (prices.buy_per_kwh, earns), limits, events):
        plan = plan_component(component, sessions, grid, wear, first_prices)
        energy_kwh[component.entries] = plan.energy_kwh
        value += plan.value
        components += 1
    return _Plan(energy_kwh, value, events, components)


def _limits(sessions: WorldSessions, grid: StayGrid, sites: Sequence[Site], zone: ZoneInfo) -> list[SharedLimit]:
    """Return the limits that could bind; where the building alone exceeds one, the cars have no room."""
    base = np.array([base_load_kw(site, grid.axis, zone) for site in sites]).reshape(len(sites), grid.axis.count)
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


def _stay_terms(sessions: WorldSessions, prices: PriceSeries, config: WorldConfig, terms: JudgeTerms) -> StayTerms:
    departs = sessions.departure_ms <= prices.axis.end_ms
    owed = np.where(departs, owed_kwh(sessions), sessions.energy_required_kwh)
    reserve = np.maximum(config.reserve_soc * sessions.capacity_kwh, sessions.energy_empty_kwh)
    return StayTerms(
        floor_kwh=np.minimum(reserve, sessions.energy_arrival_kwh),
        owed_kwh=owed,
        missing_per_kwh=np.where(departs, terms.shortfall_per_kwh, float(prices.buy_per_kwh.max())),
        surplus_per_kwh=np.full(len(sessions), float(prices.buy_per_kwh.min())),
    )
