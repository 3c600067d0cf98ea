"""Wearing: what a transaction's discharging wore its battery, by the closed form of the wear law."""

import numpy as np
from numpy.typing import NDArray

from backfeed.app.knowledge import Knowledge
from backfeed.battery.pricing import discharge_wear_floor
from backfeed.battery.stress import SocPaths
from backfeed.battery.wear import WEAR_LAWS
from backfeed.core.money import WH_PER_KWH
from backfeed.meter.interval import IntervalTable, MeterKey


def session_wear(
    knowledge: Knowledge,
    key: MeterKey,
    whole: IntervalTable,
    rows: NDArray[np.bool_],
    from_ms: int,
    until_ms: int,
    exported_wh: int,
) -> float:
    """Return what giving `exported_wh` in `[from_ms, until_ms)` wore a car's battery [currency].

    Parameters
    ----------
    knowledge
        Whose battery it is, and how full it was.
    key, whole, rows
        The transaction, all that was metered, and which rows of it are the transaction's, shape `(row,)`.
    from_ms, until_ms
        The day.
    exported_wh
        What the car gave in it.
    """
    vehicle = knowledge.owner_of_transaction(key).vehicle
    lost_kwh = whole.export_wh[rows] / vehicle.discharge_efficiency / WH_PER_KWH
    at_ms, energy_kwh = knowledge.energy_path(key, whole.start_ms[rows], whole.import_wh[rows], whole.export_wh[rows])
    at_ms, energy_kwh = _with_dips(at_ms, energy_kwh, whole.import_wh[rows], lost_kwh)
    inside = (at_ms >= from_ms) & (at_ms <= until_ms)
    soc = np.clip(energy_kwh[inside] / vehicle.capacity_kwh, 0.0, 1.0)
    path = SocPaths.single(at_ms[inside], soc)
    discharged_kwh = exported_wh / WH_PER_KWH
    wear = discharge_wear_floor(
        WEAR_LAWS[vehicle.chemistry],
        path,
        vehicle.capacity_kwh,
        discharged_kwh,
        temperature_c=knowledge.enrolment.temperature.along(path.at_ms),
        day_start_ms=from_ms,
    )
    return float(wear.floor_per_kwh[0]) * discharged_kwh


def _with_dips(
    at_ms: NDArray[np.int64],
    energy_kwh: NDArray[np.float64],
    import_wh: NDArray[np.int64],
    lost_kwh: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return a path that goes down and up again in quarter-hours in which a car gave and took.

    Parameters
    ----------
    at_ms, energy_kwh
        The path at the boundaries of the quarter-hours, shape `(interval + 1,)`.
    import_wh, lost_kwh
        What the car took in each of them, and what giving took from its battery, shape `(interval,)`.
    """
    both = np.flatnonzero((import_wh > 0) & (lost_kwh > 0))
    middle_ms = (at_ms[both] + at_ms[both + 1]) // 2
    return np.insert(at_ms, both + 1, middle_ms), np.insert(energy_kwh, both + 1, energy_kwh[both] - lost_kwh[both])
