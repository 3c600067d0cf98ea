"""The wear law as the planner sees it: two prices per vehicle.

A linear program can hold a price per kWh discharged and a price per kWh stored and hour, nothing
curved. Both are taken from the true law at a given plan, as secants between the plan and the same plan
without its discharge: what the discharge cost in cycling per kWh, and what it saved in storage per kWh
stored and hour. Where a plan discharges nothing, a nominal discharge and the slope of the storage cost
stand in. After a plan is found the prices are taken again at that plan; two or three rounds settle, and a
week or two of plan is better than a day. Payments never use them: `backfeed.battery.pricing` does.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from backfeed.battery.law import Floats, WearLaw
from backfeed.battery.pricing import DEFAULT_REFERENCE, DEFAULT_VALUE_PER_KWH, ReferenceUse, damage_price
from backfeed.battery.stress import (
    DEFAULT_TEMPERATURE_C,
    HOURS_PER_DAY,
    DayStress,
    SocPaths,
    day_damage,
    day_stress,
    path_damage,
)
from backfeed.core.instant import MS_PER_H

_SOC_LIFT = 0.05
"""How far a plan is lifted and lowered to see the slope of the storage cost."""
_LEAST_SHARE_LOWERED = 0.01
"""A plan that lowers the stored energy by less says nothing about its price."""
_LEAST_DISCHARGED_KWH = 0.1
"""A plan that discharges less says nothing about the price of it."""


@dataclass(frozen=True)
class LinearWear:
    """Wear prices for a linear objective, shape `(vehicle,)`.

    Parameters
    ----------
    wear_per_kwh
        Currency per kWh discharged, AC at the EVSE; at least 0.
    hold_per_kwh_h
        Currency per kWh stored in the battery and hour. May be below 0 where a law fades slower fuller.
    """

    wear_per_kwh: Floats
    hold_per_kwh_h: Floats


def linear_coefficients(  # noqa: PLR0913 - every option has a default and a name
    law: WearLaw,
    soc_reference: Floats,
    capacity_kwh: ArrayLike,
    *,
    step_h: float = 0.25,
    discharge_per_day_kwh: float = 10.0,
    discharge_efficiency: ArrayLike = 0.92,
    temperature_c: float = DEFAULT_TEMPERATURE_C,
    value_per_kwh: float = DEFAULT_VALUE_PER_KWH,
    scale: ArrayLike = 1.0,
    reference: ReferenceUse = DEFAULT_REFERENCE,
    active_c_rate: bool = False,
) -> LinearWear:
    """Return the wear prices of every vehicle at a reference path without discharge.

    Parameters
    ----------
    law
        The cell's law.
    soc_reference
        State of charge sampled every `step_h` hours, shape `(vehicle, sample)`, or `(sample,)` for all.
        A path of whole days, its last sample closing the last day, is best.
    capacity_kwh
        Capacity when new [kWh], one value or shape `(vehicle,)`.
    step_h
        Hours between samples.
    discharge_per_day_kwh
        The discharge at which the secant is taken [kWh per day, AC at the EVSE]; it deepens the day's
        swing and is charged back.
    discharge_efficiency
        AC energy given per battery energy lost.
    temperature_c, value_per_kwh, scale, reference, active_c_rate
        As in `backfeed.battery.pricing.path_costs`.
    """
    capacity = np.atleast_1d(np.asarray(capacity_kwh, dtype=np.float64))
    soc = np.broadcast_to(np.atleast_2d(soc_reference), (capacity.size, np.shape(soc_reference)[-1]))
    at_ms = np.rint(np.arange(soc.shape[1]) * step_h * MS_PER_H).astype(np.int64)
    return nominal_prices(
        law,
        SocPaths.from_matrix(at_ms, soc),
        capacity,
        discharge_per_day_kwh=discharge_per_day_kwh,
        discharge_efficiency=discharge_efficiency,
        temperature_c=temperature_c,
        value_per_kwh=value_per_kwh,
        scale=scale,
        reference=reference,
        active_c_rate=active_c_rate,
    )


def nominal_prices(  # noqa: PLR0913 - every option has a default and a name
    law: WearLaw,
    paths: SocPaths,
    capacity_kwh: ArrayLike,
    *,
    discharge_per_day_kwh: float = 10.0,
    discharge_efficiency: ArrayLike = 0.92,
    temperature_c: float | Floats = DEFAULT_TEMPERATURE_C,
    value_per_kwh: float = DEFAULT_VALUE_PER_KWH,
    scale: ArrayLike = 1.0,
    reference: ReferenceUse = DEFAULT_REFERENCE,
    active_c_rate: bool = False,
    day_start_ms: int = 0,
) -> LinearWear:
    """Return the wear prices of paths that discharge nothing; parameters as in `linear_coefficients`.

    A piece of a day gets its share of the day's nominal discharge.
    """
    capacity = np.broadcast_to(np.asarray(capacity_kwh, dtype=np.float64), (len(paths),))
    prices = damage_price(law, capacity, value_per_kwh=value_per_kwh, scale=scale, reference=reference)
    day = day_stress(law, paths, temperature_c, day_start_ms=day_start_ms)
    share = discharge_per_day_kwh / np.asarray(discharge_efficiency, dtype=np.float64) / capacity
    busier = _with_discharge(day, np.broadcast_to(share, capacity.shape))
    added = [day_damage(law, each, active_c_rate=active_c_rate)[1] for each in (busier, day)]
    discharged = discharge_per_day_kwh * np.bincount(day.path, weights=day.hours) / HOURS_PER_DAY
    worn = np.bincount(day.path, weights=added[0] - added[1])
    return LinearWear(
        np.maximum(prices[1] * worn / np.where(discharged > 0, discharged, 1), 0),
        prices[0] * _holding_damage(law, paths, temperature_c, day_start_ms) / capacity,
    )


def relinearise(  # noqa: PLR0913 - every option has a default and a name
    law: WearLaw,
    plan: SocPaths,
    without_discharge: SocPaths,
    capacity_kwh: ArrayLike,
    discharged_kwh: Floats,
    fallback: LinearWear,
    *,
    temperature_c: float | Floats = DEFAULT_TEMPERATURE_C,
    value_per_kwh: float = DEFAULT_VALUE_PER_KWH,
    scale: ArrayLike = 1.0,
    reference: ReferenceUse = DEFAULT_REFERENCE,
    active_c_rate: bool = False,
    day_start_ms: int = 0,
) -> LinearWear:
    """Return the wear prices at a plan.

    Parameters
    ----------
    law
        The cell's law.
    plan, without_discharge
        The planned SoC paths, and the same vehicles' paths if they only charged.
    capacity_kwh
        Capacity when new [kWh], one value or shape `(vehicle,)`.
    discharged_kwh
        What the plan discharges [kWh, AC at the EVSE], shape `(vehicle,)`.
    fallback
        The prices per kWh discharged of vehicles whose plan discharges nothing; those get the slope of the
        storage cost at their plan for holding.
    temperature_c, value_per_kwh, scale, reference, active_c_rate, day_start_ms
        As in `backfeed.battery.pricing.path_costs`.
    """
    capacity = np.broadcast_to(np.asarray(capacity_kwh, dtype=np.float64), (len(plan),))
    prices = damage_price(law, capacity, value_per_kwh=value_per_kwh, scale=scale, reference=reference)
    planned, idle = (
        path_damage(law, paths, temperature_c, active_c_rate=active_c_rate, day_start_ms=day_start_ms)
        for paths in (plan, without_discharge)
    )
    saved_kwh_h = (_charge_hours(without_discharge) - _charge_hours(plan)) * capacity
    lowers = saved_kwh_h > _LEAST_SHARE_LOWERED * _charge_hours(plan) * capacity
    discharges = discharged_kwh > _LEAST_DISCHARGED_KWH
    wear = prices[1] * (planned[1] - idle[1]) / np.where(discharges, discharged_kwh, 1)
    hold = prices[0] * (idle[0] - planned[0]) / np.where(lowers, saved_kwh_h, 1)
    slope = prices[0] * _holding_damage(law, plan, temperature_c, day_start_ms) / capacity
    return LinearWear(
        np.where(discharges, np.maximum(wear, 0), fallback.wear_per_kwh),
        np.where(discharges & lowers, hold, slope),
    )


def _charge_hours(paths: SocPaths) -> Floats:
    """Return the time integral of the state of charge of every path [h]."""
    hours = np.diff(paths.at_ms) / MS_PER_H
    area = hours * 0.5 * (paths.soc[1:] + paths.soc[:-1])
    area[paths.offsets[1:-1] - 1] = 0
    return np.add.reduceat(np.append(area, 0), paths.offsets[:-1])


def _with_discharge(day: DayStress, share: Floats) -> DayStress:
    """Add a discharge of a share of the capacity, charged back, to every whole day."""
    share = share[day.path] * day.hours / HOURS_PER_DAY
    return replace(
        day,
        depth=np.minimum(day.depth + share, 1),
        full_cycles=day.full_cycles + share,
        c_rate=day.c_rate + 2 * share / HOURS_PER_DAY,
    )


def _holding_damage(law: WearLaw, paths: SocPaths, temperature_c: float | Floats, day_start_ms: int = 0) -> Floats:
    """Return the storage damage per unit of SoC and hour, from lifting and lowering the paths."""
    lifted, lowered = (
        path_damage(law, replace(paths, soc=paths.soc + lift), temperature_c, day_start_ms=day_start_ms)[0]
        for lift in (_SOC_LIFT, -_SOC_LIFT)
    )
    hours = (paths.at_ms[paths.offsets[1:] - 1] - paths.at_ms[paths.offsets[:-1]]) / MS_PER_H
    slope: Floats = (lifted - lowered) / (2 * _SOC_LIFT * np.where(hours > 0, hours, 1))
    return slope
