"""What would the same car have looked like otherwise? The same driving, charged in other ways.

A profile of state of charge is read as stays: stretches in which charge does not fall and does rise.
What lies between them (driving) is left as it is. Within each stay the car can

- charge at once and then stand (*unmanaged*),
- stand and charge just before it leaves (*v1g*),
- discharge at once, stand, and charge just before it leaves (*v2g*),

and always leaves with the charge it had in the profile. Most of what good V2G spares a battery is that
it stands lower, which V1G gives as well; that is why both counterfactuals belong beside every result.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backfeed.battery.law import Floats

LOWEST_DISCHARGE_SOC = 0.15
"""Nothing is discharged for others below this state of charge."""
_LEAST_RISE = 0.005


@dataclass(frozen=True, slots=True)
class Profile:
    """A state of charge over hours, straight between samples, hours not falling, shape `(sample,)` each."""

    hours: Floats
    soc: Floats


@dataclass(frozen=True, slots=True)
class Stay:
    """A stay at the charger: samples `first` to `last` of a profile."""

    first: int
    last: int


def find_stays(profile: Profile) -> list[Stay]:
    """Find the stays: the longest stretches without a fall that contain a rise.

    >>> find_stays(Profile(np.array([0.0, 8, 9, 18, 20, 24]), np.array([0.8, 0.8, 0.5, 0.5, 0.8, 0.8])))
    [Stay(first=2, last=5)]
    """
    stays = []
    first = 0
    for sample in range(1, profile.soc.size + 1):
        if sample == profile.soc.size or profile.soc[sample] < profile.soc[sample - 1] - 1e-12:
            if profile.soc[sample - 1] - profile.soc[first] >= _LEAST_RISE:
                stays.append(Stay(first, sample - 1))
            first = sample
    return stays


def charged_at_once(
    start_h: float, end_h: float, low: float, high: float, rate_per_h: float
) -> tuple[list[float], list[float]]:
    """Return hours and levels of a stay that charges from `low` to `high` as soon as it begins, at a rate [1/h]."""
    charge_h = min((high - low) / rate_per_h, end_h - start_h)
    return [start_h, start_h + charge_h, end_h], [low, high, high]


def charged_late(
    start_h: float, end_h: float, low: float, high: float, rate_per_h: float
) -> tuple[list[float], list[float]]:
    """Return hours and levels of a stay that charges from `low` to `high` just before it ends, at a rate [1/h]."""
    charge_h = min((high - low) / rate_per_h, end_h - start_h)
    return [start_h, end_h - charge_h, end_h], [low, low, high]


def unmanaged(profile: Profile, soc_per_h: float) -> Profile:
    """Return the profile with every stay charged at once at a rate [1/h]."""
    return _with_stays(profile, [charged_at_once(*edges, soc_per_h) for edges in _edges(profile)])


def just_in_time(profile: Profile, soc_per_h: float) -> Profile:
    """Return the profile with every stay charged just before it ends at a rate [1/h]."""
    return discharging(profile, soc_per_h, 0.0)[0]


def discharging(profile: Profile, soc_per_h: float, share: float) -> tuple[Profile, float]:
    """Return the profile with a share of the capacity discharged at the start of every stay, charged just in time.

    Returns
    -------
    The profile, and the share of the capacity that could be discharged over all of it: less than asked
    where a stay is too short or the charge too low.
    """
    shapes, given = [], 0.0
    for start_h, end_h, low, high in _edges(profile):
        spare = ((end_h - start_h) * soc_per_h - (high - low)) / 2
        portion = max(min(share, spare, low - LOWEST_DISCHARGE_SOC), 0.0)
        charge_h = min((high - low + portion) / soc_per_h, end_h - start_h)
        bottom = low - portion
        hours = [start_h, min(start_h + portion / soc_per_h, end_h - charge_h), end_h - charge_h, end_h]
        shapes.append((hours, [low, bottom, bottom, high]))
        given += portion
    return _with_stays(profile, shapes), given


def _edges(profile: Profile) -> list[tuple[float, float, float, float]]:
    """Return start, end [h], first and last state of charge of every stay."""
    return [
        (
            float(profile.hours[stay.first]),
            float(profile.hours[stay.last]),
            float(profile.soc[stay.first]),
            float(profile.soc[stay.last]),
        )
        for stay in find_stays(profile)
    ]


def _with_stays(profile: Profile, shapes: Sequence[tuple[list[float], list[float]]]) -> Profile:
    """Replace every stay of a profile by a shape."""
    hours: list[float] = []
    soc: list[float] = []
    done = 0
    for stay, (at_h, levels) in zip(find_stays(profile), shapes, strict=True):
        hours += [*profile.hours[done : stay.first].tolist(), *at_h]
        soc += [*profile.soc[done : stay.first].tolist(), *levels]
        done = stay.last + 1
    return Profile(np.array([*hours, *profile.hours[done:].tolist()]), np.array([*soc, *profile.soc[done:].tolist()]))
