"""The battery book: paths from registers, jumps that are no cycles, discharge counted once."""

import itertools
import math
from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from backfeed.app.battery_book import BatteryBook, Block
from backfeed.app.enrolment import Enrolment
from backfeed.app.knowledge import Car
from backfeed.app.plan_wear import PlanWear, WearMode
from backfeed.battery.chemistry import Chemistry
from backfeed.battery.temperature import CellTemperature
from backfeed.battery.warranty import WarrantyPolicy, WarrantyTable
from backfeed.core.rng import Streams
from backfeed.fleet.event import Reading, TransactionChanged
from backfeed.fleet.owner import EnrolledVehicle, Owner
from backfeed.fleet.state import Plug

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 10 * HOUR_MS
OWNER = Owner("ann", 0.25, 0.85, EnrolledVehicle("Model", Chemistry.LFP, 50.0, 7.0, 7.0, 0.9, 0.9))


def a_book(**enrolled):
    return BatteryBook(Enrolment({}, {}, {}, OWNER, 7.0, ZoneInfo("UTC"), **enrolled), day_start_ms=0)


def a_plug(at_h=0.0, import_wh=1_000, export_wh=500, transaction="t1"):
    return Plug(
        "S-1", 1, transaction, "ann", 0, import_wh=import_wh, export_wh=export_wh, metered_ms=int(at_h * HOUR_MS)
    )


@pytest.fixture
def book():
    return a_book()


def test_a_path_goes_by_the_registers(book):
    book.follow(a_plug(), OWNER, 20.0)
    book.follow(a_plug(1, import_wh=6_000), OWNER, 24.5)
    book.follow(a_plug(2, import_wh=6_000, export_wh=3_200), OWNER, 21.5)
    at_ms, energy_kwh = book.path_since(a_plug(), -1)
    assert at_ms.tolist() == [0, HOUR_MS, 2 * HOUR_MS]
    assert energy_kwh.tolist() == pytest.approx([20.0, 24.5, 21.5])
    assert book.discharged("ann") == pytest.approx((2.7, 1.0))


def test_a_path_can_be_cut_at_midnight(book):
    book.follow(a_plug(22), OWNER, 20.0)
    book.follow(a_plug(26, import_wh=11_000), OWNER, 29.0)
    at_ms, energy_kwh = book.path_since(a_plug(), DAY_MS)
    assert at_ms.tolist() == [DAY_MS, 26 * HOUR_MS]
    assert energy_kwh.tolist() == pytest.approx([24.5, 29.0])


def test_standing_still_keeps_a_sample_an_hour(book):
    for five in range(12 * 50):
        book.follow(a_plug(five / 12), OWNER, 20.0)
    assert len(book.path_since(a_plug(), -1)[0]) == pytest.approx(50, abs=2)


def test_what_a_car_says_anew_is_a_jump_and_no_cycle(book):
    book.follow(a_plug(), OWNER, 20.0)
    book.follow(a_plug(1), OWNER, 40.0)
    book.follow(a_plug(2), OWNER, 40.0)
    book.close(a_plug(2))
    assert book.record(OWNER, NOW_MS).wear.full_cycles == 0
    assert book.record(OWNER, NOW_MS).wear.soc == pytest.approx(0.8)
    assert book.record(OWNER, NOW_MS).loss_calendar > 0


def test_an_open_stay_counts_and_its_end_changes_nothing(book):
    book.follow(a_plug(), OWNER, 40.0)
    book.follow(a_plug(3, export_wh=18_500), OWNER, 20.0)
    before = book.record(OWNER, NOW_MS)
    book.close(a_plug(3, export_wh=18_500))
    after = book.record(OWNER, NOW_MS)
    assert before.wear.today == after.wear.today
    assert after == replace(before, stays=1)
    assert after.discharged_kwh == pytest.approx(18.0)
    assert book.health(OWNER) == pytest.approx(1 - after.loss_calendar - after.loss_cycling)


def test_driving_between_two_stays_is_part_of_the_wear(book):
    book.follow(a_plug(), OWNER, 40.0)
    book.close(a_plug(1))
    book.follow(a_plug(9, transaction="t2"), OWNER, 20.0)
    book.close(a_plug(10, transaction="t2"))
    wear = book.record(OWNER, NOW_MS).wear
    assert wear.at_ms == 10 * HOUR_MS
    assert book.record(OWNER, NOW_MS).stays == 2
    assert wear.soc == pytest.approx(0.4)


def test_registers_that_can_not_be_true_discharge_nothing(book):
    book.follow(a_plug(), OWNER, 40.0)
    book.follow(a_plug(1, export_wh=900_000), OWNER, 40.0)
    book.follow(a_plug(2, export_wh=901_800), OWNER, 40.0)
    assert book.discharged("ann") == pytest.approx((1.8, 1.0))


def test_a_second_car_on_one_token_does_not_turn_time_back(book):
    book.follow(a_plug(), OWNER, 40.0)
    book.follow(replace(a_plug(1, transaction="t2"), station="S-2"), OWNER, 30.0)
    book.close(a_plug(5))
    book.close(replace(a_plug(3, transaction="t2"), station="S-2"))
    assert book.record(OWNER, NOW_MS).wear.at_ms == 5 * HOUR_MS


