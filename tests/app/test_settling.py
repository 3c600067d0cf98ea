"""Days closed over events of a handful of cars: late readings, doubted sessions, hours at the charger."""

from datetime import date

import numpy as np
import pytest

from backfeed.app.battery_book import BatteryBook
from backfeed.app.config import load_pilot
from backfeed.app.demand import DemandDesk
from backfeed.app.knowledge import Knowledge
from backfeed.app.outlook import ForecastOutlook
from backfeed.app.scene import set_scene
from backfeed.app.settling import Settling
from backfeed.core.instant import MS_PER_H, MS_PER_MIN
from backfeed.fleet.belief import Told
from backfeed.fleet.event import EvseStatusChanged, Reading, TransactionChanged
from backfeed.fleet.order import Mode
from backfeed.market.programme import load_programme
from backfeed.meter.gaming import Scheme
from backfeed.meter.interval import MeterBook
from backfeed.settle.postings import Parties
from backfeed.settle.quarantine import OPEN, cases, decide
from backfeed.settle.transfer import Code, balances
from backfeed.store.ledger_detail import verify_details
from backfeed.store.ledger_seal import open_ledger

DAY = date(2026, 7, 13)
STATION = "UT1-1"


@pytest.fixture(scope="module")
def scene(small_day, tmp_path_factory):
    return set_scene(load_pilot(small_day.write(tmp_path_factory.mktemp("settling"))))


@pytest.fixture
def desk(scene, tmp_path):
    """Return what closes days, and the ledger that it posts to."""
    told = Told(Mode.SETPOINT, 0.0)
    outlook = ForecastOutlook(scene.history, "Asia/Shanghai")
    batteries = BatteryBook(scene.enrolment, scene.pilot.start_ms)
    knowledge = Knowledge(scene.enrolment, outlook, MeterBook(), lambda _station, _evse: told, batteries)
    demand = DemandDesk(load_programme("pilot"), knowledge, scene.pilot.start_ms, "Asia/Shanghai", discharges=True)
    with open_ledger(tmp_path / "ledger.sqlite", durable=False) as ledger:
        yield Settling(knowledge, demand, scene.prices, ledger, Parties(), tmp_path / "days")


def read(desk, token, hour, imported, exported, sequence, phase="updated", station=STATION):
    at_ms = desk.demand.start_ms + int(hour * MS_PER_H)
    reading = Reading(measured_ms=at_ms, import_wh=imported, export_wh=exported)
    desk.knowledge.learn(
        TransactionChanged(
            at_ms=at_ms,
            station=station,
            evse=1,
            transaction=f"t-{token}",
            sequence=sequence,
            phase=phase,
            trigger="MeterValuePeriodic",
            measured_ms=at_ms,
            token=token,
            readings=(reading,),
        )
    )


def plug(desk, hour, status, station=STATION):
    at_ms = desk.demand.start_ms + int(hour * MS_PER_H)
    desk.knowledge.learn(
        EvseStatusChanged(at_ms=at_ms, station=station, evse=1, connector=1, status=status, measured_ms=at_ms)
    )


def evening(desk, *, plugged=True):
    """Let one car take 10 kWh in the morning and give 4 in the afternoon."""
    plug(desk, 0, "Available")
    if plugged:
        plug(desk, 2, "Occupied")
    readings = ((2, 0, 0), (4, 10_000, 0), (15, 10_000, 0), (17, 10_000, 4_000), (18, 10_000, 4_000))
    for sequence, (hour, imported, exported) in enumerate(readings):
        phase = "started" if not sequence else "updated" if hour < 18 else "ended"
        read(desk, "UT1-1", hour, imported, exported, sequence, phase)
    plug(desk, 18, "Available")


def books(desk):
    return list(desk.book.transfers())


def test_energy_of_a_session_without_a_car_is_held_and_paid_only_when_cleared(desk):
    evening(desk, plugged=False)
    desk.close_day(DAY)
    [case] = cases(books(desk))
    assert (case.state, case.energy_wh) == (OPEN, 4_000)
    assert "no car was plugged in" in case.reason
    assert balances(books(desk))["owner:UT1-1:CNY"] < 0
    assert verify_details(desk.days_folder, books(desk)) == []
    owed = case.owners_micro["CNY"]
    before = balances(books(desk))["owner:UT1-1:CNY"]
    desk.book.post(decide(books(desk), case.name, "the connector's switch is broken", 9, cleared=True))
    assert balances(books(desk))["owner:UT1-1:CNY"] == before + owed
    assert verify_details(desk.days_folder, books(desk)) == []
    assert desk.findings[DAY][0].energy_wh == 14_000


