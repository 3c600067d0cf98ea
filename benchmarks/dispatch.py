"""How long a tick's decision takes: allocation and guard, at sizes from a garage to a city.

    ./dev bench dispatch

Processor milliseconds per call on one core, best of several, for fleets where a third of the sites is tight.
"""

import time
from collections.abc import Callable

import numpy as np

from backfeed.core.instant import MS_PER_H
from backfeed.core.rng import Streams
from backfeed.dispatch.allocate import allocate
from backfeed.dispatch.columns import EvseColumns, SiteColumns
from backfeed.dispatch.guard import GuardLimits, Place, guard

SIZES = ((30, 6), (100, 10), (1_000, 50), (10_000, 500))
REPEATS = 7
SEED = 1


def fleet(count: int, site_count: int) -> tuple[EvseColumns, SiteColumns]:
    """Draw cars, half of them discharging, at sites whose connections carry some 60 % of their chargers."""
    dice = Streams(SEED).generator("benchmark.dispatch", count)
    capacity = dice.uniform(30, 80, count)
    low = capacity * dice.uniform(0.2, 0.8, count)
    evses = EvseColumns(
        station=tuple(f"S-{i}" for i in range(count)),
        evse=np.ones(count, dtype=np.int64),
        site=dice.integers(0, site_count, count),
        charge_max_kw=np.full(count, 7.4),
        discharge_max_kw=np.full(count, 7.4),
        energy_low_kwh=low,
        energy_high_kwh=low + 2.0,
        reserve_kwh=0.25 * capacity,
        target_kwh=0.85 * capacity,
        full_kwh=capacity,
        departure_ms=dice.integers(4 * MS_PER_H, 14 * MS_PER_H, count),
        charge_efficiency=np.full(count, 0.93),
        discharge_efficiency=np.full(count, 0.93),
        planned_kw=dice.uniform(-7.4, 7.4, count),
        charging_only=dice.random(count) < 0.2,
        step_s=300.0,
    )
    per_site = 7.4 * count / site_count
    limits = dice.uniform(0.2, 1.0, site_count) * per_site
    return evses, SiteColumns(limits, 0.3 * limits, 0.1 * limits)


def milliseconds(act: Callable[[], object], calls: int) -> float:
    """Return the processor milliseconds of one call, the best of several series."""
    act()
    series = []
    for _ in range(REPEATS):
        begun = time.process_time()
        for _ in range(calls):
            act()
        series.append((time.process_time() - begun) / calls * 1_000)
    return min(series)


def main() -> None:
    """Print a line per size."""
    print(f"{'EVSEs':>8}{'sites':>7}{'schedule ms':>13}{'promise ms':>12}{'guard ms':>10}")
    for count, site_count in SIZES:
        evses, sites = fleet(count, site_count)
        calls = max(1, 20_000 // count)
        power = allocate(evses, sites, None, 0).power_kw
        names = tuple(f"site-{i}" for i in range(site_count))
        place = Place("site", names, evses.site, sites.base_load_kw, sites.import_limit_kw, sites.export_limit_kw)
        limits = GuardLimits(evses.charge_max_kw, evses.discharge_max_kw, (place,))
        print(
            f"{count:>8}{site_count:>7}"
            f"{milliseconds(lambda e=evses, s=sites: allocate(e, s, None, 0), calls):>13.3f}"
            f"{milliseconds(lambda e=evses, s=sites, n=count: allocate(e, s, -2.0 * n, 0), calls):>12.3f}"
            f"{milliseconds(lambda p=power, x=limits: guard(p, p, 300.0, x), calls):>10.3f}"
        )


if __name__ == "__main__":
    main()
