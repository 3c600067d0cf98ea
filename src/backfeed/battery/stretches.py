"""From meter readings to charge records: one transaction's registers and states of charge, cut into stretches.

A stay at a charger is no single observation for `health`: a car may give energy in the evening and take it back at
night, and the two together would say nothing. A stay is cut wherever energy turns round, and each stretch that
flowed one way is a record of its own; this is also what lets charging and discharging cancel the charger's efficiency.
"""

import numpy as np
from numpy.typing import NDArray

from backfeed.battery.health import CarRecords
from backfeed.core.instant import MS_PER_H
from backfeed.core.money import WH_PER_KWH

Ints = NDArray[np.int64]


def charge_stretches(at_ms: Ints, import_wh: Ints, export_wh: Ints, soc: NDArray[np.float64]) -> CarRecords:
    """Return the stretches of one transaction during which energy flowed one way.

    Parameters
    ----------
    at_ms
        Instants of the readings, rising, shape `(reading,)`.
    import_wh, export_wh
        Lifetime registers at the EVSE [Wh].
    soc
        Reported state of charge, 0-1.

    Returns
    -------
    CarRecords
        One row per stretch, in order. Hours count the time between readings in which energy flowed.

    >>> hours = np.arange(4) * MS_PER_H
    >>> imported, exported = np.array([0, 7000, 7000, 7000]), np.array([0, 0, 0, 5000])
    >>> found = charge_stretches(hours, imported, exported, np.array([0.5, 0.6, 0.6, 0.5]))
    >>> found.energy_kwh.tolist(), found.hours.tolist()
    ([7.0, -5.0], [1.0, 1.0])
    """
    moved_wh = np.diff(import_wh) - np.diff(export_wh)
    flows = np.flatnonzero(moved_wh)
    turns = np.flatnonzero(np.diff(np.sign(moved_wh[flows]))) + 1
    groups = [group for group in np.split(flows, turns) if group.size]
    first, last = np.array([(group[0], group[-1] + 1) for group in groups], dtype=np.int64).reshape(-1, 2).T
    length_ms = np.diff(at_ms)
    return CarRecords(
        at_ms=(at_ms[first] + at_ms[last]) // 2,
        energy_kwh=np.array([moved_wh[group].sum() for group in groups], dtype=np.float64) / WH_PER_KWH,
        soc_change=soc[last] - soc[first],
        hours=np.array([length_ms[group].sum() for group in groups], dtype=np.float64) / MS_PER_H,
    )


def join_records(parts: list[CarRecords]) -> CarRecords:
    """Return several transactions' records as one car's; a car without any has none."""
    nothing = np.empty(0)
    parts = [CarRecords(np.empty(0, dtype=np.int64), nothing, nothing, nothing), *parts]
    return CarRecords(
        np.concatenate([part.at_ms for part in parts]),
        np.concatenate([part.energy_kwh for part in parts]),
        np.concatenate([part.soc_change for part in parts]),
        np.concatenate([part.hours for part in parts]),
    )
