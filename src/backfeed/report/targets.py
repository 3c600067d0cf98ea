"""What the regulator asks of a V2G pilot, what was reached, and whose the gap is.

China's pilot notice of September 2024 asks for an off-peak share of the yearly charging energy of at
least 60 %, 80 % at private piles, and for every V2G project at least 500 kW of combined discharge
power and 100,000 kWh discharged a year (western regions may ask less); see `report.requirements`.

Energy that is bought in the valley and fed back in the same valley would raise the share and help
nobody. So a share is also told net of what was discharged again, and both have to pass.

A gap has two owners. *Structural* is what no control could close: cars that are not plugged in
during the valley, too few chargers, stays too short for a discharge. *Controllable* is the rest, and
the platform's to close. The bound between them is computed for every stay by itself, without site
limits and without regard to cost:

- valley energy of a stay: what is needed and what was discharged and bought again, as far as its hours
  in the valley take it; the rest of the need is bought outside. In the net share only energy that came
  with the car can be discharged and bought again, because what was charged and discharged counts in
  neither part of the fraction;
- discharge of a stay: the time left beside charging what is needed, spent on discharging and
  recharging, but at most one discharge from full to reserve for each day begun.

What was achieved is within reach, whatever the bound says: a car may cycle more often, or take more than
it needs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backfeed.report.summary import Target, TargetName

Floats = NDArray[np.float64]

DAYS_PER_YEAR: Final = 365.0
HOURS_PER_DAY: Final = 24.0


@dataclass(frozen=True, slots=True)
class Requirements:
    """The figures of a notice for one project or region; the defaults are those of September 2024."""

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
    cycled_kwh, cycled_valley_kwh
        The parts of `charged_kwh` and `valley_kwh` that were discharged again in the same stay.
    need_kwh
        Energy that the stay had to take [kWh, AC].
    stay_h, stay_valley_h
        Length of the stay inside the window, and of its part in valley hours [h].
    charge_max_kw, discharge_max_kw
        Magnitudes at the EVSE [kW]; `discharge_max_kw` is 0 where nothing can flow back.
    cycle_kwh
        What a discharge from full to the reserve gives [kWh, AC].
    arrival_spare_kwh
        What a discharge from the arrival energy to the reserve gives [kWh, AC].
    round_trip_efficiency
        Charge times discharge efficiency.
    private
        Whether the pile is a private one.
    """

    charged_kwh: Floats
    valley_kwh: Floats
    discharged_kwh: Floats
    cycled_kwh: Floats
    cycled_valley_kwh: Floats
    need_kwh: Floats
    stay_h: Floats
    stay_valley_h: Floats
    charge_max_kw: Floats
    discharge_max_kw: Floats
    cycle_kwh: Floats
    arrival_spare_kwh: Floats
    round_trip_efficiency: Floats
    private: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ShareSums:
    """The energies behind an off-peak share [kWh]: achieved, and the most that is within reach of any control."""

    charged_kwh: float
    valley_kwh: float
    reachable_charged_kwh: float
    reachable_valley_kwh: float

    def __add__(self, other: "ShareSums") -> "ShareSums":
        """Return the sums of two groups of stays together."""
        return ShareSums(
            self.charged_kwh + other.charged_kwh,
            self.valley_kwh + other.valley_kwh,
            self.reachable_charged_kwh + other.reachable_charged_kwh,
            self.reachable_valley_kwh + other.reachable_valley_kwh,
        )


def reachable_valley_kwh(stays: Stays, discharge_kwh: Floats) -> Floats:
    """Return the most that each stay could charge in its valley hours [kWh], shape `(session,)`.

    `discharge_kwh` is what may be discharged and bought again.
    """
    need_kwh = stays.need_kwh + discharge_kwh / stays.round_trip_efficiency
    return np.minimum(need_kwh, stays.stay_valley_h * stays.charge_max_kw)


def reachable_discharge_kwh(stays: Stays) -> Floats:
    """Return the most each stay could discharge and still leave with its need met [kWh], shape `(session,)`.

    With `x` hours of discharging at `Px` and recharging at `Pc`, the stay of `H` hours needs
    `need / Pc + x + x Px / (eta Pc) <= H`, where `eta` is the round-trip efficiency.
    """
    spare_h = np.maximum(stays.stay_h - stays.need_kwh / stays.charge_max_kw, 0.0)
    recharge_h_per_h = stays.discharge_max_kw / (stays.round_trip_efficiency * stays.charge_max_kw)
    by_time = stays.discharge_max_kw * spare_h / (1.0 + recharge_h_per_h)
    by_battery = np.ceil(stays.stay_h / HOURS_PER_DAY) * stays.cycle_kwh
    return np.where(stays.discharge_max_kw > 0, np.minimum(by_time, by_battery), 0.0)


def share_sums(stays: Stays, who: NDArray[np.bool_], *, net: bool) -> ShareSums:
    """Return the energies behind the off-peak share of some stays, gross or net of what was discharged again."""
    discharge_kwh = reachable_discharge_kwh(stays)
    charged, valley = stays.charged_kwh, stays.valley_kwh
    if net:
        discharge_kwh = np.minimum(discharge_kwh, stays.arrival_spare_kwh)
        charged, valley = charged - stays.cycled_kwh, valley - stays.cycled_valley_kwh
    in_valley = reachable_valley_kwh(stays, discharge_kwh)
    outside = np.maximum(stays.need_kwh - in_valley, 0.0)
    return ShareSums(
        float(charged[who].sum()),
        float(valley[who].sum()),
        float((in_valley + outside)[who].sum()),
        float(in_valley[who].sum()),
    )


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
        "offpeak_share": share_target(asked.offpeak_share, share_sums(stays, everyone, net=False)),
        "offpeak_share_net": share_target(asked.offpeak_share, share_sums(stays, everyone, net=True)),
        "offpeak_share_private": share_target(asked.offpeak_share_private, share_sums(stays, stays.private, net=False)),
        "offpeak_share_private_net": share_target(
            asked.offpeak_share_private, share_sums(stays, stays.private, net=True)
        ),
        "discharge_power_kw": amount_target(asked.discharge_power_kw, discharge_power_kw, discharge_rated_kw),
        "discharged_kwh_per_year": amount_target(
            asked.discharged_kwh_per_year,
            float(stays.discharged_kwh.sum()) * per_year,
            float(reachable_discharge_kwh(stays).sum()) * per_year,
        ),
    }


def share_target(required: float, sums: ShareSums) -> Target:
    """Hold an off-peak share against what is asked; without any charging there is nothing to measure."""
    if sums.charged_kwh <= 0 or sums.reachable_charged_kwh <= 0:
        return Target(required=required, achieved=None, reachable=None, met=False, controllable=0.0, structural=0.0)
    reachable = sums.reachable_valley_kwh / sums.reachable_charged_kwh
    return amount_target(required, sums.valley_kwh / sums.charged_kwh, reachable)


def amount_target(required: float, achieved: float, reachable: float) -> Target:
    """Hold an amount against what is asked, and split what is missing."""
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
