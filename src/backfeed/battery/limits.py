"""What the wear laws were not tested for: blocked, clamped, or told.

The laws know no lithium plating. Below 5 degrees in the cell discharging for others is blocked: the
recharge that follows is what plates. Outside the tested temperatures and rates the laws are read at the
edge of the range; every such reading is reported as a value, so that a screen can say so.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backfeed.battery.law import Floats, WearLaw
from backfeed.battery.stress import DayStress

DISCHARGE_LEAST_TEMPERATURE_C = 5.0
"""Cell temperature below which nothing is discharged for others [degrees C]."""


def discharge_allowed(cell_temperature_c: ArrayLike) -> NDArray[np.bool_]:
    """Tell whether a cell is warm enough to discharge for others; a broken reading (NaN) is not.

    Where no feed tells the temperature, the caller decides on a default.

    >>> discharge_allowed([4.9, 5.0, float("nan")]).tolist()
    [False, True, False]
    """
    return np.asarray(cell_temperature_c, dtype=np.float64) >= DISCHARGE_LEAST_TEMPERATURE_C


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """Inputs that left the tested range of a law.

    Parameters
    ----------
    quantity
        What it is, with its unit: `temperature_c`, `soc`, `c_rate`, `depth`.
    treatment
        `clamped` to the range, or `extrapolated` beyond it.
    lowest, highest
        The tested range.
    found_lowest, found_highest
        The extremes that were found.
    count
        How many values were outside.
    """

    quantity: str
    treatment: str
    lowest: float
    highest: float
    found_lowest: float
    found_highest: float
    count: int


def out_of_range(law: WearLaw, soc: Floats, temperature_c: ArrayLike, day: DayStress) -> tuple[OutOfRange, ...]:
    """Report what a wear calculation clamped or extrapolated.

    Parameters
    ----------
    law
        The cell's law.
    soc
        The samples as they came, before clipping.
    temperature_c
        Cell temperature as it came [degrees C].
    day
        The stress of the days, from `day_stress`; its C-rates and depths are judged where energy moved.

    Returns
    -------
    tuple of OutOfRange
        One per quantity that left its range; empty if none did.
    """
    moved = day.full_cycles > 0
    temperature = (
        max(law.calendar_temperature_c[0], law.cycling_temperature_c[0]),
        min(law.calendar_temperature_c[1], law.cycling_temperature_c[1]),
    )
    fastest = max(law.c_rate_charge_max, law.c_rate_discharge_max)
    found = (
        _beyond("soc", "clamped", (0.0, 1.0), soc),
        _beyond("temperature_c", "clamped", temperature, np.asarray(temperature_c, dtype=np.float64)),
        _beyond("c_rate", "clamped", (0.0, fastest), day.c_rate_active[moved]),
        _beyond("depth", "extrapolated", law.depth_tested, day.depth[moved]),
    )
    return tuple(each for each in found if each)


def _beyond(quantity: str, treatment: str, tested: tuple[float, float], values: Floats) -> OutOfRange | None:
    outside = (values < tested[0]) | (values > tested[1])
    if not outside.any():
        return None
    bad = values[outside]
    return OutOfRange(quantity, treatment, *tested, float(bad.min()), float(bad.max()), int(outside.sum()))
