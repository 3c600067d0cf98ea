"""Warranty budgets: how much a car may still discharge before its maker's promise is at risk.

Some makers cap the energy and the hours discharged over a lifetime; where none is published, the
kilometres are the cap: energy discharged for others counts as *virtual kilometres*, energy over
consumption (UN GTR No. 22), and may use what driving will leave of the warranted distance. Budgets are
hard limits: plan and dispatch take `discharge_limit_kwh` as a bound, never as a price.
"""

import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import msgspec

from backfeed.core.problem import InputError, Problem

_ANY_MAKE = "any"


@dataclass(frozen=True, slots=True)
class WarrantyPolicy:
    """What a maker promises, and under which caps on discharging.

    Parameters
    ----------
    make
        First word of a car model's name, or `any`.
    years, distance_km
        How long the promise holds, whichever ends first.
    capacity_promised
        Share of the new capacity that must be left.
    consumption_kwh_per_km
        Battery energy per kilometre, which turns energy into virtual kilometres.
    discharge_kwh, discharge_hours
        Lifetime caps on discharging for others; infinite where there is none.
    """

    make: str
    years: float
    distance_km: float
    capacity_promised: float
    consumption_kwh_per_km: float
    discharge_kwh: float = math.inf
    discharge_hours: float = math.inf


@dataclass(frozen=True, slots=True)
class WarrantyUse:
    """What a car has used up, from enrolment papers and meters.

    Parameters
    ----------
    age_years, odometer_km
        Age and distance driven today.
    driving_km_per_year
        What the owner expects to drive.
    discharged_kwh, discharged_hours
        Given to others so far [kWh AC at the EVSE, h].
    """

    age_years: float
    odometer_km: float
    driving_km_per_year: float
    discharged_kwh: float
    discharged_hours: float


@dataclass(frozen=True, slots=True)
class WarrantyBudget:
    """What is left; infinite where nothing caps it, 0 where it is used up.

    Parameters
    ----------
    energy_kwh, hours
        Left of the lifetime caps.
    virtual_km
        Left of the distance after the driving that is still to come.
    energy_left_kwh
        What may still be discharged: the least of the caps, hours aside [kWh].
    years_left
        Until the promise ends by age.
    """

    energy_kwh: float
    hours: float
    virtual_km: float
    energy_left_kwh: float
    years_left: float

    @property
    def pace_kwh_per_day(self) -> float:
        """The even pace that makes the budget last until the promise ends by age [kWh per day]."""
        return self.energy_left_kwh / (365 * self.years_left) if self.years_left > 0 else math.inf


@dataclass(frozen=True, slots=True)
class WarrantyTable:
    """The shipped policies, with their source and assumptions in words."""

    source: str
    assumptions: tuple[str, ...]
    policies: tuple[WarrantyPolicy, ...]


def load_warranties() -> WarrantyTable:
    """Read the shipped table of warranties."""
    body = resources.files("backfeed.battery").joinpath("data", "warranties.json").read_bytes()
    return msgspec.json.decode(body, type=WarrantyTable)


def read_warranties(path: Path) -> WarrantyTable:
    """Read a table of warranties of one's own, a JSON document of the form of the shipped one.

    Raises
    ------
    InputError
        If the file can not be read, is not of that form, or knows no policy for `any` make.
    """
    try:
        table = msgspec.json.decode(path.read_bytes(), type=WarrantyTable)
    except OSError as error:
        raise InputError([Problem(str(path), f"expected a readable file, found: {error.strerror}")]) from error
    except msgspec.DecodeError as error:
        raise InputError([Problem(str(path), f"expected a table of warranties, found: {error}")]) from error
    problems = [Problem(str(path), f"{policy.make}: {what}") for policy in table.policies for what in _wrong(policy)]
    if not any(policy.make.casefold() == _ANY_MAKE for policy in table.policies):
        problems.append(Problem(str(path), f"policies: expected one whose make is {_ANY_MAKE!r}, found none"))
    if problems:
        raise InputError(problems)
    return table


def _wrong(policy: WarrantyPolicy) -> list[str]:
    """Return what no policy can say."""
    least = {"years": 0, "distance_km": 0, "discharge_kwh": 0, "discharge_hours": 0}
    found = [
        f"{name}: expected {low} or more, found {getattr(policy, name)}"
        for name, low in least.items()
        if not getattr(policy, name) >= low
    ]
    if not policy.consumption_kwh_per_km > 0:
        found.append(f"consumption_kwh_per_km: expected more than 0, found {policy.consumption_kwh_per_km}")
    return found


def policy_for(model_name: str, table: WarrantyTable) -> WarrantyPolicy:
    """Return the policy of a model's make, or that of any make."""
    make = model_name.split(" ", 1)[0].casefold()
    by_make = {policy.make.casefold(): policy for policy in table.policies}
    return by_make.get(make, by_make[_ANY_MAKE])


def virtual_km(discharged_kwh: float, consumption_kwh_per_km: float) -> float:
    """Return the kilometres that an energy discharged for others counts as.

    >>> round(virtual_km(10 * 365, 0.1426))
    25596
    """
    return discharged_kwh / consumption_kwh_per_km


def remaining_budget(policy: WarrantyPolicy, use: WarrantyUse) -> WarrantyBudget:
    """Return what a car may still discharge.

    After the promise has ended by age or distance nothing is left to protect and the budget is infinite;
    the caller decides whether the owner wants that.
    """
    years_left = max(policy.years - use.age_years, 0.0)
    if years_left == 0 or use.odometer_km >= policy.distance_km:
        return WarrantyBudget(math.inf, math.inf, math.inf, math.inf, years_left)
    to_drive_km = use.driving_km_per_year * years_left
    used_km = use.odometer_km + virtual_km(use.discharged_kwh, policy.consumption_kwh_per_km)
    left_km = max(policy.distance_km - used_km - to_drive_km, 0.0)
    energy_kwh = max(policy.discharge_kwh - use.discharged_kwh, 0.0)
    return WarrantyBudget(
        energy_kwh=energy_kwh,
        hours=max(policy.discharge_hours - use.discharged_hours, 0.0),
        virtual_km=left_km,
        energy_left_kwh=min(energy_kwh, left_km * policy.consumption_kwh_per_km),
        years_left=years_left,
    )


def discharge_limit_kwh(budget: WarrantyBudget, power_kw: float, window_h: float, pace: float | None = None) -> float:
    """Return the hard limit on what may be discharged within a window [kWh, AC at the EVSE].

    Parameters
    ----------
    budget
        What is left.
    power_kw
        Power at which the car discharges [kW, positive].
    window_h
        Length of the plan [h].
    pace
        How many times the even pace a single window may use; None for no limit on the pace.
    """
    limit = min(budget.energy_left_kwh, budget.hours * power_kw, window_h * power_kw)
    return limit if pace is None else min(limit, pace * budget.pace_kwh_per_day * window_h / 24)
