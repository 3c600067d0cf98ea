"""A fleet's batteries over a window: cycles, losses beside two counterfactuals, budgets, what could be proved."""

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.battery.car_wear import UsedCar, budget_left
from backfeed.battery.chemistry import Chemistry
from backfeed.battery.cohort import plan_cohort
from backfeed.battery.fleet_health import estimate_car
from backfeed.battery.fleet_wear import FleetBattery, fleet_battery
from backfeed.battery.health import HealthAssumptions
from backfeed.battery.rainflow import Rainflow, follow
from backfeed.battery.stretches import charge_stretches, join_records
from backfeed.battery.temperature import CellTemperature
from backfeed.battery.warranty import WarrantyUse, load_warranties, policy_for
from backfeed.battery.wear import LFP, WEAR_LAWS, SocPaths, discharge_wear_floor, path_costs
from backfeed.battery.window_path import Window, as_paths, window_path
from backfeed.core.rng import Streams

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DAYS = 14

levels = st.lists(st.integers(0, 50), min_size=2, max_size=40)


@given(levels)
def test_rainflow_counts_half_the_way_the_charge_has_gone(steps):
    soc = [level / 50 for level in steps]
    way = sum(abs(after - before) for before, after in itertools.pairwise(soc))
    assert follow(Rainflow(), soc).full_cycles == pytest.approx(way / 2)


@given(levels, st.integers(1, 39))
def test_rainflow_goes_on_from_where_it_stopped(steps, cut):
    soc = [level / 50 for level in steps]
    whole = follow(Rainflow(), soc)
    halves = follow(follow(Rainflow(), soc[:cut]), soc[cut:])
    assert halves.full_cycles == pytest.approx(whole.full_cycles)
    assert halves.cycles == whole.cycles


@given(st.lists(st.tuples(st.integers(0, 14 * 24 - 1), st.integers(0, 100)), min_size=1, max_size=30))
def test_a_path_covers_its_window_and_repeats(samples):
    samples = sorted(dict(samples).items())
    window = Window(DAY_MS, DAYS)
    at_ms = np.array([hour for hour, _ in samples]) * HOUR_MS + DAY_MS
    soc = np.array([level for _, level in samples]) / 100
    path_ms, path = window_path(window, at_ms, soc)
    assert (path_ms[0], path_ms[-1]) == (window.start_ms, window.end_ms)
    assert (np.diff(path_ms) > 0).all()
    assert (soc.min() - 1e-9 <= path).all()
    assert (path <= soc.max() + 1e-9).all()
    if at_ms[0] > window.start_ms:
        assert path[0] == path[-1]
    inside = np.isin(path_ms, at_ms)
    assert inside.sum() >= len(samples) - 1
    assert np.isin(at_ms[1:], path_ms).all()


registers = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900), st.booleans()), min_size=1, max_size=30)


@given(registers)
def test_stretches_hold_all_the_energy_and_all_the_hours_it_flowed(steps):
    given_or_taken = np.array([(0, wh) if out else (wh, 0) for wh, _, out in steps])
    imported, exported = np.vstack([[0, 0], np.cumsum(given_or_taken, axis=0)]).T
    at_ms = np.arange(len(steps) + 1) * 300_000
    soc = 0.5 + (imported - exported) / 100_000
    found = charge_stretches(at_ms, imported, exported, soc)
    assert found.energy_kwh.sum() * 1000 == pytest.approx(imported[-1] - exported[-1])
    assert found.hours.sum() == pytest.approx((given_or_taken.sum(axis=1) > 0).sum() / 12)
    assert (np.sign(found.energy_kwh) == np.sign(found.soc_change)).all()
    assert (np.diff(np.sign(found.energy_kwh)) != 0).all()


def nights_of(capacity, efficiency, nights, *, seed=1):
    """What a meter and a gauge of whole per cents show of a car that gives in the evening and charges at night."""
    dice = Streams(seed).generator("nights")
    parts = []
    for night in range(nights):
        start, bottom = dice.uniform(0.6, 0.75), dice.uniform(0.28, 0.36)
        kw = np.concatenate([np.full(60, -7.0), np.zeros(24), np.full(90, 7.0)])
        dc = np.where(kw > 0, kw * efficiency, kw / efficiency) / 12 / capacity
        level = start + np.concatenate([[0.0], np.cumsum(dc[:60])])
        level = np.concatenate([np.maximum(level, bottom), np.full(24, max(level[-1], bottom))])
        level = np.concatenate([level, np.minimum(level[-1] + np.cumsum(dc[84:]), 0.9)])
        moved = np.diff(level) * capacity
        wh = np.where(moved > 0, moved / efficiency, moved * efficiency) * 1000
        imported = np.concatenate([[0], np.cumsum(np.maximum(wh, 0))]).astype(np.int64)
        exported = np.concatenate([[0], np.cumsum(np.maximum(-wh, 0))]).astype(np.int64)
        at_ms = night * DAY_MS + np.arange(level.size) * 300_000
        parts.append(charge_stretches(at_ms, imported, exported, np.round(level, 2)))
    return join_records(parts)


