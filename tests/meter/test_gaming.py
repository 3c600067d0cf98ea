"""Three ways to be paid for nothing, and what gives them away."""

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, local_datetime, local_midnight_ms
from backfeed.meter.baseline import History, baseline
from backfeed.meter.gaming import Scheme, Stay, cycled_energy, ghost_sessions, raised_baseline
from backfeed.meter.interval import INTERVAL_MS, IntervalTable, MeterKey

ZONE = ZoneInfo("Asia/Shanghai")
EVENT_DAY = local_midnight_ms(date(2026, 6, 26), ZONE)
EVENT = TimeAxis(EVENT_DAY + 17 * MS_PER_H, INTERVAL_MS, 4)
INVITED = EVENT_DAY + 9 * MS_PER_H


def history(energy_of):
    axis = TimeAxis(local_midnight_ms(date(2026, 5, 20), ZONE), INTERVAL_MS, 40 * 96)
    net = np.array([energy_of(local_datetime(at, ZONE).date()) for at in axis], dtype=np.int64)
    return History(axis, net, "Asia/Shanghai", calendar="CN")


def test_a_week_of_raised_load_before_the_invitation_is_noticed():
    gamed = history(lambda day: 3_000 if day >= date(2026, 6, 19) else 1_000)
    used = baseline("mean-5-workdays", gamed, EVENT, INVITED)
    [found] = raised_baseline("ps-1", gamed, used, INVITED, 7 * MS_PER_DAY)
    assert (found.scheme, found.where) == (Scheme.RAISED_BASELINE, "ps-1")
    assert found.energy_wh == 4 * (round((4 * 3_000 + 1_000) / 5) - 1_000)


def test_a_steady_load_is_not():
    steady = history(lambda day: 1_000 + day.day % 3)
    used = baseline("mean-5-workdays", steady, EVENT, INVITED)
    assert raised_baseline("ps-1", steady, used, INVITED, 7 * MS_PER_DAY) == ()


KEYS = tuple(MeterKey(f"t{n}", f"owner-{n}", "garage", f"cp-{n}", 1) for n in range(3))


def table(*rows):
    return IntervalTable(KEYS, *np.array(rows, dtype=np.int64).T * np.array([[1], [INTERVAL_MS], [1], [1]]))


def stay(n, first=0, last=8, **more):
    return Stay(KEYS[n], first * INTERVAL_MS, last * INTERVAL_MS, **{"authorised": True, **more})


HONEST = table((0, 0, 500, 0), (0, 1, 0, 400), (1, 4, 900, 0))


def test_energy_of_a_car_that_was_there_is_believed():
    assert ghost_sessions([stay(0, vehicle="a", capacity_kwh=40), stay(1, vehicle="b")], HONEST) == ()


def test_energy_without_a_car_or_a_driver_is_a_ghosts():
    found = ghost_sessions([stay(0, authorised=False)], HONEST)
    assert [(f.where, f.energy_wh) for f in found] == [("cp-0 t0", 900), ("cp-1 t1", 900)]


def test_energy_after_the_car_has_left_is_a_ghosts():
    [found] = ghost_sessions([stay(0, 0, 1), stay(1)], HONEST)
    assert (found.where, found.energy_wh) == ("cp-0 t0", 400)


def test_one_car_does_not_stand_at_two_chargers():
    [found] = ghost_sessions([stay(0, vehicle="a"), stay(1, vehicle="a", first=4)], HONEST)
    assert found.where == "cp-1 t1"
    assert ghost_sessions([stay(0, 0, 3, vehicle="a"), stay(1, 3, 8, vehicle="a")], HONEST) == ()


def test_a_battery_gives_no_more_than_it_holds():
    rows = table(*((2, step, 0, 5_000) for step in range(8)))
    assert ghost_sessions([stay(2, capacity_kwh=40.0)], rows) == ()
    [found] = ghost_sessions([stay(2, capacity_kwh=39.0)], rows)
    assert found.energy_wh == 40_000


def test_energy_in_a_circle_behind_one_meter_is_noticed():
    [found] = cycled_energy(table((0, 0, 0, 4_000), (1, 0, 3_500, 0)))
    assert (found.scheme, found.where, found.energy_wh) == (Scheme.CYCLED_ENERGY, "garage", 3_500)
    assert cycled_energy(table((0, 0, 0, 4_000), (1, 1, 3_500, 0))) == ()
    assert cycled_energy(table((0, 0, 0, 40_000), (1, 0, 3_500, 0))) == ()
