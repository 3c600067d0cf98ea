"""Compile the kernels of every room before they are needed: setting up does, so that nobody waits at the first plan."""

import numpy as np

from backfeed.battery.law import WEAR_LAWS
from backfeed.battery.linear import linear_coefficients
from backfeed.core.instant import MS_PER_H
from backfeed.dispatch.allocate import allocate
from backfeed.dispatch.columns import EvseColumns, SiteColumns
from backfeed.forecast.departure import DepartureForecaster
from backfeed.forecast.history import Stay
from backfeed.plan.warm import warm as warm_planner

_DAY_H = 24


def warm() -> None:
    """Ask each kernel one small question, which compiles what has not been."""
    warm_planner()
    linear_coefficients(next(iter(WEAR_LAWS.values())), np.full(97, 0.6), 60.0)
    forecaster = DepartureForecaster("UTC")
    for day in range(2):
        stay = Stay("u", "home", day * _DAY_H * MS_PER_H, (day * _DAY_H + 9) * MS_PER_H, 7.0)
        forecaster.learn(stay, stay.departure_ms)
    arrival_ms = 2 * _DAY_H * MS_PER_H
    forecaster.distribution("u", "home", arrival_ms, arrival_ms, arrival_ms + 9 * MS_PER_H)
    sites = SiteColumns(np.full(1, 10.0), np.full(1, 5.0), np.full(1, 2.0))
    for target_kw in (None, -6.0):
        allocate(_two_cars(), sites, target_kw, 0)


def _two_cars() -> EvseColumns:
    """Return cars whose plans pass what their site allows."""
    two = np.ones(2)
    return EvseColumns(
        station=("a", "b"),
        evse=np.ones(2, np.int64),
        site=np.zeros(2, np.int64),
        charge_max_kw=7.0 * two,
        discharge_max_kw=7.0 * two,
        energy_low_kwh=30.0 * two,
        energy_high_kwh=30.0 * two,
        reserve_kwh=10.0 * two,
        target_kwh=40.0 * two,
        full_kwh=60.0 * two,
        departure_ms=np.full(2, 9 * MS_PER_H),
        charge_efficiency=0.95 * two,
        discharge_efficiency=0.95 * two,
        planned_kw=7.0 * two,
        charging_only=np.zeros(2, np.bool_),
        step_s=300.0,
    )
