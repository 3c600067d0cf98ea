"""Promises in a plan: what a car is to reach, and what counts that is missing of it when the car leaves."""

import numpy as np
from numpy.typing import NDArray

from backfeed.app.knowledge import Car
from backfeed.core.instant import MS_PER_H
from backfeed.fleet.belief import stored_kwh

Floats = NDArray[np.float64]

NEED_MARGIN = 0.06
"""How much more than its nameplate says a car may need to reach its target: true capacity and
efficiency lie within some five percent of the enrolled ones, and the promise holds for all of them. What a car takes
that hides its state of charge is known from what such stays took at the meter, whatever its nameplate says: only what
it has given must be bought again with a margin."""

BROKEN_KWH = 16.0
"""What a broken promise counts beside each kWh that is missing, in kWh: a departure that is a little short is broken as
well as one that is far short."""

MISSING_LEAST_KWH = 1.0
"""Below this nobody calls a promise broken."""


def needed_kwh(car: Car) -> float:
    """Return what a car is planned to reach, as plans see it: what its lower edge lacks, with a margin [kWh]."""
    by_nameplate = -stored_kwh(car.plug, car.owner) if car.may_take_kwh else car.target_kwh - car.energy_low_kwh
    return car.target_kwh + NEED_MARGIN * max(by_nameplate, 0.0) + car.edge_gap_kwh


def care_of(car: Car, now_ms: int, end_ms: int, end_care: float) -> Floats:
    """Return how many times its price missing energy counts at each quantile of a car's departure.

    Whether a promise is broken is decided by its last kWh, which a linear price can not see. So what a broken promise
    counts is spread over what may be missing at that time at most: what can be given away until then. A driver who has
    named a departure is promised that one: what is missing before it counts for itself, since it is he who breaks his
    word, and from then on nothing may be missing. A car that is there still when the pilot ends has been promised
    nothing for then: what it lacks counts `end_care`.

    Parameters
    ----------
    car
        A car.
    now_ms, end_ms
        The present, and when the pilot ends.
    end_care
        How many times its price missing energy counts at the end.
    """
    return np.where(car.left_by_ms > end_ms, end_care, _care_at_departures(car, now_ms))


def _care_at_departures(car: Car, now_ms: int) -> Floats:
    if car.promised_ms >= 0:
        return np.where(car.left_by_ms < car.promised_ms, 1.0, 1.0 + BROKEN_KWH / MISSING_LEAST_KWH)
    lacks = max(car.target_kwh - car.energy_low_kwh, 0.0)
    gives_kw = car.discharge_max_kw / car.owner.vehicle.discharge_efficiency
    most = lacks + gives_kw * np.maximum(car.left_by_ms - now_ms, 0) / MS_PER_H
    missing = np.clip(most, MISSING_LEAST_KWH, max(car.target_kwh - car.reserve_kwh, lacks, MISSING_LEAST_KWH))
    care: Floats = 1.0 + BROKEN_KWH / missing
    return care
