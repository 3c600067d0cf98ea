"""The money of wear: damage priced at the horizon.

Capacity is worth `value_per_kwh` per kilowatt-hour of a new pack and is used up when a fifth of it is
gone (end of life at 80 %), so a loss q costs `q capacity value_per_kwh / 0.2`. A loss is not additive
over time, but damage is (`backfeed.battery.law`). A path is therefore priced by its damage at the slope
that the loss has at the horizon, after eight years of a reference use:

    cost = capacity value_per_kwh / 0.2 * scale * p * D_ref**(p - 1) * dD,

for storage and cycling apart. The price is additive over days, never zero while a battery exists, and
equals, to first order, the difference the path makes at the horizon. `horizon_cost` prices the whole
difference of two uses where that is asked: on a yearly true-up, in a contract.

The reference use (`ReferenceUse`) is plain: the car leaves at 08:00 with 80 %, drives 4 kWh to work and 4
kWh back at 18:00, gives 10 kWh in the evening, and is charged to 80 % just before it leaves again, at 25
degrees, for eight years. Ten kilowatt-hours are the middle of a programme of twenty: at the middle the
slope of a loss is its mean, so the prices of such a programme add up to what it costs at the horizon.
The reference is the same in every comparison; another one can be handed in.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backfeed.battery.law import Floats, WearLaw
from backfeed.battery.stress import DEFAULT_TEMPERATURE_C, HOURS_PER_DAY, SocPaths, path_damage
from backfeed.core.instant import MS_PER_H

DEFAULT_VALUE_PER_KWH = 600.0
"""Worth of a kilowatt-hour of new battery [currency], an assumption about Chinese packs in yuan."""
END_OF_LIFE_LOSS = 0.2
"""A pack is used up when it has lost this share of its capacity."""
DAYS_PER_YEAR = 365.0


@dataclass(frozen=True, slots=True)
class ReferenceUse:
    """The use in whose middle damage is priced.

    Parameters
    ----------
    driving_kwh_per_day
        Battery energy driven each day [kWh], half at `departure_h`, half at `arrival_h`.
    discharge_kwh_per_day
        Battery energy discharged for others each evening [kWh].
    full_soc
        State of charge at departure, 0-1.
    departure_h, arrival_h
        Hours of the day.
    charge_kw
        Power of charging and discharging, in the battery [kW]; charging ends at departure.
    temperature_c
        Cell temperature [degrees C].
    years
        The horizon: the warranty's years.
    """

    driving_kwh_per_day: float = 8.0
    discharge_kwh_per_day: float = 10.0
    full_soc: float = 0.8
    departure_h: float = 8.0
    arrival_h: float = 18.0
    charge_kw: float = 7.0
    temperature_c: float = DEFAULT_TEMPERATURE_C
    years: float = 8.0

    def day(self, capacity_kwh: Floats) -> SocPaths:
        """Return the day of every car, from midnight to midnight, shape `(vehicle,)` -> one path each."""
        drive_h = 0.5
        full = np.full(capacity_kwh.shape, self.full_soc)
        half = np.minimum(self.driving_kwh_per_day / 2 / capacity_kwh, full / 4)
        home = full - 2 * half
        low = home - np.minimum(self.discharge_kwh_per_day / capacity_kwh, home)
        hours_per_soc = capacity_kwh / self.charge_kw
        corners_h = np.broadcast_arrays(
            0.0,
            np.maximum(self.departure_h - (full - low) * hours_per_soc, 0),
            self.departure_h,
            self.departure_h + drive_h,
            self.arrival_h - drive_h,
            self.arrival_h,
            np.minimum(self.arrival_h + (home - low) * hours_per_soc, HOURS_PER_DAY),
            HOURS_PER_DAY,
        )
        soc = [low, low, full, full - half, full - half, home, low, low]
        return SocPaths(
            np.rint(np.stack(corners_h, axis=1).ravel() * MS_PER_H).astype(np.int64),
            np.stack(soc, axis=1).ravel(),
            np.arange(full.size + 1, dtype=np.int64) * len(soc),
        )


DEFAULT_REFERENCE = ReferenceUse()


class PricingOptions(TypedDict, total=False):
    """The options all prices of wear share.

    Attributes
    ----------
    temperature_c
        Cell temperature [degrees C], one value or one per sample; 25 if not given.
    value_per_kwh
        Worth of new capacity [currency per kWh]; 600 if not given.
    scale
        How many times the law's loss the car loses, from measured fade. One value or shape `(path,)`.
    reference
        The use at whose horizon the damage is priced.
    active_c_rate
        Take the mean C-rate over the hours in motion: the cautious choice.
    day_start_ms
        An instant at which a day starts.
    """

    temperature_c: float | Floats
    value_per_kwh: float
    scale: ArrayLike
    reference: ReferenceUse
    active_c_rate: bool
    day_start_ms: int


@dataclass(frozen=True, slots=True)
class PathCost:
    """What a path costs, in currency; `total` is the sum of the two."""

    calendar: float
    cycling: float

    @property
    def total(self) -> float:
        """Storage and cycling together."""
        return self.calendar + self.cycling


@dataclass(frozen=True)
class PathCosts:
    """What many paths cost, in currency, shape `(path,)`."""

    calendar: Floats
    cycling: Floats

    @property
    def total(self) -> Floats:
        """Storage and cycling together."""
        return self.calendar + self.cycling


def reference_damage(
    law: WearLaw, capacity_kwh: ArrayLike, reference: ReferenceUse = DEFAULT_REFERENCE
) -> tuple[Floats, Floats]:
    """Return the damage in storage and in cycling that the reference use does until the horizon.

    Parameters
    ----------
    law
        The cell's law.
    capacity_kwh
        Capacity when new [kWh], shape `(vehicle,)`.
    reference
        The use and its years.

    Returns
    -------
    tuple of arrays
        `D_calendar` and `D_cycling`, each of shape `(vehicle,)`.
    """
    capacities, vehicle = np.unique(np.atleast_1d(np.asarray(capacity_kwh, dtype=np.float64)), return_inverse=True)
    calendar, cycling = _damage_of_days(law, tuple(capacities.tolist()), reference)
    days = DAYS_PER_YEAR * reference.years
    return calendar[vehicle] * days, cycling[vehicle] * days


@lru_cache(maxsize=256)
def _damage_of_days(law: WearLaw, capacities_kwh: tuple[float, ...], reference: ReferenceUse) -> tuple[Floats, Floats]:
    """Return the damage of a day of the reference use; kept, since the same few capacities are asked about all day."""
    return path_damage(law, reference.day(np.array(capacities_kwh)), reference.temperature_c)


def damage_price(
    law: WearLaw,
    capacity_kwh: ArrayLike,
    *,
    value_per_kwh: float = DEFAULT_VALUE_PER_KWH,
    scale: ArrayLike = 1.0,
    reference: ReferenceUse = DEFAULT_REFERENCE,
) -> tuple[Floats, Floats]:
    """Return what one unit of damage costs at the horizon, in storage and in cycling, shape `(vehicle,)`."""
    capacity = np.atleast_1d(np.asarray(capacity_kwh, dtype=np.float64))
    calendar, cycling = reference_damage(law, capacity, reference)
    worth = capacity * value_per_kwh / END_OF_LIFE_LOSS * np.asarray(scale, dtype=np.float64)
    return (
        worth * law.calendar_power * calendar ** (law.calendar_power - 1),
        worth * law.cycling_power * cycling ** (law.cycling_power - 1),
    )


def path_costs(  # noqa: PLR0913 - every option has a default and a name
    law: WearLaw,
    paths: SocPaths,
    capacity_kwh: ArrayLike,
    *,
    temperature_c: float | Floats = DEFAULT_TEMPERATURE_C,
    value_per_kwh: float = DEFAULT_VALUE_PER_KWH,
    scale: ArrayLike = 1.0,
    reference: ReferenceUse = DEFAULT_REFERENCE,
    active_c_rate: bool = False,
    day_start_ms: int = 0,
) -> PathCosts:
    """Price the wear of many paths.

    Parameters
    ----------
    law
        The cell's law.
    paths
        SoC over time, straight between samples.
    capacity_kwh
        Capacity when new [kWh], one value or shape `(path,)`.
    temperature_c
        Cell temperature [degrees C], one value or one per sample.
    value_per_kwh
        Worth of new capacity [currency per kWh].
    scale
        How many times the law's loss the car loses; from measured fade. One value or shape `(path,)`.
    reference
        The use at whose horizon the damage is priced.
    active_c_rate
        Take the mean C-rate over the hours in motion: the cautious choice.
    day_start_ms
        An instant at which a day starts.

    Returns
    -------
    PathCosts
        Currency, shape `(path,)`; the sum over day pieces.
    """
    capacity = np.broadcast_to(np.asarray(capacity_kwh, dtype=np.float64), (len(paths),))
    damage = path_damage(law, paths, temperature_c, active_c_rate=active_c_rate, day_start_ms=day_start_ms)
    price = damage_price(law, capacity, value_per_kwh=value_per_kwh, scale=scale, reference=reference)
    return PathCosts(price[0] * damage[0], price[1] * damage[1])


def path_cost(
    law: WearLaw,
    at_ms: NDArray[np.int64],
    soc: Floats,
    capacity_kwh: float,
    **pricing: Unpack[PricingOptions],
) -> PathCost:
    """Price the wear of one path; `path_costs` for a single path, with the same options."""
    costs = path_costs(law, SocPaths.single(at_ms, soc), capacity_kwh, **pricing)
    return PathCost(float(costs.calendar[0]), float(costs.cycling[0]))


@dataclass(frozen=True)
class DischargeWear:
    """What discharging wore, in currency per kWh discharged (AC at the EVSE), shape `(path,)`.

    Parameters
    ----------
    cycling_per_kwh
        Cycling cost of the path less that of the same path without its discharge.
    calendar_per_kwh
        The same for storage; below 0 where discharging let the battery stand lower.
    """

    cycling_per_kwh: Floats
    calendar_per_kwh: Floats

    @property
    def floor_per_kwh(self) -> Floats:
        """The least an owner is paid for wear: the larger of the cycling part and the sum, at least 0.

        Standing lower is no merit of discharging, because charging later would have done it as well; a
        saving in storage is therefore never taken from the owner.
        """
        floor: Floats = np.maximum(self.cycling_per_kwh + np.maximum(self.calendar_per_kwh, 0), 0)
        return floor


def without_discharge(paths: SocPaths) -> SocPaths:
    """Return the paths as they would be without discharge: each holds the highest charge it has had."""
    base = 2.0 * np.repeat(np.arange(len(paths)), np.diff(paths.offsets))
    return replace(paths, soc=np.maximum.accumulate(np.clip(paths.soc, 0, 1) + base) - base)


def recharged(paths: SocPaths, capacity_kwh: Floats, charge_kw: float) -> SocPaths:
    """Return the paths with what was discharged charged back after their end, up to the highest charge they had.

    A discharge in the evening is charged back after midnight, or elsewhere; it was the discharge that made it
    necessary, so it belongs to it and not to the day on which it happens.

    Parameters
    ----------
    paths
        SoC over time.
    capacity_kwh
        Shape `(path,)`.
    charge_kw
        Power of charging back, in the battery [kW].
    """
    last = paths.offsets[1:] - 1
    highest = np.maximum.reduceat(np.clip(paths.soc, 0, 1), paths.offsets[:-1])
    hours = (highest - np.clip(paths.soc[last], 0, 1)) * capacity_kwh / charge_kw
    end_ms = paths.at_ms[last] + np.rint(hours * MS_PER_H).astype(np.int64)
    return SocPaths(
        np.insert(paths.at_ms, last + 1, end_ms),
        np.insert(paths.soc, last + 1, highest),
        paths.offsets + np.arange(len(paths) + 1),
    )


def discharge_wear_floor(
    law: WearLaw,
    paths: SocPaths,
    capacity_kwh: ArrayLike,
    discharged_kwh: ArrayLike,
    **pricing: Unpack[PricingOptions],
) -> DischargeWear:
    """Return what the discharges of charging sessions wore, by the closed form, charging them back included.

    Parameters
    ----------
    law
        The cell's law.
    paths
        SoC of each session from plug to plug, without driving.
    capacity_kwh
        Capacity when new [kWh], one value or shape `(path,)`.
    discharged_kwh
        Metered discharge [kWh, AC at the EVSE], shape `(path,)`; where it is 0 the result is 0.
    pricing
        As in `path_costs`.
    """
    discharged = np.broadcast_to(np.asarray(discharged_kwh, dtype=np.float64), (len(paths),))
    capacity = np.broadcast_to(np.asarray(capacity_kwh, dtype=np.float64), (len(paths),))
    charge_kw = pricing.get("reference", DEFAULT_REFERENCE).charge_kw
    degrees = np.asarray(pricing.get("temperature_c", DEFAULT_TEMPERATURE_C), dtype=np.float64)
    if degrees.ndim:
        # Charging back happens at the temperature at which the path ends.
        last = paths.offsets[1:] - 1
        pricing["temperature_c"] = np.insert(degrees, last + 1, degrees[last])
    did = path_costs(law, recharged(paths, capacity, charge_kw), capacity_kwh, **pricing)
    idle = path_costs(law, recharged(without_discharge(paths), capacity, charge_kw), capacity_kwh, **pricing)
    per_kwh = np.where(discharged > 0, 1 / np.where(discharged > 0, discharged, 1), 0)
    return DischargeWear((did.cycling - idle.cycling) * per_kwh, (did.calendar - idle.calendar) * per_kwh)


def horizon_cost(
    loss_with: ArrayLike, loss_without: ArrayLike, capacity_kwh: ArrayLike, value_per_kwh: float = DEFAULT_VALUE_PER_KWH
) -> Floats:
    """Price the difference of two losses at the horizon [currency]: the convention a contract should name.

    >>> round(float(horizon_cost(0.06, 0.05, 60.0)), 6)
    1800.0
    """
    lost = np.asarray(loss_with, dtype=np.float64) - np.asarray(loss_without, dtype=np.float64)
    cost: Floats = lost * np.asarray(capacity_kwh, dtype=np.float64) * value_per_kwh / END_OF_LIFE_LOSS
    return cost


def whole_pack_cost_per_kwh(cycle_life: float, pack_price_per_kwh: float = 1_200.0) -> float:
    """Return the cost of a kWh discharged if the pack is written off whole over its cycle life.

    The convention owners know. It charges every discharged kWh with its share of the whole pack, as if
    neither driving nor time wore it, and belongs beside the marginal cost, not in its place.

    >>> whole_pack_cost_per_kwh(3_000)
    0.4
    """
    return pack_price_per_kwh / cycle_life
