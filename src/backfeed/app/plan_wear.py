"""Wear in the plan: two linear prices per car, taken from the true law at the car's own plan.

A linear program knows a price per kWh discharged and a price per kWh held and hour. Both are secants of the closed
form at one path, so they hold near that path only. Therefore a car's prices are taken anew on every local day and in
every stay, at the plan itself: the group of cars is planned, the prices are taken at that plan, and it is planned
again, up to `PASSES` times. Two things keep that from running in circles: a pass may move a price only so far (the
trust region), and of all passes the plan is kept that is best under the closed form, not under its linear picture, with
the prices that made it. Only the price of discharging may rise at once by as much as a plan shows: cells that hardly
mind shallow swings mind deep ones much, and a plan made with too low a price must not be the best of three like it.

All prices are those of the car's own wear scale, which the battery book takes from its sessions (`battery.health`): a
car that fades twice as fast as the law says is discharged where prices bear twice the wear.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

import numpy as np

from backfeed.app.battery_book import BatteryBook
from backfeed.app.knowledge import Car
from backfeed.app.plan_path import CellPaths, FleetPlan, cell_paths
from backfeed.battery.law import WEAR_LAWS
from backfeed.battery.linear import LinearWear, linear_coefficients, nominal_prices, relinearise
from backfeed.battery.pricing import path_costs
from backfeed.core.instant import MS_PER_DAY
from backfeed.fleet.owner import EnrolledVehicle

PASSES = 3
"""How often a group of cars is planned when prices are taken anew."""

TRUST = 0.5
"""How far a pass may move a price, as a share of its magnitude or that on a plain day, whichever is larger."""

SETTLED = 0.03
"""A pass that moves no price by more than this share of the same measure is the last."""

PLAIN_SOC = 0.55
"""Where a battery stands on the plain day with which prices begin: between a reserve and a target."""


class WearMode(StrEnum):
    """What a plan knows of wear."""

    TRUE = "true"
    CONSTANT = "constant"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class WearPrices:
    """What discharging and holding cost one battery: currency per kWh discharged (AC), per kWh held and hour."""

    wear_per_kwh: float
    hold_per_kwh_h: float


@dataclass
class PlanWear:
    """The wear prices of all cars, and when they are taken anew.

    Parameters
    ----------
    book
        What the batteries have been through; its days are those of the daily refresh.
    mode
        Whether wear is priced by the true law, by a constant, or not at all.
    constant_per_kwh
        The constant [currency per kWh discharged].
    refreshed
        How often prices were taken anew.
    """

    book: BatteryBook
    mode: WearMode = WearMode.TRUE
    constant_per_kwh: float = 0.0
    refreshed: int = 0
    _held: dict[str, WearPrices] = field(default_factory=dict)
    _taken_for: dict[str, tuple[str, str, int]] = field(default_factory=dict)

    def prices(self, car: Car) -> WearPrices:
        """Return the prices that a car's plan is made with."""
        if self.mode is not WearMode.TRUE:
            return WearPrices(self.constant_per_kwh if self.mode is WearMode.CONSTANT else 0.0, 0.0)
        return self._held.get(car.owner.owner_id) or self._plain(car)

    def passes(self, now_ms: int, cars: Sequence[Car]) -> int:
        """Return how often to plan: once if every car's prices are of this stay and this day."""
        due = self.mode is WearMode.TRUE and any(self._is_due(now_ms, car) for car in cars)
        return PASSES if due else 1

    def take(self, now_ms: int, plan: FleetPlan) -> tuple[float, bool]:
        """Take the prices of the cars that are due at their plan.

        Parameters
        ----------
        now_ms
            The present.
        plan
            What the pass has planned.

        Returns
        -------
        tuple
            What the plan costs with its wear by the closed form [currency], and whether a price has moved so far that
            planning again may find a better one.
        """
        cost, moved = plan.cost, 0.0
        for paths in cell_paths(now_ms, plan, self.book):
            cars = [plan.cars[k] for k in paths.row]
            held = [self.prices(car) for car in cars]
            cost += _beyond_linear(paths, held, self.book.day_start_ms)
            found = self._at(paths, cars)
            for car, was, wear, hold in zip(cars, held, found.wear_per_kwh, found.hold_per_kwh_h, strict=True):
                if self._is_due(now_ms, car):
                    plain = self._plain(car)
                    new_wear, far_wear = trusted(was.wear_per_kwh, float(wear), plain.wear_per_kwh, up=math.inf)
                    new_hold, far_hold = trusted(was.hold_per_kwh_h, float(hold), plain.hold_per_kwh_h)
                    self._held[car.owner.owner_id] = WearPrices(new_wear, new_hold)
                    moved = max(moved, far_wear, far_hold)
        return cost, moved > SETTLED

    def keep(self, now_ms: int, cars: Sequence[Car], prices: Sequence[WearPrices]) -> None:
        """Let the prices hold that the best plan was made with, for the rest of the stay and the day."""
        self.refreshed += 1
        for car, held in zip(cars, prices, strict=True):
            self._held[car.owner.owner_id] = held
            self._taken_for[car.owner.owner_id] = self._period(now_ms, car)

    def _plain(self, car: Car) -> WearPrices:
        """Return a car's prices on a plain day, at the wear scale that was measured on it."""
        plain, scale = plain_prices(car.owner.vehicle), self.book.scale(car.owner)
        return WearPrices(scale * plain.wear_per_kwh, scale * plain.hold_per_kwh_h)

    def _is_due(self, now_ms: int, car: Car) -> bool:
        return self._taken_for.get(car.owner.owner_id) != self._period(now_ms, car)

    def _period(self, now_ms: int, car: Car) -> tuple[str, str, int]:
        return car.plug.station, car.plug.transaction, (now_ms - self.book.day_start_ms) // MS_PER_DAY

    def _at(self, paths: CellPaths, cars: Sequence[Car]) -> LinearWear:
        """Return the prices at some plans, without a trust region."""
        efficiency = np.array([car.owner.vehicle.discharge_efficiency for car in cars])
        fallback = nominal_prices(
            paths.law,
            paths.idle,
            paths.capacity_kwh,
            discharge_efficiency=efficiency,
            temperature_c=paths.temperature_c,
            scale=paths.scale,
            day_start_ms=self.book.day_start_ms,
        )
        return relinearise(
            paths.law,
            paths.plan,
            paths.idle,
            paths.capacity_kwh,
            paths.discharged_kwh,
            fallback,
            temperature_c=paths.temperature_c,
            scale=paths.scale,
            day_start_ms=self.book.day_start_ms,
        )


