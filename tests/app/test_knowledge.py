"""What the platform makes of messages: whom it may discharge, and what a car that hides its charge may still lack."""

from dataclasses import replace

import pytest

from backfeed.app.battery_book import BatteryBook
from backfeed.app.config import load_pilot
from backfeed.app.knowledge import Knowledge
from backfeed.app.outlook import ForecastOutlook
from backfeed.app.scene import set_scene
from backfeed.core.instant import MS_PER_H
from backfeed.fleet.belief import Told
from backfeed.fleet.event import NeedsNotified, Reading, TransactionChanged
from backfeed.fleet.order import Mode
from backfeed.meter.interval import MeterBook

STATION, OWNER = "UT7-1", "UT7-5"


@pytest.fixture(scope="module")
def scene(small_day, tmp_path_factory):
    return set_scene(load_pilot(small_day.write(tmp_path_factory.mktemp("knowledge"))))


def knowledge_of(scene, enrolment):
    told = Told(Mode.CHARGING_ONLY, 7.0)
    outlook = ForecastOutlook(scene.history, "Asia/Shanghai")
    batteries = BatteryBook(enrolment, scene.pilot.start_ms)
    return Knowledge(enrolment, outlook, MeterBook(), lambda _station, _evse: told, batteries)


def charges(scene, knowledge, hour, taken_kwh):
    """Let a car that hides its state of charge report what it has taken; return what is known of it."""
    at_ms = scene.pilot.start_ms + int(hour * MS_PER_H)
    begins = hour == 0
    knowledge.learn(
        TransactionChanged(
            at_ms=at_ms,
            station=STATION,
            evse=1,
            transaction="t",
            sequence=int(100 * hour),
            phase="started" if begins else "updated",
            trigger="MeterValuePeriodic",
            measured_ms=at_ms,
            token=OWNER,
            readings=(Reading(measured_ms=at_ms, import_wh=int(1000 * taken_kwh), export_wh=0, power_kw=7.0),),
        )
    )
    if begins:
        knowledge.learn(NeedsNotified(at_ms=at_ms, station=STATION, evse=1, transfer="AC_BPT", discharge_max_kw=7.0))
    (car,) = knowledge.cars(at_ms)
    return car


@pytest.mark.parametrize("agrees", [True, False])
def test_only_a_car_whose_owner_has_not_said_no_is_discharged(scene, agrees):
    enrolment = replace(scene.enrolment, consents=lambda owner, _site, _day: agrees or owner != OWNER)
    car = charges(scene, knowledge_of(scene, enrolment), 0, 0)
    assert (car.discharge_max_kw > 0) == agrees


def test_a_hidden_car_that_goes_on_charging_lacks_what_such_stays_still_take(scene):
    knowledge = knowledge_of(scene, scene.enrolment)
    lacks = []
    for taken_kwh in range(0, 30, 2):
        car = charges(scene, knowledge, taken_kwh / 7, taken_kwh)
        lacks.append(car.target_kwh - car.energy_low_kwh)
    usual_kwh = lacks[0] / car.owner.vehicle.charge_efficiency
    assert usual_kwh < 24, "the last of these are more than its driver usually takes"
    assert min(lacks) > 0.05 * car.owner.vehicle.capacity_kwh - 0.01
    assert lacks[-1] > 0.05 * car.owner.vehicle.capacity_kwh + 1
