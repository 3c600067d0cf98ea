"""What a window of days did to each car of a fleet, in the words of its owner.

Each car is seen in three worlds: as it was used, and the same driving charged at once (*unmanaged*) and charged
just in time (*V1G*). Losses are those at the horizon if the car went on like this: a loss is no straight line over
time, and two weeks of it would say little. Most of what good V2G spares a battery is that it stands lower, which V1G
gives as well; both comparisons therefore stand beside each other, always.

State of health is measured where the car's own sessions say enough (`health`), else it is what the law says, with a
band for how far cars of one law differ. Which of the two it is stands beside it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from backfeed.battery.chemistry import Chemistry
from backfeed.battery.health import HealthAssumptions, HealthEstimate
from backfeed.battery.law import WEAR_LAWS, WearLaw
from backfeed.battery.lifetime import DAYS_PER_YEAR, LifetimeLoss, lifetime_loss
from backfeed.battery.pricing import DEFAULT_VALUE_PER_KWH, horizon_cost
from backfeed.battery.rainflow import BINS
from backfeed.battery.simulate import Loss
from backfeed.battery.state import WearState, loss_so_far, observe
from backfeed.battery.stress import SocPaths
from backfeed.battery.temperature import CellTemperature
from backfeed.battery.warranty import WarrantyPolicy, WarrantyUse, remaining_budget

HORIZON_YEARS = 8.0
"""The years of a usual warranty."""
_DEEP, _MIDDLE = 0.5, 0.2
_LEAST_DISCHARGE_KWH = 1.0
"""Below this a cost per kilowatt-hour is rounding."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What the maker's warranty leaves for discharging; None where nothing caps it."""

    energy_left_kwh: float | None
    hours_left: float | None
    virtual_km_left: float | None
    virtual_km_used: float
    pace_kwh_per_day: float | None
    years_left: float


@dataclass(frozen=True, slots=True)
class UsedCar:
    """A car and what it did over the window.

    Parameters
    ----------
    name, model, chemistry, capacity_kwh
        Which car, as enrolled; capacity when new [kWh].
    sessions
        Stays at chargers.
    charged_kwh, discharged_kwh, discharged_h
        At the EVSE [kWh AC] and how long it gave [h].
    budget
        What its warranty leaves, as the platform counts and enforces it.
    settled_kwh
        Discharged energy that was settled [kWh AC]: by the meter, in whatever car the owner came.
    wear_paid, paid
        What the owner was paid for its wear, and in all [currency].
    health
        What its sessions say; None where they say too little.
    records
        How many stretches of charging or discharging came with a state of charge.
    """

    name: str
    model: str
    chemistry: Chemistry
    capacity_kwh: float
    sessions: int
    charged_kwh: float
    discharged_kwh: float
    discharged_h: float
    budget: Budget
    settled_kwh: float
    wear_paid: float
    paid: float
    health: HealthEstimate | None
    records: int


@dataclass(frozen=True, slots=True)
class Swings:
    """Swings of the window by depth: below 20 %, to 50 %, deeper; a half swing counts 0.5."""

    shallow: float
    middle: float
    deep: float


@dataclass(frozen=True, slots=True)
class StateOfHealth:
    """Capacity now over capacity at enrolment, with a 68 % band; `basis` tells whether it was measured."""

    estimate: float
    low: float
    high: float
    basis: Literal["measured", "law"]


@dataclass(frozen=True, slots=True)
class CarBattery:
    """A car's battery over a window.

    Parameters
    ----------
    full_cycles
        Equivalent full cycles over the window, by rainflow.
    counterfactual_cycles
        The same in the other worlds.
    loss_calendar, loss_cycling, loss_total
        Capacity lost at the horizon if the car went on like this, shares of the new capacity.
    counterfactuals
        The same for the other worlds.
    loss_now
        Lost over the window by the law, counted from a new battery.
    scale
        How many times the law's loss this car is taken to lose: measured, or 1.
    marginal_wear_per_kwh
        What a discharged kWh costs the battery at the horizon against V1G [currency]; None without discharge.
    wear_paid_per_kwh
        What was paid for it.
    """

    car: str
    model: str
    chemistry: Chemistry
    capacity_kwh: float
    sessions: int
    charged_kwh: float
    discharged_kwh: float
    full_cycles: float
    counterfactual_cycles: dict[str, float]
    swings: Swings
    loss_calendar: float
    loss_cycling: float
    loss_total: float
    counterfactuals: dict[str, Loss]
    loss_now: float
    scale: float
    soh: StateOfHealth
    health: HealthEstimate | None
    records: int
    budget: Budget
    wear_paid: float
    paid: float
    wear_paid_per_kwh: float | None
    marginal_wear_per_kwh: float | None

    def extra_over(self, world: str) -> float | None:
        """Return how much more is lost at the horizon than in another world, as a share; None if that did not run."""
        other = self.counterfactuals.get(world)
        return None if other is None else self.loss_total - other.loss_total


