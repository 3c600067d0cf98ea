"""The compiled decision is the one that numpy made before it, where sites stand by themselves."""

import numpy as np
import pytest

from backfeed.core.instant import MS_PER_H
from backfeed.core.rng import Streams
from backfeed.dispatch.allocate import allocate
from backfeed.dispatch.columns import EvseColumns, SiteColumns

NOW_MS = 1_783_296_000_000  # 2026-07-06 00:00 UTC


def drawn(seed):
    """Draw cars at sites, some of them tight, and a promise or none."""
    dice = Streams(seed).generator("dispatch-before-tests")
    count, sites = int(dice.integers(1, 200)), int(dice.integers(1, 9))
    capacity = dice.uniform(20, 100, count)
    low = capacity * dice.random(count)
    planned = dice.uniform(-25, 25, count)
    planned[dice.random(count) < dice.choice([0.0, 0.3])] = np.nan
    departure = NOW_MS + (dice.uniform(-2, 30, count) * MS_PER_H).astype(np.int64)
    departure[dice.random(count) < 0.2] = -1
    evses = EvseColumns(
        station=tuple(f"S-{i}" for i in range(count)),
        evse=np.ones(count, dtype=np.int64),
        site=dice.integers(0, sites, count),
        charge_max_kw=dice.choice([0.0, 3.7, 7.0, 22.0], count),
        discharge_max_kw=dice.choice([0.0, 5.0, 7.0, 22.0], count),
        energy_low_kwh=low,
        energy_high_kwh=low,
        reserve_kwh=capacity * dice.uniform(0, 0.5, count),
        target_kwh=capacity * dice.uniform(0.2, 1, count),
        full_kwh=capacity,
        departure_ms=departure,
        charge_efficiency=dice.uniform(0.8, 1, count),
        discharge_efficiency=dice.uniform(0.8, 1, count),
        planned_kw=planned,
        charging_only=dice.random(count) < 0.3,
        step_s=300.0,
    )
    kinds = dice.integers(0, 3, (2, sites))
    limits = np.where(kinds == 0, 0.0, np.where(kinds == 1, dice.uniform(0, 4 * count, (2, sites)), np.inf))
    base = dice.uniform(-2, 3, sites) * count * (dice.random(sites) < 0.5)
    grid = np.where(dice.random(sites) < 0.3, dice.uniform(0, 3 * count, sites), np.inf)
    target = None if dice.random() < 0.3 else float(dice.uniform(-8, 8) * count)
    return evses, SiteColumns(limits[0], limits[1], base, grid_import_limit_kw=grid), target


@pytest.mark.parametrize("hundred", range(5))
def test_every_order_and_its_reason_are_as_before(allocate_by_numpy, hundred):
    for seed in range(100 * hundred, 100 * hundred + 100):
        evses, sites, target = drawn(seed)
        now, before = (decide(evses, sites, target, NOW_MS) for decide in (allocate, allocate_by_numpy))
        assert now.power_kw == pytest.approx(before.power_kw, abs=1e-7), seed
        assert now.bound_by.tolist() == before.bound_by.tolist(), seed
        assert now.site_net_kw == pytest.approx(before.site_net_kw, abs=1e-6), seed
        assert now.site_excess_kw == pytest.approx(before.site_excess_kw, abs=1e-6), seed
        assert now.shortfall_kw == pytest.approx(before.shortfall_kw, abs=1e-6), seed
