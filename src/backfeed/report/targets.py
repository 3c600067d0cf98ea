"""What the regulator asks of a V2G pilot, what was reached, and whose the gap is.

China's pilot notice of September 2024 asks for an off-peak share of the yearly charging energy of at
least 60 %, 80 % at private piles, and for every V2G project at least 500 kW of combined discharge
power and 100,000 kWh discharged a year (western regions may ask less).

A gap has two owners. *Structural* is what no control could close: cars that are not plugged in
during the valley, too few chargers, stays too short for a discharge. *Controllable* is the rest, and
the platform's to close. The bound between them is computed for every stay by itself, without site
limits and without regard to cost:

- valley energy of a stay: `min(need, hours in the valley x charging power)`;
- discharge of a stay: the time left beside charging what is needed, spent on discharging and
  recharging, but at most one discharge from full to reserve for each day begun.

A stay that cycles can have a larger valley share than its need alone; then what was achieved is
taken as reachable.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backfeed.report.summary import Target, TargetName

DAYS_PER_YEAR: Final = 365.0
HOURS_PER_DAY: Final = 24.0


@dataclass(frozen=True, slots=True)
class Requirements:
    """The figures of a notice; the defaults are those of September 2024."""

    offpeak_share: float = 0.60
    offpeak_share_private: float = 0.80
    discharge_power_kw: float = 500.0
    discharged_kwh_per_year: float = 100_000.0


@dataclass(frozen=True)
class Stays:
    """What the targets need to know of every served stay: equal-length columns, row = session.

    Parameters
    ----------
    charged_kwh, valley_kwh, discharged_kwh
        What the meter counted [kWh, AC]: all charging, the part of it in valley hours, all discharging.
    need_kwh
        Energy that the session file records [kWh, AC].
    stay_h, stay_valley_h
        Length of the stay inside the window, and of its part in valley hours [h].
    charge_max_kw, discharge_max_kw
        Magnitudes at the EVSE [kW]; `discharge_max_kw` is 0 where nothing can flow back.
    cycle_kwh
        What a discharge from full to the reserve gives [kWh, AC].
    round_trip_efficiency
        Charge times discharge efficiency.
    private
        Whether the pile is a private one.
    """

    charged_kwh: NDArray[np.float64]
    valley_kwh: NDArray[np.float64]
    discharged_kwh: NDArray[np.float64]
    need_kwh: NDArray[np.float64]
    stay_h: NDArray[np.float64]
    stay_valley_h: NDArray[np.float64]
    charge_max_kw: NDArray[np.float64]
    discharge_max_kw: NDArray[np.float64]
    cycle_kwh: NDArray[np.float64]
    round_trip_efficiency: NDArray[np.float64]
    private: NDArray[np.bool_]


def reachable_valley_kwh(stays: Stays) -> NDArray[np.float64]:
    """Return the most of each stay's need that fits into its valley hours [kWh], shape `(session,)`."""
    return np.minimum(stays.need_kwh, stays.stay_valley_h * stays.charge_max_kw)


def reachable_discharge_kwh(stays: Stays) -> NDArray[np.float64]:
    """Return the most each stay could discharge and still leave with its need met [kWh], shape `(session,)`.

    With `x` hours of discharging at `Px` and recharging at `Pc`, the stay of `H` hours needs
    `need / Pc + x + x Px / (eta Pc) <= H`, where `eta` is the round-trip efficiency.
    """
    spare_h = np.maximum(stays.stay_h - stays.need_kwh / stays.charge_max_kw, 0.0)
    recharge_h_per_h = stays.discharge_max_kw / (stays.round_trip_efficiency * stays.charge_max_kw)
    by_time = stays.discharge_max_kw * spare_h / (1.0 + recharge_h_per_h)
    by_battery = np.ceil(stays.stay_h / HOURS_PER_DAY) * stays.cycle_kwh
    return np.where(stays.discharge_max_kw > 0, np.minimum(by_time, by_battery), 0.0)


def regulator_targets(
    stays: Stays,
    *,
    days: float,
    discharge_power_kw: float,
    discharge_rated_kw: float,
    requirements: Requirements | None = None,
) -> dict[TargetName, Target]:
    """Hold a world against the notice.

    Parameters
    ----------
    stays
        The served sessions of the world.
    days
        Length of the window [d]; yearly energy is the window's times 365 / days.
    discharge_power_kw
        Largest combined discharge power that the fleet really showed [kW].
    discharge_rated_kw
        Rated discharge power of all its chargers together [kW]: what is reachable.
    requirements
        Another notice's figures.
    """
    asked = requirements or Requirements()
    per_year = DAYS_PER_YEAR / days
    everyone = np.ones(len(stays.charged_kwh), dtype=np.bool_)
    return {
        "offpeak_share": _share_target(asked.offpeak_share, stays, everyone),
        "offpeak_share_private": _share_target(asked.offpeak_share_private, stays, stays.private),
        "discharge_power_kw": _target(asked.discharge_power_kw, discharge_power_kw, discharge_rated_kw),
        "discharged_kwh_per_year": _target(
            asked.discharged_kwh_per_year,
            float(stays.discharged_kwh.sum()) * per_year,
            float(reachable_discharge_kwh(stays).sum()) * per_year,
        ),
    }


def _share_target(required: float, stays: Stays, who: NDArray[np.bool_]) -> Target:
    charged, need = float(stays.charged_kwh[who].sum()), float(stays.need_kwh[who].sum())
    if charged <= 0 or need <= 0:
        return Target(required=required, achieved=None, reachable=None, met=False, controllable=0.0, structural=0.0)
    achieved = float(stays.valley_kwh[who].sum()) / charged
    return _target(required, achieved, float(reachable_valley_kwh(stays)[who].sum()) / need)


def _target(required: float, achieved: float, reachable: float) -> Target:
    within_reach = max(reachable, achieved)
    structural = max(0.0, required - within_reach)
    return Target(
        required=required,
        achieved=achieved,
        reachable=within_reach,
        met=achieved >= required,
        controllable=max(0.0, required - achieved) - structural,
        structural=structural,
    )