def test_two_weeks_of_meter_readings_show_the_capacity_whatever_the_charger_loses():
    errors = []
    for seed, capacity in enumerate((52.0, 57.0, 60.0, 63.0, 66.0)):
        records = nights_of(capacity, 0.88, DAYS, seed=seed)
        health = estimate_car(records, LFP, HealthAssumptions(60.0, 0.93, 0.93, standby_kw=0.0))
        assert health.efficiency_cancelled
        errors.append((health.capacity_kwh - capacity) / health.capacity_sd_kwh)
        assert health.capacity_kwh == pytest.approx(capacity, rel=0.015)
        assert health.scale_high / health.scale_low > 1.5, "two weeks say nearly nothing of the fade"
    assert max(map(abs, errors)) < 3


def test_a_car_without_a_state_of_charge_has_no_health_of_its_own():
    assert estimate_car(join_records([]), LFP, HealthAssumptions(60.0)) is None


def paths_of(*corners):
    """Paths of days that all look alike, from corners (hour, soc)."""
    made = []
    for each in corners:
        hours, soc = np.array(each).T
        at_ms = np.concatenate([day * DAY_MS + hours * HOUR_MS for day in range(DAYS)]).astype(np.int64)
        made.append(window_path(Window(0, DAYS), at_ms, np.tile(soc, DAYS)))
    return as_paths(made)


AT_ONCE = [(0, 0.9), (8, 0.9), (18, 0.76), (20, 0.9)]
LATE = [(0, 0.76), (6, 0.76), (8, 0.9), (18, 0.76)]
FED_BACK = [(0, 0.5), (3, 0.5), (8, 0.9), (18, 0.76), (21, 0.5)]


def a_car(name, chemistry=Chemistry.LFP, *, discharged=14 * 14.4, **changes):
    values = {
        "model": "Volkswagen ID.4", "capacity_kwh": 60.0, "sessions": 14, "charged_kwh": 330.0,
        "discharged_h": discharged / 7, "settled_kwh": discharged,
        "wear_paid": 0.07 * discharged, "paid": 0.3 * discharged, "health": None, "records": 0,
    }  # fmt: skip
    values |= changes
    use = WarrantyUse(0.0, 0.0, 12_000.0, discharged, values["discharged_h"])
    budget = budget_left(policy_for(values["model"], load_warranties()), use)
    return UsedCar(name=name, chemistry=chemistry, discharged_kwh=discharged, budget=budget, **values)


def fleet_at(temperature):
    worlds = {
        "unmanaged": paths_of(AT_ONCE, AT_ONCE, AT_ONCE),
        "v1g": paths_of(LATE, LATE, LATE),
        "v2g": paths_of(FED_BACK, LATE, FED_BACK),
    }
    cars = [a_car("gives"), a_car("waits", discharged=0.0), a_car("nmc", Chemistry.NMC_A, model="Kia Niro")]
    return fleet_battery(
        cars, worlds, shown="v2g", days=DAYS, start="2026-07-06", currency="CNY", temperature=temperature
    )


@pytest.fixture(scope="module")
def fleet():
    return fleet_at(CellTemperature())


def test_losses_are_those_at_the_cells_temperature(fleet):
    feed_ms = np.arange(-6, 24 * DAYS + 1, 6) * HOUR_MS
    warm = fleet_at(CellTemperature(25.0, feed_ms, np.full(len(feed_ms), 35.0)))
    same = fleet_at(CellTemperature(35.0))
    for car, hot, alike in zip(fleet.cars, warm.cars, same.cars, strict=True):
        assert hot.loss_calendar > 1.2 * car.loss_calendar
        assert hot.loss_now > car.loss_now
        assert hot.loss_total == pytest.approx(alike.loss_total)
    assert (fleet.temperature_c, same.temperature_c) == (25.0, 35.0)
    assert warm.temperature_c == pytest.approx(35.0)