def stays_of_years(book, true_scale, *, tells=True, days=1_100, seed=3):
    """Let a car that fades `true_scale` times as fast as the law charge every third day; yield the book's scale."""
    dice = Streams(seed).generator("stays")
    registers = 0.0
    for number, day in enumerate(range(0, days, 3)):
        capacity = 50.0 * (1 - true_scale / book.scale(OWNER) * (1 - book.health(OWNER)))
        low, high = dice.uniform(0.15, 0.35), dice.uniform(0.8, 0.95)
        moved_wh = 1_000 * capacity * (high - low) / 0.9
        for sequence, (hour, soc) in enumerate(((18, low), (18.05, low), (26.0, high))):
            registers += moved_wh if sequence == 2 else 0.0
            at_ms = day * DAY_MS + int(hour * HOUR_MS)
            shown = round(float(np.clip(soc + dice.normal(0, 0.004), 0, 1)), 2) if tells else None
            reading = Reading(measured_ms=at_ms, import_wh=int(registers), export_wh=0, soc=shown)
            event = TransactionChanged(
                at_ms=at_ms, station="S-1", evse=1, transaction=f"t{number}", sequence=sequence, phase="updated",
                trigger="MeterValuePeriodic", measured_ms=at_ms, token="ann", readings=(reading,),
            )  # fmt: skip
            book.hear(event)
            plug = a_plug(day * 24 + hour, int(registers), 0, f"t{number}")
            book.follow(plug, OWNER, soc * 50.0)
        book.close(plug)
        yield book.scale(OWNER)


@pytest.mark.parametrize("true_scale", [0.6, 2.5])
def test_a_car_s_own_sessions_set_the_scale_of_its_wear(true_scale):
    book = a_book()
    scales = list(stays_of_years(book, true_scale))
    assert set(scales[:20]) == {1.0}, "two months say little"
    assert scales[-1] == pytest.approx(true_scale, abs=0.3)
    assert sum(one != other for one, other in itertools.pairwise(scales)) <= 1_100 / 7 + 1, "anew once a week"
    record = book.record(OWNER, NOW_MS)
    assert record.scale == scales[-1]
    assert record.stretches == len(scales)
    lost = record.loss_calendar + record.loss_cycling
    assert book.health(OWNER) == pytest.approx(1 - scales[-1] * lost, abs=1e-4)
    again = a_book()
    assert list(stays_of_years(again, true_scale)) == scales, "a restart folds the same"


def test_a_car_that_tells_no_charge_keeps_the_law_s_scale():
    book = a_book()
    assert set(stays_of_years(book, 2.5, tells=False)) == {1.0}
    assert book.record(OWNER, NOW_MS).measured is None


def test_the_plan_s_prices_are_those_of_the_car_s_own_scale():
    book = a_book()
    scale = list(stays_of_years(book, 2.5))[-1]
    car = Car(a_plug(), OWNER, "site", "S", 30.0, 30.0, 42.0, 7.0, 7.0, np.full(3, NOW_MS + HOUR_MS))
    plain, prices = PlanWear(a_book()).prices(car), PlanWear(book).prices(car)
    assert prices.wear_per_kwh == pytest.approx(scale * plain.wear_per_kwh)
    assert prices.hold_per_kwh_h == pytest.approx(scale * plain.hold_per_kwh_h)
    assert PlanWear(book, WearMode.CONSTANT, 0.08).prices(car).wear_per_kwh == 0.08


def capped_at(kwh, hours=math.inf):
    policy = WarrantyPolicy("any", 8, 160_000, 0.7, 0.1426, discharge_kwh=kwh, discharge_hours=hours)
    return WarrantyTable("test", (), (policy,))


def test_a_budget_shrinks_with_what_is_discharged_and_then_blocks():
    book = a_book(warranties=capped_at(3.0))
    book.follow(a_plug(), OWNER, 40.0)
    assert book.budget(OWNER).energy_left_kwh == pytest.approx(3.0)
    book.follow(a_plug(1, export_wh=2_500), OWNER, 37.8)
    assert book.budget(OWNER).energy_left_kwh == pytest.approx(1.0)
    assert book.block(book.budget(OWNER), 0) is Block.NONE
    book.close(a_plug(2, export_wh=3_480))
    assert book.block(book.budget(OWNER), 0) is Block.WARRANTY
    assert book.record(OWNER, 0).budget.energy_left_kwh == pytest.approx(0.02)
    assert book.record(OWNER, 0).block is Block.WARRANTY


def test_hours_of_discharging_can_be_used_up_too():
    book = a_book(warranties=capped_at(100.0, hours=2.0))
    book.follow(a_plug(), OWNER, 40.0)
    book.follow(a_plug(1.99, export_wh=700), OWNER, 39.8)
    assert book.block(book.budget(OWNER), 0) is Block.WARRANTY


def test_driving_that_is_still_to_come_leaves_fewer_virtual_kilometres():
    book = a_book()
    drives_much = replace(OWNER, vehicle=replace(OWNER.vehicle, driving_km_per_year=25_000.0))
    assert book.budget(OWNER).energy_left_kwh == pytest.approx((160_000 - 8 * 12_000) * 0.1426)
    assert book.budget(drives_much).energy_left_kwh == 0
    assert book.block(book.budget(drives_much), 0) is Block.WARRANTY


def test_cold_cells_block_until_they_are_warm():
    feed = CellTemperature(25.0, np.array([0, 4 * HOUR_MS]), np.array([1.0, 9.0]))
    book = a_book(temperature=feed)
    assert [book.block(book.budget(OWNER), hour * HOUR_MS).value for hour in (0, 1, 2, 3)] == ["cold", "cold", "", ""]
    assert book.block(book.budget(OWNER), 5 * HOUR_MS) is Block.NONE, "after the last reading the default holds"


def test_warmth_wears():
    records = []
    for celsius in (15.0, 35.0):
        book = a_book(temperature=CellTemperature(celsius))
        book.follow(a_plug(), OWNER, 40.0)
        book.close(a_plug(9))
        records.append(book.record(OWNER, NOW_MS))
    assert records[1].loss_calendar > 1.5 * records[0].loss_calendar