def fleet_batteries(
    cars: Sequence[UsedCar],
    worlds: Mapping[str, SocPaths],
    shown: str,
    days: int,
    temperature: CellTemperature,
    years: float = HORIZON_YEARS,
) -> list[CarBattery]:
    """Return every car's battery over a window.

    Parameters
    ----------
    cars
        The cars.
    worlds
        Each world's paths, in the order of the cars, over whole days from the same instant.
    shown
        The world that really happened; the others are its counterfactuals.
    days
        Days of the window.
    temperature
        How warm the cells are.
    years
        The horizon.
    """
    found: list[CarBattery | None] = [None] * len(cars)
    for chemistry in dict.fromkeys(car.chemistry for car in cars):
        law = WEAR_LAWS[chemistry]
        rows = [row for row, car in enumerate(cars) if car.chemistry is chemistry]
        scales = np.array([_scale(cars[row]) for row in rows])
        own = {world: select_paths(paths, rows) for world, paths in worlds.items()}
        lost = {
            world: lifetime_loss(
                law,
                paths,
                years=years,
                temperature_c=temperature.along(paths.at_ms),
                scale=scales,
                day_start_ms=int(paths.at_ms[0]),
            )
            for world, paths in own.items()
        }
        for at, row in enumerate(rows):
            single = {world: select_paths(paths, [at]) for world, paths in own.items()}
            losses = {world: _loss(each, at) for world, each in lost.items()}
            found[row] = _battery(cars[row], law, single, losses, (shown, days, years, temperature))
    return [each for each in found if each is not None]


def _battery(
    car: UsedCar,
    law: WearLaw,
    paths: Mapping[str, SocPaths],
    losses: Mapping[str, Loss],
    asked: tuple[str, int, float, CellTemperature],
) -> CarBattery:
    shown, days, years, temperature = asked
    states = {
        world: observe(
            WearState(),
            law,
            path.at_ms,
            path.soc,
            temperature_c=temperature.along(path.at_ms),
            day_start_ms=int(path.at_ms[0]),
        )
        for world, path in paths.items()
    }
    here, mine = states[shown], losses[shown]
    others = {world: loss for world, loss in losses.items() if world != shown}
    now = sum(loss_so_far(here, law))
    gave = car.discharged_kwh >= _LEAST_DISCHARGE_KWH
    return CarBattery(
        car=car.name,
        model=car.model,
        chemistry=car.chemistry,
        capacity_kwh=car.capacity_kwh,
        sessions=car.sessions,
        charged_kwh=car.charged_kwh,
        discharged_kwh=car.discharged_kwh,
        full_cycles=here.swings.full_cycles,
        counterfactual_cycles={world: states[world].swings.full_cycles for world in others},
        swings=_swings(here.swings.counted()),
        loss_calendar=mine.loss_calendar,
        loss_cycling=mine.loss_cycling,
        loss_total=mine.loss_total,
        counterfactuals=others,
        loss_now=now,
        scale=_scale(car),
        soh=_soh(car, now),
        health=car.health,
        records=car.records,
        budget=car.budget,
        wear_paid=car.wear_paid,
        paid=car.paid,
        wear_paid_per_kwh=car.wear_paid / car.settled_kwh if car.settled_kwh >= _LEAST_DISCHARGE_KWH else None,
        marginal_wear_per_kwh=_marginal(car, mine, others.get("v1g"), days, years) if gave else None,
    )


def _scale(car: UsedCar) -> float:
    return car.health.scale if car.health is not None else 1.0


def _marginal(car: UsedCar, mine: Loss, v1g: Loss | None, days: int, years: float) -> float | None:
    """Return the difference to V1G at the horizon in money, per kWh discharged until then."""
    if v1g is None:
        return None
    cost = float(horizon_cost(mine.loss_total, v1g.loss_total, car.capacity_kwh, DEFAULT_VALUE_PER_KWH))
    return cost / (car.discharged_kwh / days * DAYS_PER_YEAR * years)


def _soh(car: UsedCar, law_loss: float) -> StateOfHealth:
    """Return one less the law's loss times the car's scale: measured with its band, or 1 with that of all cars."""
    if car.health is not None:
        measured = car.health
        low, middle, high = measured.scale_low, measured.scale, measured.scale_high
        return StateOfHealth(1 - middle * law_loss, 1 - high * law_loss, 1 - low * law_loss, "measured")
    spread = math.exp(HealthAssumptions(car.capacity_kwh).scale_sd)
    return StateOfHealth(1 - law_loss, 1 - spread * law_loss, 1 - law_loss / spread, "law")


def budget_left(policy: WarrantyPolicy, use: WarrantyUse) -> Budget:
    """Return what a warranty leaves after some use."""
    left = remaining_budget(policy, use)
    return Budget(
        energy_left_kwh=_finite(left.energy_left_kwh),
        hours_left=_finite(left.hours),
        virtual_km_left=_finite(left.virtual_km),
        virtual_km_used=use.discharged_kwh / policy.consumption_kwh_per_km,
        pace_kwh_per_day=_finite(left.pace_kwh_per_day),
        years_left=left.years_left,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _swings(cycles: Sequence[float]) -> Swings:
    shallow, middle = int(_MIDDLE * BINS), int(_DEEP * BINS)
    return Swings(sum(cycles[:shallow]), sum(cycles[shallow:middle]), sum(cycles[middle:]))


def _loss(lost: LifetimeLoss, at: int) -> Loss:
    return Loss(float(lost.calendar[at]), float(lost.cycling[at]), float(lost.total[at]))


def select_paths(paths: SocPaths, rows: Sequence[int]) -> SocPaths:
    """Return some of the paths, in the order asked for."""
    pieces = [slice(paths.offsets[row], paths.offsets[row + 1]) for row in rows]
    offsets = np.concatenate([[0], np.cumsum([piece.stop - piece.start for piece in pieces])]).astype(np.int64)
    return SocPaths(
        np.concatenate([paths.at_ms[piece] for piece in pieces]),
        np.concatenate([paths.soc[piece] for piece in pieces]),
        offsets,
    )
