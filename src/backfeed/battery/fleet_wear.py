"""A fleet's batteries over a window: every car, the sums, how they spread, and what could be proved from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backfeed.battery.car_wear import HORIZON_YEARS, CarBattery, UsedCar, fleet_batteries, select_paths
from backfeed.battery.cohort import CohortComparison, CohortPlan, compare_cohorts, match_cars, plan_cohort
from backfeed.battery.law import WEAR_LAWS
from backfeed.battery.lifetime import lifetime_loss
from backfeed.battery.pricing import DEFAULT_VALUE_PER_KWH, whole_pack_cost_per_kwh
from backfeed.battery.stress import SocPaths
from backfeed.battery.temperature import CellTemperature
from backfeed.core.instant import MS_PER_H

PACK_PRICE_PER_KWH = 1_200.0
"""What owners reckon a whole pack at [yuan per kWh], an assumption; the marginal cost uses its own value."""
CYCLE_LIVES = (571, 1_500, 3_000)
"""Cycle lives that are quoted for a pack: a pessimist's, a plain cell's and an LFP maker's."""
PERCENTILES = (10, 50, 90)


@dataclass(frozen=True, slots=True)
class WholePack:
    """The convention that writes a whole pack off over its cycle life [currency per kWh discharged]."""

    cycle_life: int
    pack_price_per_kwh: float
    cost_per_kwh: float


