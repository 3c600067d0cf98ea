"""Small worlds for the judge: a few sessions on a few quarter-hours, every number chosen by the test."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from backfeed.battery.chemistry import Chemistry
from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_H, MS_PER_MIN, parse_instant
from backfeed.core.rng import Streams
from backfeed.fleet.site import Site
from backfeed.market.price import PriceSeries
from backfeed.sim.columns import Visits, WorldConfig, WorldSessions
from backfeed.sim.world import charging_at_once_suffices, draw_world

START_MS = parse_instant("2026-07-06T00:00:00+08:00")
QUARTER_MS = 15 * MS_PER_MIN

COLUMNS = {
    "location": "home",
    "arrival_h": 0.0,
    "departure_h": 4.0,
    "recorded_kwh": 8.0,
    "capacity_kwh": 60.0,
    "charge_efficiency": 0.9,
    "discharge_efficiency": 0.95,
    "charge_max_kw": 7.0,
    "discharge_max_kw": 7.0,
    "taper_soc": 0.95,
    "energy_arrival_kwh": 30.0,
    "statement_ms": -1,
    "statement_kept": False,
    "charger_error": 0.0,
}


def build_sessions(*rows):
    """Return sessions from rows of changed columns; hours count from the start of the window."""
    table = {name: [row.get(name, value) for row in rows] for name, value in COLUMNS.items()}
    numbers = {name: np.array(table[name], dtype=float) for name in COLUMNS if isinstance(COLUMNS[name], float)}
    count = len(rows)
    arrival = START_MS + np.rint(numbers.pop("arrival_h") * MS_PER_H).astype(np.int64)
    departure = START_MS + np.rint(numbers.pop("departure_h") * MS_PER_H).astype(np.int64)
    required = numbers["energy_arrival_kwh"] + numbers["recorded_kwh"] * numbers["charge_efficiency"]
    sessions = WorldSessions(
        session_id=tuple(f"s{i}" for i in range(count)),
        row=np.arange(2, count + 2),
        station=tuple(f"{place}-{i}" for i, place in enumerate(table["location"])),
        location=tuple(table["location"]),
        token=tuple(f"user-{i}" for i in range(count)),
        arrival_ms=arrival,
        departure_ms=departure,
        model=("Test car",) * count,
        chemistry=(Chemistry.LFP,) * count,
        capacity_nominal_kwh=numbers["capacity_kwh"],
        charge_efficiency_nominal=numbers["charge_efficiency"],
        discharge_efficiency_nominal=numbers["discharge_efficiency"],
        energy_required_kwh=required,
        energy_full_kwh=np.maximum(0.99 * numbers["capacity_kwh"], required),
        energy_empty_kwh=0.02 * numbers["capacity_kwh"],
        reports_soc=np.ones(count, bool),
        statement_ms=np.array(table["statement_ms"], dtype=np.int64),
        statement_kept=np.array(table["statement_kept"], dtype=bool),
        feasible=np.zeros(count, bool),
        **numbers,
    )
    hours = (departure - arrival) / MS_PER_H
    feasible = charging_at_once_suffices(sessions.cars(), hours, sessions.energy_arrival_kwh, required)
    return WorldSessions(**{**vars(sessions), "feasible": feasible})


def build_prices(buy, sell=None, period=None):
    """Return prices of consecutive quarter-hours from the start of the window."""
    sell = buy if sell is None else sell
    period = period or tuple("valley" if price <= min(buy) else "peak" for price in buy)
    decimals = [tuple(Decimal(str(price)) for price in prices) for prices in (buy, sell)]
    return PriceSeries(
        axis=TimeAxis(START_MS, QUARTER_MS, len(buy)),
        currency="CNY",
        buy=decimals[0],
        sell=decimals[1],
        subsidy=(Decimal(0),) * len(buy),
        period=tuple(period),
        sell_period=tuple(period),
        buy_per_kwh=np.array(buy, dtype=float),
        sell_per_kwh=np.array(sell, dtype=float),
        subsidy_per_kwh=np.zeros(len(buy)),
        warnings=(),
    )


def build_site(import_limit_kw=np.inf, export_limit_kw=np.inf, base_kw=0.0, locations=("home",), site_id="garage"):
    """Return a site with a constant building load."""
    return Site(site_id, locations, import_limit_kw, export_limit_kw, (base_kw,) * 96)


def build_config(prices, **changes):
    """Return a world's configuration over the window of the prices."""
    return WorldConfig(prices.axis.start_ms, prices.axis.end_ms, 7.0, **changes)


def draw_sessions(seed, count, hours, locations=("home",)):
    """Return drawn sessions of a random city: stays of minutes to a day, at odd milliseconds."""
    dice = Streams(seed).generator("visits")
    arrival = np.sort(dice.integers(0, int((hours - 2) * MS_PER_H), count))
    stay = np.rint(dice.uniform(0.1, 16, count) * MS_PER_H).astype(np.int64)
    nothing = np.full(count, np.nan)
    visits = Visits(
        row=np.arange(count),
        session_id=tuple(f"s{i}" for i in range(count)),
        location=tuple(locations[i] for i in dice.integers(0, len(locations), count)),
        user_id=tuple(f"u{i}" for i in dice.integers(0, max(1, count // 3), count)),
        arrival_ms=START_MS + arrival,
        departure_ms=START_MS + arrival + stay,
        energy_kwh=dice.uniform(0, 7.4 * np.minimum(stay / MS_PER_H, 5.0)),
        power_max_kw=nothing,
        soc_arrival=nothing,
        soc_departure=nothing,
        capacity_kwh=nothing,
        departure_stated_ms=nothing,
        energy_requested_kwh=nothing,
    )
    config = WorldConfig(START_MS, START_MS + int(hours * MS_PER_H), 7.4)
    return draw_world(visits, config, Streams(seed))[0], config


class City:
    """The builders, as one fixture."""

    sessions = staticmethod(build_sessions)
    prices = staticmethod(build_prices)
    site = staticmethod(build_site)
    config = staticmethod(build_config)
    draw = staticmethod(draw_sessions)
    start_ms = START_MS
    zone = ZoneInfo("Asia/Shanghai")


@pytest.fixture(scope="session")
def city():
    return City
