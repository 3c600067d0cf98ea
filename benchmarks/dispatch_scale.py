"""How long a tick's decision takes: allocation and guard, from a garage to a region, beside the former numpy way.

    ./dev bench dispatch_scale

Processor milliseconds per call, best of several, for fleets at sites under feeders under a substation each. `tree`
is the set-up: it is needed when a car comes or goes. `plan` follows a schedule, `promise` moves the fleet's sum to half
a kilowatt of discharge per car, and `far` to 1.2, for which cars have to discharge more than they planned. `mixed` is
`plan` where the cars do not stand in the order of their places. `two threads` is the wall time of `promise`: on a busy
machine it says little. numpy knows no feeders and takes a time that grows with cars times sites, so it is left out
where it would take minutes.
"""

import dataclasses
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from backfeed.core.instant import MS_PER_H
from backfeed.core.rng import Streams
from backfeed.dispatch.allocate import ONE_THREAD, Allocation, allocate
from backfeed.dispatch.columns import EvseColumns, SiteColumns
from backfeed.dispatch.guard import GuardLimits, Place, guard
from backfeed.dispatch.tree import arrange
from backfeed.plan.threads import Threads

SIZES = ((30, 6), (1_000, 20), (10_000, 200), (100_000, 2_000), (1_000_000, 20_000))
SITES_PER_FEEDER, FEEDERS_PER_SUBSTATION = 10, 20
NUMPY_MAX = 100_000
REPEATS = 7
SEED = 1


def fleet(count: int, site_count: int) -> tuple[EvseColumns, SiteColumns]:
    """Draw cars in the order of their sites, half of them discharging; connections carry some 60 % of the chargers."""
    dice = Streams(SEED).generator("benchmark.dispatch", count)
    capacity = dice.uniform(30, 80, count)
    low = capacity * dice.uniform(0.2, 0.8, count)
    evses = EvseColumns(
        station=tuple(f"S-{i}" for i in range(count)),
        evse=np.ones(count, dtype=np.int64),
        site=np.sort(dice.integers(0, site_count, count)),
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


def under_feeders(sites: SiteColumns) -> SiteColumns:
    """Hang sites under feeders, feeders under substations; each carries nine tenths of what is below it."""
    rows: list[Any] = [sites.import_limit_kw, sites.export_limit_kw, sites.base_load_kw]
    parents, first = [], 0
    for each in (SITES_PER_FEEDER, FEEDERS_PER_SUBSTATION):
        count = len(rows[0]) - first
        above = np.arange(count) // each
        parents.append(first + count + above)
        sums = [np.bincount(above, weights=column[first:]) for column in rows]
        rows = [np.append(rows[0], 0.9 * sums[0]), np.append(rows[1], 0.9 * sums[1]), np.append(rows[2], 0.0 * sums[2])]
        first += count
    parents.append(np.full(len(rows[0]) - first, -1))
    return SiteColumns(*rows, parent=np.concatenate(parents))


def mixed(evses: EvseColumns) -> EvseColumns:
    """Return the same cars in a random order."""
    order = Streams(SEED).generator("benchmark.dispatch.order").permutation(len(evses))
    columns = {
        field.name: value[order]
        for field in dataclasses.fields(evses)
        if isinstance(value := getattr(evses, field.name), np.ndarray)
    }
    return dataclasses.replace(evses, **columns)


def numpy_way() -> Callable[..., Allocation]:
    """Return the former decision, which the tests keep as their oracle."""
    file = Path(__file__).parent.parent / "tests" / "dispatch" / "by_numpy.py"
    spec = importlib.util.spec_from_file_location("by_numpy", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["by_numpy"] = module
    spec.loader.exec_module(module)
    decide: Callable[..., Allocation] = module.allocate_by_numpy
    return decide


def milliseconds(act: Callable[[], object], calls: int, clock: Callable[[], float] = time.process_time) -> float:
    """Return the processor milliseconds of one call, the best of several series."""
    act()
    series = []
    for _ in range(REPEATS):
        begun = clock()
        for _ in range(calls):
            act()
        series.append((clock() - begun) / calls * 1_000)
    return min(series)


def main() -> None:
    """Print a line per size."""
    begun = time.process_time()
    small, few = fleet(30, 6)
    allocate(small, few, -30.0, 0)
    allocate(small, under_feeders(few), None, 0)
    print(f"loading the compiled code, or compiling it once: {time.process_time() - begun:.1f} CPU-s")
    heads = ("tree", "plan", "promise", "far", "mixed", "two threads", "guard", "numpy plan", "numpy promise")
    print(f"{'EVSEs':>8}{'places':>8}" + "".join(f"{head:>14}" for head in heads))
    by_numpy, two = numpy_way(), Threads(2)
    for count, site_count in SIZES:
        evses, sites = fleet(count, site_count)
        places, shuffled = under_feeders(sites), mixed(evses)
        tree, other = arrange(evses.site, places), arrange(shuffled.site, places)
        calls = max(1, 20_000 // count)
        power = allocate(evses, places, None, 0).power_kw
        names = tuple(f"place-{i}" for i in range(len(places)))
        place = Place("site", names, evses.site, places.base_load_kw, places.import_limit_kw, places.export_limit_kw)
        limits = GuardLimits(evses.charge_max_kw, evses.discharge_max_kw, (place,))

        def tick(target: float | None, threads: Threads = ONE_THREAD, e=evses, p=places, t=tree) -> Allocation:  # type: ignore[no-untyped-def]  # noqa: ANN001
            return allocate(e, p, target, 0, t, threads)

        measured = [
            milliseconds(lambda e=evses, p=places: arrange(e.site, p), calls),
            milliseconds(lambda f=tick: f(None), calls),
            milliseconds(lambda f=tick, n=count: f(-0.5 * n), calls),
            milliseconds(lambda f=tick, n=count: f(-1.2 * n), calls),
            milliseconds(lambda e=shuffled, p=places, t=other: allocate(e, p, None, 0, t), calls),
            milliseconds(lambda f=tick, n=count: f(-0.5 * n, two), calls, time.perf_counter),
            milliseconds(lambda p=power, x=limits: guard(p, p, 300.0, x), calls),
        ]
        if count <= NUMPY_MAX:
            measured.append(milliseconds(lambda e=evses, s=sites: by_numpy(e, s, None, 0), max(1, calls // 20)))
            measured.append(
                milliseconds(lambda e=evses, s=sites, n=count: by_numpy(e, s, -0.5 * n, 0), max(1, calls // 20))
            )
        print(f"{count:>8}{len(places):>8}" + "".join(f"{value:>14.3f}" for value in measured), flush=True)


if __name__ == "__main__":
    main()
