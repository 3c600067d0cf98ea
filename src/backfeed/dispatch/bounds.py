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

from typing import NamedTuple

import numpy as np
from numpy import uint64

from backfeed.core.instant import MS_PER_H
from backfeed.dispatch.columns import Bools, EvseColumns, Floats, Ints
from backfeed.plan.compiled import compiled_for_any

METERING_ERROR = 0.015
"""Share by which a charger may miss its setpoint and its meter the truth: 1 % for a class B meter
(EN 50470-3) and 0.5 % for control. Limits are kept for the worst case."""

PROMISED_SHARE = 0.95
"""Share of a charger's power on which departure promises count. The car's real efficiency may be 5 % below
the assumed one, so a car whose promise needs more than this share is already charging."""

LAXITY_UNKNOWN_H = 4.0
"""Laxity assumed for a car whose departure nobody knows."""

LAXITY_MIN_H, LAXITY_MAX_H = 0.25, 24.0
"""Range in which laxity counts: under a quarter-hour all are equally urgent, over a day equally idle."""

SECONDS_PER_HOUR = 3_600.0
SIZE_MIN_KW = 1e-9
"""A charger without power still has a size, to divide by and to share by."""


class Cars(NamedTuple):
    """The columns that bounds are made of, in the tree's order."""

    charge_max_kw: Floats
    discharge_max_kw: Floats
    energy_low_kwh: Floats
    reserve_kwh: Floats
    target_kwh: Floats
    full_kwh: Floats
    departure_ms: Ints
    charge_efficiency: Floats
    discharge_efficiency: Floats
    planned_kw: Floats
    charging_only: Bools


class Now(NamedTuple):
    """The instant of a tick, and the hours that its orders may last."""

    ms: int
    step_h: float


class Bounds(NamedTuple):
    """Bounds on the power of every EVSE [kW, charging positive], and who gives way first, shape `(evse,)`.

    Parameters
    ----------
    must_kw
        The least that keeps reserve, hardware and the owner's departure; only grid and site may go below what a
        departure needs, and they never below 0.
    ceiling_kw
        Nobody may order more: hardware and the full battery.
    laxity_h
        The hours that the car could wait and still reach its target.
    size_kw
        The charger's power, for its share of what is given and taken.
    """

    must_kw: Floats
    ceiling_kw: Floats
    laxity_h: Floats
    size_kw: Floats


def cars_of(evses: EvseColumns, order: Ints | None) -> Cars:
    """Return the columns in the tree's order."""
    columns = [getattr(evses, name) for name in Cars._fields]
    return Cars(*columns) if order is None else Cars(*(column[order] for column in columns))


@compiled_for_any
def bound(cars: Cars, first: int, stop: int, now: Now, found: Bounds) -> None:
    """Write what hardware and owner leave open to the EVSEs `first <= k < stop`."""
    now_ms, step_h = now
    for k in range(uint64(first), uint64(stop)):
        charge_max, low, target = cars.charge_max_kw[k], cars.energy_low_kwh[k], cars.target_kwh[k]
        gain, loss = cars.charge_efficiency[k], cars.discharge_efficiency[k]
        discharge_max, departure_ms = cars.discharge_max_kw[k], cars.departure_ms[k]
        is_known = departure_ms >= 0
        left_h = (departure_ms - now_ms) / MS_PER_H

        ceiling = min(charge_max, max(cars.full_kwh[k] - low, 0.0) / (gain * step_h))
        reserve = max(low - cars.reserve_kwh[k], 0.0) * loss / ((1.0 + METERING_ERROR) * step_h)
        floor = 0.0 if cars.charging_only[k] else -min(discharge_max, reserve)

        # A car that leaves within this order has less time; one that has outstayed its departure charges on.
        order_h = left_h if 0.0 < left_h < step_h else step_h
        later_kwh = PROMISED_SHARE * charge_max * gain * max(left_h - step_h, 0.0)
        battery_kw = (target - low - later_kwh) / order_h
        departure = battery_kw / gain if battery_kw > 0.0 else battery_kw * loss
        found.ceiling_kw[k] = ceiling
        found.must_kw[k] = min(max(departure if is_known else -np.inf, floor), ceiling)

        needed_h = max(target - low, 0.0) / max(charge_max * gain, SIZE_MIN_KW)
        laxity = left_h - needed_h if is_known else LAXITY_UNKNOWN_H
        found.laxity_h[k] = min(max(laxity, LAXITY_MIN_H), LAXITY_MAX_H)


@compiled_for_any
def willingness(direction: float, k: int, bounds: Bounds) -> float:
    """Return the weight of an EVSE: up (+1) go those with the least time first, down those with the most."""
    size = max(bounds.size_kw[k], SIZE_MIN_KW)
    return float(size / bounds.laxity_h[k] if direction > 0.0 else size * bounds.laxity_h[k])
