"""A run that never happened: synthetic numbers in every part of the report."""

import math

import numpy as np
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, MS_PER_MIN, parse_instant
from backfeed.core.rng import Streams
from backfeed.report.run_report import (
    Alternative,
    Assumption,
    CarSeries,
    DepartureForecasts,
    FleetSeries,
    ForecastGroup,
    InvitationSeries,
    MissedRow,
    OwnerRow,
    RiskBand,
    RunReport,
    SiteSeries,
    ValueGap,
    Words,
)
from backfeed.report.summary import (
    CapturedDetail,
    CapturedDetails,
    DemandResponseResult,
    Departures,
    LedgerUnit,
    OffpeakShare,
    RunFacts,
    SessionCounts,
    SiteResult,
    StatementShare,
    Summary,
    Target,
    WorldResult,
    ledger_table,
)

START_MS = parse_instant("2026-07-06T00:00:00+08:00")
DAYS = 14
AXIS = TimeAxis(START_MS, 15 * MS_PER_MIN, DAYS * 96)


def world(name, charged, discharged, net, *, short=0):
    wear = 40.0 + discharged * 0.08
    energy_cost, revenue = charged * 0.24, discharged * 0.75
    return WorldResult(
        sessions=SessionCounts(total=612, served=605, rejected=7),
        charged_kwh=charged,
        discharged_kwh=discharged,
        energy_cost=energy_cost,
        discharge_revenue=revenue,
        dr_revenue=310.0 if discharged else 0.0,
        wear_cost=wear,
        shortfall_cost=3.6 * short,
        terminal_adjustment=12.25,
        net_value=net,
        payouts={"cash": revenue * 0.8, "charging_credit": 120.0} if name == "v2g" else {},
        departures=Departures(feasible=590, short=short, short_kwh=1.2 * short, worst_kwh=2.0 if short else 0.0),
        offpeak_share=OffpeakShare(gross=0.18 if name == "unmanaged" else 0.66, net=0.64),
        sites={
            f"garage-{k}": SiteResult(peak_import_kw=41.0 - 3 * k, peak_export_kw=discharged / 300, violations=0)
            for k in range(1, 7)
        },
        dr=(
            DemandResponseResult(
                id="shave-0715",
                promised_kwh=240.0,
                delivered_kwh=228.4,
                ratio=228.4 / 240,
                baseline_kwh=100.0,
                metered_kwh=-128.4,
                v1g_kwh=50.0,
                against_v1g_kwh=178.4,
                before_kwh=60.0,
                after_kwh=-5.0,
            ),
            DemandResponseResult(id="fill-0712", promised_kwh=120.0, delivered_kwh=131.0, ratio=131 / 120),
        )
        if discharged
        else (),
        discharge_power_max_kw=discharged / 20,
    )


def captured(share):
    return CapturedDetail(
        share=share,
        share_without_shortfalls=share + 0.008,
        foresight_gain=3140.0,
        foresight_gain_per_session=3140 / 605,
        sessions=605,
        reason=None,
        by_statement={
            "kept": StatementShare(sessions=431, share=0.972, share_without_shortfalls=0.972),
            "broken": StatementShare(sessions=58, share=0.71, share_without_shortfalls=0.74),
            "none": StatementShare(sessions=116, share=0.31, share_without_shortfalls=0.34),
        },
    )


def target(required, achieved, reachable):
    structural = max(0.0, required - reachable)
    return Target(
        required=required,
        achieved=achieved,
        reachable=reachable,
        met=achieved >= required,
        controllable=max(0.0, required - achieved) - structural,
        structural=structural,
    )


