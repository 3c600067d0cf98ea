"""The battery pages of a running platform: what the last weeks did to every car, from what the platform has seen.

They are those of a run's report, made of the same pieces. A run has worlds beside it in which the same cars were
charged otherwise; a running platform has not. Its counterfactuals are the same stays charged at once and just in time,
from the energy with which the car came to that with which it left, or stands now; where it left with less than it
brought, they hold what it brought.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backfeed.app.battery_book import BatteryBook, BatteryRecord, RecentStay
from backfeed.app.battery_fleet import Settled, settled_by_car, warranty_left
from backfeed.app.enrolment import Enrolment
from backfeed.battery.car_wear import UsedCar
from backfeed.battery.counterfactual import charged_at_once, charged_late
from backfeed.battery.fleet_wear import FleetBattery, fleet_battery
from backfeed.battery.law import Floats
from backfeed.battery.stress import SocPaths
from backfeed.battery.window_path import Ints, Window, as_paths, window_path
from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, local_datetime
from backfeed.core.money import WH_PER_KWH
from backfeed.meter.interval import INTERVAL_MS
from backfeed.report.battery_index import render_index
from backfeed.report.battery_page import CarHistory, PagesHead, render_car
from backfeed.report.words import words
from backfeed.settle.transfer import Transfer, transfer_day

Shape = Callable[[RecentStay], tuple[Ints, Floats]]
"""How a stay's path looks in a world: instants and states of charge."""

FRONT = "/"
"""Where the pages lead back to."""


@dataclass(frozen=True)
class SeenCar:
    """A car with the stays of the last weeks, in order, the open one last."""

    record: BatteryRecord
    stays: Sequence[RecentStay]


