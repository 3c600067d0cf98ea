"""The series behind the report's pictures, taken from the worlds' truth."""

from collections.abc import Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.app.judge_account import SessionAccounts, owed_kwh, valley_steps
from backfeed.app.judge_captured import JudgedWorld, statement_masks
from backfeed.app.judge_site import sites_of
from backfeed.core.axis import TimeAxis, utc_offset_ms
from backfeed.core.instant import MS_PER_DAY, MS_PER_H
from backfeed.fleet.site import Site
from backfeed.market.price import PriceSeries
from backfeed.report.run_report import CarSeries, FleetSeries, GapCause, OwnerRow, SiteSeries
from backfeed.report.summary import WorldName
from backfeed.report.targets import Stays
from backfeed.sim.columns import WorldConfig
from backfeed.sim.truth import Truth

Floats = NDArray[np.float64]

_WEEK_DAYS: Final = 7


def mean_power_kw(truth: Truth, axis: TimeAxis, sessions: NDArray[np.bool_] | None = None) -> Floats:
    """Return the net power of cars, averaged over each step [kW], shape `(step,)`.

    Parameters
    ----------
    truth
        What happened.
    axis
        Quarter-hours; what happened outside is left out.
    sessions
        Which sessions count, shape `(session,)`; all by default.
    """
    segments = truth.segments
    keep = (segments.from_ms >= axis.start_ms) & (segments.from_ms < axis.end_ms)
    if sessions is not None:
        keep &= sessions[segments.session]
    step = (segments.from_ms[keep] - axis.start_ms) // axis.step_ms
    return np.bincount(step, weights=segments.energy_kwh[keep], minlength=axis.count) / axis.step_h


def fleet_series(truths: Mapping[WorldName, Truth], prices: PriceSeries) -> FleetSeries:
    """Return the fleet's power in every world beside the prices."""
    return FleetSeries(
        axis=prices.axis,
        power_kw={name: mean_power_kw(truth, prices.axis) for name, truth in truths.items()},
        buy_per_kwh=prices.buy_per_kwh,
        sell_per_kwh=prices.sell_per_kwh + prices.subsidy_per_kwh,
        valley=valley_steps(prices),
    )


def closest_site(
    truths: Mapping[WorldName, Truth], sites: Sequence[Site], axis: TimeAxis, zone: ZoneInfo
) -> SiteSeries | None:
    """Return the power at the connection point that the last world loads closest to its limits."""
    if not sites:
        return None
    found, offset_ms = [], utc_offset_ms(axis, zone)
    for index, site in enumerate(sites):
        base = site.base_load_over(axis, offset_ms)
        power = {
            name: mean_power_kw(truth, axis, sites_of(truth.sessions, sites) == index) + base
            for name, truth in truths.items()
        }
        last = power[list(power)[-1]]
        use = max(
            last.max() / site.import_limit_kw if site.import_limit_kw > 0 else 0.0,
            -last.min() / site.export_limit_kw if site.export_limit_kw > 0 else 0.0,
        )
        series = SiteSeries(site.site_id, axis, power, base, site.import_limit_kw, site.export_limit_kw)
        found.append((use, -index, series))
    return max(found, key=lambda entry: entry[:2])[2]