def summary():
    return Summary(
        worlds={
            "unmanaged": world("unmanaged", 6510.0, 0.0, -3011.5, short=0),
            "v1g": world("v1g", 6498.0, 0.0, -1840.2, short=1),
            "v2g": world("v2g", 11840.0, 4610.0, -240.75, short=3),
            "foresight": world("foresight", 12404.0, 5010.0, 128.5),
        },
        captured_share=0.883,
        captured_v2g_share=0.812,
        captured_detail=CapturedDetails(captured_share=captured(0.883), captured_v2g_share=captured(0.812)),
        targets={
            "offpeak_share": target(0.6, 0.66, 0.69),
            "offpeak_share_private": target(0.8, 0.66, 0.69),
            "discharge_power_kw": target(500.0, 231.0, 644.0),
            "discharged_kwh_per_year": target(100_000.0, 120_189.0, 310_000.0),
        },
        ledger=ledger_table(
            {
                "Wh": LedgerUnit(debits=16_450_000, credits=16_450_000, balance=0),
                "CNY": LedgerUnit(debits=9_120_334_512, credits=9_120_334_512, balance=0),
            },
            verified=True,
        ),
        run=RunFacts(
            seed=1,
            config_hash="c0ffee12" * 8,
            log_hash="1234abcd" * 8,
            ledger_hash="feedbeef" * 8,
            messages=184_202,
            plans=2_410,
            plan_gap_max=0.0006,
            fallbacks=0,
            cpu_s=96.4,
            wall_s=71.2,
            peak_mb=412.0,
            version="0.1.0",
        ),
    )


def hours():
    return (np.arange(AXIS.count) * 0.25) % 24


def prices():
    hour = hours()
    peak = ((hour >= 10) & (hour < 12)) | ((hour >= 14) & (hour < 19))
    valley = hour < 8
    buy = np.where(peak, 0.7701, np.where(valley, 0.1721, 0.453))
    critical = ((hour >= 11) & (hour < 12)) | ((hour >= 15) & (hour < 17))
    return buy, np.where(critical, 0.9626, buy), valley


def fleet_power():
    hour, dice = hours(), Streams(3).generator("noise").normal(0, 3, AXIS.count)
    evening = 120 * np.exp(-(((hour - 18.5) / 2.5) ** 2))
    night = np.where(hour < 7, 95.0, 6.0)
    shave = np.where((hour >= 15) & (hour < 19), -150.0, 0.0)
    return {
        "unmanaged": np.maximum(evening + 10 + dice, 0),
        "v1g": np.maximum(night * 0.6 + dice, 0),
        "v2g": night + shave + dice,
        "foresight": night * 1.05 + shave * 1.1 + dice,
    }


def car():
    axis = TimeAxis(START_MS, 15 * MS_PER_MIN, 7 * 96)
    hour = (np.arange(axis.count) * 0.25) % 24
    home = (hour < 7.5) | (hour >= 16)
    power = np.where(hour < 5.5, 5.2, np.where((hour >= 16.5) & (hour < 19), -7.0, 0.0))
    soc = np.empty(axis.count)
    energy = 36.0
    for k in range(axis.count):
        if not home[k]:
            energy = 45.0
        energy = min(energy + 0.25 * (power[k] * 0.92 if power[k] > 0 else power[k] / 0.92), 51.0)
        soc[k] = energy / 60
    buy, sell, _ = prices()
    return CarSeries(
        label="AdO3-4",
        model="Compact LFP 60",
        capacity_kwh=60.0,
        axis=axis,
        soc=np.where(home, soc, math.nan),
        power_kw=np.where(home, power, math.nan),
        buy_per_kwh=buy[: axis.count],
        sell_per_kwh=sell[: axis.count],
        reserve_soc=0.25,
        target_soc=0.85,
        departures_ms=tuple(START_MS + d * MS_PER_DAY + int(7.5 * MS_PER_H) for d in range(7)),
        departures_met=(True, True, True, False, True, True, True),
    )


def invitation(kind, day, hour, promised_kw, delivered):
    start = START_MS + day * MS_PER_DAY + hour * MS_PER_H
    first = day * 96 + (hour - 3) * 4
    metered = fleet_power()["v2g"][first : first + 32]
    inside = (np.arange(32) >= 12) & (np.arange(32) < 20)
    return InvitationSeries(
        invitation=kind,
        direction="peak_shave" if kind.startswith("shave") else "valley_fill",
        start_ms=start,
        end_ms=start + 2 * MS_PER_H,
        axis=TimeAxis(start - 3 * MS_PER_H, 15 * MS_PER_MIN, 32),
        baseline_kw=np.where(inside, metered.mean() + (40 if kind.startswith("shave") else -40), math.nan),
        metered_kw=metered,
        promised_kw=promised_kw,
        promised_kwh=promised_kw * 2,
        delivered_kwh=delivered,
        paid=delivered * 1.2,
        v1g_kw=metered + 20.0,
        against_v1g_kwh=delivered + 50.0,
        before_kwh=60.0,
        after_kwh=-5.0,
    )


