"""Ways to be paid for nothing, and what gives them away."""

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, local_datetime, local_midnight_ms
from backfeed.market.demand_response import Direction
from backfeed.meter.baseline import History, baseline
from backfeed.meter.gaming import Scheme, Stay, cycled_energy, ghost_sessions, moved_baseline, two_chargers
from backfeed.meter.interval import INTERVAL_MS, IntervalTable, MeterKey

ZONE = ZoneInfo("Asia/Shanghai")
EVENT_DAY = local_midnight_ms(date(2026, 6, 26), ZONE)
EVENT = TimeAxis(EVENT_DAY + 17 * MS_PER_H, INTERVAL_MS, 4)
INVITED = EVENT_DAY + 9 * MS_PER_H


def history(energy_of):
    axis = TimeAxis(local_midnight_ms(date(2026, 5, 20), ZONE), INTERVAL_MS, 40 * 96)
    net = np.array([energy_of(local_datetime(at, ZONE).date()) for at in axis], dtype=np.int64)
    return History(axis, net, "Asia/Shanghai", calendar="CN")


SHAVE, FILL = Direction.PEAK_SHAVE, Direction.VALLEY_FILL


def findings(energy_of, direction, notice_days=7):
    metered = history(energy_of)
    used = baseline("mean-5-workdays", metered, EVENT, INVITED)
    return moved_baseline("ev-1", direction, metered, used, INVITED, notice_days * MS_PER_DAY)


def from_the_19th(level):
    return lambda day: level if day >= date(2026, 6, 19) else 1_000


def test_a_week_of_raised_load_before_the_invitation_is_noticed():
    [found] = findings(from_the_19th(3_000), SHAVE)
    assert (found.scheme, found.where) == (Scheme.RAISED_BASELINE, "ev-1")
    assert found.energy_wh == 4 * (round((4 * 3_000 + 1_000) / 5) - 1_000)


def test_a_week_of_lowered_load_before_a_valley_is_filled_is_noticed():
    [found] = findings(from_the_19th(200), FILL)
    assert (found.scheme, found.where) == (Scheme.LOWERED_BASELINE, "ev-1")
    assert found.energy_wh == 4 * (1_000 - round((4 * 200 + 1_000) / 5))


def test_a_baseline_that_moved_to_where_it_earns_less_is_nobodys_business():
    assert findings(from_the_19th(200), SHAVE) == ()
    assert findings(from_the_19th(3_000), FILL) == ()


def test_fleets_that_feed_in_by_habit_are_measured_by_how_much():
    fed = findings(lambda day: -3_000 if day >= date(2026, 6, 19) else -2_500, FILL)
    assert fed == ()
    [found] = findings(lambda day: -6_000 if day >= date(2026, 6, 19) else -2_500, FILL)
    assert found.scheme is Scheme.LOWERED_BASELINE


def test_a_steady_load_is_not():
    for direction in Direction:
        assert findings(lambda day: 1_000 + day.day % 3, direction) == ()


def test_from_two_days_nobody_can_say_what_is_usual():
    [found] = findings(from_the_19th(3_000), SHAVE, notice_days=33)
    assert found.scheme is Scheme.RAISED_BASELINE
    assert findings(from_the_19th(3_000), SHAVE, notice_days=35) == ()


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
    stays = [stay(0, vehicle="a"), stay(1, vehicle="a", first=4)]
    [found] = two_chargers(stays, HONEST)
    assert (found.scheme, found.where, found.energy_wh) == (Scheme.TWO_CHARGERS, "cp-1 t1", 900)
    assert "stood at cp-0 as well" in found.what
    assert ghost_sessions(stays, HONEST) == ()


def test_a_car_may_change_chargers_and_cards_without_a_car_say_nothing():
    assert two_chargers([stay(0, 0, 3, vehicle="a"), stay(1, 3, 8, vehicle="a")], HONEST) == ()
    changing = Stay(KEYS[0], 0, 3 * INTERVAL_MS + 4 * 60_000, authorised=True, vehicle="a")
    assert two_chargers([changing, stay(1, 3, 8, vehicle="a")], HONEST) == ()
    assert two_chargers([stay(0), stay(1)], HONEST) == ()


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
