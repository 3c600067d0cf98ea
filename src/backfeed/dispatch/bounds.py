"""What hardware and owner leave open to the lower authorities, EVSE by EVSE.

With E the low edge of the battery's energy [kWh], h the hours that an order may last, H the hours to
departure, and eta_c, eta_d the one-way efficiencies:

- the battery is full:      p <= (E_full - E) / (eta_c h)
- the reserve stays:        p >= -(E - E_reserve) eta_d / ((1 + m) h), and never forces charging
- departure is kept:        E + eta_c h p + eta_c (H - h) P >= E_target for p >= 0, with p / eta_d in
  place of eta_c p for p < 0; P is `PROMISED_SHARE` of the charger's maximum

The full and the departure bounds use the low edge of the belief: a car that is in truth fuller stops
by itself, one that is in truth emptier would otherwise miss its promise.
"""

from dataclasses import dataclass

import numpy as np

from backfeed.core.instant import MS_PER_H
from backfeed.dispatch.columns import EvseColumns, Floats

METERING_ERROR = 0.015
"""Share by which a charger may miss its setpoint and its meter the truth: 1 % for a class B meter
(EN 50470-3) and 0.5 % for control. Limits are kept for the worst case."""

PROMISED_SHARE = 0.95
"""Share of a charger's power on which departure promises count. The car's real efficiency may be 5 % below
the assumed one, so a car whose promise needs more than this share is already charging."""

SECONDS_PER_HOUR = 3_600.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds on the power of every EVSE [kW, charging positive], shape `(evse,)`.

    Parameters
    ----------
    floor_kw
        Nobody may order less: hardware and the owner's reserve.
    must_kw
        The least that keeps the owner's departure; only grid and site may go below it.
    ceiling_kw
        Nobody may order more: hardware and the full battery.
    """

    floor_kw: Floats
    must_kw: Floats
    ceiling_kw: Floats


def owner_bounds(evses: EvseColumns, now_ms: int) -> Bounds:
    """Return what hardware and owner leave open at an instant."""
    step_h = evses.step_s / SECONDS_PER_HOUR
    room_kwh = np.maximum(evses.full_kwh - evses.energy_low_kwh, 0.0)
    ceiling = np.minimum(evses.charge_max_kw, room_kwh / (evses.charge_efficiency * step_h))
    spare_kwh = np.maximum(evses.energy_low_kwh - evses.reserve_kwh, 0.0)
    reserve = spare_kwh * evses.discharge_efficiency / ((1.0 + METERING_ERROR) * step_h)
    floor = np.where(evses.charging_only, 0.0, -np.minimum(evses.discharge_max_kw, reserve))
    must = np.minimum(np.maximum(departure_floor_kw(evses, now_ms), floor), ceiling)
    return Bounds(floor, must, ceiling)


def departure_floor_kw(evses: EvseColumns, now_ms: int) -> Floats:
    """Return the least power that still leaves the target within reach, -inf where no departure is known."""
    step_h = evses.step_s / SECONDS_PER_HOUR
    left_h = (evses.departure_ms - now_ms) / MS_PER_H
    later_h = np.maximum(left_h - step_h, 0.0)
    # A car that leaves within this order has less time; one that has outstayed its departure charges on.
    order_h = np.where((left_h > 0.0) & (left_h < step_h), left_h, step_h)
    later_kwh = PROMISED_SHARE * evses.charge_max_kw * evses.charge_efficiency * later_h
    needed_kwh = evses.target_kwh - evses.energy_low_kwh - later_kwh
    battery_kw = needed_kwh / order_h
    power = np.where(battery_kw > 0.0, battery_kw / evses.charge_efficiency, battery_kw * evses.discharge_efficiency)
    return np.where(evses.departure_ms >= 0, power, -np.inf)


LAXITY_UNKNOWN_H = 4.0
"""Laxity assumed for a car whose departure nobody knows."""

LAXITY_MIN_H, LAXITY_MAX_H = 0.25, 24.0
"""Range in which laxity counts: under a quarter-hour all are equally urgent, over a day equally idle."""


def laxity_h(evses: EvseColumns, now_ms: int) -> Floats:
    """Return the hours a car could wait and still reach its target: time left less charging time needed."""
    needed_kwh = np.maximum(evses.target_kwh - evses.energy_low_kwh, 0.0)
    power_kw = np.maximum(evses.charge_max_kw * evses.charge_efficiency, 1e-9)
    known = (evses.departure_ms - now_ms) / MS_PER_H - needed_kwh / power_kw
    return np.clip(np.where(evses.departure_ms >= 0, known, LAXITY_UNKNOWN_H), LAXITY_MIN_H, LAXITY_MAX_H)