def car_series(truth: Truth, accounts: SessionAccounts, prices: PriceSeries, config: WorldConfig) -> CarSeries | None:
    """Return the first week of the car that discharged most in it, None if there is no car."""
    sessions, segments = truth.sessions, truth.segments
    if not len(sessions):
        return None
    axis = TimeAxis(
        prices.axis.start_ms,
        prices.axis.step_ms,
        min(prices.axis.count, _WEEK_DAYS * MS_PER_DAY // prices.axis.step_ms),
    )
    early = sessions.arrival_ms < axis.end_ms
    worked: dict[str, float] = {}
    for token, kwh, counts in zip(sessions.token, accounts.discharged_kwh.tolist(), early.tolist(), strict=True):
        worked[token] = worked.get(token, 0.0) + (kwh if counts else 0.0)
    token = max(worked, key=lambda each: worked[each])
    mine = np.array([each == token for each in sessions.token]) & early
    soc, power = np.full(axis.count, np.nan), np.full(axis.count, np.nan)
    keep = mine[segments.session] & (segments.from_ms < axis.end_ms)
    step = (segments.from_ms[keep] - axis.start_ms) // axis.step_ms
    soc[step] = segments.energy_end_kwh[keep] / sessions.capacity_kwh[segments.session[keep]]
    energy = np.bincount(step, weights=segments.energy_kwh[keep], minlength=axis.count)
    power[step] = energy[step] / axis.step_h
    gone = np.flatnonzero(mine & (sessions.departure_ms < axis.end_ms))
    met = truth.energy_departure_kwh >= owed_kwh(sessions) - 1.0
    one = int(np.flatnonzero(mine)[0])
    return CarSeries(
        label=token,
        model=sessions.model[one],
        capacity_kwh=float(sessions.capacity_nominal_kwh[one]),
        axis=axis,
        soc=soc,
        power_kw=power,
        buy_per_kwh=prices.buy_per_kwh[: axis.count],
        sell_per_kwh=(prices.sell_per_kwh + prices.subsidy_per_kwh)[: axis.count],
        reserve_soc=config.reserve_soc,
        target_soc=config.target_soc,
        departures_ms=tuple(int(sessions.departure_ms[i]) for i in gone),
        departures_met=tuple(bool(met[i]) for i in gone),
    )


def target_stays(
    truth: Truth,
    accounts: SessionAccounts,
    prices: PriceSeries,
    config: WorldConfig,
    private: NDArray[np.bool_] | None = None,
) -> Stays:
    """Return what the regulator's targets need of every stay; all piles are private unless `private` says otherwise."""
    sessions, axis = truth.sessions, prices.axis
    until_ms = np.minimum(sessions.departure_ms, axis.end_ms)
    # Valley hours before an instant, linear inside a step: the difference of two such values is what a stay holds.
    edges = np.concatenate([axis.starts_ms, [axis.end_ms]]).astype(np.float64)
    valley_h = np.concatenate([[0.0], np.cumsum(valley_steps(prices) * axis.step_h)])
    before = [np.interp(at_ms.astype(np.float64), edges, valley_h) for at_ms in (sessions.arrival_ms, until_ms)]
    reserve_kwh = np.maximum(config.reserve_soc * sessions.capacity_kwh, sessions.energy_empty_kwh)
    return Stays(
        charged_kwh=accounts.charged_kwh,
        valley_kwh=accounts.valley_kwh,
        discharged_kwh=accounts.discharged_kwh,
        cycled_kwh=accounts.cycled_kwh,
        cycled_valley_kwh=accounts.cycled_valley_kwh,
        need_kwh=sessions.recorded_kwh,
        stay_h=(until_ms - sessions.arrival_ms) / MS_PER_H,
        stay_valley_h=before[1] - before[0],
        charge_max_kw=sessions.charge_max_kw,
        discharge_max_kw=sessions.discharge_max_kw,
        cycle_kwh=np.maximum(sessions.energy_full_kwh - reserve_kwh, 0.0) * sessions.discharge_efficiency,
        arrival_spare_kwh=np.maximum(sessions.energy_arrival_kwh - reserve_kwh, 0.0) * sessions.discharge_efficiency,
        round_trip_efficiency=sessions.charge_efficiency * sessions.discharge_efficiency,
        private=np.ones(len(sessions), np.bool_) if private is None else private,
    )


def discharge_rated_kw(truth: Truth) -> float:
    """Return the rated discharge power of all stations that were used [kW]."""
    rated: dict[str, float] = {}
    for station, kw in zip(truth.sessions.station, truth.sessions.discharge_max_kw.tolist(), strict=True):
        rated[station] = max(rated.get(station, 0.0), kw)
    return float(sum(rated.values()))


def owner_rows(
    truth: Truth,
    accounts: SessionAccounts,
    payouts: Mapping[str, Mapping[str, float]],
    holders: Mapping[str, str],
) -> tuple[OwnerRow, ...]:
    """Return one row for every account holder, most discharged first.

    Parameters
    ----------
    truth, accounts
        What the cars did and what it was worth.
    payouts
        By holder and unit.
    holders
        Whose account a car settles to where it is not its own.
    """
    rows: dict[str, list[int]] = {}
    for index, token in enumerate(truth.sessions.token):
        rows.setdefault(holders.get(token, token), []).append(index)
    owners = [
        OwnerRow(
            owner=token,
            sessions=len(mine),
            charged_kwh=float(accounts.charged_kwh[mine].sum()),
            discharged_kwh=float(accounts.discharged_kwh[mine].sum()),
            wear_cost=float(accounts.wear_cost[mine].sum()),
            payouts=dict(payouts.get(token, {})),
        )
        for token, mine in rows.items()
    ]
    return tuple(sorted(owners, key=lambda row: (-row.discharged_kwh, row.owner)))


def missed_value(worlds: Mapping[WorldName, JudgedWorld], truth: Truth) -> dict[GapCause, float]:
    """Return foresight less V2G by the drivers' statements and demand response; empty if a world is missing."""
    if not {"v2g", "foresight"} <= set(worlds):
        return {}
    reached, best = worlds["v2g"], worlds["foresight"]
    gap = best.sessions.net_value - reached.sessions.net_value
    missed: dict[GapCause, float] = {
        kind: float(gap[mask].sum()) for kind, mask in statement_masks(truth.sessions).items()
    }
    missed["demand_response"] = best.result.dr_revenue - reached.result.dr_revenue
    return missed
