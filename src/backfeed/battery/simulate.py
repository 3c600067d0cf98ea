"""One car, one profile, many years: what a person asks of the wear model.

The profile is repeated until the horizon, as it is or with discharge for others added to every stay,
and compared with the same driving charged at once (unmanaged) and just in time (V1G). The marginal cost
is the contract's: the difference of the losses with and without discharge at the horizon, in money, per
kilowatt-hour discharged.
"""

from dataclasses import dataclass

import numpy as np

from backfeed.battery.counterfactual import Profile, discharging, find_stays, just_in_time, unmanaged
from backfeed.battery.law import Floats, WearLaw
from backfeed.battery.lifetime import DAYS_PER_YEAR, LifetimeLoss, lifetime_loss
from backfeed.battery.limits import OutOfRange, discharge_allowed, out_of_range
from backfeed.battery.pricing import DEFAULT_VALUE_PER_KWH, horizon_cost
from backfeed.battery.stress import SocPaths, day_stress
from backfeed.core.instant import MS_PER_H

NOMINAL_DISCHARGE_KWH_PER_DAY = 10.0
"""What the marginal cost is taken at where no discharge is asked for."""
_SHORT_DAYS, _LONG_DAYS = 28, 364
_HOURS_PER_DAY = 24.0


@dataclass(frozen=True, slots=True)
class SimulatedCar:
    """The car and the question.

    Parameters
    ----------
    law
        The cell's law.
    capacity_kwh
        When new [kWh].
    temperature_c
        Cell temperature [degrees C].
    years
        The horizon.
    discharge_kwh_per_day
        Discharge for others to add [kWh per day, AC at the EVSE]; 0 for the profile as it is.
    power_kw
        At which the car charges and discharges in the counterfactuals [kW, in the battery].
    discharge_efficiency
        AC energy given per battery energy lost.
    value_per_kwh
        Worth of new capacity [currency per kWh].
    scale
        How many times the law's loss the car loses.
    active_c_rate
        Take the mean C-rate over the hours in motion: the cautious choice.
    """

    law: WearLaw
    capacity_kwh: float
    temperature_c: float = 25.0
    years: float = 8.0
    discharge_kwh_per_day: float = 0.0
    power_kw: float = 7.0
    discharge_efficiency: float = 0.92
    value_per_kwh: float = DEFAULT_VALUE_PER_KWH
    scale: float = 1.0
    active_c_rate: bool = False


@dataclass(frozen=True, slots=True)
class Loss:
    """Capacity lost at the horizon, as shares of the new capacity."""

    loss_calendar: float
    loss_cycling: float
    loss_total: float


@dataclass(frozen=True, slots=True)
class SimulatedWear:
    """The answer.

    Parameters
    ----------
    loss
        Of the profile, or of the profile with the discharge added.
    unmanaged, v1g
        Of the same driving charged at once and just in time.
    discharged_kwh_per_day
        What could be discharged of what was asked for [kWh per day, AC at the EVSE].
    full_cycles
        Equivalent full cycles until the horizon.
    marginal_wear_per_kwh
        Cost of a kilowatt-hour discharged, against V1G [currency]; NaN where the profile has no stay in
        which anything can be discharged, and where the cell is too cold for it.
    marginal_at_kwh_per_day
        The discharge at which it was taken.
    out_of_range
        What was clamped or extrapolated.
    too_cold
        Whether the cell is too cold to discharge for others.
    """

    loss: Loss
    unmanaged: Loss
    v1g: Loss
    discharged_kwh_per_day: float
    full_cycles: float
    marginal_wear_per_kwh: float
    marginal_at_kwh_per_day: float
    out_of_range: tuple[OutOfRange, ...]
    too_cold: bool