def test_a_car_that_is_there_is_paid_and_nothing_is_held(desk):
    evening(desk)
    desk.close_day(DAY)
    assert cases(books(desk)) == ()
    assert any(transfer.code is Code.PAYOUT for transfer in books(desk))


def test_one_card_at_two_chargers_is_told_and_paid_all_the_same(desk):
    evening(desk)
    read(desk, "UT1-1", 3, 0, 0, 0, "started", "UT7-1")
    read(desk, "UT1-1", 5, 6_000, 0, 1, "updated", "UT7-1")
    desk.close_day(DAY)
    [found] = [finding for finding in desk.findings[DAY] if finding.scheme is Scheme.TWO_CHARGERS]
    assert (found.where, found.energy_wh) == ("UT7-1 t-UT1-1", 6_000)
    assert cases(books(desk)) == ()


def test_a_late_reading_that_only_moves_energy_is_named_by_a_correction(desk):
    for sequence, (hour, imported) in enumerate(((2, 0), (4, 10_000), (6, 10_000))):
        read(desk, "UT1-1", hour, imported, 0, sequence, "updated" if sequence else "started")
    desk.close_day(DAY)
    count = len(books(desk))
    read(desk, "UT1-1", 3, 6_000, 0, 99)
    desk.close_day(date(2026, 7, 14))
    assert [transfer.code for transfer in books(desk)[count:]] == [Code.DETAIL]
    assert verify_details(desk.days_folder, books(desk)) == []
    desk.close_day(date(2026, 7, 15))
    assert len(books(desk)) == count + 1


def test_a_late_reading_of_a_doubted_session_opens_the_case_anew(desk):
    evening(desk, plugged=False)
    desk.close_day(DAY)
    read(desk, "UT1-1", 17.5, 10_000, 4_500, 99)
    read(desk, "UT1-1", 18.01, 10_000, 4_500, 100)
    desk.knowledge.meter = rebuilt(desk, 4_500)
    desk.close_day(date(2026, 7, 14))
    first, second = cases(books(desk))
    assert (first.state, second.state, second.energy_wh) == ("rejected", OPEN, 4_500)
    assert verify_details(desk.days_folder, books(desk)) == []


def rebuilt(desk, exported):
    """Return a meter book in which the car gave more than was read at first."""
    meter = MeterBook()
    start = desk.demand.start_ms
    for hour, taken, given in (
        (2, 0, 0),
        (4, 10_000, 0),
        (15, 10_000, 0),
        (17, 10_000, exported),
        (18, 10_000, exported),
    ):
        meter.add((STATION, 1, "t-UT1-1"), start + hour * MS_PER_H, taken, given, 7.4)
    return meter


def test_an_owner_who_ends_worse_off_than_charging_at_once_is_made_whole(desk):
    evening(desk)
    read(desk, "late", 10, 0, 0, 0, "started", "UT7-1")
    read(desk, "late", 14, 0, 0, 1, "updated", "UT7-1")
    read(desk, "late", 16, 12_000, 0, 2, "updated", "UT7-1")
    read(desk, "late", 19, 12_000, 0, 3, "ended", "UT7-1")
    desk.close_day(DAY)
    desk.close_period(DAY)
    [made] = [transfer for transfer in books(desk) if transfer.code is Code.GUARANTEE]
    buy = np.array([float(price) for price in desk.prices.buy[:96]])
    at_once = sum(buy[40:46] * 1.85) + buy[46] * (12 - 6 * 1.85)
    as_metered = sum(buy[56:64]) * 1.5
    assert made.credit == "owner:late:CNY"
    assert made.amount == pytest.approx((as_metered - at_once) * 1e6, abs=2)
    desk.close_period(DAY)
    assert len([t for t in books(desk) if t.code is Code.GUARANTEE]) == 1


def test_hours_at_the_charger_are_those_of_the_connector(desk):
    evening(desk)
    table = desk.knowledge.meter.table(desk.knowledge.meter_keys)
    start = desk.demand.start_ms
    hours = desk._plugged_h(table, start, start + 24 * MS_PER_H)
    assert hours == {("UT1-1", "garage-ut"): 16}
    assert desk._plugged_h(table, start, start + 3 * MS_PER_H + 30 * MS_PER_MIN) == {("UT1-1", "garage-ut"): 1.5}