def test_each_car_stands_beside_both_counterfactuals(fleet):
    gives, waits, nmc = fleet.cars
    assert waits.extra_over("v1g") == 0
    assert waits.extra_over("unmanaged") < 0, "standing lower is V1G's merit"
    assert gives.extra_over("v1g") > gives.extra_over("unmanaged") > 0
    assert gives.loss_calendar < gives.counterfactuals["unmanaged"].loss_calendar
    assert gives.full_cycles == pytest.approx(DAYS * 0.4, rel=1e-6)
    assert gives.counterfactual_cycles["v1g"] == pytest.approx(DAYS * 0.14, rel=1e-6)
    assert nmc.loss_cycling > gives.loss_cycling
    assert gives.loss_calendar + gives.loss_cycling == pytest.approx(gives.loss_total)


def test_the_cost_of_a_discharged_kwh_is_the_horizon_s_and_a_car_that_gave_nothing_has_none(fleet):
    gives, waits, _ = fleet.cars
    worth = gives.extra_over("v1g") * 60 * 600 / 0.2
    assert gives.marginal_wear_per_kwh == pytest.approx(worth / (14.4 * 365 * 8))
    assert 0.06 < gives.marginal_wear_per_kwh < 0.11
    assert (waits.marginal_wear_per_kwh, waits.wear_paid_per_kwh) == (None, None)


def test_health_that_is_not_measured_says_so_and_has_a_band(fleet):
    for car in fleet.cars:
        assert car.soh.basis == "law"
        assert car.soh.low < car.soh.estimate < car.soh.high < 1
        assert car.soh.estimate == pytest.approx(1 - car.loss_now)


def test_the_warranty_takes_what_driving_leaves_and_the_maker_s_own_caps(fleet):
    gives, _, nmc = fleet.cars
    assert gives.budget.hours_left == pytest.approx(4_000 - 14 * 14.4 / 7)
    assert nmc.budget.hours_left is None
    assert gives.budget.virtual_km_used == pytest.approx(14 * 14.4 / 0.1426)
    assert 0 < gives.budget.energy_left_kwh <= 10_000 - 14 * 14.4


def test_sums_percentiles_and_the_other_convention_stand_beside(fleet):
    assert fleet.sums.discharged_kwh == pytest.approx(2 * 14 * 14.4)
    assert fleet.sums.full_cycles == pytest.approx(sum(car.full_cycles for car in fleet.cars))
    assert fleet.spread["full_cycles"].p50 == pytest.approx(np.median([car.full_cycles for car in fleet.cars]))
    assert fleet.spread["marginal_wear_per_kwh"].cars == 2
    assert [round(each.cost_per_kwh, 2) for each in fleet.whole_pack] == [2.10, 0.80, 0.40]


def test_what_a_proof_needs_is_said_for_each_chemistry(fleet):
    lfp, nmc = fleet.cohorts
    assert (lfp.cars_discharging, lfp.cars_other) == (1, 1)
    assert lfp.cars_per_arm > nmc.cars_per_arm > 5
    assert lfp.visible_one_car_points > 8 * lfp.difference_points
    assert fleet.comparison is None
    assert plan_cohort(Chemistry.LFP, 0.0, 3, 0).cars_per_arm is None


def test_the_document_reads_back_as_it_was_written(fleet):
    assert msgspec.json.decode(msgspec.json.encode(fleet), type=FleetBattery) == fleet


@pytest.mark.parametrize("law", WEAR_LAWS.values(), ids=lambda law: law.chemistry.value)
def test_charging_back_after_midnight_belongs_to_the_discharge_of_the_evening(law):
    gave = [0.3 * 60 * 0.92]
    evening = SocPaths.single(np.array([18, 21, 24]) * HOUR_MS, np.array([0.7, 0.4, 0.4]))
    both = SocPaths.single(np.array([8, 11, 13, 18]) * HOUR_MS, np.array([0.7, 0.4, 0.4, 0.7]))
    split, whole = (discharge_wear_floor(law, each, 60.0, gave) for each in (evening, both))
    unpaid = path_costs(law, evening, 60.0).cycling[0] / gave[0]
    assert split.cycling_per_kwh[0] > 1.2 * unpaid, "half the way alone is not what a discharge costs"
    assert split.floor_per_kwh[0] == pytest.approx(whole.floor_per_kwh[0], rel=0.12 if law is LFP else 0.45)
    morning = SocPaths.single(np.array([24, 27, 32]) * HOUR_MS, np.array([0.4, 0.4, 0.7]))
    assert discharge_wear_floor(law, morning, 60.0, [0.1]).floor_per_kwh[0] == 0, "nobody is paid twice"