def simulate(profile: Profile, period_h: float, car: SimulatedCar) -> SimulatedWear:
    """Repeat a profile until the horizon and compare it with its counterfactuals.

    Parameters
    ----------
    profile
        State of charge over one period, from hour 0 on.
    period_h
        After how many hours the profile repeats, at least its last hour.
    car
        The car and the question.
    """
    repeated = _repeated(profile, period_h)
    days = float(repeated.hours[-1]) / _HOURS_PER_DAY
    fastest = np.max(
        np.diff(repeated.soc) / np.maximum(np.diff(repeated.hours), 1e-9),
        initial=0.0,
        where=np.diff(repeated.hours) > 0,
    )
    rate = max(car.power_kw / car.capacity_kwh, float(fastest))
    stays = max(len(find_stays(repeated)), 1)
    too_cold = not discharge_allowed(car.temperature_c)

    def discharged(kwh_per_day: float) -> tuple[Profile, float]:
        share = kwh_per_day * days / stays / car.discharge_efficiency / car.capacity_kwh
        path, given = discharging(repeated, rate, share)
        return path, given * car.capacity_kwh * car.discharge_efficiency / days

    asked_kwh = 0.0 if too_cold else car.discharge_kwh_per_day or NOMINAL_DISCHARGE_KWH_PER_DAY
    nominal, nominal_kwh = discharged(asked_kwh)
    shown = nominal if car.discharge_kwh_per_day and not too_cold else repeated
    paths = [shown, unmanaged(repeated, rate), just_in_time(repeated, rate), nominal]
    lifetimes = [_lifetime(path, car) for path in paths]
    cost = float(
        horizon_cost(lifetimes[3].total, lifetimes[2].total, car.capacity_kwh, value_per_kwh=car.value_per_kwh)[0]
    )
    given_kwh = nominal_kwh * car.years * DAYS_PER_YEAR
    return SimulatedWear(
        loss=_loss(lifetimes[0]),
        unmanaged=_loss(lifetimes[1]),
        v1g=_loss(lifetimes[2]),
        discharged_kwh_per_day=nominal_kwh if car.discharge_kwh_per_day else 0.0,
        full_cycles=float(lifetimes[0].full_cycles[0]),
        marginal_wear_per_kwh=cost / given_kwh if given_kwh > 0 else float("nan"),
        marginal_at_kwh_per_day=nominal_kwh,
        out_of_range=out_of_range(
            car.law, shown.soc, car.temperature_c, day_stress(car.law, _paths(shown), car.temperature_c)
        ),
        too_cold=too_cold,
    )


def _repeated(profile: Profile, period_h: float) -> Profile:
    """Repeat a profile over four weeks, or over a year where four weeks are no multiple of it."""
    whole = (_SHORT_DAYS * _HOURS_PER_DAY / period_h) % 1 < 1e-9  # noqa: PLR2004 - rounding of a quotient
    end_h = (_SHORT_DAYS if whole else _LONG_DAYS) * _HOURS_PER_DAY
    times = int(np.ceil(end_h / period_h - 1e-9))
    closed_hours = np.append(profile.hours, period_h) if profile.hours[-1] < period_h else profile.hours
    closed_soc = np.append(profile.soc, profile.soc[0]) if profile.hours[-1] < period_h else profile.soc
    hours = (closed_hours[None, :] + period_h * np.arange(times)[:, None]).ravel()
    soc = np.tile(closed_soc, times)
    inside = hours < end_h
    last = np.interp(end_h, hours[int(inside.sum()) - 1 :], soc[int(inside.sum()) - 1 :])
    return Profile(np.append(hours[inside], end_h), np.append(soc[inside], last))


def _paths(profile: Profile) -> SocPaths:
    return SocPaths.single(np.rint(profile.hours * MS_PER_H).astype(np.int64), profile.soc)


def _lifetime(profile: Profile, car: SimulatedCar) -> LifetimeLoss:
    return lifetime_loss(
        car.law,
        _paths(profile),
        years=car.years,
        temperature_c=car.temperature_c,
        scale=car.scale,
        active_c_rate=car.active_c_rate,
    )


def _loss(lifetime: LifetimeLoss) -> Loss:
    parts: tuple[Floats, ...] = (lifetime.calendar, lifetime.cycling, lifetime.total)
    return Loss(*(float(part[0]) for part in parts))
