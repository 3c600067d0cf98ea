"""How well a car's linear wear prices foretell its wear: held-out pairs, day by day, for every cell.

    python benchmarks/wear_linear.py [CARS]

Each car of a fleet (200 unless told otherwise) drives and discharges differently every night. Its prices are taken anew
every evening at the night's plan, inside the trust region, as the planner does; what then happens is another night: a
fifth more or less is discharged, at other hours, from another state of charge. The truth is the closed form of that
night with and without its discharge; neither was seen. Shown is the sum of the cars' errors over four weeks as a share
of their wear (WAPE): for prices of the night's plan, for prices of the night before, and for the plain day's
prices with which a car begins.
"""

import math
import sys

import numpy as np
from numpy.typing import NDArray

from backfeed.app.plan_wear import TRUST, trusted
from backfeed.battery.linear import LinearWear, linear_coefficients, nominal_prices, relinearise
from backfeed.battery.wear import WEAR_LAWS, SocPaths, WearLaw, path_costs
from backfeed.core.rng import Streams

Floats = NDArray[np.float64]

_DAYS, _SETTLING_DAYS = 42, 14
_EFFICIENCY, _POWER_KW, _STAY_H = 0.92, 7.0, 14.0
_HOUR_MS = 3_600_000


def night(soc: Floats, given_kwh: Floats, begin_h: Floats, capacity: Floats) -> tuple[SocPaths, SocPaths, Floats]:
    """Return a night's paths with and without its discharge, and how many kWh hours less the first holds."""
    low = soc - given_kwh / _EFFICIENCY / capacity
    until_h = begin_h + given_kwh / _POWER_KW
    zero, full = np.zeros_like(soc), np.full_like(soc, 0.85)

    def charge_h(level: Floats) -> Floats:
        return _STAY_H - 0.5 - (full - level) * capacity / _EFFICIENCY / _POWER_KW

    used_h = np.stack([zero, begin_h, until_h, charge_h(low), full * 0 + _STAY_H - 0.5, full * 0 + _STAY_H], axis=1)
    idle_h = np.stack([zero, begin_h, until_h, charge_h(soc), full * 0 + _STAY_H - 0.5, full * 0 + _STAY_H], axis=1)
    used, idle = np.stack([soc, soc, low, low, full, full], axis=1), np.stack([soc, soc, soc, soc, full, full], axis=1)
    held = [
        (np.diff(hours, axis=1) * (level[:, 1:] + level[:, :-1]) / 2).sum(axis=1)
        for hours, level in ((used_h, used), (idle_h, idle))
    ]
    return _paths(used_h, used), _paths(idle_h, idle), (held[0] - held[1]) * capacity


def _paths(hours: Floats, soc: Floats) -> SocPaths:
    cars, samples = soc.shape
    # The stay begins at six in the evening: midnight cuts it into the two pieces that the law sees.
    at_ms = np.rint((hours + 18.0) * _HOUR_MS).astype(np.int64).ravel()
    return SocPaths(at_ms, soc.ravel(), np.arange(cars + 1, dtype=np.int64) * samples)


def prices_at(law: WearLaw, plan: SocPaths, idle: SocPaths, capacity: Floats, given_kwh: Floats) -> LinearWear:
    """Return the prices at a night, as the planner takes them."""
    fallback = nominal_prices(law, idle, capacity, discharge_efficiency=_EFFICIENCY)
    return relinearise(law, plan, idle, capacity, given_kwh, fallback)


def moved(held: LinearWear, found: LinearWear, plain: LinearWear) -> LinearWear:
    """Return prices after one pass of the trust region, in which the price of discharging may rise at once."""
    columns = (
        [trusted(was, new, first, up=up)[0] for was, new, first in zip(*each, strict=True)]
        for up, each in (
            (math.inf, (held.wear_per_kwh, found.wear_per_kwh, plain.wear_per_kwh)),
            (TRUST, (held.hold_per_kwh_h, found.hold_per_kwh_h, plain.hold_per_kwh_h)),
        )
    )
    return LinearWear(*map(np.array, columns))


def errors(law: WearLaw, cars: int) -> tuple[float, float, float]:
    """Return the WAPE of prices of the plan, of the night before, and of the plain day."""
    dice = Streams(11).generator("pairs", law.chemistry.value)
    capacity, usual_kwh = dice.uniform(45, 85, cars), dice.uniform(3, 12, cars)
    plain = linear_coefficients(law, np.full(97, 0.55), capacity, discharge_efficiency=_EFFICIENCY)
    held = [plain, plain, plain]
    foretold, true = np.zeros((3, cars)), np.zeros(cars)
    for day in range(_DAYS):
        soc, given_kwh = dice.uniform(0.55, 0.8, cars), usual_kwh * dice.uniform(0.5, 1.3, cars)
        begin_h = dice.uniform(0.5, 2.0, cars)
        plan, idle, _ = night(soc, given_kwh, begin_h, capacity)
        for _ in range(2):
            held[0] = moved(held[0], prices_at(law, plan, idle, capacity, given_kwh), plain)
        real_kwh = given_kwh * dice.uniform(0.8, 1.2, cars)
        used, idle, more_kwh_h = night(
            np.minimum(soc + dice.normal(0, 0.02, cars), 0.84),
            real_kwh,
            begin_h + dice.uniform(-0.5, 0.5, cars),
            capacity,
        )
        if day >= _SETTLING_DAYS:
            true += path_costs(law, used, capacity).total - path_costs(law, idle, capacity).total
            for row, prices in enumerate(held):
                foretold[row] += prices.wear_per_kwh * real_kwh + prices.hold_per_kwh_h * more_kwh_h
        held[1] = moved(held[1], prices_at(law, used, idle, capacity, real_kwh), plain)
    wape = np.abs(foretold - true).sum(axis=1) / np.abs(true).sum()
    return float(wape[0]), float(wape[1]), float(wape[2])


def main() -> None:
    """Print a row for every cell."""
    cars = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"{'cell':8}{'the plan':>10}{'the night before':>18}{'a plain day':>13}")
    for law in WEAR_LAWS.values():
        found = errors(law, cars)
        print(f"{law.chemistry.value:8}{found[0]:10.1%}{found[1]:18.1%}{found[2]:13.1%}")


if __name__ == "__main__":
    main()
