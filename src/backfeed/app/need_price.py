"""What energy costs a car that may end before its plan does.

A car that hides its state of charge takes what its driver needs, and ends by itself. How much that is, is known as
odds only; it is planned for the upper edge of them. So the last kilowatt-hours of its plan are hardly ever bought, and
the first nearly always: what is bought first should be cheap, and what is dear should be bought last.

With S(k) the chance that it takes more than k, and C(t) what its plan has charged until t, the plan costs

    sum_t p(t) (integral of S from C(t) to C(t+1))

which no linear program can see. It sees the derivative, by which two steps differ as

    g(t-1) - g(t) = S(C(t)) (p(t-1) - p(t))

so that every change of price counts by the chance that the car still draws when it comes. C is that of a plan
which fills the cheapest steps first, of equal ones the last, and the step that is filled last has the price that it
says. What is sold must be bought again for certain, so it is sold at no more than the price.

What is missing of the upper half of the odds counts by the chance that it is needed at all.
"""

import numpy as np
from numpy.typing import NDArray

from backfeed.app.knowledge import MAY_TAKE_LEVELS, Car
from backfeed.core.axis import TimeAxis
from backfeed.plan.rolling import LEVELS

Floats = NDArray[np.float64]

LIKELY = MAY_TAKE_LEVELS.index(0.5)
"""Of the levels of what a car may take, the one up to which it is missed in full."""

STAYS = LEVELS.index(0.4)
"""Of the odds of a departure, the level until which a car is taken to be there."""

ALIKE_PER_KWH = 1e-9
"""Prices that differ by less are one."""

SHIFT_LEAST = 0.02
"""A shift is left out that is nowhere more than this share of the mean price while the car is likely there: where there
is room enough among equal hours nothing has to be put off."""

TAIL_LEAST_KWH = 0.1
"""Odds that are narrower than this are none."""


def tail_of(car: Car) -> tuple[float, float]:
    """Return how much of what a car may take it is likely not to, and the mean chance that it does.

    Returns
    -------
    tuple
        kWh in the battery, and a share; both 0 for a car whose energy is known.
    """
    if not car.may_take_kwh or car.is_energy_known:
        return 0.0, 0.0
    kwh = np.array(car.may_take_kwh[LIKELY:])
    beyond = 1.0 - np.array(MAY_TAKE_LEVELS[LIKELY:])
    width = float(kwh[-1] - kwh[0])
    if width < TAIL_LEAST_KWH:
        return 0.0, 0.0
    share = float(((beyond[1:] + beyond[:-1]) / 2 * np.diff(kwh)).sum()) / width
    return width * car.owner.vehicle.charge_efficiency, share


def price_shift_per_kwh(car: Car, axis: TimeAxis, buy_per_kwh: Floats) -> Floats:
    """Return what is added to the prices of energy for a car [currency/kWh], shape `(step,)`; 0 if it is known.

    Parameters
    ----------
    car
        A car.
    axis, buy_per_kwh
        The steps of a plan, and their prices.
    """
    if not car.may_take_kwh or car.is_energy_known:
        return np.zeros(axis.count)
    there = np.clip((int(car.left_by_ms[STAYS]) - axis.starts_ms) / axis.step_ms, 0.0, 1.0)
    drawing, last = _still_draws(car, there * axis.step_h, buy_per_kwh)
    drops = buy_per_kwh[:-1] - buy_per_kwh[1:]
    price = np.zeros(axis.count)
    price[:-1] = np.cumsum((drawing[1:] * drops)[::-1])[::-1]
    price += buy_per_kwh[last] - price[last]
    # A price below all others, and below zero, would pay for going round in circles.
    price += max(min(float(buy_per_kwh.min()), 0.0) - float(price.min()), 0.0)
    shift: Floats = price - buy_per_kwh
    matters = np.abs(shift[there > 0]).max(initial=0.0) > SHIFT_LEAST * np.abs(buy_per_kwh).mean()
    return shift if matters else np.zeros(axis.count)


def _still_draws(car: Car, there_h: Floats, buy_per_kwh: Floats) -> tuple[Floats, int]:
    """Return how a car is charged if the cheapest steps are filled first, of equal ones the last.

    Returns
    -------
    tuple
        The chance that it has not ended when each step begins, shape `(step,)`, and the step that is filled last.
    """
    room_kwh = there_h * car.charge_max_kw
    order = np.lexsort((-np.arange(len(room_kwh)), np.round(buy_per_kwh / ALIKE_PER_KWH)))
    before_kwh = np.cumsum(room_kwh[order]) - room_kwh[order]
    takes_kwh = np.zeros(len(room_kwh))
    takes_kwh[order] = np.clip(car.may_take_kwh[-1] - before_kwh, 0.0, room_kwh[order])
    begins_kwh = np.cumsum(takes_kwh) - takes_kwh
    ended = np.interp(begins_kwh, (0.0, *car.may_take_kwh), (0.0, *MAY_TAKE_LEVELS))
    filled = order[takes_kwh[order] > 0]
    return np.asarray(1.0 - ended, dtype=np.float64), int(filled[-1]) if len(filled) else 0