def report():
    buy, sell, valley = prices()
    power = fleet_power()
    base = 12 + 6 * np.sin(hours() / 24 * 2 * math.pi)
    dice = Streams(5).generator("owners").gamma(2.0, 18.0, 64)
    return RunReport(
        title="Guangdong homes",
        place="Guangzhou",
        timezone="Asia/Shanghai",
        currency="CNY",
        start_ms=START_MS,
        end_ms=START_MS + DAYS * MS_PER_DAY,
        summary=summary(),
        fleet=FleetSeries(AXIS, power, buy, sell, valley),
        site=SiteSeries(
            "garage-1", AXIS, {name: series / 5 + base for name, series in power.items()}, base, 44.0, 22.0
        ),
        car=car(),
        owners=tuple(
            OwnerRow(
                f"AdO{k % 9}-{k}",
                6 + k % 5,
                80.0 + k,
                float(v),
                float(v) * 0.08,
                {"cash": float(v) * 0.6, "charging_credit": 2.5},
            )
            for k, v in enumerate(dice)
        ),
        invitations=(invitation("shave-0715", 9, 16, 120.0, 228.4), invitation("fill-0712", 6, 3, 60.0, 131.0)),
        value_gap=ValueGap(
            {"kept": 64.0, "broken": 92.5, "none": 188.0, "demand_response": 24.75},
            {"reserves": 74.0, "limits": 310.0, "rules": 12.0, "wear": 1620.0},
            (
                MissedRow("kept", tells_soc=True, sessions=210, energy=50.0, shortfall=4.0, wear=-10.0, leftover=20.0),
                MissedRow("none", tells_soc=False, sessions=49, energy=190.0, shortfall=8.0, wear=-9.0, leftover=-1.0),
            ),
        ),
        forecasts=DepartureForecasts(
            (0.05, 0.5, 0.95),
            (
                ForecastGroup("silent_arrivals", 113, (0.053, 0.487, 0.938), 21.7, 2.36, 5.25, None, 0.811),
                ForecastGroup("stated_hourly", 3029, (0.059, 0.501, 0.963), 1.04, 0.13, 5.95, 0.19, None),
            ),
            (RiskBand(0.0, 0.05, 29, 19.8, 142.5, 149.0), RiskBand(0.05, 1.0, 560, 4105.5, 5807.8, 57.4)),
        ),
        alternatives=(
            Alternative(
                Words("Base price 0.62 CNY/kWh", "基准电价 0.62 元/千瓦时"),
                {"unmanaged": -4121.0, "v1g": -2518.0, "v2g": -180.0, "foresight": 340.0},
            ),
        ),
        assumptions=(
            Assumption(
                Words(
                    "All cars have LFP cells; wear by the closed-form law", "所有车辆采用磷酸铁锂电池，损耗按闭式模型"
                ),
                "s",
                "BLAST-Lite, NREL (BSD-3)",
            ),
            Assumption(
                Words(
                    "Charging costs 0.453 CNY/kWh times the time-of-use ratios, no fees",
                    "充电电价为 0.453 元/千瓦时乘以分时系数，不含服务费",
                ),
                "u",
                "assumption",
            ),
        ),
        sources=("Sessions: Sørensen et al., Data in Brief 36:107105 (2021), CC BY 4.0",),
        next_steps=("backfeed serve examples/guangdong-homes/pilot.toml --data data", "open runs/demo/report.html"),
    )


@pytest.fixture(scope="session")
def example_report():
    return report()


@pytest.fixture(scope="session")
def example_summary():
    return summary()
