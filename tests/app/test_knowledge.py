"""What the platform makes of messages: whom it may discharge, and what a car that hides its charge may still lack."""

from dataclasses import replace

import numpy as np
import pytest

from backfeed.app.battery_book import BatteryBook
from backfeed.app.config import load_pilot
from backfeed.app.knowledge import Knowledge
from backfeed.app.outlook import ForecastOutlook
from backfeed.app.scene import set_scene
from backfeed.core.instant import MS_PER_H
from backfeed.fleet.belief import Told
from backfeed.fleet.event import ChargeAnswered, NeedsNotified, Reading, TransactionChanged
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


def reports(scene, knowledge, hour, taken_kwh, power_kw, given_kwh=0, **changed):
    """Let a car that hides its state of charge report what it has taken and given; return when."""
    at_ms = scene.pilot.start_ms + int(hour * MS_PER_H)
    moved_wh = {"import_wh": round(1000 * taken_kwh), "export_wh": round(1000 * given_kwh)}
    knowledge.learn(
        TransactionChanged(
            at_ms=at_ms,
            station=STATION,
            evse=1,
            transaction="t",
            sequence=int(100 * hour),
            measured_ms=at_ms,
            token=OWNER,
            readings=(Reading(measured_ms=at_ms, power_kw=power_kw, **moved_wh),),
            **changed,
        )
    )
    return at_ms


def charges(scene, knowledge, hour, taken_kwh):
    """Let the car go on charging; return what is known of it."""
    begins = hour == 0
    phase = "started" if begins else "updated"
    at_ms = reports(scene, knowledge, hour, taken_kwh, 7.0, phase=phase, trigger="MeterValuePeriodic")
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


def certain(scene, share):
    """Return who is known if every owner wants the reserve kept so certainly."""
    known = scene.enrolment
    owners = {token: replace(owner, reserve_certainty=share) for token, owner in known.owners.items()}
    return replace(known, owners=owners)


def test_the_reserve_of_a_hidden_car_is_judged_as_certainly_as_its_owner_wants(scene):
    cars = []
    for share in (0.5, 0.8, 0.95, 0.99):
        knowledge = knowledge_of(scene, certain(scene, share))
        car = charges(scene, knowledge, 0, 0)
        vehicle = car.owner.vehicle
        takes_kwh = knowledge.need(car.plug).quantiles_kwh((share,))[0] * vehicle.charge_efficiency
        least_kwh = max(car.target_kwh - takes_kwh, 0.02 * vehicle.capacity_kwh)
        spare_kwh = least_kwh - car.owner.reserve_soc * vehicle.capacity_kwh
        assert car.energy_low_kwh - car.reserve_kwh == pytest.approx(spare_kwh)
        cars.append(car)
    assert len({car.energy_low_kwh for car in cars}) == 1, "what it needs when it leaves hangs on no reserve"
    spare = [car.energy_low_kwh - car.reserve_kwh for car in cars]
    assert spare == sorted(spare, reverse=True)
    assert spare[0] > spare[-1] + 1
    stops(scene, knowledge, 3, 12)
    (shown,) = knowledge.cars(scene.pilot.start_ms + 4 * MS_PER_H)
    assert shown.edge_gap_kwh == 0


def says(scene, knowledge, hour, soc):
    """Let the driver say how full the car came; return what is known of it."""
    at_ms = scene.pilot.start_ms + int(hour * MS_PER_H)
    changes = knowledge.learn(ChargeAnswered(at_ms=at_ms, station=STATION, evse=1, transaction="t", soc=soc))
    (car,) = knowledge.cars(at_ms)
    return changes, car


def stops(scene, knowledge, hour, taken_kwh, phase="updated"):
    """Let the car end by itself at its driver's limit, or leave."""
    ended = {"phase": phase, "trigger": "ChargingStateChanged", "charging_state": "SuspendedEV"}
    reports(scene, knowledge, hour, taken_kwh, 0.0, **ended)


def test_a_word_for_the_charge_moves_with_the_meter_to_a_band_about_what_was_said(scene):
    knowledge = knowledge_of(scene, scene.enrolment)
    hidden = charges(scene, knowledge, 0, 0)
    charges(scene, knowledge, 0.2, 1.4)
    changes, car = says(scene, knowledge, 0.25, 0.78)
    vehicle = car.owner.vehicle
    holds_kwh = 0.78 * vehicle.capacity_kwh + 1.4 * vehicle.charge_efficiency
    assert changes
    assert car.energy_low_kwh < holds_kwh < car.energy_high_kwh
    assert car.energy_high_kwh - car.energy_low_kwh < 0.15 * vehicle.capacity_kwh
    assert car.energy_low_kwh > hidden.energy_low_kwh + 1.4 * vehicle.charge_efficiency
    assert knowledge.charge_shown(STATION, 1, "t", 0) is None


