"""Ten million intervals: a month of some 3,500 cars."""

import resource
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, local_midnight_ms
from backfeed.market.tariff import load_tariff, price_axis
from backfeed.meter.interval import INTERVAL_MS, IntervalTable, MeterKey
from backfeed.settle.postings import Parties, SettlementDay, settle_day

START = local_midnight_ms(date(2026, 7, 1), ZoneInfo("Asia/Shanghai"))


def fleet(cars, days):
    generator = np.random.Generator(np.random.PCG64(7))
    keys = tuple(MeterKey(f"t{n}", f"user-{n}", f"site-{n // 20}", f"cp-{n}", 1) for n in range(cars))
    key = np.repeat(np.arange(cars), 96 * days)
    start = np.tile(START + INTERVAL_MS * np.arange(96 * days), cars)
    power = generator.integers(-1_700, 1_800, len(key))
    return IntervalTable(keys, key, start, np.maximum(power, 0), np.maximum(-power, 0))


def used_cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    ("cars", "days", "budget_cpu_s"), [(200, 2, 2.0), pytest.param(3_472, 30, 10.0, marks=pytest.mark.nightly)]
)
def test_a_month_settles_in_its_budget(cars, days, budget_cpu_s):
    table = fleet(cars, days)
    before = used_cpu_s()
    prices = price_axis(load_tariff("guangdong-v2g"), TimeAxis(START, INTERVAL_MS, 96 * days))
    posted = 0
    for day in range(days):
        from_ms = START + day * MS_PER_DAY
        intervals = table.between(from_ms, from_ms + MS_PER_DAY)
        settled = settle_day(
            SettlementDay(f"2026-07-{day + 1:02d}", from_ms + MS_PER_DAY, intervals, prices, {}), Parties()
        )
        posted += sum(o.import_wh - o.export_wh for o in settled.owners)
    assert used_cpu_s() - before <= budget_cpu_s
    assert posted == int(table.import_wh.sum() - table.export_wh.sum())
