"""The judge: what a world was worth, seen from outside.

It alone sees the world's truth. The same rules hold for every world: the same sessions, cars, limits,
prices, wear law and accounting; see `judge_account` for money, `judge_site` for limits and
`judge_captured` for the shares. The platform computes none of this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.app.judge_account import JudgeTerms, SessionAccounts, account_sessions, steps_of
from backfeed.app.judge_captured import JudgedWorld, captured, statement_masks
from backfeed.app.judge_site import discharge_power_max_kw, judge_sites
from backfeed.app.subsidy_cap import as_paid
from backfeed.core.axis import TimeAxis
from backfeed.fleet.site import Site
from backfeed.market.price import PriceSeries
from backfeed.report.summary import DemandResponseResult, Departures, OffpeakShare, SessionCounts, WorldResult
from backfeed.sim.truth import Truth

__all__ = [
    "DemandResponseOutcome",
    "JudgeTerms",
    "JudgedWorld",
    "SessionAccounts",
    "WindowRows",
    "captured",
    "judge_world",
    "statement_masks",
]


@dataclass(frozen=True, slots=True)
class WindowRows:
    """How many rows of the session file lie in the window, and how many of them no world could serve."""

    total: int
    rejected: int


@dataclass(frozen=True, slots=True)
class DemandResponseOutcome:
    """What a world did on an invitation [kWh], and what it was paid; see `DemandResponseResult`."""

    invitation: str
    promised_kwh: float
    delivered_kwh: float
    paid: float
    baseline_kwh: float | None = None
    metered_kwh: float | None = None
    v1g_kwh: float | None = None
    before_kwh: float | None = None
    after_kwh: float | None = None
    peak_shave: bool = True
    operator_agrees: bool | None = None


def judge_world(
    truth: Truth,
    *,
    rows: WindowRows,
    prices: PriceSeries,
    sites: Sequence[Site],
    zone: ZoneInfo,
    terms: JudgeTerms | None = None,
    demand_response: Sequence[DemandResponseOutcome] = (),
    payouts: Mapping[str, float] | None = None,
) -> JudgedWorld:
    """Judge one world.

    Parameters
    ----------
    truth
        What happened in it.
    rows
        The session file's rows in the window; `served + rejected` must be `total`.
    prices
        Prices of the whole window, on quarter-hours.
    sites
        Connection points; every location of the truth belongs to one.
    zone
        Whose clock the buildings' loads are read on.
    terms
        How shortfalls and wear are priced.
    demand_response
        What came of the invitations.
    payouts
        What owners were paid, by instrument [currency, or the instrument's own unit].
    """
    served = len(truth.sessions)
    assert served + rows.rejected == rows.total, f"{served} served + {rows.rejected} rejected != {rows.total} rows"
    accounts = account_sessions(truth, as_paid(prices, _sold_kwh(truth, prices.axis), zone), terms or JudgeTerms())
    dr_revenue = float(sum(outcome.paid for outcome in demand_response))
    result = WorldResult(
        sessions=SessionCounts(total=rows.total, served=served, rejected=rows.rejected),
        charged_kwh=float(accounts.charged_kwh.sum()),
        discharged_kwh=float(accounts.discharged_kwh.sum()),
        energy_cost=float(accounts.energy_cost.sum()),
        discharge_revenue=float(accounts.discharge_revenue.sum()),
        dr_revenue=dr_revenue,
        wear_cost=float(accounts.wear_cost.sum()),
        shortfall_cost=float(accounts.shortfall_cost.sum()),
        terminal_adjustment=float(accounts.terminal_adjustment.sum()),
        net_value=float(accounts.net_value.sum()) + dr_revenue,
        payouts=dict(payouts or {}),
        departures=_departures(accounts),
        offpeak_share=_offpeak_share(accounts),
        sites=judge_sites(truth, sites, prices.axis, zone),
        dr=tuple(_demand_response(outcome) for outcome in demand_response),
        discharge_power_max_kw=discharge_power_max_kw(truth),
        subsidy=float(accounts.subsidy.sum()),
        net_value_without_subsidy=float((accounts.net_value - accounts.subsidy).sum()) + dr_revenue,
    )
    return JudgedWorld(result, accounts)


def _sold_kwh(truth: Truth, axis: TimeAxis) -> NDArray[np.float64]:
    """Return what all cars together discharged in every step [kWh], shape `(step,)`."""
    given_kwh = np.maximum(-truth.segments.energy_kwh, 0.0)
    steps = steps_of(axis, truth.segments.from_ms)
    return np.bincount(steps, weights=given_kwh, minlength=axis.count).astype(np.float64)


def _departures(accounts: SessionAccounts) -> Departures:
    return Departures(
        feasible=int(accounts.feasible.sum()),
        short=int(accounts.short.sum()),
        short_kwh=float(accounts.shortfall_kwh[accounts.short].sum()),
        worst_kwh=float(accounts.shortfall_kwh[accounts.feasible].max(initial=0.0)),
    )


def _offpeak_share(accounts: SessionAccounts) -> OffpeakShare:
    charged = float(accounts.charged_kwh.sum())
    kept = charged - float(accounts.cycled_kwh.sum())
    valley = float(accounts.valley_kwh.sum())
    valley_kept = valley - float(accounts.cycled_valley_kwh.sum())
    return OffpeakShare(gross=valley / charged if charged > 0 else None, net=valley_kept / kept if kept > 0 else None)


def _demand_response(outcome: DemandResponseOutcome) -> DemandResponseResult:
    assert np.isfinite(outcome.delivered_kwh), outcome
    against = None
    if outcome.v1g_kwh is not None and outcome.metered_kwh is not None:
        less = outcome.v1g_kwh - outcome.metered_kwh
        against = less if outcome.peak_shave else -less
    return DemandResponseResult(
        id=outcome.invitation,
        promised_kwh=outcome.promised_kwh,
        delivered_kwh=outcome.delivered_kwh,
        ratio=outcome.delivered_kwh / outcome.promised_kwh if outcome.promised_kwh > 0 else None,
        baseline_kwh=outcome.baseline_kwh,
        metered_kwh=outcome.metered_kwh,
        v1g_kwh=outcome.v1g_kwh,
        against_v1g_kwh=against,
        before_kwh=outcome.before_kwh,
        after_kwh=outcome.after_kwh,
        operator_agrees=outcome.operator_agrees,
    )
