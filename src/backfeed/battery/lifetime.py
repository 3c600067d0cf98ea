"""How much capacity is gone after years: a profile repeated until the horizon.

The stress of each day of the profile is measured once; then the days follow each other, and only the
depth of the swings changes: an older battery moves the same energy with a deeper swing, so depth is
divided by the health that is left. Health is brought up to date every four weeks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from backfeed.battery.law import Floats, WearLaw
from backfeed.battery.stress import DEFAULT_TEMPERATURE_C, SocPaths, day_stress

DAYS_PER_YEAR = 365
_DAYS_BETWEEN_UPDATES = 28
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
    day = day_stress(law, profiles, temperature_c, day_start_ms=day_start_ms)
    vehicles, period = len(profiles), day.hours.size // len(profiles)
    assert day.hours.size == vehicles * period, "profiles have the same number of days"
    assert np.allclose(day.hours, 24.0), "profiles cover whole days"
    by_day = (vehicles, period)
    stored = law.calendar_damage(day.calendar_stress, day.hours / 24.0).reshape(by_day)
    depth, cycles = day.depth.reshape(by_day), day.full_cycles.reshape(by_day)
    c_rate = (day.c_rate_active if active_c_rate else day.c_rate).reshape(by_day)
    degrees = day.temperature_c.reshape(by_day)
    factor = np.broadcast_to(np.asarray(scale, dtype=np.float64), (vehicles,))
    calendar, cycling, moved = np.zeros((3, vehicles))
    for first, last, repeats in _blocks(int(years * DAYS_PER_YEAR), period):
        part = slice(first, last)
        health = np.maximum(1 - factor * sum(law.loss(calendar, cycling)), _LEAST_HEALTH)
        damage = law.cycling_damage(
            depth[:, part] / health[:, None], c_rate[:, part], degrees[:, part], cycles[:, part]
        )
        calendar = calendar + repeats * stored[:, part].sum(axis=1)
        cycling = cycling + repeats * damage.sum(axis=1)
        moved = moved + repeats * cycles[:, part].sum(axis=1)
    lost = law.loss(calendar, cycling)
    return LifetimeLoss(factor * lost[0], factor * lost[1], calendar, cycling, moved)


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