@lru_cache(maxsize=256)
def plain_prices(vehicle: EnrolledVehicle) -> WearPrices:
    """Return a car's prices on a plain day, before any plan is known."""
    day = np.full(_QUARTERS_PER_DAY + 1, PLAIN_SOC)
    law, efficiency = WEAR_LAWS[vehicle.chemistry], vehicle.discharge_efficiency
    prices = linear_coefficients(law, day, vehicle.capacity_kwh, discharge_efficiency=efficiency)
    return WearPrices(float(prices.wear_per_kwh[0]), float(prices.hold_per_kwh_h[0]))


_QUARTERS_PER_DAY = 96


def _beyond_linear(paths: CellPaths, held: Sequence[WearPrices], day_start_ms: int) -> float:
    """Return what the closed form charges for some plans beyond their linear prices, by the chance that they happen."""
    worn = path_costs(
        paths.law,
        paths.plan,
        paths.capacity_kwh,
        temperature_c=paths.temperature_c,
        scale=paths.scale,
        day_start_ms=day_start_ms,
    )
    wear = np.array([each.wear_per_kwh for each in held]) * paths.discharged_kwh
    hold = np.array([each.hold_per_kwh_h for each in held]) * paths.held_kwh_h
    return float(paths.discharge_chance @ (worn.cycling - wear) + paths.hold_chance @ (worn.calendar - hold))


def trusted(was: float, found: float, plain: float, *, up: float = TRUST) -> tuple[float, float]:
    """Return a price moved towards what was found, as far as the trust region goes, and how far as a share."""
    measure = max(abs(was), abs(plain))
    if measure == 0.0:
        return found, 0.0
    step = min(max(found - was, -TRUST * measure), up * measure)
    return was + step, abs(step) / measure
