"""How much capacity is gone after years: a profile repeated until the horizon.

The stress of the profile is measured once; then its days follow each other, and only health changes.
An older battery moves the same energy with a wider swing, so the profile is stretched by one over the
health: the depth of its swings grows, and the storage stress moves (linearly, between the profile and
the profile stretched by a fifth about its mean). Health is brought up to date every four weeks.

The depth of a day is the mean over the four windows of 24 hours that start at a quarter of it, because
a window from midnight to midnight may see the lows of two nights. BLAST-Lite, whose day of 24 hours and
a quarter drifts through the profile, does the same by accident.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from backfeed.battery.columns import COLUMNS, HIGHEST, HOURS, LOWEST, WIDER_STRESS_HOURS
from backfeed.battery.law import Floats, WearLaw
from backfeed.battery.stress import DEFAULT_TEMPERATURE_C, HOURS_PER_DAY, SocPaths, measure_pieces, stress_of_pieces
from backfeed.core.instant import MS_PER_DAY

DAYS_PER_YEAR = 365
_DAYS_BETWEEN_UPDATES = 28
_WINDOWS = 4
"""Windows over which the depth of a day is averaged."""
_STRETCH = 0.2
_LEAST_HEALTH = 0.5
"""Below this a pack is scrap; depth is not divided by less."""


@dataclass(frozen=True)
class LifetimeLoss:
    """Capacity lost at the horizon, as fractions of the new capacity, shape `(vehicle,)`.

    `calendar` and `cycling` add up to `total`; the damages are the state from which to go on.
    """

    calendar: Floats
    cycling: Floats
    calendar_damage: Floats
    cycling_damage: Floats
    full_cycles: Floats

    @property
    def total(self) -> Floats:
        """Lost in storage and in cycling together."""
        return self.calendar + self.cycling


def lifetime_loss(
    law: WearLaw,
    profiles: SocPaths,
    *,
    years: float = 8.0,
    temperature_c: float | Floats = DEFAULT_TEMPERATURE_C,
    scale: ArrayLike = 1.0,
    active_c_rate: bool = False,
    day_start_ms: int = 0,
) -> LifetimeLoss:
    """Return the loss of new batteries that repeat their profiles for some years of 365 days.

    Parameters
    ----------
    law
        The cell's law.
    profiles
        One path per vehicle, all of the same whole number of days and starting at the start of a day.
    years
        The horizon; cut to whole days.
    temperature_c
        Cell temperature [degrees C], one value or one per sample.
    scale
        How many times the law's loss a vehicle loses, one value or shape `(vehicle,)`.
    active_c_rate
        Take the mean C-rate over the hours in motion: the cautious choice.
    day_start_ms
        An instant at which a day starts.
    """
    days = _profile_days(law, profiles, temperature_c, day_start_ms)
    c_rate = days.c_rate_active if active_c_rate else days.c_rate
    factor = np.broadcast_to(np.asarray(scale, dtype=np.float64), (len(profiles),))
    calendar, cycling, moved = np.zeros((3, len(profiles)))
    for first, last, repeats in _blocks(int(years * DAYS_PER_YEAR), days.full_cycles.shape[1]):
        part = slice(first, last)
        health = np.maximum(1 - factor * sum(law.loss(calendar, cycling)), _LEAST_HEALTH)[:, None]
        stress = np.maximum(days.stress[:, part] + (1 / health - 1) * days.stress_slope[:, part], 0)
        cycles = days.full_cycles[:, part]
        damage = law.cycling_damage(days.depth[:, part] / health, c_rate[:, part], days.temperature_c[:, part], cycles)
        calendar = calendar + repeats * law.calendar_damage(stress, np.ones(1)).sum(axis=1)
        cycling = cycling + repeats * damage.sum(axis=1)
        moved = moved + repeats * cycles.sum(axis=1)
    lost = law.loss(calendar, cycling)
    return LifetimeLoss(factor * lost[0], factor * lost[1], calendar, cycling, moved)


@dataclass(frozen=True)
class _ProfileDays:
    """The stress of the days of the profiles, shape `(vehicle, day)`; the slope is per stretch of 1."""

    stress: Floats
    stress_slope: Floats
    temperature_c: Floats
    depth: Floats
    full_cycles: Floats
    c_rate: Floats
    c_rate_active: Floats


def _profile_days(law: WearLaw, profiles: SocPaths, temperature_c: float | Floats, day_start_ms: int) -> _ProfileDays:
    vehicles = len(profiles)
    grid = (day_start_ms, MS_PER_DAY // _WINDOWS)
    _, flat = measure_pieces(law, profiles, temperature_c, grid, 1 + _STRETCH)
    assert len(flat) % (vehicles * _WINDOWS) == 0, "profiles have the same number of whole days"
    assert np.allclose(flat[:, HOURS], HOURS_PER_DAY / _WINDOWS), "profiles cover whole days"
    quarters = flat.reshape(vehicles, -1, COLUMNS)
    sums = quarters.reshape(vehicles, -1, _WINDOWS, COLUMNS).sum(axis=2)
    shape = sums.shape[:2]
    day = stress_of_pieces(law, np.repeat(np.arange(vehicles), shape[1]), sums.reshape(-1, COLUMNS))
    stress = day.calendar_stress.reshape(shape)
    return _ProfileDays(
        stress=stress,
        stress_slope=(sums[:, :, WIDER_STRESS_HOURS] / HOURS_PER_DAY - stress) / _STRETCH,
        temperature_c=day.temperature_c.reshape(shape),
        depth=_mean_depth(quarters[:, :, LOWEST], quarters[:, :, HIGHEST]),
        full_cycles=day.full_cycles.reshape(shape),
        c_rate=day.c_rate.reshape(shape),
        c_rate_active=day.c_rate_active.reshape(shape),
    )


def _mean_depth(lowest: Floats, highest: Floats) -> Floats:
    """Return the depth of each day from the extremes of its quarters: the mean over windows of 24 hours."""
    low = np.min([np.roll(lowest, -shift, axis=1) for shift in range(_WINDOWS)], axis=0)
    high = np.max([np.roll(highest, -shift, axis=1) for shift in range(_WINDOWS)], axis=0)
    depth: Floats = (high - low).reshape(len(low), -1, _WINDOWS).mean(axis=2)
    return depth


def _blocks(days: int, period: int) -> list[tuple[int, int, int]]:
    """Cut `days` days into runs of profile days: first, last (exclusive) and how often they repeat.

    >>> _blocks(70, 7)
    [(0, 7, 4), (0, 7, 4), (0, 7, 2)]
    >>> _blocks(40, 32)
    [(0, 28, 1), (28, 32, 1), (0, 8, 1)]
    """
    blocks = []
    day = 0
    while day < days:
        first = day % period
        last = min(first + _DAYS_BETWEEN_UPDATES, period, first + days - day)
        whole = first == 0 and last == period
        repeats = min(max(_DAYS_BETWEEN_UPDATES // period, 1), (days - day) // period) if whole else 1
        blocks.append((first, last, repeats))
        day += (last - first) * repeats
    return blocks
