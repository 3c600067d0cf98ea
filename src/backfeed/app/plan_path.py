"""Plans as paths: what the closed form of wear is asked about, one path of the state of charge per car.

A path is what the car's stay has been through since local midnight, then its plan to the end. Cars of one cell go
together. Paths are relative to the capacity that is left: an older battery swings deeper for the same energy.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.app.battery_book import BatteryBook
from backfeed.app.knowledge import Car
from backfeed.battery.law import WEAR_LAWS, Floats, WearLaw
from backfeed.battery.stress import SocPaths
from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H
from backfeed.plan.rolling import stays_chances

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class FleetPlan:
    """What a plan wants of some cars.

    Parameters
    ----------
    cars
        The cars.
    axis
        The plan's steps.
    power_kw, energy_kwh
        Power in every step and battery energy at its end, shape `(car, step)`; NaN after the car's last step.
    cost
        What the plan costs with its linear prices of wear [currency].
    """

    cars: Sequence[Car]
    axis: TimeAxis
    power_kw: Floats
    energy_kwh: Floats
    cost: float


@dataclass(frozen=True)
class CellPaths:
    """The cars of one cell with their paths, all columns of shape `(car,)`.

    Parameters
    ----------
    law, row
        The cell, and the row of each car in the plan.
    plan, idle
        The paths as planned, and without the planned discharge.
    capacity_kwh
        Capacity when new.
    scale
        How many times the law's loss each car loses.
    temperature_c
        Cell temperature along the paths, one value or one per sample: as it was, and from now on as it is.
    discharged_kwh, held_kwh_h
        What the plan discharges (AC at the EVSE), and the energy it holds times hours.
    discharge_chance, hold_chance
        The mean chance, over what is discharged and over the hours, that the car is still here then.
    """

    law: WearLaw
    row: Ints
    plan: SocPaths
    idle: SocPaths
    capacity_kwh: Floats
    scale: Floats
    temperature_c: float | Floats
    discharged_kwh: Floats
    held_kwh_h: Floats
    discharge_chance: Floats
    hold_chance: Floats


def cell_paths(now_ms: int, plan: FleetPlan, book: BatteryBook) -> Iterator[CellPaths]:
    """Yield the paths of a plan, cell by cell in the order in which the cars bring them."""
    for chemistry in dict.fromkeys(car.owner.vehicle.chemistry for car in plan.cars):
        rows = [k for k, car in enumerate(plan.cars) if car.owner.vehicle.chemistry is chemistry]
        paths = [_path(now_ms, plan, k, book) for k in rows]
        at_ms, offsets = _joined([path.at_ms for path in paths])
        yield CellPaths(
            WEAR_LAWS[chemistry],
            np.array(rows),
            SocPaths(at_ms, np.concatenate([path.soc for path in paths]), offsets),
            SocPaths(at_ms, np.concatenate([path.idle_soc for path in paths]), offsets),
            np.array([plan.cars[k].owner.vehicle.capacity_kwh for k in rows]),
            np.array([book.scale(plan.cars[k].owner) for k in rows]),
            book.enrolment.temperature.along(np.minimum(at_ms, now_ms)),
            *np.array([path.sums for path in paths]).T,
        )


@dataclass(frozen=True, slots=True)
class _Path:
    at_ms: Ints
    soc: Floats
    idle_soc: Floats
    sums: tuple[float, float, float, float]


def _path(now_ms: int, plan: FleetPlan, k: int, book: BatteryBook) -> _Path:
    car, axis = plan.cars[k], plan.axis
    steps = int(np.count_nonzero(~np.isnan(plan.power_kw[k])))
    begins_ms = np.maximum(axis.starts_ms[:steps], now_ms)
    hours = (axis.starts_ms[:steps] + axis.step_ms - begins_ms) / MS_PER_H
    last_ms = int(axis.starts_ms[steps - 1]) + axis.step_ms
    past_ms, past_kwh = book.path_since(car.plug, now_ms - (now_ms - book.day_start_ms) % MS_PER_DAY)
    if not car.is_energy_known:
        # Where in a wide band the battery stands nobody knows; the plan goes by one edge, and so does its price.
        past_ms, past_kwh = past_ms[:0], past_kwh[:0]
    begin_kwh = float(past_kwh[-1]) if len(past_kwh) else car.judged_kwh
    planned_kwh = plan.energy_kwh[k, :steps]
    ahead_kwh = np.append(begin_kwh, planned_kwh + begin_kwh - car.judged_kwh)
    idle_kwh = np.maximum.accumulate(ahead_kwh)
    # What is given and not charged again before the car leaves is charged at its next stay: that is half of the wear.
    again_h = (idle_kwh[-1] - ahead_kwh[-1]) / (car.charge_max_kw * car.owner.vehicle.charge_efficiency)
    ends_ms = np.append(axis.starts_ms[:steps] + axis.step_ms, last_ms + math.ceil(again_h * MS_PER_H))
    at_ms = np.concatenate([past_ms, begins_ms[:1], ends_ms])
    capacity_kwh = car.owner.vehicle.capacity_kwh * book.health(car.owner)
    soc, idle = (
        np.clip(np.concatenate([past_kwh, ahead, idle_kwh[-1:]]) / capacity_kwh, 0.0, 1.0)
        for ahead in (ahead_kwh, idle_kwh)
    )
    given_kwh = np.maximum(-plan.power_kw[k, :steps], 0.0) * hours
    chance = stays_chances()[np.minimum(np.searchsorted(car.left_by_ms, begins_ms, "right"), len(stays_chances()) - 1)]
    return _Path(
        at_ms,
        soc,
        idle,
        (
            float(given_kwh.sum()),
            float((planned_kwh * hours).sum()),
            _mean(chance, given_kwh),
            _mean(chance, hours),
        ),
    )


def _mean(chance: Floats, weight: Floats) -> float:
    total = float(weight.sum())
    return float(chance @ weight) / total if total > 0 else 1.0


def _joined(columns: list[Ints]) -> tuple[Ints, Ints]:
    return np.concatenate(columns), np.cumsum([0, *(len(column) for column in columns)])
