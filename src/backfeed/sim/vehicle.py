"""What a car's battery holds after a power has been asked of it for a time.

Closed form, so that an hour in one go and an hour in 37 pieces end at the same energy, and no time
step is an assumption of the model. With energy `E`, capacity `C`, one-way efficiencies `c` and `d`:

- **Charging** at `P > 0` (AC, at the EVSE) stores `P c` until the taper. The battery takes at most
  its full power up to the taper SoC and then linearly less, down to nothing at `C`:
  `dE/dt <= (C - E) / tau`, where `tau = C (1 - taper_soc) / (charge_max c)`. A power `P` therefore
  meets the taper at `E = C - P c tau`, above which `C - E` decays as `exp(-t / tau)`.
- **Discharging** at `P < 0` takes `|P| / d` out of the battery until it is empty.
- **The end.** Charging stops at a limit: what the driver has set in the car, or full. An energy
  above the limit stays what it is. Standing costs nothing.

The energy at the meter is the change of `E` divided by `c` when charging, times `d` when
discharging, so nothing is lost but what the efficiencies say.

The shape, constant power and then an exponential, is the constant-current constant-voltage charge
of lithium-ion cells seen from outside.

Scalar functions serve the event-driven world, the `*_fleet` ones take columns; both say the same.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from backfeed.core.columns import Columns

FloatColumn = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Car:
    """The physics of one car at one EVSE.

    Parameters
    ----------
    capacity_kwh
        True usable energy, at which the taper reaches zero.
    energy_empty_kwh, energy_full_kwh
        Where discharging and charging end whatever is asked.
    charge_efficiency, discharge_efficiency
        One-way, between the EVSE and the battery.
    charge_max_kw, discharge_max_kw
        The most that car and EVSE together do, AC, as magnitudes.
    taper_h
        `tau` above.
    charger_error
        Relative error of the power that the charger sets; its meter is exact.
    """

    capacity_kwh: float
    energy_empty_kwh: float
    energy_full_kwh: float
    charge_efficiency: float
    discharge_efficiency: float
    charge_max_kw: float
    discharge_max_kw: float
    taper_h: float
    charger_error: float


@dataclass(frozen=True)
class CarColumns(Columns):
    """The fields of `Car` as columns of shape `(session,)`."""

    capacity_kwh: FloatColumn
    energy_empty_kwh: FloatColumn
    energy_full_kwh: FloatColumn
    charge_efficiency: FloatColumn
    discharge_efficiency: FloatColumn
    charge_max_kw: FloatColumn
    discharge_max_kw: FloatColumn
    taper_h: FloatColumn
    charger_error: FloatColumn

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.capacity_kwh)

    def car(self, index: int) -> Car:
        """Return one row."""
        return Car(**{field.name: float(getattr(self, field.name)[index]) for field in fields(Car)})


def taper_h(
    capacity_kwh: FloatColumn, taper_soc: FloatColumn, charge_max_kw: FloatColumn, charge_efficiency: FloatColumn
) -> FloatColumn:
    """Return the time constant [h] of a taper that begins at `taper_soc` from full power."""
    return capacity_kwh * (1.0 - taper_soc) / (charge_max_kw * charge_efficiency)


def drive_kw(car: Car, setpoint_kw: float) -> float:
    """Return the power [kW] that the charger really offers or asks for: its error, then its rating."""
    return min(max(setpoint_kw * (1.0 + car.charger_error), -car.discharge_max_kw), car.charge_max_kw)


def power_kw(car: Car, energy_kwh: float, drive_kw: float, limit_kwh: float) -> float:
    """Return the power [kW, charging positive] that flows at the meter at this moment."""
    if drive_kw > 0.0:
        if energy_kwh >= limit_kwh:
            return 0.0
        return min(drive_kw, (car.capacity_kwh - energy_kwh) / (car.taper_h * car.charge_efficiency))
    if energy_kwh <= car.energy_empty_kwh:
        return 0.0
    return drive_kw


def advance(car: Car, energy_kwh: float, drive_kw: float, hours: float, limit_kwh: float) -> float:
    """Return the battery's energy [kWh] after `drive_kw` has been applied for `hours`.

    `limit_kwh` ends charging; an energy above it is left as it is.
    """
    if drive_kw > 0.0:
        if energy_kwh >= limit_kwh:
            return energy_kwh
        stored_kw = drive_kw * car.charge_efficiency
        knee_kwh = car.capacity_kwh - stored_kw * car.taper_h
        after_kwh = energy_kwh + stored_kw * hours
        if after_kwh > knee_kwh:
            if energy_kwh < knee_kwh:
                hours -= (knee_kwh - energy_kwh) / stored_kw
                energy_kwh = knee_kwh
            after_kwh = car.capacity_kwh - (car.capacity_kwh - energy_kwh) * math.exp(-hours / car.taper_h)
        return min(after_kwh, limit_kwh)
    if drive_kw < 0.0 and energy_kwh > car.energy_empty_kwh:
        return max(energy_kwh + drive_kw / car.discharge_efficiency * hours, car.energy_empty_kwh)
    return energy_kwh


def metered_kwh(car: Car, change_kwh: float) -> float:
    """Return the energy at the meter [kWh AC, charging positive] for a change in the battery."""
    if change_kwh > 0.0:
        return change_kwh / car.charge_efficiency
    return change_kwh * car.discharge_efficiency


def hours_until_still(car: Car, energy_kwh: float, drive_kw: float, limit_kwh: float) -> float:
    """Return after how many hours `drive_kw` will move nothing any more; infinity where it moves nothing now."""
    if drive_kw > 0.0 and energy_kwh < limit_kwh:
        stored_kw = drive_kw * car.charge_efficiency
        knee_kwh = car.capacity_kwh - stored_kw * car.taper_h
        straight_kwh = max(min(knee_kwh, limit_kwh) - energy_kwh, 0.0)
        bent_from_kwh = max(energy_kwh, knee_kwh)
        if limit_kwh <= bent_from_kwh:
            return straight_kwh / stored_kw
        left_kwh = car.capacity_kwh - limit_kwh
        if left_kwh <= 0.0:
            return math.inf
        return straight_kwh / stored_kw + car.taper_h * math.log((car.capacity_kwh - bent_from_kwh) / left_kwh)
    if drive_kw < 0.0 and energy_kwh > car.energy_empty_kwh:
        return (energy_kwh - car.energy_empty_kwh) * car.discharge_efficiency / -drive_kw
    return math.inf


def drive_kw_fleet(cars: CarColumns, setpoint_kw: FloatColumn) -> FloatColumn:
    """Return `drive_kw` for every session."""
    asked: FloatColumn = setpoint_kw * (1.0 + cars.charger_error)
    return np.minimum(np.maximum(asked, -cars.discharge_max_kw), cars.charge_max_kw)


def power_kw_fleet(
    cars: CarColumns, energy_kwh: FloatColumn, drive_kw: FloatColumn, limit_kwh: FloatColumn
) -> FloatColumn:
    """Return `power_kw` for every session."""
    tapered = (cars.capacity_kwh - energy_kwh) / (cars.taper_h * cars.charge_efficiency)
    charging = np.where(energy_kwh < limit_kwh, np.minimum(drive_kw, tapered), 0.0)
    discharging = np.where(energy_kwh > cars.energy_empty_kwh, drive_kw, 0.0)
    return np.where(drive_kw > 0.0, charging, discharging)


def advance_fleet(
    cars: CarColumns, energy_kwh: FloatColumn, drive_kw: FloatColumn, hours: FloatColumn, limit_kwh: FloatColumn
) -> FloatColumn:
    """Return `advance` for every session."""
    stored_kw = np.maximum(drive_kw, 0.0) * cars.charge_efficiency
    knee_kwh = cars.capacity_kwh - stored_kw * cars.taper_h
    straight = energy_kwh + stored_kw * hours
    to_knee_kwh = np.maximum(knee_kwh - energy_kwh, 0.0)
    # A power near nothing never reaches the knee: infinity is the right number of hours.
    with np.errstate(over="ignore"):
        straight_hours = np.divide(to_knee_kwh, stored_kw, out=np.zeros_like(hours), where=stored_kw > 0.0)
    bent_hours = hours - straight_hours
    bent_from = np.maximum(energy_kwh, knee_kwh)
    bent = cars.capacity_kwh - (cars.capacity_kwh - bent_from) * np.exp(-np.maximum(bent_hours, 0.0) / cars.taper_h)
    charged = np.minimum(np.where(straight > knee_kwh, bent, straight), limit_kwh)
    discharged = np.maximum(energy_kwh + drive_kw / cars.discharge_efficiency * hours, cars.energy_empty_kwh)
    return np.where(
        drive_kw > 0.0,
        np.where(energy_kwh < limit_kwh, charged, energy_kwh),
        np.where((drive_kw < 0.0) & (energy_kwh > cars.energy_empty_kwh), discharged, energy_kwh),
    )


def metered_kwh_fleet(cars: CarColumns, change_kwh: FloatColumn) -> FloatColumn:
    """Return `metered_kwh` for every session."""
    return np.where(change_kwh > 0.0, change_kwh / cars.charge_efficiency, change_kwh * cars.discharge_efficiency)
