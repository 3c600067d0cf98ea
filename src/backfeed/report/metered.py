"""From metered quarter-hours to what the regulator's targets ask: what each stay took, gave, cycled and needed.

Only what a platform has in its books and its log is used: intervals of the meters, when each car came and left, and
what it can do. What the battery held on arrival is often unknown; then it counts as full, so that no gap is called
structural that might not be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_H
from backfeed.core.money import WH_PER_KWH
from backfeed.meter.cycled import cycled_kwh
from backfeed.report.targets import Stays

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Metered:
    """Metered energy as columns, row = one stay in one quarter-hour, the quarter-hours of a stay in order.

    Parameters
    ----------
    stay
        Number of the stay, shape `(row,)`.
    start_ms
        Start of the quarter-hour.
    import_wh, export_wh
        Into and out of the car at the EVSE [Wh].
    valley
        Whether the quarter-hour is off-peak.
    """

    stay: Ints
    start_ms: Ints
    import_wh: Ints
    export_wh: Ints
    valley: Bools


@dataclass(frozen=True)
class StayFacts:
    """What is known of each stay beside its meter: equal-length columns, row = stay.

    Powers and energies are those of `report.targets.Stays`; `arrival_soc` is NaN where the car did not tell.
    """

    arrival_ms: Ints
    departure_ms: Ints
    charge_max_kw: Floats
    discharge_max_kw: Floats
    capacity_kwh: Floats
    arrival_soc: Floats
    private: Bools


def metered_stays(
    metered: Metered, facts: StayFacts, valley_ms: Sequence[tuple[int, int]], *, reserve_soc: float, round_trip: float
) -> Stays:
    """Return what the targets need of every stay.

    Parameters
    ----------
    metered, facts
        What the meters counted, and what is known beside them.
    valley_ms
        The valley as stretches `[from, until)`, in order and apart.
    reserve_soc
        Never discharged below.
    round_trip
        Charge times discharge efficiency; half of the loss lies on each way.
    """
    count = len(facts.arrival_ms)

    def per_stay(energy_wh: Ints) -> Floats:
        return np.bincount(metered.stay, weights=energy_wh, minlength=count) / WH_PER_KWH

    charged, discharged = per_stay(metered.import_wh), per_stay(metered.export_wh)
    cycled, cycled_valley = _cycled_kwh(metered, count, round_trip)
    usable = 1.0 - reserve_soc
    spare = np.where(np.isnan(facts.arrival_soc), usable, np.maximum(facts.arrival_soc - reserve_soc, 0.0))
    out = np.sqrt(round_trip)
    return Stays(
        charged_kwh=charged,
        valley_kwh=per_stay(np.where(metered.valley, metered.import_wh, 0)),
        discharged_kwh=discharged,
        cycled_kwh=cycled,
        cycled_valley_kwh=cycled_valley,
        need_kwh=np.maximum(charged - discharged / round_trip, 0.0),
        stay_h=(facts.departure_ms - facts.arrival_ms) / MS_PER_H,
        stay_valley_h=hours_inside(valley_ms, facts.arrival_ms, facts.departure_ms),
        charge_max_kw=facts.charge_max_kw,
        discharge_max_kw=facts.discharge_max_kw,
        cycle_kwh=usable * facts.capacity_kwh * out,
        arrival_spare_kwh=spare * facts.capacity_kwh * out,
        round_trip_efficiency=np.full(count, round_trip),
        private=facts.private,
    )


def hours_inside(stretches_ms: Sequence[tuple[int, int]], from_ms: Ints, until_ms: Ints) -> Floats:
    """Return how long each `[from, until)` lies inside stretches that are in order and apart [h].

    >>> hours_inside([(0, 3_600_000), (7_200_000, 10_800_000)], np.array([1_800_000]), np.array([9_000_000])).tolist()
    [1.0]
    """
    if not len(stretches_ms):
        return np.zeros(len(from_ms))
    edges = np.array(stretches_ms, dtype=np.float64)
    ends = edges.ravel()
    held = np.concatenate([[0.0], np.repeat(np.cumsum(edges[:, 1] - edges[:, 0]), 2)[:-1]])
    return np.asarray(np.interp(until_ms, ends, held) - np.interp(from_ms, ends, held)) / MS_PER_H


def _cycled_kwh(metered: Metered, count: int, round_trip: float) -> tuple[Floats, Floats]:
    """Return how much of what each stay charged it discharged again: of all, and of valley energy [kWh AC].

    What was charged last is discharged first; energy that came with the car comes out last.
    """
    cycled, cycled_valley = np.zeros(count), np.zeros(count)
    bounds = np.searchsorted(metered.stay, np.arange(count + 1))
    for stay in np.unique(metered.stay[metered.export_wh > 0]):
        own = slice(bounds[stay], bounds[stay + 1])
        flows = np.stack([metered.import_wh[own], -metered.export_wh[own]], axis=1) / WH_PER_KWH
        marked = np.repeat(metered.valley[own], 2)
        cycled[stay], cycled_valley[stay] = cycled_kwh(
            zip(flows.ravel().tolist(), marked.tolist(), strict=True), round_trip
        )
    return cycled, cycled_valley