@dataclass(frozen=True)
class SeenFleet:
    """What a platform knows of its cars' batteries at one instant; nothing in it changes any more.

    Parameters
    ----------
    cars
        By owner, those that have been here in the last weeks and are asked about.
    given_kwh
        What every car that has been here has discharged for others in these weeks [kWh AC], by owner.
    enrolment
        Owners, warranties, temperature, charger power.
    transfers
        The books of those weeks.
    holders
        Whose account a car settles to; its owner's own where absent.
    day_start_ms
        An instant at which a day of the wear law starts: a local midnight.
    title, currency
        Of the pilot.
    """

    cars: Mapping[str, SeenCar]
    given_kwh: Mapping[str, float]
    enrolment: Enrolment
    transfers: Sequence[Transfer]
    holders: Mapping[str, str]
    day_start_ms: int
    title: str
    currency: str

    def fleet(self, owners: Sequence[str]) -> tuple[FleetBattery, Window]:
        """Return the batteries of some cars over the days since the first of their stays."""
        cars = [self.cars[owner] for owner in owners]
        first_ms = min((int(car.stays[0].at_ms[0]) for car in cars), default=self.day_start_ms)
        last_ms = max((int(car.stays[-1].at_ms[-1]) for car in cars), default=first_ms)
        start_ms = first_ms - (first_ms - self.day_start_ms) % MS_PER_DAY
        window = Window(start_ms, max(1, -((start_ms - last_ms) // MS_PER_DAY)))
        start = local_datetime(start_ms, self.enrolment.zone).date().isoformat()
        paths = {
            world: as_paths([window_path(window, *_joined(car, self._shape(world))) for car in cars])
            if cars
            else _NOTHING
            for world in ("unmanaged", "v1g", "v2g")
        }
        fleet = fleet_battery(
            self._used(owners, start),
            paths,
            shown="v2g",
            days=window.days,
            start=start,
            currency=self.currency,
            temperature=self.enrolment.temperature,
        )
        return fleet, window

    def index(self) -> str:
        """Return the page of all cars."""
        fleet, _ = self.fleet(sorted(self.cars))
        return render_index(fleet, self.title, self.enrolment.zone.key, FRONT, words("bat_back_live"))

    def page(self, owner: str) -> str:
        """Return a car's page."""
        fleet, window = self.fleet([owner])
        seen = self.cars[owner]
        axis = TimeAxis(window.start_ms, INTERVAL_MS, window.days * MS_PER_DAY // INTERVAL_MS)
        head = PagesHead(self.title, self.enrolment.zone.key, axis, FRONT, words("bat_live_note"))
        capacity_kwh = seen.record.vehicle.capacity_kwh
        history = CarHistory(
            tuple((stay.at_ms, _soc(stay.energy_kwh, capacity_kwh)) for stay in seen.stays),
            tuple(self._shape("unmanaged")(stay) for stay in seen.stays),
            seen.stays[-1].owner.reserve_soc,
        )
        return render_car(fleet, fleet.cars[0], history, head)

    def _used(self, owners: Sequence[str], start: str) -> list[UsedCar]:
        transfers = [transfer for transfer in self.transfers if transfer_day(transfer) >= start]
        money = settled_by_car(transfers, self.currency, self.holders, self.given_kwh)
        return [self._car(self.cars[owner], self.given_kwh[owner], money[owner]) for owner in owners]

    def _car(self, seen: SeenCar, given_kwh: float, money: Settled) -> UsedCar:
        record, vehicle = seen.record, seen.record.vehicle
        return UsedCar(
            name=record.owner_id,
            model=vehicle.model,
            chemistry=vehicle.chemistry,
            capacity_kwh=vehicle.capacity_kwh,
            sessions=len(seen.stays),
            charged_kwh=sum(stay.charged_wh for stay in seen.stays) / WH_PER_KWH,
            discharged_kwh=given_kwh,
            discharged_h=sum(stay.discharged_ms for stay in seen.stays) / MS_PER_H,
            budget=warranty_left(self.enrolment, vehicle, record.discharged_kwh, record.discharged_h),
            settled_kwh=money.settled_kwh,
            wear_paid=money.wear_paid,
            paid=money.paid,
            health=record.measured,
            records=record.stretches,
        )

    def _shape(self, world: str) -> Shape:
        """Return how a stay's path looks in a world."""

        def shaped(stay: RecentStay) -> tuple[Ints, Floats]:
            vehicle = stay.owner.vehicle
            if world == "v2g":
                return stay.at_ms, _soc(stay.energy_kwh, vehicle.capacity_kwh)
            power_kw = min(self.enrolment.charger_power_kw, vehicle.charge_max_kw) * vehicle.charge_efficiency
            charged = charged_at_once if world == "unmanaged" else charged_late
            begin_ms = int(stay.at_ms[0])
            hours, energy_kwh = charged(
                0.0,
                float(stay.at_ms[-1] - begin_ms) / MS_PER_H,
                float(stay.energy_kwh[0]),
                max(float(stay.energy_kwh[-1]), float(stay.energy_kwh[0])),
                power_kw,
            )
            at_ms = begin_ms + np.rint(np.array(hours) * MS_PER_H).astype(np.int64)
            return at_ms, _soc(np.array(energy_kwh), vehicle.capacity_kwh)

        return shaped


_NOTHING = SocPaths(np.zeros(0, np.int64), np.zeros(0), np.zeros(1, np.int64))


def _soc(energy_kwh: Floats, capacity_kwh: float) -> Floats:
    return np.clip(energy_kwh / capacity_kwh, 0.0, 1.0)


def _joined(car: SeenCar, shape: Shape) -> tuple[Ints, Floats]:
    """Return a car's stays as one path; what overlaps the stay before is left out."""
    at_ms, soc = np.zeros(0, np.int64), np.zeros(0)
    for stay in car.stays:
        stay_ms, stay_soc = shape(stay)
        later = stay_ms >= at_ms[-1] if at_ms.size else np.ones(stay_ms.size, dtype=np.bool_)
        at_ms, soc = np.append(at_ms, stay_ms[later]), np.append(soc, stay_soc[later])
    return at_ms, soc


def given_kwh(book: BatteryBook) -> dict[str, float]:
    """Return what the cars that a book has seen in the last weeks have discharged for others [kWh AC], by owner."""
    seen = {owner_id: book.recent(owner_id) for owner_id in book.owners()}
    return {owner: sum(stay.discharged_wh for stay in stays) / WH_PER_KWH for owner, stays in seen.items() if stays}


def seen_cars(book: BatteryBook, owners: Iterable[str], now_ms: int) -> dict[str, SeenCar]:
    """Return some of the cars that a book has seen in the last weeks, by owner; their health as of the last week."""
    found = {}
    for owner_id in owners:
        stays = book.recent(owner_id)
        found[owner_id] = SeenCar(book.record(stays[-1].owner, now_ms, anew=False), stays)
    return found