def whole_pack_costs() -> tuple[WholePack, ...]:
    """Return the whole-pack convention at the usual cycle lives.

    >>> [round(each.cost_per_kwh, 2) for each in whole_pack_costs()]
    [2.1, 0.8, 0.4]
    """
    return tuple(
        WholePack(life, PACK_PRICE_PER_KWH, whole_pack_cost_per_kwh(life, PACK_PRICE_PER_KWH)) for life in CYCLE_LIVES
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """How a quantity spreads over the cars that have it: 10th, 50th and 90th percentile."""

    cars: int
    p10: float
    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class FleetSums:
    """Sums over the fleet: energies [kWh AC], equivalent full cycles, money [currency]."""

    sessions: int
    charged_kwh: float
    discharged_kwh: float
    full_cycles: float
    wear_paid: float
    paid: float


@dataclass(frozen=True, slots=True)
class FleetBattery:
    """A run's batteries: what `battery.json` holds.

    Parameters
    ----------
    start, days
        The window.
    years, temperature_c, value_per_kwh
        What losses and money rest on: the horizon, the cells' mean temperature, the worth of new capacity.
    shown, counterfactuals
        The world that counts, and those it is compared with.
    sums, spread
        Over all cars; keys of `spread` name the quantity.
    cohorts
        What a proof from this fleet would need, by chemistry.
    comparison
        Measured fade of cars that discharged less that of their matches; None where too few were measured.
    whole_pack
        The other convention.
    """

    start: str
    days: int
    currency: str
    years: float
    temperature_c: float
    value_per_kwh: float
    shown: str
    counterfactuals: tuple[str, ...]
    sums: FleetSums
    spread: dict[str, Spread]
    cohorts: tuple[CohortPlan, ...]
    comparison: CohortComparison | None
    whole_pack: tuple[WholePack, ...]
    cars: tuple[CarBattery, ...]


def fleet_battery(
    cars: Sequence[UsedCar],
    worlds: Mapping[str, SocPaths],
    *,
    shown: str,
    days: int,
    start: str,
    currency: str,
    temperature: CellTemperature,
) -> FleetBattery:
    """Return a fleet's batteries over a window; arguments as in `car_wear.fleet_batteries`."""
    batteries = fleet_batteries(cars, worlds, shown, days, temperature)
    others = tuple(world for world in worlds if world != shown)
    return FleetBattery(
        start=start,
        days=days,
        currency=currency,
        years=HORIZON_YEARS,
        temperature_c=_mean_c(worlds[shown], temperature),
        value_per_kwh=DEFAULT_VALUE_PER_KWH,
        shown=shown,
        counterfactuals=others,
        sums=FleetSums(
            sessions=sum(car.sessions for car in batteries),
            charged_kwh=sum(car.charged_kwh for car in batteries),
            discharged_kwh=sum(car.discharged_kwh for car in batteries),
            full_cycles=sum(car.full_cycles for car in batteries),
            wear_paid=sum(car.wear_paid for car in batteries),
            paid=sum(car.paid for car in batteries),
        ),
        spread=_spreads(batteries, others),
        cohorts=_cohorts(cars, worlds, shown, temperature),
        comparison=compare_cars(batteries, days),
        whole_pack=whole_pack_costs(),
        cars=tuple(batteries),
    )


def compare_cars(cars: Sequence[CarBattery], days: int) -> CohortComparison | None:
    """Compare the measured fade of cars that discharged with that of others alike in capacity and use."""
    measured = [car for car in cars if car.health is not None]
    traits = np.array([(car.capacity_kwh, (car.charged_kwh - car.discharged_kwh) / days) for car in measured])
    fade = np.array([100 * car.health.fade for car in measured if car.health is not None])
    gave = np.array([car.discharged_kwh > 0 for car in measured], dtype=np.bool_)
    if not gave.any() or gave.all():
        return None
    matches = match_cars(traits[gave], traits[~gave])
    paired = matches >= 0
    return compare_cohorts(fade[gave][paired], fade[~gave][matches[paired]])


def _spreads(cars: Sequence[CarBattery], others: Sequence[str]) -> dict[str, Spread]:
    """Return the percentiles of what owners ask for; a quantity that no car has is left out."""
    columns: dict[str, list[float | None]] = {
        "full_cycles": [car.full_cycles for car in cars],
        "loss_total": [car.loss_total for car in cars],
        **{f"extra_over_{world}": [car.extra_over(world) for car in cars] for world in others},
        "soh": [car.soh.estimate for car in cars],
        "budget_left_kwh": [car.budget.energy_left_kwh for car in cars],
        "wear_paid": [car.wear_paid for car in cars],
        "wear_paid_per_kwh": [car.wear_paid_per_kwh for car in cars],
        "marginal_wear_per_kwh": [car.marginal_wear_per_kwh for car in cars],
    }
    found = {}
    for name, column in columns.items():
        values = [value for value in column if value is not None]
        if values:
            low, middle, high = np.percentile(values, PERCENTILES).tolist()
            found[name] = Spread(len(values), low, middle, high)
    return found


def _mean_c(paths: SocPaths, temperature: CellTemperature) -> float:
    """Return the mean temperature of the cells over the window of some paths [degrees C]."""
    if temperature.is_constant or not paths.at_ms.size:
        return temperature.default_c
    return float(temperature.over(np.arange(paths.at_ms[0], paths.at_ms[-1], MS_PER_H)).mean())


def _cohorts(
    cars: Sequence[UsedCar], worlds: Mapping[str, SocPaths], shown: str, temperature: CellTemperature
) -> tuple[CohortPlan, ...]:
    """Return what a proof needs for each chemistry; empty where the V1G world did not run."""
    if "v1g" not in worlds or shown == "v1g":
        return ()
    plans = []
    for chemistry in dict.fromkeys(car.chemistry for car in cars):
        same = [row for row, car in enumerate(cars) if car.chemistry is chemistry]
        gave = [row for row in same if cars[row].discharged_kwh > 0]
        difference = 0.0
        if gave:
            lost = [
                lifetime_loss(
                    WEAR_LAWS[chemistry],
                    paths,
                    years=1.0,
                    temperature_c=temperature.along(paths.at_ms),
                    day_start_ms=int(paths.at_ms[0]),
                ).total
                for paths in (select_paths(worlds[shown], gave), select_paths(worlds["v1g"], gave))
            ]
            difference = 100 * float((lost[0] - lost[1]).mean())
        plans.append(plan_cohort(chemistry, difference, len(gave), len(same) - len(gave)))
    return tuple(plans)