def test_a_word_is_dropped_when_the_car_goes_on_past_it_and_counts_against_the_driver(scene):
    knowledge, silent = knowledge_of(scene, scene.enrolment), knowledge_of(scene, scene.enrolment)
    for each in (knowledge, silent):
        charges(scene, each, 0, 0)
    before = knowledge.charge_words.wrong_share(OWNER)
    _, car = says(scene, knowledge, 0.1, 0.80)
    full_kwh = car.owner.vehicle.capacity_kwh / car.owner.vehicle.charge_efficiency
    steps = np.arange(1.0, 0.4 * full_kwh, 2.0)
    for taken_kwh in steps:
        told = charges(scene, knowledge, taken_kwh / 7, taken_kwh)
        untold = charges(scene, silent, taken_kwh / 7, taken_kwh)
    assert told.energy_low_kwh == pytest.approx(untold.energy_low_kwh, abs=1.5)
    stops(scene, knowledge, 20, steps[-1])
    shown = knowledge.charge_shown(STATION, 1, "t", 20 * MS_PER_H)
    assert shown.soc < 0.80 - 0.2
    knowledge.learn(shown)
    stops(scene, knowledge, 21, steps[-1], "ended")
    assert knowledge.charge_words.wrong_share(OWNER) > before


def test_what_a_car_has_shown_is_not_revised_by_a_word(scene):
    knowledge = knowledge_of(scene, scene.enrolment)
    charges(scene, knowledge, 0, 0)
    charges(scene, knowledge, 1, 7)
    stops(scene, knowledge, 2, 9)
    changes, car = says(scene, knowledge, 2.1, 0.2)
    vehicle = car.owner.vehicle
    shown = knowledge.charge_shown(STATION, 1, "t", 1)
    assert not changes
    assert car.is_at_limit
    assert (shown.limit_soc, shown.taken_wh, shown.given_wh) == (0.85, 9_000, 0)
    taken_kwh = (shown.taken_wh + shown.unread_wh / 2) / 1000
    came_soc = 0.85 - taken_kwh * vehicle.charge_efficiency / vehicle.capacity_kwh
    assert shown.soc == pytest.approx(came_soc, abs=0.00005)


class Listening(ForecastOutlook):
    """A forecast that remembers what it was taught."""

    def learn(self, session):
        self.taught = session
        super().learn(session)


def test_a_stay_teaches_what_its_driver_needed_and_not_what_the_platform_moved(scene):
    taught = []
    for gives_kwh, beyond_kwh in ((0, 0), (10, 0), (10, 4)):
        knowledge = knowledge_of(scene, scene.enrolment)
        knowledge.outlook = Listening(scene.history, "Asia/Shanghai")
        car = charges(scene, knowledge, 0, 0)
        efficiencies = car.owner.vehicle.charge_efficiency * car.owner.vehicle.discharge_efficiency
        charges(scene, knowledge, 1, 7)
        stops(scene, knowledge, 2, 12)
        takes_kwh = 12 + gives_kwh / efficiencies + beyond_kwh
        if gives_kwh:
            reports(scene, knowledge, 4, 12, -7.0, phase="updated", trigger="MeterValuePeriodic", given_kwh=gives_kwh)
        ended = {"phase": "ended", "trigger": "EVDeparted", "given_kwh": gives_kwh}
        reports(scene, knowledge, 9, takes_kwh, 0.0, **ended)
        taught.append(knowledge.outlook.taught.energy_kwh)
    assert taught == pytest.approx([12.0] * 3, abs=0.01)


def test_a_stay_that_left_before_it_showed_anything_teaches_what_it_stored(scene):
    knowledge = knowledge_of(scene, scene.enrolment)
    knowledge.outlook = Listening(scene.history, "Asia/Shanghai")
    vehicle = charges(scene, knowledge, 0, 0).owner.vehicle
    reports(scene, knowledge, 1, 7, 7.0, phase="updated", trigger="MeterValuePeriodic")
    reports(scene, knowledge, 2, 7, 0.0, phase="ended", trigger="EVDeparted", given_kwh=5)
    efficiencies = vehicle.charge_efficiency * vehicle.discharge_efficiency
    assert knowledge.outlook.taught.energy_kwh == pytest.approx(7 - 5 / efficiencies, abs=0.01)
