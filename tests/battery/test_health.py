"""Health from charger-side data, on a synthetic fleet whose truth is known."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.battery.charge_records import read_charge_records
from backfeed.battery.cohort import cars_per_arm, compare_cohorts, match_cars, visible_difference
from backfeed.battery.fleet_health import estimate_fleet
from backfeed.battery.health import CarRecords, HealthAssumptions, deming_through_origin, estimate_health
from backfeed.battery.record_cohort import compare_records
from backfeed.battery.true_up import true_up
from backfeed.battery.wear import LFP
from backfeed.core.problem import InputError
from backfeed.core.rng import Streams

YEAR_MS = 365 * 86_400_000
NMC_SOC_SD, LFP_SOC_SD = 0.004, 0.011
"""How far a gauge is off before it rounds: the flat voltage of LFP leaves it guessing."""


@dataclass
class Car:
    records: CarRecords
    law_loss: np.ndarray
    scale: float
    fade: float
    capacity_kwh: float


def a_car(number, soc_sd, *, discharges=False, lies=0.0, reset_year=None, years=3, scale_sd=0.25):
    """A car of about 60 kWh whose fade is its own multiple of the law, on a charger of unknown efficiency."""
    dice = Streams(11).generator("car", number)
    count = 110 * years
    age = np.sort(dice.uniform(0, years, count))
    law_loss = 0.06 * (age / 8) ** 0.55
    scale = float(np.exp(scale_sd * dice.standard_normal()))
    capacity = 60 * (1 + 0.03 * dice.standard_normal())
    common, apart = 0.013 * dice.standard_normal(), 0.006 * dice.standard_normal(2)
    charge_efficiency, discharge_efficiency = 0.9 * (1 + common + apart)
    depth = dice.uniform(0.1, 0.7, count)
    low = dice.uniform(0.1, 0.9 - depth)
    gives = (dice.random(count) < 0.4) if discharges else np.zeros(count, dtype=bool)
    moved = capacity * (1 - scale * law_loss) * depth
    energy = np.where(gives, -moved * discharge_efficiency, moved / charge_efficiency)
    hours = np.abs(energy) / 7
    energy = (energy + 0.2 * hours) * (1 + 0.005 * dice.standard_normal(count))
    seen = [np.round(level + soc_sd * dice.standard_normal(count), 2) for level in (low, low + depth)]
    change = np.where(gives, -1, 1) * (seen[1] - seen[0])
    liar = dice.random(count) < lies
    change = np.where(liar, change * dice.uniform(0.3, 1.5, count), change)
    if reset_year is not None:
        change = np.where(age > reset_year, 1.05 * change, change)
    fade = scale * float(law_loss.max())
    records = CarRecords((age * YEAR_MS).astype(np.int64), energy, change, hours)
    return Car(records, law_loss, scale, fade, capacity * (1 - fade))


def known(soc_sd):
    return HealthAssumptions(60.0, soc_error=soc_sd + 0.003)


@cache
def fleet(soc_sd, cars=120, **options):
    made = [a_car(number, soc_sd, **options) for number in range(cars)]
    return made, [estimate_health(car.records, car.law_loss, known(soc_sd)) for car in made]


def fade_error(made, found):
    """Mean absolute error of fade in points."""
    return 100 * np.mean([abs(health.fade - car.fade) for car, health in zip(made, found, strict=True)])


def capacity_error(made, found):
    return 100 * np.mean(
        [abs(health.capacity_kwh / car.capacity_kwh - 1) for car, health in zip(made, found, strict=True)]
    )


def test_fade_since_enrolment_is_known_to_a_third_of_a_point_for_nmc_and_two_thirds_for_lfp():
    assert fade_error(*fleet(NMC_SOC_SD)) <= 0.35
    assert fade_error(*fleet(LFP_SOC_SD)) <= 0.70


def test_the_absolute_capacity_keeps_the_charger_s_error_unless_the_car_also_discharges():
    charging, both = capacity_error(*fleet(NMC_SOC_SD)), capacity_error(*fleet(NMC_SOC_SD, discharges=True))
    assert 0.9 <= charging <= 1.4
    assert both <= 0.55
    assert all(health.efficiency_cancelled for health in fleet(NMC_SOC_SD, cars=5, discharges=True)[1])


@pytest.mark.parametrize("soc_sd", [NMC_SOC_SD, LFP_SOC_SD])
def test_the_band_of_the_wear_scale_holds_the_truth_two_times_in_three(soc_sd):
    made, found = fleet(soc_sd)
    held = np.mean(
        [health.scale_low <= car.scale <= health.scale_high for car, health in zip(made, found, strict=True)]
    )
    assert 0.55 <= held <= 0.85
    narrower = np.mean([health.scale_high - health.scale_low for health in found])
    assert narrower < 0.6


def test_lies_of_the_gauge_are_set_aside():
    made, found = fleet(NMC_SOC_SD, lies=0.05)
    assert fade_error(made, found) <= 0.45
    assert np.mean([dict(health.set_aside)["far off the car's own line"] for health in found]) > 5


def test_a_reset_of_the_gauge_is_found_and_never_taken_for_fade():
    made, found = fleet(NMC_SOC_SD, reset_year=1.6)
    right = [len(each.resets_ms) == 1 and abs(each.resets_ms[0] / YEAR_MS - 1.6) < 0.1 for each in found]
    assert np.mean(right) > 0.9
    assert fade_error(made, found) <= 0.7
    calm = fleet(NMC_SOC_SD)[1]
    assert np.mean([len(each.resets_ms) for each in calm]) < 0.1


def test_a_car_that_fades_many_times_as_fast_as_the_law_is_not_taken_for_one_with_resets():
    cars = [a_car(number, NMC_SOC_SD, years=3) for number in range(30)]
    found = [estimate_health(car.records, car.law_loss / 6, known(NMC_SOC_SD)) for car in cars]
    assert np.mean([len(health.resets_ms) for health in found]) < 0.1
    assert fade_error(cars, found) <= 0.45


def test_sessions_that_say_too_little_are_not_used():
    car = a_car(1, NMC_SOC_SD)
    health = estimate_health(car.records, car.law_loss, known(NMC_SOC_SD))
    reasons = dict(health.set_aside)
    assert reasons["moves too little charge"] == (np.abs(car.records.soc_change) < 0.2 - 1e-9).sum()
    assert health.sessions + sum(reasons.values()) == car.records.at_ms.size
    few = car.records.select(np.arange(8))
    assert estimate_health(few, car.law_loss[:8], known(NMC_SOC_SD)) is None


def test_the_order_of_sessions_does_not_matter():
    car = a_car(2, NMC_SOC_SD, discharges=True)
    order = Streams(1).generator("order").permutation(car.records.at_ms.size)
    shuffled = estimate_health(car.records.select(order), car.law_loss[order], known(NMC_SOC_SD))
    assert shuffled == estimate_health(car.records, car.law_loss, known(NMC_SOC_SD))


def test_deming_is_unbiased_where_least_squares_is_not():
    dice = Streams(3).generator("deming")
    depth = dice.uniform(0.2, 0.5, 20_000)
    energy = 60 * depth * (1 + 0.01 * dice.standard_normal(depth.size))
    seen = depth + 0.04 * dice.standard_normal(depth.size)
    ratio = (0.01 * 60 * 0.36) ** 2 / 0.04**2
    assert deming_through_origin(seen, energy, ratio) == pytest.approx(60, rel=0.002)
    assert (seen @ energy) / (seen @ seen) < 59.5


@given(st.floats(1, 200), st.floats(0.01, 100))
def test_deming_finds_an_exact_line(slope, ratio):
    x = np.array([0.2, 0.5, 0.7])
    assert deming_through_origin(x, slope * x, ratio) == pytest.approx(slope, rel=1e-9)


def test_charge_records_are_read_and_bad_rows_named():
    lines = [
        "vehicle,start,end,energy_kwh,soc_start,soc_end",
        "a,2026-07-01T18:00:00+08:00,2026-07-01T22:00:00+08:00,25,0.4,0.8",
        "a,2026-07-02T18:00:00+08:00,2026-07-02T17:00:00+08:00,25,0.4,0.8",
        "b,2026-07-02T18:00:00+08:00,2026-07-02T20:00:00+08:00,-12,0.8,0.55",
        "b,yesterday,2026-07-02T20:00:00+08:00,1,0.8,0.9",
        "b,2026-07-02T18:00:00+08:00,2026-07-02T20:00:00+08:00,25,40,80",
    ]
    records, problems = read_charge_records(lines, "log.csv")
    assert records["a"].energy_kwh.tolist() == [25]
    assert records["b"].soc_change.tolist() == pytest.approx([-0.25])
    assert records["b"].hours.tolist() == [2]
    assert [problem.where for problem in problems] == ["log.csv row 3", "log.csv row 5", "log.csv row 6"]
    with pytest.raises(InputError, match="soc_end"):
        read_charge_records(["vehicle,start,end,energy_kwh,soc_start"], "log.csv")
    with pytest.raises(InputError, match="layout"):
        read_charge_records(lines, "log.csv", "excel")


def test_the_taxi_layout_is_cut_at_gaps_and_integrated():
    lines = ["number,record_time,soc,pack_voltage,charge_current,max_cell,min_cell,max_t,min_t,energy,capacity"]
    for hour in (1, 5):
        lines += [
            f"1,20190730{hour:02d}{second // 60:02d}{second % 60:02d},{40 + second / 60:.1f},350,-100,4,4,30,29,20,70"
            for second in range(0, 1200, 10)
        ]
    records, problems = read_charge_records([*lines, "1,,50,350,-100,3,3,30,30,20,70"], "#1.csv", "baic-20")
    car = records["#1.csv"]
    assert len(problems) == 1
    assert car.energy_kwh.tolist() == pytest.approx([35 * 1190 / 3600] * 2)
    assert car.soc_change.tolist() == pytest.approx([0.198] * 2)


def test_a_fleet_from_records_gets_its_health():
    records = {f"car-{number}": a_car(number, NMC_SOC_SD).records for number in range(3)}
    found = estimate_fleet(records, LFP, 60.0)
    assert list(found) == ["car-0", "car-1", "car-2"]
    assert all(0.3 < health.scale < 3 for health in found.values())


def test_how_many_cars_prove_a_third_of_a_point():
    to_sd = (np.pi / 2) ** 0.5
    assert cars_per_arm(0.35, 0.64 * to_sd) == pytest.approx(82, abs=1)
    assert cars_per_arm(0.35, 0.33 * to_sd) == pytest.approx(22, abs=1)
    assert visible_difference(82, 0.8) == pytest.approx(0.35, abs=0.005)


def test_matched_cohorts_show_a_difference_that_unmatched_ones_hide():
    dice = Streams(5).generator("cohort")
    age = dice.uniform(0.5, 8, 400)
    discharges = (age > 4) & (dice.random(400) < 0.6) | (dice.random(400) < 0.1)
    fade = 2 * age**0.5 + 0.5 * discharges + 0.3 * dice.standard_normal(400)
    treated, others = np.flatnonzero(discharges), np.flatnonzero(~discharges)
    matches = match_cars(age[treated, None], age[others, None], widest=0.1)
    found = matches >= 0
    comparison = compare_cohorts(fade[treated[found]], fade[others[matches[found]]])
    assert comparison.low <= 0.5 <= comparison.high
    assert comparison.low > 0
    assert fade[treated].mean() - fade[others].mean() > 1
    assert len(set(matches[found])) == found.sum()
    assert compare_cohorts(fade[:2], fade[2:4]) is None


@pytest.mark.parametrize("scale_paid", [0.5, 1.0, 2.0])
def test_the_yearly_true_up_pays_what_was_missing_and_takes_nothing_back(scale_paid):
    car = a_car(4, NMC_SOC_SD)
    measured = estimate_health(car.records, car.law_loss, known(NMC_SOC_SD))
    settled = true_up(120.0, scale_paid, measured)
    assert settled.due - settled.overpaid == pytest.approx(120 * (measured.scale / scale_paid - 1))
    assert min(settled.due, settled.overpaid) == 0
    assert settled.low <= settled.due <= settled.high


def test_a_cohort_out_of_charge_records_says_what_it_shows_and_what_it_could():
    records = {f"car-{n}": a_car(n, NMC_SOC_SD, discharges=n % 2 == 0, scale_sd=0.1).records for n in range(24)}
    for n in range(1, 24, 2):  # who gives nothing charges less, for as much driving
        records[f"car-{n}"] = records[f"car-{n}"].select(np.arange(0, 330, 4))
    found = compare_records(records, LFP, 60.0, 0.35, 25.0)
    assert (found.discharging, found.others, found.not_measured) == (12, 12, 0)
    assert found.cars_per_arm == cars_per_arm(0.35, found.fade_sd_points)
    assert found.visible_points > found.difference_points / 2
    assert found.comparison.low <= 0 <= found.comparison.high, "discharging wears nothing more in this fleet"
    alone = compare_records({"car-1": records["car-1"]}, LFP, 60.0, 0.35, 25.0)
    assert (alone.discharging, alone.others, alone.comparison, alone.visible_points) == (0, 1, None, None)


def test_the_band_of_the_capacity_holds_the_truth():
    for soc_sd, discharges in ((NMC_SOC_SD, False), (LFP_SOC_SD, False), (NMC_SOC_SD, True)):
        made, found = fleet(soc_sd, discharges=discharges) if discharges else fleet(soc_sd)
        held = np.mean(
            [abs(h.capacity_kwh - c.capacity_kwh) <= h.capacity_sd_kwh for c, h in zip(made, found, strict=True)]
        )
        assert 0.55 <= held <= 0.85
